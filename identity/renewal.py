"""When to renew what ends, and when to try again after a failure. No I/O, no clock.

    renewed          2/3 of the life left                    the end
    |--- good --------|--- good, a renewal is due -------------|--- nothing to show
                       failed, failed,    failed: pauses that double, but always well before the end

Tokens of agents and auth servers follow the whole of it; streams, key sets and single requests, which have no
end, take the pauses.
"""

from __future__ import annotations

RENEW_AT = 2 / 3
"""Share of the remaining life after which to renew."""
RETRY_BEFORE = 0.9
"""Share of the remaining life that a pause after a failure never goes beyond."""
SHORTEST_PAUSE = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


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
        self._ends = 0.0

    def renewed(self, now: float, ends: float) -> float:
        """Seconds from `now` until the token that ends at `ends` should be renewed."""
        self._ends, self.failures = ends, 0
        return max(SHORTEST_PAUSE, (ends - now) * RENEW_AT)

    def failed(self, now: float) -> float:
        """Seconds from `now` until the next attempt."""
        self.failures += 1
        left = self._ends - now
        if left <= 0:
            return FIRST_PAUSE
        return max(
            SHORTEST_PAUSE, min(backoff(self.failures, FIRST_PAUSE, LONGEST_PAUSE), RETRY_BEFORE * left)
        )
