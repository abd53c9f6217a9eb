"""When keys are fetched and how long they are trusted: decisions, with a clock that is a number."""

from __future__ import annotations

from identity.jose.key_set import KeySet
from identity.key_cache import KeyCache, RefreshPolicy

KEYS = KeySet([])


def filled(max_age: float | None = None) -> KeyCache:
    cache = KeyCache(RefreshPolicy())
    cache.fetched(KEYS, max_age, 0)
    return cache


def test_nothing_at_first() -> None:
    cache = KeyCache(RefreshPolicy())
    assert cache.current(0) is None
    assert cache.may_fetch(0)
    assert cache.generation == 0


def test_refresh_at_four_fifths_and_trust_for_two_lifetimes() -> None:
    cache = filled()
    assert cache.next_fetch == 2880
    assert cache.current(7199) is KEYS
    assert cache.current(7200) is None


def test_lifetime_follows_the_issuer_within_limits() -> None:
    assert filled(100).next_fetch == 80
    assert filled(0).next_fetch == 48
    assert filled(1e9).next_fetch == 0.8 * 86400


def test_an_unknown_kid_forces_one_fetch_in_thirty_seconds() -> None:
    cache = filled()
    assert cache.may_fetch(1)
    cache.forced(1)
    cache.fetched(KEYS, None, 1)
    assert not cache.may_fetch(30.9)
    assert cache.may_fetch(31)


def test_failures_wait_longer_each_time() -> None:
    cache = KeyCache(RefreshPolicy())
    waits = []
    at = 0.0
    for _ in range(8):
        cache.failed(at)
        assert not cache.may_fetch(at)
        waits.append(cache.next_fetch - at)
        at = cache.next_fetch
        assert cache.may_fetch(at)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    cache.fetched(KEYS, None, at)
    cache.failed(at)
    assert cache.next_fetch == at + 1


def test_a_failed_refresh_keeps_the_keys_for_their_second_life() -> None:
    cache = filled()
    cache.failed(2880)
    assert cache.current(7199) is KEYS
    assert not cache.may_fetch(2880.5)
    assert cache.next_fetch == 2881


def test_each_fetch_is_a_new_generation() -> None:
    cache = filled()
    cache.fetched(KEYS, None, 1)
    assert cache.generation == 2
