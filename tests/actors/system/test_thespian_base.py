"""Thespian's blocking calls on the loop, from every side of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ActorSystem,
    InvalidActorSourceHash,
    NoCompatibleSystemForActor,
)

from actors.system import BlockingCall, LoopSystem, NotInVocabulary, NotOnThisBase, actor_system
from tests.actors.system.cast import (
    Counter,
    Echo,
    Get,
    Made,
    Make,
    Mourner,
    Number,
    Parent,
    Said,
    Say,
    Stillborn,
    Words,
)

PATIENCE = 20.0


@pytest.fixture
def elsewhere() -> Iterator[ActorSystem]:
    """A system whose loop runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    system = actor_system(LoopSystem(loop=loop))
    yield system
    system.shutdown()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


@pytest.fixture
def still() -> Iterator[ActorSystem]:
    """A system whose loop runs only while it is asked."""
    loop = asyncio.new_event_loop()
    system = actor_system(LoopSystem(loop=loop, vocabulary=Words()))
    yield system
    system.shutdown()
    loop.close()


def test_another_thread_may_block(elsewhere: ActorSystem) -> None:
    echo = elsewhere.createActor(Echo)
    assert elsewhere.ask(echo, Say("hello"), PATIENCE) == Said("hello!")
    elsewhere.tell(echo, Say("again"))
    assert elsewhere.listen(timedelta(seconds=PATIENCE)) == Said("again!")
    assert elsewhere.listen(0) is None


def test_threads_with_private_endpoints_get_their_own_answers(elsewhere: ActorSystem) -> None:
    echo = elsewhere.createActor(Echo)
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        with elsewhere.private() as private:
            answers[number] = [private.ask(echo, Say(f"{number}.{i}"), PATIENCE) for i in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == {number: [Said(f"{number}.{i}!") for i in range(20)] for number in range(4)}


async def test_on_the_loops_thread_nothing_blocks() -> None:
    system = LoopSystem()
    face = actor_system(system)
    counter = face.createActor(Counter)
    face.tell(counter, Make())
    with pytest.raises(BlockingCall, match=r"ActorSystem\.ask would block the running loop"):
        face.ask(counter, Get(), PATIENCE)
    with pytest.raises(BlockingCall, match="listen"):
        face.listen(PATIENCE)
    assert await system.ask(counter, Get(), PATIENCE) == Number(0)
    face.shutdown()
    assert system.system_status().stopping
    await system.shutdown(PATIENCE)


def test_messages_outside_the_vocabulary_are_refused_at_the_call(still: ActorSystem) -> None:
    echo = still.createActor(Echo)
    for call in (still.tell, lambda actor, message: still.ask(actor, message, PATIENCE)):
        with pytest.raises(NotInVocabulary):
            call(echo, object())


def test_a_class_that_cannot_be_made_raises(still: ActorSystem) -> None:
    with pytest.raises(RuntimeError, match="never born"):
        still.createActor(Stillborn)
    with pytest.raises(InvalidActorSourceHash):
        still.createActor(Echo, sourceHash="1234")


def test_a_capability_that_is_missing_raises(still: ActorSystem) -> None:
    class Needy(Actor):
        @staticmethod
        def actorSystemCapabilityCheck(capabilities: dict[str, Any], _requirements: Any) -> bool:
            return bool(capabilities.get("gpu"))

        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            pass

    with pytest.raises(NoCompatibleSystemForActor):
        still.createActor(Needy)
    still.updateCapability("gpu", True)
    assert still.createActor(Needy)


def test_source_is_not_loaded(still: ActorSystem) -> None:
    for call in (still.loadActorSource, still.unloadActorSource):
        with pytest.raises(NotOnThisBase):
            call("something")


def test_dead_letters_can_be_handled_from_outside(still: ActorSystem) -> None:
    mourner, echo = still.createActor(Mourner), still.createActor(Echo)
    still._handleDeadLetters(mourner, True)
    still.tell(echo, ActorExitRequest())
    still.tell(echo, Say("hello"))
    assert still.ask(mourner, Get(), PATIENCE).seen == ("Say",)
    still._handleDeadLetters(mourner, False)
    still.tell(echo, Say("hello"))
    assert still.ask(mourner, Get(), PATIENCE).seen == ("Say",)


def test_it_is_not_the_singleton_of_the_process(still: ActorSystem) -> None:
    assert not hasattr(ActorSystem, "systemBase") or ActorSystem.systemBase is not still._systemBase


def test_shutdown_ends_all_actors() -> None:
    loop = asyncio.new_event_loop()
    system = LoopSystem(loop=loop)
    face = actor_system(system)
    assert isinstance(face.ask(face.createActor(Parent), Make(), PATIENCE), Made)
    face.shutdown()
    assert system.system_status()[:3] == (0, 0, 0)
    loop.close()
