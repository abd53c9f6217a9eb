"""Who is still there (`session.md` 8): the moderator asks in rounds, a participant waits to be asked.

Whoever pings, or answers pings, is known by that, and its silence counts. A peer of SLIM before 1.0 knows
nothing of it; who was never heard to do it is asked whether it is there, in a way that every version answers:
PeerAlive then says that it did. `docs/signs-of-life.md` has the table that this follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from actors.names import Name
from actors.record import record
from actors.session.bounds import LONGEST_OUTAGE
from actors.session.peers import TRAITS, PeerGeneration

STRIKES = 3
"""Intervals in silence after which whoever pings is gone, and anybody else is asked. An outage that is to be
survived makes them more (`strikes_of`)."""
QUESTIONS = 3
"""Questions without an answer, one for each interval, after which who does not ping is gone."""
FORGOTTEN = 6
"""Intervals in silence after which who is there, but pings in other sessions only, has forgotten this one."""

EARLY = 0.9
"""Of the first interval: a participant looks shortly before the next ping is due, and not shortly after one
came. So it bears an outage of 29 s, whenever that begins."""

Progress = Callable[[Name], object]
"""Something that changes whenever a member says something to the application."""


class Verdict(Enum):
    """What another interval came to."""

    THERE = "nothing is wrong, or not yet"
    ASK = "it is time to ask whether it is there"
    GONE = "it is gone"


class Silence:
    """How long somebody has been silent, in intervals."""

    __slots__ = ("intervals", "pings", "strikes", "vouched")

    def __init__(self, *, pings: bool, strikes: int = STRIKES) -> None:
        self.strikes = strikes
        """Intervals in silence that are borne."""
        self.pings = pings
        """Whether it is known to ping, or to answer pings."""
        self.intervals = 0
        self.vouched = False
        """Whether it said, asked outside the session, that it is there."""

    def broken(self) -> None:
        """It was heard in this session."""
        self.intervals = 0
        self.vouched = False

    def goes_on(self) -> Verdict:
        """Another interval went by in silence."""
        if not self.pings and self.vouched:
            self.broken()
            return Verdict.THERE
        self.intervals += 1
        if self.pings:
            asks, gone = STRIKES - 1, self.strikes + (FORGOTTEN - STRIKES if self.vouched else 0)
        else:
            asks, gone = STRIKES, self.strikes + QUESTIONS
        if self.intervals >= gone:
            return Verdict.GONE
        return Verdict.ASK if self.intervals >= asks else Verdict.THERE


def strikes_of(interval: float, *outages: float) -> int:
    """Intervals in silence that are borne: those in the longest outage that a side wants survived."""
    return max(STRIKES, math.ceil(min(max(outages), LONGEST_OUTAGE) / interval))


@record
class Overdue(NamedTuple):
    """What a moderator's round found."""

    lost: list[Name]
    ask: list[Name]
    """Who is to be asked outside the session."""


