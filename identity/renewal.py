"""When to renew what ends, and when to try again after a failure. No I/O; the clock is handed in.

    renewed          2/3 of the life left                    the end
    |--- good --------|--- good, a renewal is due -------------|--- nothing to show
                       failed, failed,    failed: pauses that double, but always well before the end

Tokens of agents and auth servers follow the whole of it; streams, key sets and single requests, which have no
end, take the pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RENEW_AT = 2 / 3
"""Share of the remaining life after which to renew."""
RETRY_BEFORE = 0.9
"""Share of the remaining life that a pause after a failure never goes beyond."""
SHORTEST_PAUSE = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LOOK = 5.0
"""Seconds after which who waits looks at the clock again. It may have been set since the pause was planned,
and the time that a machine sleeps does not count for its timers."""


def backoff(failures: int, first: float, longest: float, *, factor: float = 2.0) -> float:
    """Seconds to wait after `failures` in a row: `first`, `factor` times as long each, `longest` at most."""
    try:
        return min(first * factor ** (failures - 1), longest)
    except OverflowError:
        return longest


class RenewalSchedule:
    """When to fetch the next token. Times are Unix seconds."""

    def __init__(self) -> None:
        self.failures = 0
        """Failed attempts since the last success."""
        self._ends = self._due = 0.0

    @property
    def is_told(self) -> bool:
        """Whether the log says of this failure: the first, the second, the fourth... An outage takes long."""
        return self.failures & (self.failures - 1) == 0

    async def wait(self, pause: float, clock: Callable[[], float]) -> None:
        """Wait for `pause` seconds, as planned by one of the others, or until `clock` says it is time."""
        while pause > 0 and clock() < self._due:
            await asyncio.sleep(min(pause, LOOK))
            pause -= LOOK

    def renewed(self, now: float, ends: float) -> float:
        """Seconds from `now` until the token that ends at `ends` should be renewed."""
        self._ends, self.failures = ends, 0
        # One that is over by our clock, which must be wrong, is no reason to ask ten times a second.
        pause = max(SHORTEST_PAUSE, (ends - now) * RENEW_AT) if ends >= now else FIRST_PAUSE
        return self._planned(now, pause)

    def failed(self, now: float) -> float:
        """Seconds from `now` until the next attempt."""
        self.failures += 1
        left = self._ends - now
        if left <= 0:
            return self._planned(now, FIRST_PAUSE)
        pause = min(backoff(self.failures, FIRST_PAUSE, LONGEST_PAUSE), RETRY_BEFORE * left)
        return self._planned(now, max(SHORTEST_PAUSE, pause))

    def _planned(self, now: float, pause: float) -> float:
        self._due = now + pause
        return pause
