"""What the tokens of peers tell of their generation (`actors/session/peers.py`), which stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from actors.app.admission import KNOWN_TOKENS
from actors.memo import Memo
from actors.session.peers import PeerGeneration, generation
from identity.errors import InvalidToken
from identity.protocols import KeysMissing, Verifier


class PeerGenerations:
    """The generation by token; at most KNOWN_TOKENS are remembered."""

    def __init__(self, verifier: Verifier, wall: Callable[[], float]) -> None:
        self._verifier = verifier
        self._wall = wall
        self._known: Memo[str, PeerGeneration] = Memo(KNOWN_TOKENS)

    def __call__(self, token: str) -> PeerGeneration:
        known = self._known.get(token)
        if known is None:
            try:
                known = generation(self._verifier.try_get_claims(token, self._wall()))
            except (InvalidToken, KeysMissing):
                return PeerGeneration.UNKNOWN
            self._known.remember(token, known)
        return known
