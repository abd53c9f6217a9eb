from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from actors.messages.session import AppSettings
from actors.messages.wire import GroupRemove, MessageType, MlsPayload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.crypto import Addition, Computing, Place
from actors.session.membership import tasks
from actors.session.membership.moderator import Moderator
from actors.session.membership.tasks import (
    ADD,
    CLOSE,
    DROP,
    REMOVE,
    TASKS,
    AddStep,
    AddTask,
    AskedByApplication,
    AskedByController,
    AskedByNobody,
    BindingChannel,
    CloseTask,
    CommittingRemove,
    Discovering,
    Draining,
    DropTask,
    Joining,
    Located,
    Queued,
    RemoveTask,
    StepRow,
    TakingLeave,
    Telling,
    Welcoming,
    open_requests,
)
from actors.system import Address
from identity.errors import SlimError
from tests.actors.session.stage import ROOM, FakeCrypto, Player, Stage, group

ALICE, BOB, CAROL = (Name("o", "n", name, id) for id, name in enumerate(("alice", "bob", "carol"), 1))
TABLES: dict[type, Mapping[type, StepRow[Any]]] = {
    AddTask: ADD, RemoveTask: REMOVE, DropTask: DROP, CloseTask: CLOSE,
}  # fmt: skip


def request(kind: MessageType, content: Any = None) -> SessionMessage:
    return SessionMessage(ALICE, BOB, SessionKind.MULTICAST, kind, 7, 9, content, connection=3)


class SlowCrypto(FakeCrypto):
    """Commits take a turn of their own."""

    def add(self, name: Name, key_package: bytes, subject: str | None = None) -> Computing[Addition]:
        yield Place.LOOP
        return (yield from super().add(name, key_package, subject))

    def remove(self, name: Name) -> Computing[bytes]:
        yield Place.LOOP
        return (yield from super().remove(name))


class Watched(Player):
    """A moderator whose task is looked at after each event."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.make_crypto = lambda: SlowCrypto(self.name)
        self.seen: list[tasks.Task] = []

    def _perform(self, effects: Any) -> None:
        moderator = self.core._side if self.core is not None else None
        assert isinstance(moderator, Moderator)
        agenda = moderator._agenda
        self.seen += [*(() if agenda.task is None else (agenda.task,)), *agenda.queue]
        super()._perform(effects)


@pytest.fixture
def seen(stage: Stage) -> list[tasks.Task]:
    """The tasks of a group's whole life, at every step that they rest at."""
    alice = Watched(stage, "alice", 1, mls=True, settings=AppSettings())
    stage.players.append(alice)
    alice.create(ROOM, group(mls=True))
    others = [stage.player(name, mls=True) for name in ("bob", "carol", "dave")]
    for player in others:
        alice.invite(player.name.without_id())
    stage.transfer()
    alice.remove(others[1].name)
    stage.transfer()
    others[2].close()
    stage.transfer()
    alice.publish(b"last words")
    alice.close()
    stage.transfer()
    assert alice.ended is not None
    return alice.seen


def test_a_task_can_be_packed_at_every_step(seen: list[tasks.Task]) -> None:
    for task in seen:
        assert TASKS.unpack(TASKS.pack(task)) == task
    every = {(kind, at) for kind, table in TABLES.items() for at in table if at is not Queued}
    assert {(type(task), type(task.at)) for task in seen} >= every


def test_it_goes_from_step_to_step_as_the_tables_say(seen: list[tasks.Task]) -> None:
    reached: dict[type, set[type]] = {kind: {Queued} for kind in TABLES}
    for task in seen:
        table, at = TABLES[type(task)], type(task.at)
        assert at in reached[type(task)] or any(at in table[before].then for before in reached[type(task)])
        reached[type(task)].add(at)
        assert {message.kind for message in open_requests(task.at)} <= set(table[at].sends)
        if table[at].sends:
            assert open_requests(task.at) or isinstance(task.at, Welcoming)


def test_the_tables_have_every_step_once() -> None:
    for table, states, steps in (
        (ADD, tasks.AddState, AddStep),
        (REMOVE, tasks.RemoveState, tasks.RemoveStep),
        (DROP, tasks.DropState, tasks.DropStep),
        (CLOSE, tasks.CloseState, tasks.CloseStep),
    ):
        assert set(table) == set(get_args(states))
        assert [row.step for row in table.values()] == list(steps)
        assert all(after in table for row in table.values() for after in row.then)


@pytest.mark.parametrize(
    ("task", "at"),
    [
        (AddTask(BOB, AskedByNobody()), Joining(Located(BOB, 1), request(MessageType.JOIN_REQUEST))),
        (AddTask(BOB, AskedByNobody(), BindingChannel(Located(BOB, 1))), Queued()),
        (RemoveTask(BOB, AskedByNobody()), Telling(Located(BOB, 1), request(MessageType.GROUP_REMOVE))),
        (DropTask(BOB, "gone"), Telling(Located(BOB, 1), request(MessageType.GROUP_REMOVE))),
        (CloseTask(1.0, AskedByNobody()), TakingLeave(request(MessageType.GROUP_CLOSE))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_step_that_does_not_follow_is_refused(task: Any, at: Any) -> None:
    with pytest.raises(ValueError, match=f"{type(at).__name__} does not follow {type(task.at).__name__}"):
        task.moved(at)


def test_a_step_is_known_by_what_is_known() -> None:
    task = AddTask(BOB, AskedByNobody())
    assert task.step is AddStep.QUEUED
    sought = request(MessageType.DISCOVERY_REQUEST)
    task = task.moved(Discovering(sought))
    assert (task.step, open_requests(task.at)) == (AddStep.DISCOVERY, (sought,))
    assert CloseTask(1.0, AskedByNobody()).moved(Draining()).step is tasks.CloseStep.WINDOW


def test_who_asked_and_what_is_on_the_wire_travels_too() -> None:
    inbox = Address(5)
    content = GroupRemove(BOB, (ALICE, BOB, CAROL), MlsPayload(3, b"commit"))
    for asked_by in (
        AskedByApplication(4, inbox),
        AskedByController(request(MessageType.LEAVE_REQUEST)),
        AskedByNobody(),
    ):
        task = RemoveTask(BOB, asked_by, CommittingRemove(Located(BOB, None)))
        task = task.moved(Telling(Located(BOB, None), request(MessageType.GROUP_REMOVE, content)))
        again = TASKS.unpack(TASKS.pack(task))
        assert again == task
        assert open_requests(again.at)[0].content.mls.commit_id == 3


def test_what_went_wrong_already_travels_as_an_error() -> None:
    at = Welcoming(Located(BOB, 1), (), failures=(SlimError("no answer"),))
    (error,) = TASKS.unpack(TASKS.pack(at)).failures
    assert isinstance(error, SlimError)
    assert str(error) == "no answer"