class Rounds:
    """The moderator's side: how many rounds each member has let pass in silence."""

    __slots__ = (
        "_asked",
        "_generations",
        "_interval",
        "_next",
        "_outage",
        "_progress",
        "_said",
        "_silences",
        "_silent",
        "_strikes",
    )

    def __init__(self, interval: float, now: float, progress: Progress, outage: float = 0.0) -> None:
        self._interval = interval
        self._outage = outage
        self._strikes: dict[Name, int] = {}
        """Of members that do not bear the usual ones."""
        self._next = now + interval
        self._progress = progress
        self._said: dict[Name, object] = {}
        self._generations: dict[Name, PeerGeneration] = {}
        self._silences: dict[Name, Silence] = {}
        self._asked: int | None = None
        self._silent: dict[Name, None] = {}
        """In the order in which they were asked."""

    def next_deadline(self) -> float:
        return self._next

    def hurry(self, now: float) -> None:
        """Let the next round begin at once."""
        self._next = now

    def generation(self, member: Name) -> PeerGeneration:
        """What is known of a member's generation."""
        return self._generations.get(member, PeerGeneration.UNKNOWN)

    def met(self, member: Name, generation: PeerGeneration, outage: float = 0.0) -> None:
        """A member came in; its token told its generation, itself which outage it wants survived."""
        self._strikes[member] = strikes_of(self._interval, self._outage, outage)
        self._generations[member] = generation
        self._silences.pop(member, None)

    def left(self, member: Name) -> None:
        self._generations.pop(member, None)
        self._strikes.pop(member, None)
        self._silences.pop(member, None)
        self._said.pop(member, None)
        self._silent.pop(member, None)

    def close_round(self, now: float) -> Overdue:
        """The interval is over: whose silence has lasted too long. Call it when the deadline has come."""
        self._next = now + self._interval
        found = Overdue([], [])
        for member in self._silent:
            strikes = self._strikes.get(member, STRIKES)
            silence = self._silences.setdefault(member, Silence(pings=self._pings(member), strikes=strikes))
            silence.pings = self._pings(member)
            if not silence.pings and self._spoke(member):
                silence.broken()
                continue
            verdict = silence.goes_on()
            if verdict is Verdict.GONE:
                found.lost.append(member)
            elif verdict is Verdict.ASK:
                found.ask.append(member)
        self._asked, self._silent = None, {}
        return found

    def postpone(self, now: float) -> None:
        """Nobody can be asked for now: this round counts for nothing."""
        self._next = now + self._interval
        self._asked, self._silent = None, {}

    def open_round(self, message_id: int, members: Iterable[Name]) -> list[Name]:
        """A PING with this id asks `members`. Returns those worth asking again until they answer."""
        self._asked, self._silent = message_id, dict.fromkeys(members)
        return [member for member in self._silent if self._pings(member)]

    def answered(self, member: Name, message_id: int) -> None:
        """A PING came back: from now on this member's silence counts."""
        if member not in self._generations:
            return
        if self._generations[member] is PeerGeneration.UNKNOWN:
            self._generations[member] = PeerGeneration.PINGING
        if message_id == self._asked:
            self._silent.pop(member, None)
            self._silences.pop(member, None)

    def alive(self, member: Name) -> None:
        """Asked outside the session, it answered."""
        if (silence := self._silences.get(member)) is not None:
            silence.vouched = True

    def _spoke(self, member: Name) -> bool:
        said = self._progress(member)
        before = self._said.get(member)
        self._said[member] = said
        return said != before

    def _pings(self, member: Name) -> bool:
        return TRAITS[self._generations.get(member, PeerGeneration.UNKNOWN)].answers_ping


class Watchdog:
    """The participant's side: how long `moderator` has been silent, from when the session stands."""

    __slots__ = ("_heard", "_interval", "_moderator", "_next", "_progress", "_said", "_silence")

    def __init__(self, interval: float, moderator: Name, progress: Progress, strikes: int = STRIKES) -> None:
        self._interval = interval
        self._moderator = moderator
        self._progress = progress
        self._said: object = None
        self._next: float | None = None
        self._heard = False
        self._silence = Silence(pings=False, strikes=strikes)

    def next_deadline(self) -> float | None:
        return self._next

    def start(self, now: float, generation: PeerGeneration) -> None:
        """The session stands; `generation` is what the moderator's token told."""
        self._said = self._progress(self._moderator)
        self._silence.pings |= TRAITS[generation].answers_ping
        if self._next is None:
            self._next = now + EARLY * self._interval

    def pinged(self) -> None:
        """The moderator asked: from now on its silence counts."""
        self._silence.pings = self._heard = True

    def alive(self) -> None:
        """Asked outside the session, it answered."""
        self._silence.vouched = True

    def postpone(self, now: float) -> None:
        """Nobody can be asked for now: this interval counts for nothing."""
        self._next = now + self._interval

    def expire(self, now: float) -> Verdict:
        """What is to be done about the moderator. Call it when the deadline has come."""
        self._next = now + self._interval
        heard, self._heard = self._heard, False
        said = self._progress(self._moderator)
        if not self._silence.pings and said != self._said:
            self._said, heard = said, True
        if heard:
            self._silence.broken()
            return Verdict.THERE
        return self._silence.goes_on()
