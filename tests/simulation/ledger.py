"""What was said, acknowledged and heard in a scenario, and what of it is against the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


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
    acknowledged: float | None = None
    failed: str = ""


@dataclass(slots=True)
class Part:
    """One application's side of one session."""

    application: int
    joined: float
    over: float | None = None
    """When it ended, or began to end."""
    sent: list[Sent] = field(default_factory=list)
    heard: list[tuple[int, int, float]] = field(default_factory=list)
    """Sender, number, time: in the order in which they came."""


@dataclass(slots=True)
class Ledger:
    """All sessions of a scenario."""

    parts: dict[int, dict[int, Part]] = field(default_factory=dict)
    """By session and application."""
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: str, text: str) -> None:
        """Note what must not be."""
        self.findings.append(Finding(kind, text))

    def part(self, session: int, application: int, now: float) -> Part:
        """The side of an application, made when it is first asked for."""
        return self.parts.setdefault(session, {}).setdefault(application, Part(application, now))

    def check(self) -> None:
        """Judge what was heard, once nothing more can come."""
        for session, parts in self.parts.items():
            for part in parts.values():
                for kind, text in (*_twice(part), *_disordered(part), *_missing(part, parts)):
                    self.found(kind, f"session {session}: {text}")


def _twice(part: Part) -> Iterator[Finding]:
    seen = set()
    for sender, number, at in part.heard:
        if (sender, number) in seen:
            yield Finding("twice", f"{part.application} heard {number} of {sender} again at {at:.3f}")
        seen.add((sender, number))


def _disordered(part: Part) -> Iterator[Finding]:
    last: dict[int, int] = {}
    for sender, number, at in part.heard:
        if number < last.get(sender, 0):
            before = last[sender]
            yield Finding(
                "order", f"{part.application} heard {number} of {sender} behind {before} at {at:.3f}"
            )
        last[sender] = number


def _missing(part: Part, parts: dict[int, Part]) -> Iterator[Finding]:
    """Acknowledged, and not had by somebody who was there the whole time."""
    for sent in part.sent:
        if sent.acknowledged is None or sent.failed:
            continue
        for name in sorted(sent.audience):
            other = parts.get(name)
            if other is None or other.joined > sent.at or (other.over or 1e9) <= sent.acknowledged:
                continue
            if (part.application, sent.number) not in {(who, number) for who, number, _ in other.heard}:
                what = f"{sent.number} of {part.application}, acknowledged at {sent.acknowledged:.3f}"
                yield Finding("lost", f"{name} never heard {what}")
