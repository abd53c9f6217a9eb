"""The memory of verified tokens: bounded, in time, and of one text only."""

from __future__ import annotations

import pytest

from identity.verified import LONGEST_TEXT, LONGEST_TOKEN, VerifiedTokens


@pytest.mark.parametrize("token", ["t", "t" * LONGEST_TEXT, "t" * (LONGEST_TEXT + 1), "t" * LONGEST_TOKEN])
def test_a_token_is_known_while_it_is_good(token: str) -> None:
    memory: VerifiedTokens[str] = VerifiedTokens()
    assert memory.get(token, 15) is None
    memory.remember(token, 10, 20, "claims")
    assert [memory.get(token, now) for now in (10, 15, 20)] == ["claims"] * 3
    assert memory.get(token + "x", 15) is None
    assert memory.get(token, 20.5) is None
    assert len(memory) == 0


def test_a_token_before_its_time_is_forgotten_too() -> None:
    memory: VerifiedTokens[str] = VerifiedTokens()
    memory.remember("t", 10, 20, "claims")
    assert memory.get("t", 9.9) is None
    assert memory.get("t", 15) is None


def test_the_least_recently_used_goes_first() -> None:
    memory: VerifiedTokens[int] = VerifiedTokens(3)
    for number in range(3):
        memory.remember(str(number), 0, 100, number)
    assert memory.get("0", 1) == 0
    memory.remember("3", 0, 100, 3)
    assert [memory.get(str(number), 1) for number in range(4)] == [0, None, 2, 3]


def test_a_hash_of_a_long_token_is_no_token() -> None:
    memory: VerifiedTokens[str] = VerifiedTokens()
    memory.remember("\ud800" * 3000, 0, 10, "claims")
    assert memory.get("\ud800" * 3000, 5) == "claims"
    (name,) = memory._entries
    assert isinstance(name, bytes)


def test_clearing_forgets_and_nothing_is_shown() -> None:
    memory: VerifiedTokens[str] = VerifiedTokens()
    memory.remember("secret", 0, 10, "claims")
    assert "secret" not in repr(memory)
    memory.clear()
    assert memory.get("secret", 5) is None
