"""One actor's life: failing, being restarted, waking up, exiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from loguru import logger
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    PoisonMessage,
    Thespian_ActorStatus,
    Thespian_StatusReq,
    WakeupMessage,
)

from actors.system import Directive, LoopActor, LoopSystem, State, Supervision, handles
from actors.system.errors import NotOnThisBase
from tests.actors.system.cast import (
    Add,
    Counter,
    Diarist,
    Echo,
    Fail,
    Get,
    Grandparent,
    Made,
    Make,
    Number,
    Parent,
    Said,
    Say,
)

PATIENCE = 20.0
AT_ONCE = Supervision(max_restarts=2, period=3600, backoff=0)
LATER = Supervision(backoff=3600, backoff_max=3600)


@pytest.fixture
async def system() -> AsyncIterator[LoopSystem]:
    system = LoopSystem()
    yield system
    await system.shutdown(PATIENCE)


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message} {extra}", level="DEBUG")
    yield lines
    logger.remove(sink)


def state(system: LoopSystem, actor: ActorAddress) -> State | None:
    status = system.status(actor)
    return status.state if status is not None else None


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop its turns until `condition` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what it waits for is the loop's own next turn
            await asyncio.sleep(0)


class Asked:
    """A inbox that remembers what comes and can be waited for."""

    def __init__(self, system: LoopSystem) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.address = system.inbox(lambda message, _sender: self.queue.put_nowait(message))

    async def next(self) -> Any:
        return await asyncio.wait_for(self.queue.get(), PATIENCE)


# Failing.


async def test_poison_carries_the_message_and_the_traceback(system: LoopSystem) -> None:
    asked = Asked(system)
    system.tell(system.spawn(Counter), Fail(2), asked.address)
    poison = await asked.next()
    assert isinstance(poison, PoisonMessage)
    assert poison.poisonMessage == Fail(2)
    assert "asked to fail" in poison.details


async def test_poison_that_poisons_goes_no_further(system: LoopSystem) -> None:
    class Delicate(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            raise RuntimeError

    first, second = system.spawn(Delicate), system.spawn(Delicate)
    system.tell(first, Get(), second)
    await system.idle()
    assert (system.failures, system.dead_letters) == (4, 0)


async def test_a_stray_cancellation_is_a_failure_like_others(system: LoopSystem) -> None:
    class Cancelled(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Get):
                raise asyncio.CancelledError

    asked = Asked(system)
    system.tell(system.spawn(Cancelled), Get(), asked.address)
    assert isinstance(await asked.next(), PoisonMessage)


async def test_neither_message_nor_exception_text_is_logged(system: LoopSystem, log: list[str]) -> None:
    class Leaky(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Say):
                raise RuntimeError(f"cannot handle {msg.text}")

    system.tell(system.spawn(Leaky, supervision=AT_ONCE), Say("top secret"))
    await system.idle()
    assert any("Leaky" in line and "'message': 'Say'" in line and "RuntimeError at" in line for line in log)
    assert "secret" not in "".join(log)


# Restarting.


async def restarted(system: LoopSystem, actor: ActorAddress) -> None:
    """Until the back-off, which is none, is over."""
    await until(lambda: state(system, actor) is not State.WAITING)


async def test_a_supervised_actor_is_made_anew_at_its_address(system: LoopSystem) -> None:
    counter = system.spawn(Counter, name="counter", supervision=AT_ONCE)
    for message in (Add(5), Fail(2), Add(1)):
        system.tell(counter, message)
    await system.idle()
    assert state(system, counter) is State.WAITING
    await restarted(system, counter)
    # The state is new, the mailbox, the name and the counters are not.
    assert await system.ask(counter, Get(), PATIENCE) == Number(1)
    assert system.spawn(Counter, name="counter") == counter
    status = system.status(counter)
    assert status is not None
    assert (status.restarts, status.failures, system.restarts) == (1, 2, 1)


async def test_the_message_that_failed_is_not_given_to_the_next_instance(system: LoopSystem) -> None:
    asked = Asked(system)
    counter = system.spawn(Counter, supervision=AT_ONCE)
    system.tell(counter, Fail(2), asked.address)
    assert isinstance(await asked.next(), PoisonMessage)
    await restarted(system, counter)
    assert await system.ask(counter, Fail(0), PATIENCE) == Number(0)


async def test_too_many_failures_stop_the_actor_and_the_parent_learns_it(system: LoopSystem) -> None:
    diary: list[str] = []

    class Boss(Diarist):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            super().receiveMessage(msg, sender)
            if isinstance(msg, Make):
                self.send(sender, Made(self.spawn(Counter, supervision=AT_ONCE)))

    counter = (await system.ask(system.spawn(Boss, diary), Make(), PATIENCE)).child
    for _ in range(3):
        assert state(system, counter) is State.RUNNING
        system.tell(counter, Fail(2))
        await system.idle()
        await restarted(system, counter)
    await system.idle()
    assert state(system, counter) is None
    assert diary == ["Make", "ChildActorExited"]


async def test_a_waiting_actor_keeps_its_mail_within_its_bound(system: LoopSystem) -> None:
    counter = system.spawn(Counter, mailbox=2, supervision=LATER)
    system.tell(counter, Fail(2))
    await system.idle()
    assert [system.tell(counter, Add(1)) for _ in range(3)] == [True, True, False]
    await system.idle()
    status = system.status(counter)
    assert status is not None
    assert (status.state, status.depth, status.refused) == (State.WAITING, 2, 1)


async def test_a_waiting_actor_exits_at_once(system: LoopSystem) -> None:
    counter = system.spawn(Counter, supervision=LATER)
    system.tell(counter, Fail(2))
    await system.idle()
    system.tell(counter, Add(1))
    system.tell(counter, ActorExitRequest())
    assert state(system, counter) is None
    assert system.dead_letters == 2  # the poison to the outside, and the mail that waited


async def test_a_factory_that_fails_counts_as_a_failure(system: LoopSystem) -> None:
    made: list[int] = []

    def factory() -> Counter:
        made.append(1)
        if len(made) == 2:
            raise RuntimeError
        return Counter()

    counter = system.spawn(factory, supervision=AT_ONCE)
    system.tell(counter, Fail(2))
    await system.idle()
    await restarted(system, counter)
    assert state(system, counter) is State.RUNNING
    status = system.status(counter)
    assert status is not None
    assert (len(made), status.restarts) == (3, 2)


async def test_a_restart_ends_children_and_timers(system: LoopSystem) -> None:
    diary: list[str] = []

    class Fragile(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make):
                self.after(3600)
                self.spawn(Diarist, diary)
            elif isinstance(msg, Fail):
                raise RuntimeError
            elif isinstance(msg, ChildActorExited):
                diary.append("parent told")

    fragile = system.spawn(Fragile, supervision=AT_ONCE)
    system.tell(fragile, Make())
    system.tell(fragile, Fail(2))
    await system.idle()
    await restarted(system, fragile)
    status = system.status(fragile)
    assert status is not None
    assert (status.children, status.timers, diary) == (0, 0, ["ActorExitRequest"])


class Choosy(LoopActor):
    """Fails on Fail, and becomes what the text of the Say before it names; told of both in its diary."""

    def __init__(self, diary: list[str], core: dict[str, int]) -> None:
        self.diary, self.core = diary, core
        self.wanted = Directive.RESTART

    def started(self) -> None:
        self.diary.append(f"started with {self.core.get('value', 0)}")
        self.send(self.myAddress, Get())

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        self.diary.append(f"failed on {type(message).__name__}: {type(error).__name__}")
        if self.wanted is Directive.STOP and self.core.get("value") == 13:
            raise LookupError
        return self.wanted

    @handles(Say)
    def _on_say(self, message: Say, _: ActorAddress) -> None:
        self.wanted = Directive(message.text)

    @handles(Add)
    def _on_add(self, message: Add, _: ActorAddress) -> None:
        self.core["value"] = message.amount

    @handles(Fail)
    def _on_fail(self, message: Fail, _: ActorAddress) -> None:
        raise RuntimeError

    @handles(Get)
    def _on_get(self, message: Get, sender: ActorAddress) -> None:
        self.diary.append("told")


async def test_a_restarted_actor_has_what_it_was_spawned_with_and_begins_again(system: LoopSystem) -> None:
    diary: list[str] = []
    choosy = system.spawn(Choosy, diary, {}, supervision=AT_ONCE)
    asked = Asked(system)
    system.tell(choosy, Add(7))
    system.tell(choosy, Fail(2), asked.address)
    assert isinstance(await asked.next(), PoisonMessage)
    await restarted(system, choosy)
    await system.idle()
    assert diary == ["started with 0", "told", "failed on Fail: RuntimeError", "started with 7", "told"]


@pytest.mark.parametrize("supervision", [None, AT_ONCE])
async def test_an_actor_that_resumes_is_the_same_one(
    system: LoopSystem, supervision: Supervision | None
) -> None:
    diary: list[str] = []
    choosy = system.spawn(Choosy, diary, {}, supervision=supervision)
    for message in (Say("resume"), Fail(2), Add(1), Get()):
        system.tell(choosy, message)
    await system.idle()
    assert diary == ["started with 0", "told", "failed on Fail: RuntimeError", "told"]
    assert system.restarts == 0


@pytest.mark.parametrize("supervision", [None, AT_ONCE])
async def test_an_actor_that_stops_is_missed_by_its_parent(
    system: LoopSystem, supervision: Supervision | None
) -> None:
    diary: list[str] = []

    class Mother(LoopActor):
        @handles(Make)
        def _on_make(self, _: Make, sender: ActorAddress) -> None:
            self.send(sender, Made(self.spawn(Choosy, [], {}, supervision=supervision)))

        @handles(ChildActorExited)
        def _on_exit(self, _: ChildActorExited, sender: ActorAddress) -> None:
            diary.append("child exited")

    made = await system.ask(system.spawn(Mother), Make(), PATIENCE)
    for message in (Say("stop"), Fail(2), Get()):
        system.tell(made.child, message)
    await system.idle()
    assert diary == ["child exited"]
    assert system.status(made.child) is None


async def test_an_actor_that_fails_at_failing_stops(system: LoopSystem) -> None:
    choosy = system.spawn(Choosy, [], {})
    for message in (Add(13), Say("stop"), Fail(2)):
        system.tell(choosy, message)
    await system.idle()
    assert system.status(choosy) is None


async def test_who_gave_an_actor_up_is_told_once(system: LoopSystem) -> None:
    given_up: list[bool] = []
    rule = Supervision(max_restarts=1, period=3600, backoff=0, gave_up=lambda: given_up.append(True))
    choosy = system.spawn(Choosy, [], {}, supervision=rule)
    system.tell(choosy, Fail(2))
    await system.idle()
    await restarted(system, choosy)
    assert given_up == []
    system.tell(choosy, Fail(2))
    await system.idle()
    assert given_up == [True]
    assert system.status(choosy) is None


async def test_what_started_raises_reaches_who_spawned_and_leaves_nothing(system: LoopSystem) -> None:
    class Stuck(LoopActor):
        def started(self) -> None:
            raise RuntimeError("no start")

    with pytest.raises(RuntimeError, match="no start"):
        system.spawn(Stuck)
    assert system.system_status().actors == 0


# Timers.


class Timed(LoopActor):
    def __init__(self, woken: list[Any]) -> None:
        self.woken = woken

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, WakeupMessage):
            self.woken.append((msg.delayPeriod.total_seconds(), msg.payload, sender == self.myAddress))


async def test_a_wakeup_comes_from_the_actor_itself(system: LoopSystem) -> None:
    woken: list[Any] = []
    timed = Timed(woken)
    address = system.spawn(lambda: timed)
    timed.after(0.0, "now")
    timed.wakeupAfter(timedelta(0), "too")
    await until(lambda: len(woken) == 2)
    assert woken == [(0.0, "now", True), (0.0, "too", True)]
    status = system.status(address)
    assert status is not None
    assert status.timers == 0


async def test_a_cancelled_wakeup_does_not_come(system: LoopSystem) -> None:
    woken: list[Any] = []
    timed = Timed(woken)
    address = system.spawn(lambda: timed)
    first, second = timed.after(0.0, "first"), timed.after(0.0, "second")
    first.cancel()
    first.cancel()
    await until(lambda: bool(woken))
    second.cancel()
    assert [payload for _, payload, _ in woken] == ["second"]
    status = system.status(address)
    assert status is not None
    assert status.timers == 0


async def test_exiting_cancels_wakeups(system: LoopSystem) -> None:
    timed = Timed([])
    address = system.spawn(lambda: timed)
    timer = timed.after(3600)
    system.tell(address, ActorExitRequest())
    await system.idle()
    assert timer._handle.cancelled()  # type: ignore[attr-defined]


# Exiting.


async def test_mail_behind_an_exit_request_is_a_dead_letter(system: LoopSystem) -> None:
    diary: list[str] = []
    diarist = system.spawn(Diarist, diary)
    for message in (Get(), ActorExitRequest(), Get(), Get()):
        system.tell(diarist, message)
    await system.idle()
    assert (diary, system.dead_letters) == (["Get", "ActorExitRequest"], 2)


async def test_an_actor_that_raises_on_its_exit_request_exits_all_the_same(system: LoopSystem) -> None:
    class Unwilling(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            raise RuntimeError

    actor = system.spawn(Unwilling)
    system.tell(actor, ActorExitRequest())
    await system.idle()
    assert state(system, actor) is None
    assert system.failures == 1


async def test_children_survive_an_exit_that_is_not_recursive(system: LoopSystem) -> None:
    parent = system.spawn(Parent)
    child = (await system.ask(parent, Make(), PATIENCE)).child
    system.tell(parent, ActorExitRequest(recursive=False))
    await system.idle()
    assert state(system, parent) is None
    assert await system.ask(child, Say("still here"), PATIENCE) == Said("still here!")


async def test_a_whole_family_ends_from_the_leaves_up(system: LoopSystem) -> None:
    grandparent = system.spawn(Grandparent)
    await system.ask(grandparent, Make(), PATIENCE)
    assert system.system_status().actors == 3
    system.tell(grandparent, ActorExitRequest())
    await system.idle()
    assert system.system_status().actors == 0


async def test_a_child_made_while_exiting_exits_too(system: LoopSystem) -> None:
    class Heir(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make) or (isinstance(msg, ChildActorExited) and len(made) < 3):
                made.append(self.createActor(Echo))

    made: list[ActorAddress] = []
    heir = system.spawn(Heir)
    system.tell(heir, Make())
    system.tell(heir, ActorExitRequest())
    await system.idle()
    assert len(made) == 3
    assert system.system_status().actors == 0


async def test_a_second_exit_request_changes_nothing(system: LoopSystem) -> None:
    parent = system.spawn(Parent)
    await system.ask(parent, Make(), PATIENCE)
    system.tell(parent, ActorExitRequest())
    system.tell(parent, ActorExitRequest())
    await system.idle()
    assert system.system_status().actors == 0


# Thespian's own questions.


async def test_thespians_status_request_is_answered(system: LoopSystem) -> None:
    parent = system.spawn(Parent)
    made = await system.ask(parent, Make(), PATIENCE)
    status = await system.ask(parent, Thespian_StatusReq(), PATIENCE)
    assert isinstance(status, Thespian_ActorStatus)
    assert (status.actorClass, status.childActors) == ("Parent", [made.child])
    assert status.miscKeyVals["handled"] == 2


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("loadActorSource", ("file",)),
        ("unloadActorSource", ("hash",)),
        ("registerSourceAuthority", ()),
        ("notifyOnSourceAvailability", ()),
        ("preRegisterRemoteSystem", ("address", {})),
        ("deRegisterRemoteSystem", ("address",)),
    ],
)
async def test_what_the_loop_does_not_do_says_so(
    system: LoopSystem, operation: str, arguments: tuple[Any, ...]
) -> None:
    actor = Counter()
    system.spawn(lambda: actor)
    with pytest.raises(NotOnThisBase, match=operation):
        getattr(actor, operation)(*arguments)


async def test_capabilities_can_be_changed_and_asked_for(system: LoopSystem) -> None:
    class Needy(Actor):
        def __init__(self, capabilities: dict[str, Any], requirements: Any) -> None:
            self.seen = (capabilities["gpu"], requirements)

        @staticmethod
        def actorSystemCapabilityCheck(capabilities: dict[str, Any], _requirements: Any) -> bool:
            return bool(capabilities.get("gpu"))

        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Get):
                self.send(sender, self.seen)

    class Owner(Diarist):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            super().receiveMessage(msg, sender)
            if isinstance(msg, Make):
                self.needy = self.createActor(Needy, "big")
                self.updateCapability("gpu", 1)
            elif isinstance(msg, Get):
                self.needy = self.createActor(Needy, "big")
                self.send(self.needy, Get())
                self.updateCapability("gpu")
            elif isinstance(msg, tuple):
                self.diary.append(repr(msg))

    diary: list[str] = []
    owner = system.spawn(Owner, diary)
    system.tell(owner, Make())
    system.tell(owner, Get())
    await system.idle()
    assert sorted(diary) == sorted(["Make", "Get", "ChildActorExited", "tuple", "(1, 'big')"])
    assert "gpu" not in system.capabilities


class Sharer(LoopActor):
    """Shares its turn with another actor, and notes when the other one is done."""

    def __init__(self, child: ActorAddress, notes: list[Any]) -> None:
        self._child = child
        self._notes = notes

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, Say):
            self.share(self._child, message)
            self._notes.append(("shared", message.text))
        else:
            self._notes.append(message)


class Listener(LoopActor):
    """Notes what it is told; fails on request, and asks for more when told to."""

    def __init__(self, notes: list[Any]) -> None:
        self._notes = notes

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, Say):
            if message.text == "fail":
                raise RuntimeError
            self._notes.append(("heard", message.text))
            if message.text == "again":
                self.send(sender, Say("later"))


async def test_a_shared_message_is_handled_within_the_turn(system: LoopSystem) -> None:
    notes: list[Any] = []
    child = system.spawn(Listener, notes)
    parent = system.spawn(Sharer, child, notes)
    for text in ("one", "two"):
        system.tell(parent, Say(text))
    await system.idle()
    assert notes == [("heard", "one"), ("shared", "one"), ("heard", "two"), ("shared", "two")]
    status = system.status(child)
    assert status is not None
    assert (status.handled, status.depth) == (2, 0)


async def test_a_shared_message_overtakes_nothing(system: LoopSystem) -> None:
    notes: list[Any] = []
    child = system.spawn(Listener, notes)
    parent = system.spawn(Sharer, child, notes)
    system.tell(parent, Say("second"))
    system.tell(child, Say("first"))
    await system.idle()
    assert notes == [("shared", "second"), ("heard", "first"), ("heard", "second")]


async def test_what_an_actor_sends_in_a_shared_turn_takes_its_own(system: LoopSystem) -> None:
    notes: list[Any] = []
    child = system.spawn(Listener, notes)
    parent = system.spawn(Sharer, child, notes)
    system.tell(parent, Say("again"))
    await system.idle()
    assert notes == [("heard", "again"), ("shared", "again"), ("heard", "later"), ("shared", "later")]


async def test_a_failure_in_a_shared_turn_is_the_failing_actors_own(system: LoopSystem) -> None:
    notes: list[Any] = []
    child = system.spawn(Listener, notes)
    parent = system.spawn(Sharer, child, notes)
    for text in ("fail", "next"):
        system.tell(parent, Say(text))
    await system.idle()
    poisoned = [note for note in notes if isinstance(note, PoisonMessage)]
    assert [note for note in notes if note not in poisoned] == [
        ("shared", "fail"),
        ("heard", "next"),
        ("shared", "next"),
    ]
    assert len(poisoned) == 1
    assert system.failures == 2


async def test_a_turn_is_not_shared_with_an_actor_that_is_gone(system: LoopSystem) -> None:
    notes: list[Any] = []
    child = system.spawn(Listener, notes)
    parent = system.spawn(Sharer, child, notes)
    system.tell(child, ActorExitRequest())
    await system.idle()
    system.tell(parent, Say("one"))
    await system.idle()
    assert notes == [("shared", "one")]
    assert system.dead_letters == 1
