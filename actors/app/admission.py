"""Whose messages are let in (`session.md` 3.1): the sender's token first, everything else after.

    token seen a moment ago, or verified now ──► in
    refused ──► dropped, counted
    keys must be fetched first ──► parked, with all that its source sends until then, in order

PARKED messages may wait, of all sources together; one more is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from actors.app.turn import AppTurn
from actors.memo import Memo
from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.record import record
from identity.errors import InvalidToken, SlimError
from identity.protocols import KeysMissing, Verifier

PARKED = 1024
KNOWN_TOKENS = 1024
STRANGERS = 256
TOKEN_TRUST = 1.0
"""Seconds for which a token that was verified is not verified again."""


@record
class TokenVerified(NamedTuple):
    """The token of the first parked message of `source` was verified, or was not."""

    source: Name
    error: SlimError | None


class Admission:
    """Verifies senders, by the wall clock of the turn."""

    def __init__(self, verifier: Verifier, *, parked: int = PARKED) -> None:
        self.unverified = 0
        self.overflowed = 0
        self._verifier = verifier
        self._bound = parked
        self._verified: Memo[str, float] = Memo(KNOWN_TOKENS)
        self._parked: dict[Name, deque[SessionMessage]] = {}
        self._strangers: Memo[Name, None] = Memo(STRANGERS)
        """Sources that were refused."""
        self._count = 0

    @property
    def parked(self) -> int:
        """Messages that wait for keys."""
        return self._count

    def figures(self) -> dict[str, int]:
        """Messages that were refused, that wait for keys, and for which there was no place to wait."""
        return {
            "unverified": self.unverified,
            "parked": self.parked,
            "parking_overflowed": self.overflowed,
        }

    def admits(self, message: SessionMessage, turn: AppTurn) -> bool:
        """Whether `message` may be handled now. If not, it was dropped or parked."""
        now = turn.wall
        if self._parked and message.source in self._parked:
            self._park(message, turn)
            return False
        if now - self._verified.get(message.identity, 0.0) < TOKEN_TRUST:
            return True
        try:
            self._verifier.try_verify(message.identity, now)
        except InvalidToken as error:
            self._refuse(message, error, turn)
            return False
        except KeysMissing:
            self._park(message, turn)
            return False
        self._verified.remember(message.identity, now)
        return True

    def handle(self, event: TokenVerified, turn: AppTurn) -> None:
        """Release what may be handled now; what follows in the queue is judged in its turn."""
        waiting = self._parked.pop(event.source)
        self._count -= len(waiting)
        first = waiting.popleft()
        if event.error is None:
            turn.release(first)
        else:
            self._refuse(first, event.error, turn)
        for message in waiting:
            if self.admits(message, turn):
                turn.release(message)

    def _park(self, message: SessionMessage, turn: AppTurn) -> None:
        if self._count >= self._bound:
            self.overflowed += 1
            return
        self._count += 1
        waiting = self._parked.setdefault(message.source, deque())
        waiting.append(message)
        if len(waiting) == 1:
            turn.verify(message)

    def _refuse(self, message: SessionMessage, error: SlimError, turn: AppTurn) -> None:
        self.unverified += 1
        # The first refusal of a source is worth a warning: mostly a secret or key differs on the two sides.
        first = message.source not in self._strangers
        if first:
            self._strangers.remember(message.source, None)
        turn.drop(f"{message.kind.name} of {message.source}: {error}", alarming=first)
