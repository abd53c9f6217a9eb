"""Whose messages are let in (`session.md` 3.1): the sender's token first, everything else after.

    token seen a moment ago, or verified now ──► in
    refused ──► dropped, counted
    keys must be fetched first ──► parked, with all that comes with the same token until then, in order

Messages wait by token and not by source: a source is only what a message says of itself, and whoever borrows
a name must not hold up those to whom it belongs.

There are PARKED places for all that waits, of which a message takes one, and one more for each PLACE bytes;
what finds none is dropped and counted. So is one whose token, or whose connection, has as many places as
there are left: nobody takes the places of everybody.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from actors.app.effects import Arrival
from actors.app.turn import AppTurn
from actors.memo import Memo
from actors.messages.codec import Unread
from actors.messages.wire import Payload
from actors.names import Name
from actors.record import record
from actors.session.hints import reason_of
from actors.telemetry import Counts, counter
from identity.errors import InvalidToken, SlimError
from identity.protocols import KeysMissing, RotatingVerifier, Verifier

PARKED = 1024
PLACE = 16 * 1024
KNOWN_TOKENS = 1024
STRANGERS = 256
TOKEN_TRUST = 1.0
"""Seconds for which a token that was verified is not verified again, unless keys or secrets changed."""

NO_TOKEN: Any = object()
"""No token, not even the empty one."""

_NEVER = float("-inf")


@record
class TokenVerified(NamedTuple):
    """A token for which messages were parked was verified, or was not. The repr does not show it."""

    token: str
    error: SlimError | None

    def __repr__(self) -> str:
        return f"TokenVerified(error={self.error!r})"


class AdmissionCounts(Counts, part="admission"):
    unverified: int = counter("Messages of senders whose tokens were refused.")
    parking_overflowed: int = counter("Messages dropped because too many waited for keys.")


class Admission:
    """Verifies senders, by the wall clock of the turn."""

    def __init__(
        self,
        verifier: Verifier,
        *,
        parked: int = PARKED,
        counts: AdmissionCounts | None = None,
        local: Name | None = None,
    ) -> None:
        self._local = local
        self.counts = counts or AdmissionCounts()
        self._verifier = verifier
        self._rotating = verifier if isinstance(verifier, RotatingVerifier) else None
        self._generation = 0
        self._bound = parked
        self._verified: Memo[str, float] = Memo(KNOWN_TOKENS)
        self._parked: dict[str, deque[Arrival]] = {}
        """By token."""
        self._of_tokens: dict[str, int] = {}
        """How many places those have that came with one token."""
        self._of_connections: dict[int | None, int] = {}
        """How many places those have that came over one connection."""
        self._strangers: Memo[Name, None] = Memo(STRANGERS)
        """Sources that were refused."""
        self._count = 0
        """Places that are taken."""
        self.let_in: Any = NO_TOKEN
        """The token of what was let in last, if it lets in whatever else comes with it in this turn."""

    @property
    def parked(self) -> int:
        """Messages that wait for keys."""
        return sum(map(len, self._parked.values()))

    def admits(self, message: Arrival, turn: AppTurn) -> bool:
        """Whether `message` may be handled now. If not, it was dropped or parked."""
        now = turn.wall
        if self._parked and message.identity in self._parked:
            self._park(message, turn)
            return False
        rotating = self._rotating
        generation = 0 if rotating is None else rotating.generation
        if generation != self._generation:
            self._generation = generation
            self._verified.clear()
        # A clock that was set back counts as time gone by.
        if 0.0 <= now - self._verified.get(message.identity, _NEVER) < TOKEN_TRUST:
            self.let_in = message.identity
            return True
        self.let_in = NO_TOKEN
        try:
            self._verifier.try_verify(message.identity, now)
        except InvalidToken as error:
            self._refuse(message, error, turn)
            return False
        except KeysMissing:
            self._park(message, turn)
            return False
        if rotating is None or rotating.generation == generation:
            # Otherwise keys were found changed, or each verification counts: it says nothing of the next.
            self._verified.remember(message.identity, now)
            self.let_in = message.identity
        return True

    def handle(self, event: TokenVerified, turn: AppTurn) -> None:
        """Release what may be handled now; what follows in the queue is judged in its turn."""
        waiting = self._parked.pop(event.token)
        del self._of_tokens[event.token]
        for message in waiting:
            self._left(message)
        first = waiting.popleft()
        if event.error is None:
            turn.release(first)
        else:
            self._refuse(first, event.error, turn)
        for message in waiting:
            if self.admits(message, turn):
                turn.release(message)

    def _park(self, message: Arrival, turn: AppTurn) -> None:
        left = self._bound - self._count
        waiting = self._parked.get(message.identity)
        of_token = self._of_tokens.get(message.identity, 0)
        of_connection = self._of_connections.get(message.connection, 0)
        if max(of_token, of_connection) >= left:
            self.counts.parking_overflowed += 1
            return
        places = _places(message)
        self._count += places
        self._of_tokens[message.identity] = of_token + places
        self._of_connections[message.connection] = of_connection + places
        if waiting is None:
            self._parked[message.identity] = deque((message,))
            turn.verify(message)
        else:
            waiting.append(message)

    def _left(self, message: Arrival) -> None:
        """A message waits no longer."""
        places, connection = _places(message), message.connection
        self._count -= places
        remaining = self._of_connections[connection] - places
        if remaining:
            self._of_connections[connection] = remaining
        else:
            del self._of_connections[connection]

    def _refuse(self, message: Arrival, error: SlimError, turn: AppTurn) -> None:
        self.counts.unverified += 1
        # The first refusal of a source is worth a warning: mostly a secret or key differs on the two sides.
        first = message.source not in self._strangers
        if first:
            self._strangers.remember(message.source, None)
        turn.drop(message.source, f"{message.kind.name} of {message.source.short}: {error}", alarming=first)
        if self._local is not None:
            turn.hint(reason_of(error), message, self._local)


def _places(message: Arrival) -> int:
    """What a message takes that waits: one place, and one for each PLACE bytes of it."""
    if isinstance(message, Unread):
        size = message.frame.size
    else:
        size = len(message.identity) + (
            len(message.content.blob) if isinstance(message.content, Payload) else 0
        )
    return 1 + size // PLACE
