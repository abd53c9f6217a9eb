"""Whose messages are let in (`session.md` 3.1): the sender's token first, everything else after.

    token seen a moment ago, or verified now ──► in
    refused ──► dropped, counted
    keys must be fetched first ──► parked, with all that its source sends until then, in order

PARKED messages may wait, of all sources together; one more is dropped and counted.
"""

from __future__ import annotations

from collections import deque

from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.session.effects import Refused
from identity.errors import InvalidToken, SlimError
from identity.protocols import KeysMissing, Verifier

PARKED = 1024
KNOWN_TOKENS = 1024
STRANGERS = 256
TOKEN_TRUST = 1.0
"""Seconds for which a token that was verified is not verified again."""


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
        self._bound = parked
        self._verified: dict[str, float] = {}
        self._parked: dict[Name, deque[SessionMessage]] = {}
        self._strangers: set[Name] = set()
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

    def admits(self, message: SessionMessage, now: float) -> bool:
        """Whether `message` may be handled at `now` (Unix seconds). If not, it was dropped or parked."""
        if self._parked and message.source in self._parked:
            self._park(message)
            return False
        if now - self._verified.get(message.identity, 0.0) < TOKEN_TRUST:
            return True
        try:
            self._verifier.try_verify(message.identity, now)
        except InvalidToken as error:
            self._refuse(message, error)
            return False
        except KeysMissing:
            self._park(message)
            return False
        if len(self._verified) >= KNOWN_TOKENS:
            self._verified.clear()
        self._verified[message.identity] = now
        return True

    def fetched(self, source: Name, error: SlimError | None, now: float) -> list[SessionMessage]:
        """The first parked message of `source` was verified, or not. Returns what may be handled now."""
        waiting = self._parked.pop(source)
        self._count -= len(waiting)
        first = waiting.popleft()
        admitted = []
        if error is None:
            admitted.append(first)
        else:
            self._refuse(first, error)
        return admitted + [message for message in waiting if self.admits(message, now)]

    def _park(self, message: SessionMessage) -> None:
        if self._count >= self._bound:
            self.overflowed += 1
            return
        self._count += 1
        waiting = self._parked.setdefault(message.source, deque())
        waiting.append(message)
        if len(waiting) == 1:
            self.fetching.append(message)

    def _refuse(self, message: SessionMessage, error: SlimError) -> None:
        self.unverified += 1
        # The first refusal of a source is worth a warning: mostly a secret or key differs on the two sides.
        first = message.source not in self._strangers
        if first:
            if len(self._strangers) >= STRANGERS:
                self._strangers.clear()
            self._strangers.add(message.source)
        self.refused.append(Refused(f"{message.kind.name} of {message.source}: {error}", alarming=first))
