"""Does it see anything? Each deliberate break shows in some scenario, or there is a reason why not."""

from __future__ import annotations

import pytest

from tests.simulation.breaks import NOT_SEEN, broken, look
from tests.simulation.broken import BREAKS
from tests.simulation.player import play

QUICK = (
    "a_message_is_handed_out_twice",
    "a_message_is_dropped_behind_its_acknowledgement",
    "a_copy_is_taken_for_new",
    "what_comes_after_a_hole_does_not_wait",
    "a_session_that_is_over_is_not_forgotten",
    "a_node_does_not_forget_who_is_gone",
    "subscriptions_are_not_told_again_on_a_new_stream",
    "a_link_that_broke_is_not_dialled_again",
    "a_moderator_does_not_sync_its_journal",
    "a_moderator_that_ends_keeps_what_it_reserved",
)
"""Seen within the first seeds."""


@pytest.mark.parametrize("name", QUICK)
def test_a_break_is_seen_at_once(name: str) -> None:
    sight = look(name, 4)
    assert sight.profile, sight


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_seen(name: str) -> None:
    sight = look(name)
    assert bool(sight.profile) != (name in NOT_SEEN), sight


def test_a_break_is_over_behind_its_block() -> None:
    before = play("perfect", 1)
    with broken(BREAKS["a_message_is_handed_out_twice"]):
        assert play("perfect", 1).digest != "" != before.digest
    after = play("perfect", 1)
    assert (after.digest, after.findings) == (before.digest, before.findings)


@pytest.mark.parametrize("name", BREAKS)
def test_what_a_break_changes_is_there(name: str) -> None:
    with broken(BREAKS[name]):
        pass


def test_there_are_enough_of_them() -> None:
    assert len(BREAKS) - len(NOT_SEEN) >= 22
    assert {which.room for which in BREAKS.values()} == {"sessions", "groups", "routing", "links"}
    assert set(NOT_SEEN) < set(BREAKS)
