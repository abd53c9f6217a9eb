from __future__ import annotations

import pytest

from actors.names import Name
from actors.session.membership.liveness import STRIKES, Rounds, Watchdog
from actors.session.peers import PeerGeneration, generation

BOB, CAROL = Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)


def rounds(generation: PeerGeneration) -> Rounds:
    made = Rounds(10.0, 0.0)
    for member in (BOB, CAROL):
        made.met(member, generation)
    return made


def play(rounds: Rounds, number: int, *answers: Name) -> list[Name]:
    lost = rounds.close_round(number * 10.0)
    rounds.open_round(number, [BOB, CAROL])
    for member in answers:
        rounds.answered(member, number)
    return lost


def test_three_silent_rounds_and_out() -> None:
    r = rounds(PeerGeneration.CURRENT)
    assert r.next_deadline() == 10.0
    lost = [play(r, number, BOB) for number in range(1, STRIKES + 2)]
    assert lost == [[], [], [], [CAROL]]


def test_an_answer_clears_the_strikes() -> None:
    r = rounds(PeerGeneration.CURRENT)
    for number in range(1, 20):
        answers = (BOB, CAROL) if number % STRIKES == 0 else (BOB,)
        assert play(r, number, *answers) == []


def test_silence_counts_only_for_members_that_were_heard() -> None:
    r = rounds(PeerGeneration.UNKNOWN)
    assert r.open_round(1, [BOB, CAROL]) == []
    r.answered(BOB, 1)
    lost = [play(r, number) for number in range(2, 7)]
    assert lost == [[], [], [], [BOB], [BOB]]


def test_strangers_answers_are_ignored() -> None:
    r = rounds(PeerGeneration.UNKNOWN)
    r.answered(Name("o", "n", "x", 9), 1)
    r.left(BOB)
    assert play(r, 1) == []


def test_the_watchdog_sleeps_until_the_first_ping() -> None:
    dog = Watchdog(10.0)
    assert dog.next_deadline() is None
    dog.pinged(5.0)
    assert dog.next_deadline() == 15.0
    assert [dog.expire(15.0 + 10 * n) for n in range(4)] == [False, False, False, True]


def test_a_ping_in_time_keeps_it_quiet() -> None:
    dog = Watchdog(10.0)
    for n in range(50):
        dog.pinged(n * 20.0)
        assert not dog.expire(n * 20.0 + 10)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"pubkey": "x"}, PeerGeneration.CURRENT),
        ({"custom_claims": {"pubkey": "x"}}, PeerGeneration.CURRENT),
        ({"sub": "x", "custom_claims": None}, PeerGeneration.UNKNOWN),
        ({}, PeerGeneration.UNKNOWN),
    ],
)
def test_the_public_key_in_the_token_tells_the_generation(
    claims: dict[str, object], expected: PeerGeneration
) -> None:
    assert generation(claims) is expected
