"""What was said, acknowledged and heard in a scenario, and what of it is against the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = 1e9


class Finding(NamedTuple):
    """One thing that must not be. `kind` is one word, for tables."""

    kind: str
    text: str


@dataclass(slots=True)
class Sent:
    """A message that an application published."""

    number: int
    at: float
    audience: frozenset[int]
    """The applications that were members, as its sender knew, without itself."""
    out: frozenset[int] = frozenset()
    """Those of them who had left, of which its sender heard in the moment in which it spoke."""
    crowd: bool = False
    """Whether others of the same application waited to publish at the same time."""
    acknowledged: float | None = None
    failed: str = ""


@dataclass(slots=True)
class Part:
    """One application's side of one session."""

    application: int
    joined: float = NEVER
    over: float | None = None
    """When it ended, or began to end."""
    killed: bool = False
    """Whether it ended because its process was killed."""
    asked: float | None = None
    """When the last invitation of it was over."""
    invitations: int = 0
    """How many are under way."""
    leaves: float = 0.0
    """When it last began to leave."""
    gone: float | None = None
    """Since when all who are in know that it is not."""
    absences: list[tuple[float, float]] = field(default_factory=list)
    """When it was gone, and until when."""
    sent: list[Sent] = field(default_factory=list)
    heard: list[tuple[int, int, float]] = field(default_factory=list)
    """Sender, number, time: in the order in which they came."""
    mistaken: set[tuple[int, int]] = field(default_factory=set)
    """What was handed out as the answer to a request, and was none."""


@dataclass(slots=True)
class Ledger:
    """All sessions of a scenario."""

    parts: dict[int, dict[int, Part]] = field(default_factory=dict)
    """By session and application."""
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: str, text: str) -> None:
        """Note what must not be."""
        self.findings.append(Finding(kind, text))

    def part(self, session: int, application: int) -> Part:
        """The side of an application, made when it is first asked for."""
        return self.parts.setdefault(session, {}).setdefault(application, Part(application))

    def joined(self, session: int, application: int, now: float) -> None:
        """An application holds a session."""
        part = self.part(session, application)
        part.joined = min(part.joined, now)

    def left(self, session: int, application: int, now: float) -> None:
        """Its removal or leaving is over: nothing that it says from now on is heard."""
        part = self.part(session, application)
        if part.gone is None and not part.invitations and (part.asked is None or part.asked < part.leaves):
            part.gone = now

    def leaving(self, session: int, application: int, now: float) -> None:
        """It is about to leave, or to be removed: what others say need not reach it any more."""
        part = self.part(session, application)
        part.leaves = now
        if part.over is None:
            part.over = now

    def all_over(self, session: int, now: float) -> None:
        """It is about to be closed, for all."""
        for part in self.parts.get(session, {}).values():
            if part.over is None:
                part.over = now

    def asked_back(self, session: int, application: int, now: float) -> None:
        """It is invited: it may be in again from now on, also if it leaves before the invitation is over."""
        part = self.part(session, application)
        part.invitations += 1
        if part.gone is not None:
            part.absences.append((part.gone, now))
            part.gone = None

    def answered(self, session: int, application: int, now: float) -> None:
        """An invitation of it is over."""
        part = self.part(session, application)
        part.invitations -= 1
        part.asked = now

    def check(self) -> None:
        """Judge what was heard, once nothing more can come."""
        for session, parts in self.parts.items():
            for part in parts.values():
                findings = (
                    _twice(part),
                    _disordered(part, parts),
                    _missing(part, parts),
                    _strange(part, parts),
                )
                for kind, text in (finding for each in findings for finding in each):
                    self.found(kind, f"session {session}: {text}")


def _twice(part: Part) -> Iterator[Finding]:
    seen = set()
    for sender, number, at in part.heard:
        if (sender, number) in seen:
            yield Finding("twice", f"{part.application} heard {number} of {sender} again at {at:.3f}")
        seen.add((sender, number))


def _disordered(part: Part, parts: dict[int, Part]) -> Iterator[Finding]:
    last: dict[int, int] = {}
    crowds = {name: {sent.number for sent in other.sent if sent.crowd} for name, other in parts.items()}
    for sender, number, at in part.heard:
        if number < last.get(sender, 0):
            before = last[sender]
            crowd = {number, before} <= crowds.get(sender, set())
            text = f"{part.application} heard {number} of {sender} behind {before} at {at:.3f}"
            yield Finding("crowd" if crowd else "order", text)
        last[sender] = number


def _behind_a_hole(part: Part, killed: Part, sent: Sent) -> bool:
    """Whether a message waited for an earlier one of its sender, which never came, when its receiver was
    killed: what a process acknowledged and had not handled is gone with it (`docs/not-promised.md`)."""
    last = max((number for who, number, _ in killed.heard if who == part.application), default=0)
    return any(
        last < hole.number < sent.number
        and killed.application in hole.audience
        and (hole.acknowledged is None or hole.failed)
        for hole in part.sent
    )


def _missing(part: Part, parts: dict[int, Part]) -> Iterator[Finding]:
    """Acknowledged, and not had by somebody who was there the whole time."""
    for sent in part.sent:
        if sent.acknowledged is None or sent.failed:
            continue
        for name in sorted(sent.audience - sent.out):
            other = parts.get(name)
            if other is None or other.joined > sent.at or (other.over or NEVER) <= sent.acknowledged:
                continue
            if other.killed and _behind_a_hole(part, other, sent):
                continue
            had = {(who, number) for who, number, _ in other.heard} | other.mistaken
            if (part.application, sent.number) not in had:
                what = f"{sent.number} of {part.application}, acknowledged at {sent.acknowledged:.3f}"
                yield Finding("lost", f"{name} never heard {what}")


def _strange(part: Part, parts: dict[int, Part]) -> Iterator[Finding]:
    """Heard of somebody who was out when it said so, or said to nobody."""
    for sender, number, _ in part.heard:
        other = parts.get(sender)
        if other is None:
            continue
        sent = next((sent for sent in other.sent if sent.number == number), None)
        if sent is None:
            continue
        if any(since < sent.at < until for since, until in (*other.absences, (other.gone or NEVER, NEVER))):
            what = f"{number} of {sender}, who was out when it said so at {sent.at:.3f}"
            yield Finding("stranger", f"{part.application} heard {what}")
        if not sent.audience:
            yield Finding("alone", f"{part.application} heard {number} of {sender}, who was alone then")
