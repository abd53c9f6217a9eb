"""Who is still there (`session.md` 8): the moderator asks in rounds, a participant waits to be asked.

Both tolerate peers that know nothing of it: nobody is counted out who was never seen to take part.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.names import Name
from actors.session.peers import TRAITS, PeerGeneration

STRIKES = 3


class Rounds:
    """The moderator's side: strikes for each member that lets a round pass in silence."""

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval
        self._next = now + interval
        self._generations: dict[Name, PeerGeneration] = {}
        self._strikes: dict[Name, int] = {}
        self._asked: int | None = None
        self._silent: set[Name] = set()

    def next_deadline(self) -> float:
        return self._next

    def met(self, member: Name, generation: PeerGeneration) -> None:
        """A member came in; its token told its generation."""
        self._generations[member] = generation
        self._strikes.pop(member, None)

    def left(self, member: Name) -> None:
        self._generations.pop(member, None)
        self._strikes.pop(member, None)
        self._silent.discard(member)

    def close_round(self, now: float) -> list[Name]:
        """The interval is over: who let STRIKES rounds pass. Call it when the deadline has come."""
        self._next = now + self._interval
        lost = []
        if self._asked is not None and not self._silent:
            self._strikes.clear()
        for member in self._silent:
            if TRAITS[self._generation(member)].answers_ping:
                self._strikes[member] = self._strikes.get(member, 0) + 1
                if self._strikes[member] >= STRIKES:
                    lost.append(member)
        self._asked, self._silent = None, set()
        return lost

    def open_round(self, message_id: int, members: Iterable[Name]) -> list[Name]:
        """A PING with this id asks `members`. Returns those worth asking again until they answer."""
        self._asked, self._silent = message_id, set(members)
        return [m for m in self._silent if TRAITS[self._generation(m)].answers_ping]

    def answered(self, member: Name, message_id: int) -> None:
        """A PING came back: from now on this member's silence counts."""
        if member not in self._generations:
            return
        if self._generations[member] is PeerGeneration.UNKNOWN:
            self._generations[member] = PeerGeneration.PINGING
        if message_id == self._asked:
            self._silent.discard(member)
            self._strikes.pop(member, None)

    def _generation(self, member: Name) -> PeerGeneration:
        return self._generations.get(member, PeerGeneration.UNKNOWN)


class Watchdog:
    """The participant's side: strikes for each interval without a PING, once there was one."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next: float | None = None
        self._seen = False
        self._strikes = 0

    def next_deadline(self) -> float | None:
        return self._next

    @property
    def started(self) -> bool:
        """Whether the moderator was ever heard to ask."""
        return self._next is not None

    def pinged(self, now: float) -> None:
        self._seen = True
        if self._next is None:
            self._next = now + self._interval

    def expire(self, now: float) -> bool:
        """Whether the moderator is gone. Call it when the deadline has come."""
        self._next = now + self._interval
        self._strikes = 0 if self._seen else self._strikes + 1
        self._seen = False
        return self._strikes >= STRIKES
