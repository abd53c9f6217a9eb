"""When to try again: the pure part of keeping a stream of the Workload API alive (`identity.md` 5)."""

from __future__ import annotations

from dataclasses import dataclass

from identity.renewal import backoff
from identity.spiffe.errors import ArgumentError

STEADY_SECONDS = 10.0
"""A stream that lived this long counts as working, so the next failure starts from the first pause again.

Shorter lives do not: an agent that ends each stream after one message would else be flooded.
"""

FINAL_CODES = frozenset({"INVALID_ARGUMENT"})
"""Answers that stay the same however often one asks; everything else may be better next time."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The pauses between attempts: `base * factor ** n` seconds, at most `max_backoff`."""

    max_retries: int = 0
    """How many attempts in a row may fail; 0 means no limit."""
    base_backoff_in_seconds: float = 0.1
    backoff_factor: float = 2
    max_backoff: float = 5

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ArgumentError("max_retries must be 0 (no limit) or more", field="max_retries")
        if not 0 < self.base_backoff_in_seconds <= self.max_backoff:
            raise ArgumentError(
                "base_backoff_in_seconds must be above 0 and at most max_backoff",
                field="base_backoff_in_seconds",
            )
        if self.backoff_factor < 1:
            raise ArgumentError("backoff_factor must be at least 1", field="backoff_factor")


class Reconnect:
    """Decides after each end of a stream how long to wait before it is opened again."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._opened = 0.0
        self._failures = 0

    def opened(self, now: float) -> None:
        """A stream is being opened at `now` (seconds of a steady clock)."""
        self._opened = now

    def ended(self, now: float, code: str | None) -> float | None:
        """Seconds to wait after an end at `now` for the reason `code`, or `None`: do not try again.

        The first retry after a steady life is immediate; `code` is `None` when the agent closed in peace.
        """
        if code in FINAL_CODES:
            return None
        if now - self._opened >= STEADY_SECONDS:
            self._failures = 0
            return 0.0
        self._failures += 1
        policy = self._policy
        if policy.max_retries and self._failures > policy.max_retries:
            return None
        return backoff(
            self._failures,
            policy.base_backoff_in_seconds,
            policy.max_backoff,
            factor=policy.backoff_factor,
        )
