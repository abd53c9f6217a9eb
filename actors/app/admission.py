"""Whose messages are let in (`session.md` 3.1): the sender's token first, everything else after.

    token seen a moment ago, or verified now ──► in
    refused ──► dropped, counted
    keys must be fetched first ──► parked, with all that comes with the same token until then, in order

Messages wait by token and not by source: a source is only what a message says of itself, and whoever borrows
a name must not hold up those to whom it belongs.

PARKED messages may wait, of all together; one more is dropped and counted. So is one whose token, or whose
connection, has as many waiting as there are places left: nobody takes the places of everybody.
"""

from __future__ import annotations

from collections import deque

from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.session.effects import Refused
from identity.errors import InvalidToken, SlimError
from identity.protocols import KeysMissing, RotatingVerifier, Verifier

PARKED = 1024
KNOWN_TOKENS = 1024
STRANGERS = 256
TOKEN_TRUST = 1.0
"""Seconds for which a token that was verified is not verified again, unless keys or secrets changed."""

_NEVER = float("-inf")


class Admission:
    """Verifies senders. `fetching` gathers the messages whose tokens must be verified by awaiting; the
    owner takes them away, and calls `fetched` for each."""

    def __init__(self, verifier: Verifier, *, parked: int = PARKED) -> None:
        self.fetching: list[SessionMessage] = []
        self.refused: list[Refused] = []
        """Why messages were dropped, for the log, until the owner takes it away."""
        self.unverified = 0
        self.overflowed = 0
        self._verifier = verifier
        self._rotating = verifier if isinstance(verifier, RotatingVerifier) else None
        self._generation = 0
        self._bound = parked
        self._verified: dict[str, float] = {}
        self._parked: dict[str, deque[SessionMessage]] = {}
        """By token."""
        self._of_connections: dict[int | None, int] = {}
        """How many of them came over which connection."""
        self._strangers: set[Name] = set()
        """Sources that were refused."""
        self._count = 0

    @property
    def parked(self) -> int:
        """Messages that wait for keys."""
        return self._count

    def admits(self, message: SessionMessage, now: float) -> bool:
        """Whether `message` may be handled at `now` (Unix seconds). If not, it was dropped or parked."""
        if self._parked and message.identity in self._parked:
            self._park(message)
            return False
        rotating = self._rotating
        generation = 0 if rotating is None else rotating.generation
        if generation != self._generation:
            self._generation = generation
            self._verified.clear()
        # A clock that was set back counts as time gone by.
        if 0.0 <= now - self._verified.get(message.identity, _NEVER) < TOKEN_TRUST:
            return True
        try:
            self._verifier.try_verify(message.identity, now)
        except InvalidToken as error:
            self._refuse(message, error)
            return False
        except KeysMissing:
            self._park(message)
            return False
        if rotating is not None and rotating.generation != generation:
            # Keys were found changed, or each verification counts: this one tells nothing of the next.
            return True
        if len(self._verified) >= KNOWN_TOKENS:
            self._verified.clear()
        self._verified[message.identity] = now
        return True

    def fetched(self, token: str, error: SlimError | None, now: float) -> list[SessionMessage]:
        """A token for which messages were parked was verified, or not. Returns what may be handled now."""
        waiting = self._parked.pop(token)
        self._count -= len(waiting)
        for message in waiting:
            self._left(message.connection)
        first = waiting.popleft()
        admitted = []
        if error is None:
            admitted.append(first)
        else:
            self._refuse(first, error)
        return admitted + [message for message in waiting if self.admits(message, now)]

    def _park(self, message: SessionMessage) -> None:
        left = self._bound - self._count
        waiting = self._parked.get(message.identity)
        of_token = 0 if waiting is None else len(waiting)
        of_connection = self._of_connections.get(message.connection, 0)
        if max(of_token, of_connection) >= left:
            self.overflowed += 1
            return
        self._count += 1
        self._of_connections[message.connection] = of_connection + 1
        if waiting is None:
            self._parked[message.identity] = deque((message,))
            self.fetching.append(message)
        else:
            waiting.append(message)

    def _left(self, connection: int | None) -> None:
        """A message of a connection waits no longer."""
        remaining = self._of_connections[connection] - 1
        if remaining:
            self._of_connections[connection] = remaining
        else:
            del self._of_connections[connection]

    def _refuse(self, message: SessionMessage, error: SlimError) -> None:
        self.unverified += 1
        # The first refusal of a source is worth a warning: mostly a secret or key differs on the two sides.
        first = message.source not in self._strangers
        if first:
            if len(self._strangers) >= STRANGERS:
                self._strangers.clear()
            self._strangers.add(message.source)
        self.refused.append(Refused(f"{message.kind.name} of {message.source}: {error}", alarming=first))
