"""`LoopActor`: what the loop adds, and how it behaves on Thespian's other bases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from thespian.actors import Actor, ActorAddress, ActorSystem, ActorTypeDispatcher, WakeupMessage

from actors.system import AskTimeout, LoopActor, LoopSystem, NotOnThisBase, Supervision, handles
from tests.actors.system.cast import Add, Counter, Echo, Events, Get, Made, Make, Number, Said, Say

PATIENCE = 20.0


class Maker(LoopActor):
    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Make):
            child = self.spawn(Counter, name="the child", mailbox=7, supervision=Supervision())
            assert self.spawn(Counter, name="the child") == child
            self.send(sender, Made(child))


class Elsewhere(LoopActor):
    """Tries what only the loop can do, and what works everywhere."""

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, Make):
            self.refused = []
            try:
                self.spawn(Echo)
            except NotOnThisBase as error:
                self.refused.append(error.operation)
            self.asker = sender
            self.after(0.01, "payload").cancel()
        elif isinstance(msg, WakeupMessage):
            assert msg.payload == "payload"
            self.send(self.asker, Events(tuple(self.refused)))


async def test_spawn_makes_a_child_with_all_options() -> None:
    system = LoopSystem()
    maker = system.spawn(Maker)
    child = (await system.ask(maker, Make(), PATIENCE)).child
    assert (await system.ask(maker, Make(), PATIENCE)).child == child
    system.tell(child, Add(3))
    assert await system.ask(child, Get(), PATIENCE) == Number(3)
    status, parent = system.status(child), system.status(maker)
    assert status is not None
    assert parent is not None
    assert (status.bound, status.name, parent.children) == (7, "the child", 1)
    await system.shutdown(PATIENCE)
    assert system.system_status().actors == 0


def test_on_another_base_it_says_what_to_do_and_wakes_up_even_when_cancelled() -> None:
    system = ActorSystem("simpleSystemBase", transientUnique=True, logDefs=False)
    answer = system.ask(system.createActor(Elsewhere), Make(), timedelta(seconds=5))
    assert answer == Events(("spawn",))
    system.shutdown()


async def test_it_mixes_with_thespians_dispatcher() -> None:
    class Dispatching(LoopActor, ActorTypeDispatcher):
        def receiveMsg_Say(self, message: Say, sender: ActorAddress) -> None:
            self.send(sender, Said(message.text))

    system = LoopSystem()
    assert await system.ask(system.spawn(Dispatching), Say("hello"), PATIENCE) == Said("hello")
    await system.shutdown(PATIENCE)


async def test_a_message_goes_to_the_method_that_handles_its_class() -> None:
    class Polite(LoopActor):
        @handles(Say, Get)
        def _on_word(self, message: Say | Get, sender: ActorAddress) -> None:
            self.send(sender, Said(type(message).__name__))

    class Politer(Polite):
        @handles(Say)
        def _on_say(self, message: Say, sender: ActorAddress) -> None:
            self.send(sender, Said(f"{message.text}, thank you"))

        def unhandled(self, message: Any, sender: ActorAddress) -> None:
            self.send(sender, Said("pardon?"))

    system = LoopSystem()
    polite, politer = system.spawn(Polite), system.spawn(Politer)
    assert await system.ask(polite, Say("hello"), PATIENCE) == Said("Say")
    assert await system.ask(politer, Say("hello"), PATIENCE) == Said("hello, thank you")
    assert await system.ask(politer, Get(), PATIENCE) == Said("Get")
    assert await system.ask(politer, Make(), PATIENCE) == Said("pardon?")
    with pytest.raises(AskTimeout):
        await system.ask(polite, Make(), 0.01)
    assert system.failures == 0
    await system.shutdown(PATIENCE)


async def test_what_is_no_address_is_refused_by_plain_actors_and_a_dead_letter_of_ours() -> None:
    class Plain(Actor):
        def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
            if isinstance(msg, Make):
                self.send("nobody", Get())

    class Ours(LoopActor):
        receiveMessage = Plain.receiveMessage

    system = LoopSystem()
    system.tell(system.spawn(Ours), Make())
    await system.idle()
    assert (system.failures, system.dead_letters) == (0, 1)
    system.tell(system.spawn(Plain), Make())
    await system.idle()
    assert system.failures == 2
    await system.shutdown(PATIENCE)
