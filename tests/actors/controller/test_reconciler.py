"""Wanted against acknowledged: histories of nodes that come, go, fail and fall silent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.controller.reconciler import (
    ACK_TIME,
    APPLIED,
    DELETING,
    FAILED,
    MAX_ATTEMPTS,
    PENDING,
    Item,
    Reconciler,
)
from actors.controller.turn import ControllerTurn, Respond, Save, ToNode
from actors.messages.controller import Configure, Configured, ItemOutcome, Refusal

NODE, WHERE = "n", "http://x:1"
NAME = ("a", "b", "c")


@dataclass
class Stage:
    """A reconciler, a clock, one node's memory, and what was saved."""

    core: Reconciler = field(default_factory=Reconciler)
    now: float = 0.0
    up: bool = False
    silent: bool = False
    failing: set[Any] = field(default_factory=set)
    has: set[Any] = field(default_factory=set)
    saved: dict[Any, Any] = field(default_factory=dict)
    replies: list[Any] = field(default_factory=list)
    sent: int = 0

    def turn(self, act: Any = None) -> None:
        """Do something and what follows from it, until nothing is to be done now."""
        turn = ControllerTurn(self.now)
        if act is not None:
            act(turn)
        self.core.expire(turn)
        for effect in turn.effects:
            match effect:
                case ToNode(record=Configure() as record) if self.up:
                    self.sent += 1
                    if not self.silent:
                        answer = self.answered(record)
                        self.turn(lambda then, answer=answer: self.core.configured(answer, then))
                case Save():
                    self.saved[effect.key] = effect.value
                case Respond():
                    self.replies.append(effect.reply)

    def answered(self, record: Configure) -> Configured:
        def outcome(item: Any, *, add: bool) -> ItemOutcome:
            if item in self.failing:
                return ItemOutcome(item, "it fails")
            (self.has.add if add else self.has.discard)(item)
            return ItemOutcome(item)

        links = [outcome(one.connection_id, add=True) for one in record.links]
        links += [outcome(one, add=False) for one in record.closed]
        routes = [outcome(one, add=True) for one in record.routes]
        routes += [outcome(one, add=False) for one in record.withdrawn]
        return Configured(NODE, record.command, tuple(links), tuple(routes))

    def join(self) -> None:
        self.up, self.has = True, set()
        self.turn(lambda turn: self.core.joined(NODE, turn))

    def leave(self) -> None:
        self.up = False
        self.turn(lambda turn: self.core.left(NODE, "gone", turn))

    def want(self, item: Item) -> None:
        self.turn(lambda turn: self.core.want(item, turn))

    def unwant(self, item: Item) -> None:
        self.turn(lambda turn: self.core.unwant(item.key, turn))

    def settle(self) -> None:
        """Let time pass until nothing is due."""
        for _ in range(100):
            due = self.core.next_deadline()
            if due is None:
                return
            self.now = max(self.now, due)
            self.turn()
        raise AssertionError("it never settles")


def the_link() -> Item:
    return Item(NODE, WHERE, config="{}")


def route(last: str = "c") -> Item:
    return Item(NODE, WHERE, ("a", "b", last))


def test_what_is_wanted_of_an_absent_node_waits_for_it() -> None:
    stage = Stage()
    stage.want(the_link())
    stage.want(route())
    assert stage.core.next_deadline() is None
    stage.join()
    assert {item.status for item in stage.core.items()} == {APPLIED}
    assert stage.has == {WHERE, route().direction}
    assert stage.sent == 1


def test_a_restarted_node_gets_everything_again() -> None:
    stage = Stage()
    stage.join()
    stage.want(the_link())
    stage.want(route())
    stage.leave()
    assert {item.status for item in stage.core.items()} == {PENDING}
    stage.join()
    assert stage.has == {WHERE, route().direction}


def test_failures_are_tried_again_ever_later_and_then_left() -> None:
    stage = Stage(failing={WHERE})
    stage.join()
    stage.want(the_link())
    times = []
    while (due := stage.core.next_deadline()) is not None:
        times.append(round(due - stage.now, 6))
        stage.now = due
        stage.turn()
    (item,) = stage.core.items()
    assert (item.status, item.reason, item.attempts) == (FAILED, "it fails", MAX_ATTEMPTS)
    assert times == sorted(times)
    stage.failing.clear()
    stage.want(the_link())
    assert item.status == APPLIED


def test_the_links_error_is_the_routes_reason() -> None:
    stage = Stage(failing={WHERE, route().direction})
    stage.turn(lambda turn: (stage.core.want(the_link(), turn), stage.core.want(route(), turn)))
    stage.join()
    assert [item.reason for item in stage.core.items()] == ["it fails", "it fails"]


def test_silence_is_a_failure_with_its_time() -> None:
    stage = Stage(silent=True)
    stage.join()
    stage.want(the_link())
    stage.now = ACK_TIME
    stage.turn()
    (item,) = stage.core.items()
    assert item.reason == f"{NODE} did not answer within {ACK_TIME:g} s"


def test_who_waits_is_answered_whatever_happens() -> None:
    for act in ("fail", "leave", "delete", "silence"):
        stage = Stage(failing={WHERE} if act == "fail" else set(), silent=act != "fail")
        stage.join()
        item = the_link()
        item.waiting.append("ticket")
        stage.want(item)
        if act == "leave":
            stage.leave()
        if act == "delete":
            stage.unwant(item)
        if act == "silence":
            stage.now = ACK_TIME
            stage.turn()
        assert [type(reply) for reply in stage.replies] == [Refusal], act
        stage.silent, stage.failing = False, set()
        stage.settle()
        if act != "leave":
            assert list(stage.core.items()) == [], act


def test_an_answer_to_an_old_command_changes_nothing() -> None:
    stage = Stage(silent=True)
    stage.join()
    stage.want(the_link())
    stage.turn(lambda turn: stage.core.configured(Configured(NODE, 99, (ItemOutcome(WHERE),), ()), turn))
    (item,) = stage.core.items()
    assert item.status == PENDING


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["want", "unwant", "join", "leave", "fail", "mend", "silence", "speak", "wait"]),
            st.sampled_from(["link", "r1", "r2"]),
        ),
        max_size=40,
    )
)
def test_after_any_history_a_healthy_node_has_exactly_what_is_wanted(history: list[tuple[str, str]]) -> None:
    stage = Stage()
    items = {"link": the_link, "r1": lambda: route("r1"), "r2": lambda: route("r2")}
    wanted: set[str] = set()
    for act, which in history:
        made = items[which]()
        thing = made.connection_id if made.name is None else made.direction
        if act == "want":
            wanted.add(which)
            stage.want(made)
        elif act == "unwant":
            wanted.discard(which)
            stage.unwant(made)
        elif act == "join":
            stage.join()
        elif act == "leave":
            stage.leave()
        elif act == "fail":
            stage.failing.add(thing)
        elif act == "mend":
            stage.failing.discard(thing)
        elif act in ("silence", "speak"):
            stage.silent = act == "silence"
        else:
            stage.now += 7.0
            stage.turn()
    stage.silent, stage.failing = False, set()
    stage.join()
    stage.settle()
    expected = {items[which]().key for which in wanted}
    assert {item.key for item in stage.core.items() if item.status != DELETING} == expected
    assert {item.status for item in stage.core.items()} <= {APPLIED}
    things = {
        one.connection_id if one.name is None else one.direction for one in (items[w]() for w in wanted)
    }
    assert stage.has == things
    assert {key for key, value in stage.saved.items() if value is not None} == expected
