"""How often what has no answer is tried again (`session.md` 1), the same for all that a session sends.

A first attempt, then one after each `interval` until `retries` are over; one interval after the last it has
failed. New timer values are for what is sent from then on: an attempt keeps the policy it began with.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from actors.record import record


@record
class ResendPolicy(NamedTuple):
    """When to try again, and when to give up."""

    interval: float
    """Seconds between two attempts."""
    retries: int
    """Attempts after the first."""


CONTROL = ResendPolicy(1.0, 10)
"""For control messages of a session that sets no timers."""

# Sessions of the same timers share their policies.


@lru_cache(64)
def data_policy(interval: float | None, retries: int | None) -> ResendPolicy | None:
    """For data messages and the requests for missing ones. None unless both values are given: best effort."""
    return ResendPolicy(interval, retries) if interval is not None and retries is not None else None


@lru_cache(64)
def control_policy(interval: float | None, retries: int | None) -> ResendPolicy:
    """For control messages, which are always tried again: each value that is None stands for the default."""
    return ResendPolicy(
        CONTROL.interval if interval is None else interval, CONTROL.retries if retries is None else retries
    )


class Attempt:
    """Something under way. What it is stands in its subclasses."""

    __slots__ = ("deadline", "policy", "retries")

    def __init__(self, policy: ResendPolicy, now: float) -> None:
        self.policy = policy
        self.retries = policy.retries
        self.deadline = now + policy.interval
        """When it is to be tried again, or has failed."""


A = TypeVar("A", bound=Attempt)


@record
class Review(NamedTuple, Generic[A]):
    """What a look at everything under way found."""

    again: list[A]
    """To be sent again, now."""
    failed: list[A]
    """Without an answer, and without retries left."""
    next_deadline: float | None
    """When to look again; None: nothing else is under way."""


def review(attempts: Iterable[A], now: float) -> Review[A]:
    """Look at what is due at `now`, and count the attempt of what is tried again."""
    again: list[A] = []
    failed: list[A] = []
    earliest: float | None = None
    for attempt in attempts:
        if attempt.deadline <= now:
            if attempt.retries <= 0:
                failed.append(attempt)
                continue
            attempt.retries -= 1
            attempt.deadline = now + attempt.policy.interval
            again.append(attempt)
        if earliest is None or attempt.deadline < earliest:
            earliest = attempt.deadline
    return Review(again, failed, earliest)
