"""Groups that applications lead: what is told, what is seen, and what bounds it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.controlled import led_groups
from actors.controlled.led_groups import EVERY, GROUPS, LISTED, NAMES, NEWS, LedGroups
from actors.messages.controller import GroupSeen
from actors.messages.wire import GroupFigures, GroupLed
from actors.names import Name

MOD = Name("o", "n", "mod", 7)
ANN = Name("o", "n", "ann", 8)
STAGE = Name("o", "n", "stage")


def reported(number: int, members: int = 1) -> GroupLed:
    return GroupLed(number, STAGE, MOD, tuple(Name("o", "n", "p", n + 1) for n in range(members)), 3)


def test_the_newest_of_a_group_is_told_once_and_its_end_too() -> None:
    groups = LedGroups()
    assert groups.opened("session", MOD, STAGE)
    assert groups.seen() == ()
    groups.changed("session", (MOD,), None)
    groups.tell(1)
    groups.changed("session", (MOD, ANN), None)
    groups.changed("session", None, 2)
    ((connection, (told,)),) = groups.news()
    assert (connection, told) == (1, GroupLed(1, STAGE, MOD, (MOD, ANN), 2))
    assert groups.seen() == (GroupSeen("o/n/stage", ("o/n/mod/7",), ("o/n/mod/7", "o/n/ann/8"), 2),)
    groups.changed("session", (MOD, ANN), 2)
    assert not groups.pending
    assert not groups.fresh
    groups.over("session")
    assert [one.over for _, some in groups.news() for one in some] == [True]
    assert groups.seen() == ()


def told(groups: LedGroups) -> list[GroupLed]:
    return [one for _, some in groups.news() for one in some]


def test_figures_are_told_with_a_change_and_otherwise_seldom_and_only_when_they_changed() -> None:
    groups = LedGroups()
    groups.opened("session", MOD, STAGE)
    groups.counted("session", GroupFigures(9, 9, 9), 0.0)
    assert not groups.counting
    groups.tell(1)
    assert groups.counting
    assert told(groups) == []
    assert groups.changed("session", (MOD,), 1)
    groups.counted("session", GroupFigures(0, 0, 0), 1.0)
    assert told(groups) == [GroupLed(1, STAGE, MOD, (MOD,), 1, figures=GroupFigures(0, 0, 0))]
    groups.seen()
    groups.counted("session", GroupFigures(3, 0, 3), 1.0 + EVERY - 0.1)
    assert told(groups) == []
    assert not groups.changed("session", (MOD,), 1)
    groups.counted("session", GroupFigures(4, 1, 4), 1.0 + EVERY)
    assert [one.figures for one in told(groups)] == [GroupFigures(4, 1, 4)]
    groups.counted("session", GroupFigures(4, 1, 4), 1.0 + 5 * EVERY)
    assert told(groups) == []
    # With a change they go at once.
    assert groups.changed("session", (MOD, ANN), None)
    groups.counted("session", GroupFigures(5, 1, 4), 1.0 + 5 * EVERY)
    groups.changed("session", None, 2)
    groups.counted("session", GroupFigures(6, 1, 4), 1.0 + 5 * EVERY)
    assert [(one.epoch, one.figures) for one in told(groups)] == [(2, GroupFigures(6, 1, 4))]
    groups.seen()
    groups.counted("session", GroupFigures(7, 1, 4), 1.0 + 6 * EVERY)
    assert not groups.fresh
    groups.tell(2)
    assert [one.figures for one in told(groups)][-1] == GroupFigures(7, 1, 4)
    groups.over("session")
    groups.counted("session", GroupFigures(8, 1, 4), 1.0 + 9 * EVERY)
    assert {one.over for one in told(groups)} == {True}


def test_what_others_count_replaces_what_they_counted_and_is_no_news_for_controllers() -> None:
    groups = LedGroups()
    groups.reported(1, reported(1))
    groups.seen()
    counted = reported(1)._replace(figures=GroupFigures(1, 2, 3))
    groups.reported(1, counted)
    assert groups.reports() == [counted]
    assert not groups.fresh
    groups.reported(1, counted._replace(epoch=4))
    assert groups.fresh


def test_a_node_that_comes_later_is_told_everything_in_pieces() -> None:
    groups = LedGroups()
    for number in range(NEWS + 1):
        groups.opened(number, MOD, STAGE)
        groups.changed(number, (MOD,), None)
    groups.tell(4)
    assert [len(some) for _, some in groups.news()] == [NEWS]
    assert groups.pending
    assert [len(some) for _, some in groups.news()] == [1]
    assert not groups.pending


def test_what_has_no_place_is_refused_and_counted() -> None:
    groups = LedGroups()
    for number in range(GROUPS + 1):
        assert groups.opened(number, MOD, STAGE) == (number < GROUPS)
        groups.reported(1, reported(number, 0))
    groups.reported(2, reported(1, LISTED + 1))
    assert groups.refused == 3
    assert len(groups.seen()) == GROUPS
    for connection in range(3, 3 + NAMES // LISTED):
        groups.reported(connection, reported(1, LISTED))
    assert sum(len(one.members) for one in groups.seen()) <= NAMES


Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report", "over", "gone"]), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9)
    )
)


@given(STEPS)
def test_after_any_history_what_is_seen_is_what_connections_last_told(history: list[Step]) -> None:
    groups, model = LedGroups(), dict[tuple[int, int], GroupLed]()
    for kind, connection, number, members in history:
        if kind == "gone":
            groups.gone(connection)
            model = {key: one for key, one in model.items() if key[0] != connection}
        elif kind == "over":
            groups.reported(connection, reported(number)._replace(over=True))
            model.pop((connection, number), None)
        else:
            groups.reported(connection, reported(number, members))
            model[connection, number] = reported(number, members)
    assert sorted(len(one.members) for one in groups.seen()) == sorted(
        len(one.members) for one in model.values()
    )
    for connection in (1, 2, 3):
        groups.gone(connection)
    assert groups.seen() == ()
    assert groups._names == 0


def test_bounds_are_what_a_report_of_a_node_can_carry() -> None:
    # One message of gRPC has 4 MiB; a name takes up to 64 bytes here.
    assert led_groups.NAMES * 64 < 4 * 1024 * 1024


def test_a_group_whose_moderator_is_not_there_is_not_seen_until_it_is() -> None:
    groups = LedGroups()
    groups.reported(1, reported(1))
    assert groups.seen(lambda connection, moderator: False) == ()
    assert groups.fresh
    assert len(groups.seen(lambda connection, moderator: (connection, moderator) == (1, MOD))) == 1
    assert not groups.fresh
