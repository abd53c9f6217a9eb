"""What becomes of an actor that raised twice on a message.

    raised twice ──► LoopActor.failed: tell whom it concerns, choose ──┬─► RESUME   go on, without the message
            │                                                          ├─► RESTART  be made anew
            └──► the sender gets a PoisonMessage                       └─► STOP     the parent is told

A restarted actor is made by the call that spawned it. What must outlive it (a core, a registry) is among the
arguments of that call, so the next instance finds it; what else it knew is gone, and `failed` has told those
who depend on it. Address and mailbox stay, children and timers end.

How often follows Erlang's rule: at most `max_restarts` restarts within any `period` seconds; one more failure
and the actor is stopped. Between failure and restart lies a back-off that doubles with each restart still
remembered and starts afresh after a quiet period.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class Directive(enum.Enum):
    """What an actor that failed wants to become."""

    RESUME = "resume"
    """Go on as it is, without the message."""
    RESTART = "restart"
    """Be made anew. Without a Supervision it goes on as it is, as Thespian's actors do."""
    STOP = "stop"
    """Exit, and its children before it."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """How often and how soon an actor is restarted after it raised twice on a message.

    More restarts in a longer period ride out longer trouble; fewer report it sooner. Raises ValueError
    for numbers that make no sense.
    """

    max_restarts: int | None = 5
    """Restarts allowed within one period; 0 stops the actor at its first failure; None allows any number."""
    period: float = 30.0
    """Seconds for which a restart is remembered."""
    backoff: float = 0.1
    """Seconds before the first restart; 0 restarts at once, always."""
    backoff_max: float = 5.0
    """Seconds that no back-off exceeds."""
    gave_up: Callable[[], object] | None = None
    """Called when the actor is stopped because it failed too often."""

    def __post_init__(self) -> None:
        restarts = 0 if self.max_restarts is None else self.max_restarts
        if restarts < 0 or self.period <= 0 or self.backoff < 0 or self.backoff_max < self.backoff:
            raise ValueError(
                "supervision needs max_restarts >= 0, period > 0 and 0 <= backoff <= backoff_max"
            )


_DOUBLINGS = 64
"""2.0 ** 64 is past any cap already; larger powers would overflow, and more need not be remembered."""


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
        if rule.max_restarts is None:
            if len(recent) > _DOUBLINGS:
                recent.popleft()
        elif len(recent) >= rule.max_restarts:
            return None
        recent.append(now)
        return min(rule.backoff_max, rule.backoff * 2.0 ** min(len(recent) - 1, _DOUBLINGS))
