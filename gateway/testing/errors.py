"""What a World says when a test cannot go on.

WorldError
├── Deadlock      nothing will ever happen any more
├── Livelock      everything happens at one moment, without end
├── TooLong       more virtual seconds than a test may take
├── Leftovers     all is quiet, and not all is well
└── NotInWorld    a thread, a process or a socket was asked for, or a fault where sockets are real
"""

from __future__ import annotations

from collections.abc import Sequence


class WorldError(Exception):
    """Anything below."""


class Deadlock(WorldError):
    """No callback is ready and no timer is set, and the test waits. `waiting` says who waits for what."""

    def __init__(self, waiting: Sequence[str]) -> None:
        self.waiting = tuple(waiting)
        super().__init__("nothing will ever happen any more; waiting: " + _listed(waiting))


class Livelock(WorldError):
    """Time stands still: callbacks call callbacks. `busiest` are those that ran most."""

    def __init__(self, now: float, busiest: Sequence[str]) -> None:
        self.busiest = tuple(busiest)
        super().__init__(f"time stands still at {now:.6f}; what runs most: " + _listed(busiest))


class TooLong(WorldError):
    """The test took more than `limit` virtual seconds. `waiting` says who waits for what."""

    def __init__(self, limit: float, waiting: Sequence[str]) -> None:
        self.limit, self.waiting = limit, tuple(waiting)
        super().__init__(f"not over after {limit:g} virtual seconds; waiting: " + _listed(waiting))


class Leftovers(WorldError):
    """All faults are over and nothing changes any more. `found` are the sentences of what is wrong then."""

    def __init__(self, found: Sequence[str]) -> None:
        self.found = tuple(found)
        super().__init__("left over when all was quiet: " + _listed(found))


class NotInWorld(WorldError):
    """`what` cannot be had here; `instead` says what to do."""

    def __init__(self, what: str, instead: str) -> None:
        self.what, self.instead = what, instead
        super().__init__(f"{what} is not to be had in a World: {instead}")


def _listed(lines: Sequence[str]) -> str:
    """One line, or a list of several."""
    return lines[0] if len(lines) == 1 else "".join(f"\n  - {line}" for line in lines) or "nobody"
