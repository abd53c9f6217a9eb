"""Whom a message is from: its token and its source name must belong together (`session.md` 3.1).

The instance id in a name is computed from the identity that its application goes by (`dataplane.md` 3), and a
JWT, a SPIFFE agent's too, says in `sub` which that is. So a message in the name of somebody whose token says
another subject is not believed. The token of a shared secret proves only that its sender knows the secret:
there nothing can be compared, and whoever has the secret can speak in any name.

Subjects are compared and nothing else: the key in the token of a header is not that of a session's leaf.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.memo import Memo
from actors.messages.wire import SessionMessage
from actors.names import InstanceId, instance_id
from actors.record import record
from actors.session.hints import Hints
from identity.errors import InvalidToken
from identity.jose.jws import payload_of
from identity.token_claims import claims_of

KNOWN_SENDERS = 1024
KNOWN_CLAIMS = 64
"""Tokens of which all claims are known, for peers with whom one session after the other is opened."""


@record
class _Sender(NamedTuple):
    subject: str
    instance: InstanceId


class Senders:
    """What the tokens of peers say of their senders, which stays as it is. They were verified before."""

    __slots__ = ("_claims", "_known", "hints")

    def __init__(self) -> None:
        self._known: Memo[str, _Sender | None] = Memo(KNOWN_SENDERS)
        self._claims: Memo[str, dict[str, Any]] = Memo(KNOWN_CLAIMS)
        self.hints = Hints()
        """Why others are not reached, as far as somebody said so."""

    def believes(self, message: SessionMessage) -> bool:
        """Whether the sender is whom the source names, as far as its token can tell."""
        sender = self._sender(message.identity)
        return sender is None or sender.instance == message.source.instance

    def subject(self, token: str) -> str | None:
        """The subject by which a sender can be known again; None where a token tells none."""
        sender = self._sender(token)
        return None if sender is None else sender.subject

    def claims(self, token: str) -> dict[str, Any]:
        """All that a token says; the caller's own."""
        known = self._claims.get(token)
        if known is not None:
            return known.copy()
        claims = claims_of(token)
        if all(isinstance(value, str | int | float | None) for value in claims.values()):
            # Of others a copy would still share what is in them.
            self._claims.remember(token, claims.copy())
        return claims

    def _sender(self, token: str) -> _Sender | None:
        try:
            return self._known[token]
        except KeyError:
            return self._known.remember(token, _read(token))


def _read(token: str) -> _Sender | None:
    if token.count(".") != 2 or ":" in token:
        return None
    try:
        subject = payload_of(token).get("sub")
    except InvalidToken:
        return None
    if not isinstance(subject, str):
        # No application has a name by such a token.
        subject = ""
    return _Sender(subject, instance_id(subject).to_bytes(8))
