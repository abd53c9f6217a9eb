"""What else stands behind an address: waiting asks, inboxes, and strict mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from thespian.actors import ActorAddress, ActorExitRequest

from actors.system import (
    ActorFailed,
    ActorGone,
    AskTimeout,
    LoopActor,
    LoopSystem,
    NotInVocabulary,
)
from actors.system.address import Address
from tests.actors.system.cast import (
    Choker,
    Diarist,
    Echo,
    Get,
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


# Asking.


async def test_ask_returns_the_answer(system: LoopSystem) -> None:
    assert await system.ask(system.spawn(Echo), Say("hello"), PATIENCE) == Said("hello!")


async def test_many_asks_get_their_own_answers(system: LoopSystem) -> None:
    echo = system.spawn(Echo)
    answers = await asyncio.gather(*(system.ask(echo, Say(str(i)), PATIENCE) for i in range(200)))
    assert answers == [Said(f"{i}!") for i in range(200)]
    assert system.system_status().asks == 0


async def test_ask_times_out(system: LoopSystem) -> None:
    silent = system.spawn(Diarist, [])
    with pytest.raises(AskTimeout, match=r"no answer to Say from loop:\d+: none within 0.01 s") as caught:
        await system.ask(silent, Say("hello"), 0.01)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.actor, caught.value.message, caught.value.timeout) == (str(silent), "Say", 0.01)


async def test_a_late_answer_is_a_dead_letter() -> None:
    arrived = asyncio.Event()
    system = LoopSystem(on_dead_letter=lambda *_: arrived.set())
    with pytest.raises(AskTimeout):
        await system.ask(system.spawn(Sleeper), Wake(0.01), 0.001)
    await asyncio.wait_for(arrived.wait(), PATIENCE)
    assert system.dead_letters == 1


async def test_a_cancelled_ask_leaves_nothing_behind(system: LoopSystem) -> None:
    waiting = asyncio.ensure_future(system.ask(system.spawn(Diarist, []), Say("hello"), PATIENCE))
    await asyncio.sleep(0)
    assert system.system_status().asks == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert system.system_status().asks == 0


async def test_asking_the_dead_fails_at_once(system: LoopSystem) -> None:
    echo = system.spawn(Echo)
    system.tell(echo, ActorExitRequest())
    await system.idle()
    for nobody in (echo, Address(0), ActorAddress("/A~a")):
        with pytest.raises(ActorGone):
            await system.ask(nobody, Say("hello"), PATIENCE)


async def test_asking_one_who_exits_before_its_turn_fails_at_once(system: LoopSystem) -> None:
    echo = system.spawn(Echo)
    system.tell(echo, ActorExitRequest())
    with pytest.raises(ActorGone):
        await system.ask(echo, Say("hello"), PATIENCE)


async def test_asking_one_who_raises_twice_fails_with_its_traceback(system: LoopSystem) -> None:
    with pytest.raises(ActorFailed) as caught:
        await system.ask(system.spawn(Choker), Say("hello"), PATIENCE)
    assert caught.value.details is not None
    assert "cannot swallow that" in caught.value.details


# Ports.


async def test_an_inbox_hands_messages_to_a_callable(system: LoopSystem) -> None:
    got: list[tuple[Any, ActorAddress]] = []
    inbox = system.inbox(lambda message, sender: got.append((message, sender)))
    echo = system.spawn(Echo)
    system.tell(echo, Say("hello"), inbox)
    await system.idle()
    assert got == [(Said("hello!"), echo)]


async def test_an_inbox_that_raises_is_counted_and_lives_on(system: LoopSystem) -> None:
    got: list[Any] = []

    def callback(message: Any, _sender: ActorAddress) -> None:
        got.append(message)
        raise RuntimeError("no")

    inbox = system.inbox(callback)
    system.tell(inbox, Get())
    system.tell(inbox, Get())
    await system.idle()
    assert got == [Get(), Get()]
    assert system.failures == 2


async def test_what_comes_to_an_inbox_may_be_given_to_another_callable(system: LoopSystem) -> None:
    first: list[Any] = []
    second: list[Any] = []

    def callback(message: Any, _sender: ActorAddress) -> None:
        first.append(message)
        system.redirect_inbox(inbox, lambda message, _sender: second.append(message))

    inbox = system.inbox(callback)
    for _ in range(3):
        system.tell(inbox, Get())
    await system.idle()
    assert (len(first), len(second)) == (1, 2)
    system.close_inbox(inbox)
    system.redirect_inbox(inbox, callback)
    assert not system.tell(inbox, Get())


async def test_a_closed_inbox_gets_nothing(system: LoopSystem) -> None:
    got: list[Any] = []
    inbox = system.inbox(lambda message, _sender: got.append(message))
    system.tell(inbox, Get())
    system.close_inbox(inbox)
    system.close_inbox(inbox)
    assert not system.tell(inbox, Get())
    await system.idle()
    assert (got, system.dead_letters) == ([], 2)


async def test_an_inbox_that_closes_itself_gets_nothing_more(system: LoopSystem) -> None:
    got: list[Any] = []
    others: list[Any] = []

    def callback(message: Any, _sender: ActorAddress) -> None:
        got.append(message)
        system.close_inbox(inbox)

    inbox = system.inbox(callback)
    other = system.inbox(lambda message, _sender: others.append(message))
    for _ in range(3):
        system.tell(inbox, Get())
    system.tell(other, Get())
    await system.idle()
    assert (got, others) == ([Get()], [Get()])
    assert (system.failures, system.dead_letters) == (0, 2)


# Strict mode.


async def test_strict_mode_refuses_what_is_not_declared() -> None:
    system = LoopSystem(vocabulary=Words())
    echo, inbox = system.spawn(Echo), system.inbox(lambda *_: None)
    for target in (echo, inbox):
        with pytest.raises(NotInVocabulary, match=r"builtins\.dict is not a message of the vocabulary"):
            system.tell(target, {"smuggled": object()})
    with pytest.raises(NotInVocabulary):
        await system.ask(echo, "plain text", PATIENCE)


async def test_strict_mode_refuses_an_answer_that_is_not_declared() -> None:
    class Smuggler(LoopActor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            self.send(sender, object())

    system = LoopSystem(vocabulary=Words())
    with pytest.raises(ActorFailed) as caught:
        await system.ask(system.spawn(Smuggler), Get(), PATIENCE)
    assert "NotInVocabulary" in (caught.value.details or "")


async def test_strict_mode_hands_over_copies() -> None:
    got: list[Any] = []
    system = LoopSystem(vocabulary=Words())
    said = Say("hello")
    system.tell(system.inbox(lambda message, _sender: got.append(message)), said)
    await system.idle()
    assert got == [said]
    assert got[0] is not said
