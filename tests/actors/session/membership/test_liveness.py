from __future__ import annotations

import pytest

from actors.names import Name
from actors.session.membership.liveness import (
    FORGOTTEN,
    QUESTIONS,
    STRIKES,
    Overdue,
    Progress,
    Rounds,
    Verdict,
    Watchdog,
)
from actors.session.peers import PeerGeneration, generation

BOB, CAROL = Name("o", "n", "bob", 2), Name("o", "n", "carol", 3)


def silent(_: Name) -> object:
    """Nobody says anything to the application."""
    return None


def rounds(generation: PeerGeneration) -> Rounds:
    made = Rounds(10.0, 0.0, silent)
    for member in (BOB, CAROL):
        made.met(member, generation)
    return made


def play(rounds: Rounds, number: int, *answers: Name) -> Overdue:
    overdue = rounds.close_round(number * 10.0)
    rounds.open_round(number, [BOB, CAROL])
    for member in answers:
        rounds.answered(member, number)
    return overdue


def test_three_silent_rounds_and_out() -> None:
    r = rounds(PeerGeneration.CURRENT)
    assert r.next_deadline() == 10.0
    found = [play(r, number, BOB) for number in range(1, STRIKES + 2)]
    assert [overdue.lost for overdue in found] == [[], [], [], [CAROL]]
    assert [overdue.ask for overdue in found] == [[], [], [CAROL], []]


def test_who_is_there_but_silent_in_this_session_gets_twice_the_time() -> None:
    r = rounds(PeerGeneration.CURRENT)
    lost = []
    for number in range(1, FORGOTTEN + 2):
        overdue = play(r, number, BOB)
        lost += overdue.lost
        for member in overdue.ask:
            r.alive(member)
        assert number == FORGOTTEN + 1 or not lost
    assert lost == [CAROL]


def test_an_answer_clears_the_strikes() -> None:
    r = rounds(PeerGeneration.CURRENT)
    for number in range(1, 20):
        answers = (BOB, CAROL) if number % STRIKES == 0 else (BOB,)
        assert play(r, number, *answers).lost == []


def test_who_never_answered_a_ping_is_asked_before_it_is_lost() -> None:
    r = rounds(PeerGeneration.UNKNOWN)
    assert r.open_round(1, [BOB, CAROL]) == []
    found = [play(r, number) for number in range(2, 8)]
    assert [sorted(map(str, overdue.ask)) for overdue in found] == [
        [], [], *[sorted(map(str, (BOB, CAROL)))] * QUESTIONS, [],
    ]  # fmt: skip
    assert sorted(map(str, found[-1].lost)) == sorted(map(str, (BOB, CAROL)))


def test_who_says_that_it_is_there_lives_on_without_pings() -> None:
    r = rounds(PeerGeneration.UNKNOWN)
    for number in range(1, 50):
        overdue = play(r, number)
        assert overdue.lost == []
        for member in overdue.ask:
            r.alive(member)


def test_who_speaks_is_not_asked() -> None:
    said = iter(range(1000))
    r = Rounds(10.0, 0.0, lambda member: next(said) if member is BOB else None)
    asked: list[Name] = []
    for number in range(1, 5):
        asked += play(r, number).ask
    assert asked == [CAROL]


def test_strangers_answers_are_ignored() -> None:
    r = rounds(PeerGeneration.UNKNOWN)
    r.answered(Name("o", "n", "x", 9), 1)
    r.alive(Name("o", "n", "x", 9))
    r.left(BOB)
    assert play(r, 1) == Overdue([], [])


def dog(generation: PeerGeneration, progress: Progress = silent) -> Watchdog:
    made = Watchdog(10.0, BOB, progress)
    assert made.next_deadline() is None
    made.start(0.0, generation)
    assert made.next_deadline() == 9.0
    return made


def test_a_moderator_that_pings_has_three_intervals() -> None:
    d = dog(PeerGeneration.UNKNOWN)
    d.pinged()
    verdicts = [d.expire(10.0 * n) for n in range(1, 5)]
    assert verdicts == [Verdict.THERE, Verdict.THERE, Verdict.ASK, Verdict.GONE]


def test_a_moderator_that_is_known_to_ping_need_not_have_begun() -> None:
    d = dog(PeerGeneration.CURRENT)
    assert [d.expire(10.0 * n) for n in range(1, 4)] == [Verdict.THERE, Verdict.ASK, Verdict.GONE]


def test_a_moderator_that_never_pinged_is_asked_three_times() -> None:
    d = dog(PeerGeneration.UNKNOWN)
    verdicts = [d.expire(10.0 * n) for n in range(1, 7)]
    assert verdicts == [Verdict.THERE, Verdict.THERE, *[Verdict.ASK] * 3, Verdict.GONE]


def test_a_quiet_moderator_that_answers_lives_on() -> None:
    d = dog(PeerGeneration.UNKNOWN)
    for n in range(1, 100):
        verdict = d.expire(10.0 * n)
        assert verdict is not Verdict.GONE
        if verdict is Verdict.ASK:
            d.alive()


def test_a_ping_in_time_keeps_it_quiet() -> None:
    d = dog(PeerGeneration.UNKNOWN)
    for n in range(50):
        d.pinged()
        assert d.expire(n * 10.0) is Verdict.THERE


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
