"""When a failed actor is started again, and when its supervisor gives up.

The rule is Erlang's: at most `max_restarts` restarts within any `period` seconds; one more failure and the
actor is stopped, which its parent learns as `ChildActorExited`. Between failure and restart lies a back-off
that doubles with each restart still remembered and starts afresh after a quiet period.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Supervision:
    """How often and how soon an actor is restarted after it raised twice on a message.

    More restarts in a longer period ride out longer trouble; fewer report it sooner. Raises ValueError
    for numbers that make no sense.
    """

    max_restarts: int = 5
    """Restarts allowed within one period; 0 stops the actor at its first failure."""
    period: float = 30.0
    """Seconds for which a restart is remembered."""
    backoff: float = 0.1
    """Seconds before the first restart; 0 restarts at once, always."""
    backoff_max: float = 5.0
    """Seconds that no back-off exceeds."""

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or self.period <= 0 or self.backoff < 0 or self.backoff_max < self.backoff:
            raise ValueError(
                "supervision needs max_restarts >= 0, period > 0 and 0 <= backoff <= backoff_max"
            )


class Restarts:
    """The restarts of one actor: asks `Supervision` what to do about each failure."""

    __slots__ = ("_recent", "rule")

    def __init__(self, rule: Supervision) -> None:
        self.rule = rule
        self._recent: deque[float] = deque()

    def failed(self, now: float) -> float | None:
        """Seconds until the restart after a failure at `now`, or None to give up."""
        recent, rule = self._recent, self.rule
        while recent and now - recent[0] >= rule.period:
            recent.popleft()
        if len(recent) >= rule.max_restarts:
            return None
        recent.append(now)
        # 2.0 ** 64 is past any cap already, and larger powers would overflow.
        return min(rule.backoff_max, rule.backoff * 2.0 ** min(len(recent) - 1, 64))
