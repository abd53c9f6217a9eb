"""When to fetch an issuer's keys, and how long to trust them (`identity.md` 3.3, point 5). No I/O, no clock.

    fetched            80 %          100 %                        200 %
    |--- good ---------|--- good, refresh runs ---|--- good if it fails ---| none

An unknown kid may force one more fetch per `forced_interval`, so that a key published a moment ago works
while a stranger who invents names costs the issuer nothing. After a failure the next attempt waits, twice
as long each time; what comes in between is refused at once and not queued.
"""

from __future__ import annotations

from dataclasses import dataclass

from identity.jose.key_set import KeySet
from identity.renewal import backoff


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """All in seconds."""

    lifetime: float = 3600.0
    """How long a set is fresh when the issuer does not say."""
    min_lifetime: float = 60.0
    max_lifetime: float = 24 * 3600.0
    """What the issuer says is kept between these two: shorter floods it, longer delays revocation."""
    forced_interval: float = 30.0
    first_retry: float = 1.0
    last_retry: float = 60.0


class KeyCache:
    """One issuer's keys. `at` is a time in seconds on any steady clock, the same for all calls."""

    def __init__(self, policy: RefreshPolicy) -> None:
        self.generation = 0
        self._policy = policy
        self._keys: KeySet | None = None
        self._good_until = float("-inf")
        self._next_fetch = float("-inf")
        self._next_forced = float("-inf")
        self._failures = 0

    def fetched(self, keys: KeySet, max_age: float | None, at: float) -> None:
        """A fetch that began at `at` brought `keys`, which the issuer lets us keep for `max_age`."""
        policy = self._policy
        wanted = policy.lifetime if max_age is None else max_age
        lifetime = min(max(wanted, policy.min_lifetime), policy.max_lifetime)
        self._keys = keys
        self.generation += 1
        self._good_until = at + 2 * lifetime
        self._next_fetch = at + 0.8 * lifetime
        self._failures = 0

    def failed(self, at: float) -> None:
        """A fetch failed at `at`. The keys we have stay for what is left of their second life time."""
        self._failures += 1
        pause = backoff(self._failures, self._policy.first_retry, self._policy.last_retry)
        self._next_fetch = at + pause
        self._next_forced = max(self._next_forced, self._next_fetch)

    def current(self, at: float) -> KeySet | None:
        """The keys, unless there are none or they are too old to be trusted."""
        return self._keys if at < self._good_until else None

    def may_fetch(self, at: float) -> bool:
        """Whether somebody who misses a key may cause a fetch now."""
        if self.current(at) is None:
            return at >= self._next_fetch
        return at >= self._next_forced

    def forced(self, at: float) -> None:
        """Somebody who missed a key caused a fetch."""
        if self._keys is not None:
            self._next_forced = at + self._policy.forced_interval

    @property
    def next_fetch(self) -> float:
        """When to fetch next without being asked."""
        return self._next_fetch
