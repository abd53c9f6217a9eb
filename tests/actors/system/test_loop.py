"""The loop's own work: mailboxes, turns, names, dead letters, status, threads, shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thespian.actors import ActorAddress, ActorExitRequest

from actors.system import (
    LoopActor,
    LoopSystem,
    MailboxFull,
    State,
    Supervision,
    SystemStopped,
)
from actors.system.address import Address
from actors.system.loop import ACTOR_BUDGET, LOOP_BUDGET
from tests.actors.system.cast import (
    Add,
    Choker,
    Counter,
    Diarist,
    Echo,
    Fail,
    Get,
    Make,
    Number,
    Parent,
    Said,
    Say,
    Sleeper,
    Wake,
    Words,
)

PATIENCE = 20.0


@pytest.fixture(params=["loose", "strict"])
async def system(request: pytest.FixtureRequest) -> AsyncIterator[LoopSystem]:
    system = LoopSystem(vocabulary=Words() if request.param == "strict" else None)
    yield system
    await system.shutdown(PATIENCE)


# Mailboxes.


async def test_a_full_mailbox_refuses_and_counts(system: LoopSystem) -> None:
    counter = system.spawn(Counter, mailbox=3)
    assert [system.tell(counter, Add(1)) for _ in range(5)] == [True, True, True, False, False]
    with pytest.raises(MailboxFull) as caught:
        await system.ask(counter, Get(), PATIENCE)
    assert caught.value.bound == 3
    status = system.status(counter)
    assert status is not None
    assert (status.depth, status.bound, status.refused, system.refused) == (3, 3, 3, 3)
    await system.idle()
    assert await system.ask(counter, Get(), PATIENCE) == Number(3)


async def test_a_flooded_slow_actor_keeps_its_bound_and_harms_nobody(system: LoopSystem) -> None:
    class Flood(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make):
                for _ in range(10_000):
                    self.send(slow, Add(1))

    slow, echo, flood = system.spawn(Counter, mailbox=100), system.spawn(Echo), system.spawn(Flood)
    system.tell(flood, Make())
    assert await system.ask(echo, Say("hello"), PATIENCE) == Said("hello!")
    await system.idle()
    assert await system.ask(slow, Get(), PATIENCE) == Number(100)
    assert system.refused == 9_900


async def test_an_exit_request_gets_into_a_full_mailbox(system: LoopSystem) -> None:
    counter = system.spawn(Counter, mailbox=1)
    system.tell(counter, Add(1))
    assert system.tell(counter, ActorExitRequest())
    await system.idle()
    assert system.status(counter) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["tell", "tell", "tell", "fail", "exit", "turn"]), st.integers(0, 2)),
        max_size=80,
    )
)
def test_every_message_is_handled_or_refused_or_a_dead_letter(steps: list[tuple[str, int]]) -> None:
    got: dict[int, list[int]] = {0: [], 1: [], 2: []}
    dead: set[int] = set()
    refused: set[int] = set()

    class Collector(LoopActor):
        def __init__(self, which: int) -> None:
            self.which = which

        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Add):
                got[self.which].append(msg.amount)
            elif isinstance(msg, Fail):
                raise RuntimeError

    def hook(_address: ActorAddress, message: Any, _sender: ActorAddress) -> None:
        if isinstance(message, Add):
            dead.add(message.amount)

    async def play() -> None:
        system = LoopSystem(on_dead_letter=hook)
        rule = Supervision(max_restarts=2, period=3600, backoff=0)
        actors = [system.spawn(Collector, which, mailbox=4, supervision=rule) for which in range(3)]
        for number, (step, which) in enumerate(steps):
            if step == "tell":
                if not system.tell(actors[which], Add(number)) and number not in dead:
                    refused.add(number)
            elif step == "fail":
                system.tell(actors[which], Fail(2))
            elif step == "exit":
                system.tell(actors[which], ActorExitRequest())
            else:
                await asyncio.sleep(0)
        await system.shutdown(PATIENCE)
        assert system.system_status()[:4] == (0, 0, 0, 0)

    asyncio.run(play())
    handled = [number for numbers in got.values() for number in numbers]
    assert all(numbers == sorted(numbers) for numbers in got.values())
    told = [number for number, (step, _) in enumerate(steps) if step == "tell"]
    assert sorted([*handled, *dead, *refused]) == told


# Turns.


async def test_every_ready_actor_gets_its_turn(system: LoopSystem) -> None:
    diary: list[str] = []
    first, second = system.spawn(Diarist, diary, "1"), system.spawn(Diarist, diary, "2")
    for _ in range(ACTOR_BUDGET + 1):
        system.tell(first, Get())
    system.tell(second, Get())
    await system.idle()
    assert diary == [*["1Get"] * ACTOR_BUDGET, "2Get", "1Get"]


async def test_the_loop_gets_its_turn_while_actors_have_work(system: LoopSystem) -> None:
    diary: list[str] = []
    system.spawn(Diarist, diary)
    for _ in range(LOOP_BUDGET):
        system.tell(system.spawn(Diarist, diary), Get())
        system.tell(system.spawn(Diarist, diary), Get())
    await asyncio.sleep(0)
    assert len(diary) == LOOP_BUDGET
    await system.idle()
    assert len(diary) == 2 * LOOP_BUDGET


async def test_messages_keep_their_order_over_turns(system: LoopSystem) -> None:
    seen: list[int] = []

    class Order(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Add):
                seen.append(msg.amount)
                if msg.amount < 500:
                    self.send(self.myAddress, Add(msg.amount + 1000))

    order = system.spawn(Order)
    for amount in range(1000):
        system.tell(order, Add(amount))
    await system.idle()
    assert seen == [*range(1000), *range(1000, 1500)]


async def test_an_interrupt_out_of_an_actor_stops_no_other(system: LoopSystem) -> None:
    class Interrupted(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make):
                raise SystemExit

    actor = system.spawn(Interrupted)
    counter = system.spawn(Counter)
    system.tell(actor, Make())
    system.tell(counter, Add(1))
    with pytest.raises(SystemExit):
        system._turn()
    await system.idle()
    assert await system.ask(counter, Get(), PATIENCE) == Number(1)
    assert system.tell(actor, Get())
    await system.idle()
    status = system.status(actor)
    assert status is not None
    assert status.depth == 0


async def test_each_actor_has_its_slowest_turn_while_turns_are_timed(system: LoopSystem) -> None:
    now, slow = 0.0, list[tuple[float, float]]()

    class Busy(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            nonlocal now
            if isinstance(msg, Add):
                now += msg.amount

    def slowest() -> list[float]:
        return [status.slowest_turn for one in (first, second) if (status := system.status(one))]

    first, second = system.spawn(Busy), system.spawn(Busy)
    system.tell(first, Add(9))
    await system.idle()
    assert slowest() == [0.0, 0.0], "nobody looks"
    system.time_turns(lambda: now, lambda seconds, at: slow.append((seconds, at)))
    for actor, number in ((first, 2), (first, 3), (second, 4)):
        system.tell(actor, Add(number))
    await system.idle()
    assert slowest() == [5.0, 4.0], "two messages in one turn"
    assert slow == [(9.0, 18.0)]
    system.tell(first, Add(1))
    await system.idle()
    assert slowest() == [5.0, 4.0]
    system.time_turns(None)
    system.tell(second, Add(9))
    await system.idle()
    assert slowest() == [5.0, 4.0]
    assert len(slow) == 2


# Names.


async def test_a_name_is_given_once(system: LoopSystem) -> None:
    counter = system.spawn(Counter, name="counter")
    assert system.spawn(Choker, name="counter") == counter
    system.tell(counter, ActorExitRequest())
    await system.idle()
    assert system.spawn(Counter, name="counter") != counter


# Dead letters.


async def test_dead_letters_are_counted_and_shown_to_the_hook() -> None:
    letters: list[tuple[ActorAddress, Any, ActorAddress]] = []

    def hook(*letter: Any) -> None:
        letters.append(letter)
        raise RuntimeError("a hook may fail")

    system = LoopSystem(on_dead_letter=hook)
    echo = system.spawn(Echo)
    system.tell(echo, Say("before"))
    system.tell(echo, ActorExitRequest())
    system.tell(echo, Say("behind"))
    await system.idle()
    system.tell(echo, Say("after"))
    # The answer to the first went to the outside, where nobody reads.
    assert [(address, message) for address, message, _ in letters] == [
        (system.address, Said("before!")),
        (echo, Say("behind")),
        (echo, Say("after")),
    ]
    assert system.dead_letters == 3


# Status.


async def test_status_of_one_and_all(system: LoopSystem) -> None:
    parent = system.spawn(Parent, name="parent")
    await system.ask(parent, Make(), PATIENCE)
    status = system.status(parent)
    assert status is not None
    assert tuple(status._replace(handled=0)) == (
        *(str(parent), "Parent", "parent", State.RUNNING, 0, 65_536),
        *(0, 0, 0, 0, 1, 0, 0.0),
    )
    assert status.handled == 2
    assert len(system.cells()) == 2
    whole = system.system_status()
    assert (whole.actors, whole.inboxes, whole.depth, whole.stopping) == (2, 0, 0, False)


async def test_nobody_has_a_status(system: LoopSystem) -> None:
    assert system.status(Address(0)) is None
    assert system.status(ActorAddress("/A~a")) is None


async def test_failures_show_in_the_status(system: LoopSystem) -> None:
    counter = system.spawn(Counter)
    assert await system.ask(counter, Fail(1), PATIENCE) == Number(1)
    status = system.status(counter)
    assert status is not None
    assert (status.failures, system.failures) == (1, 1)


# Threads.


async def test_another_thread_may_tell(system: LoopSystem) -> None:
    arrived = asyncio.Event()
    inbox = system.inbox(lambda _message, _sender: arrived.set())
    thread = threading.Thread(target=system.tell_threadsafe, args=(inbox, Get()))
    thread.start()
    await asyncio.wait_for(arrived.wait(), PATIENCE)
    thread.join()


# Shutdown.


async def test_shutdown_ends_children_before_their_parents() -> None:
    diary: list[str] = []

    class Family(Diarist):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            super().receiveMessage(msg, sender)
            if isinstance(msg, Make):
                self.spawn(Diarist, self.diary, "child ")

    system = LoopSystem()
    system.tell(system.spawn(Family, diary, "parent "), Make())
    await system.idle()
    await system.shutdown(PATIENCE)
    assert diary == [
        "parent Make",
        "parent ActorExitRequest",
        "child ActorExitRequest",
        "parent ChildActorExited",
    ]
    assert system.system_status().actors == 0


async def test_shutdown_answers_those_who_wait() -> None:
    system = LoopSystem()
    waiting = asyncio.ensure_future(system.ask(system.spawn(Sleeper), Wake(3600), 3600))
    await system.idle()
    await asyncio.sleep(0)
    await system.shutdown(PATIENCE)
    with pytest.raises(SystemStopped):
        await waiting
    # No timer is left that would keep an actor alive.
    assert not [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]


async def test_after_shutdown_nothing_new_begins() -> None:
    system = LoopSystem()
    echo = system.spawn(Echo)
    await asyncio.gather(system.shutdown(PATIENCE), system.shutdown(PATIENCE))
    await system.shutdown(PATIENCE)
    assert not system.tell(echo, Say("hello"))
    for begin in (lambda: system.spawn(Echo), lambda: system.inbox(print)):
        with pytest.raises(SystemStopped):
            begin()
    with pytest.raises(SystemStopped):
        await system.ask(echo, Say("hello"), PATIENCE)


async def test_shutdown_does_not_wait_for_ever() -> None:
    system = LoopSystem()
    stuck = system.spawn(Echo)
    system._actors[stuck.number].scheduled = True  # so its turn never comes
    inbox = system.inbox(print)
    await system.shutdown(0.01)
    assert system.system_status()[:3] == (0, 0, 0)
    assert not system.tell(inbox, Get())


async def test_a_cancelled_shutdown_can_be_taken_up_again() -> None:
    system = LoopSystem()
    echo = system.spawn(Echo)
    cell = system._actors[echo.number]
    cell.scheduled = True
    shutdown = asyncio.ensure_future(system.shutdown(PATIENCE))
    await asyncio.sleep(0)
    shutdown.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shutdown
    cell._schedule()
    await system.shutdown(PATIENCE)
    assert system.system_status().actors == 0


async def test_an_actor_may_shut_the_system_down(system: LoopSystem) -> None:
    class Last(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make):
                self.actorSystemShutdown()

    system.spawn(Echo)
    system.tell(system.spawn(Last), Make())
    await system.idle()
    assert system.system_status().actors == 0
    assert system.system_status().stopping
