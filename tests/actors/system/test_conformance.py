"""One suite, the same actor classes, every system base: what Thespian promises holds on all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from thespian.actors import ActorAddress, ActorExitRequest, ActorSystem

from actors.names import Name
from actors.system import LoopSystem, actor_system
from examples.group_actors import Begin, Follow, Moderator, Report, Watcher
from tests.actors.system import cast
from tests.actors.system.cast import Add, Events, Fail, Get, Made, Make, Number, Said, Say, Tell, Wake, Words

PATIENCE = 20.0
"""Seconds to wait for what must come; only a failure waits that long."""


def loop_based(**options: Any) -> Iterator[ActorSystem]:
    loop = asyncio.new_event_loop()
    system = actor_system(LoopSystem(loop=loop, **options))
    yield system
    system.shutdown()
    loop.close()


def simple() -> Iterator[ActorSystem]:
    system = ActorSystem("simpleSystemBase", transientUnique=True, logDefs=False)
    yield system
    system.shutdown()


BASES: dict[str, Callable[[], Iterator[ActorSystem]]] = {
    "simple": simple,
    "loop": loop_based,
    "strict": lambda: loop_based(vocabulary=Words()),
}


@pytest.fixture(params=BASES)
def system(request: pytest.FixtureRequest) -> Iterator[ActorSystem]:
    yield from BASES[request.param]()


def seen_by(system: ActorSystem, actor: ActorAddress, *expected: str) -> None:
    """Ask for an actor's events until they are as expected."""
    deadline = time.monotonic() + PATIENCE
    while (events := system.ask(actor, Get(), PATIENCE)) != Events(expected):
        assert time.monotonic() < deadline, events


def test_an_answer_comes_to_ask(system: ActorSystem) -> None:
    echo = system.createActor(cast.Echo)
    assert system.ask(echo, Say("hello"), PATIENCE) == Said("hello!")


def test_told_messages_are_handled_in_order(system: ActorSystem) -> None:
    counter = system.createActor(cast.Counter)
    for amount in range(100):
        system.tell(counter, Add(amount))
    assert system.ask(counter, Get(), PATIENCE) == Number(4950)


def test_listen_returns_later_answers(system: ActorSystem) -> None:
    echo = system.createActor(cast.Echo)
    system.tell(echo, Say("one"))
    system.tell(echo, Say("two"))
    assert [system.listen(PATIENCE) for _ in range(2)] == [Said("one!"), Said("two!")]


def test_listen_returns_none_when_nothing_comes(system: ActorSystem) -> None:
    assert system.listen(0.01) is None


def test_a_child_can_be_created_and_its_address_passed_on(system: ActorSystem) -> None:
    parent = system.createActor(cast.Parent)
    made = system.ask(parent, Make(), PATIENCE)
    assert isinstance(made, Made)
    assert system.ask(made.child, Say("hello"), PATIENCE) == Said("hello!")


def test_an_address_in_a_message_reaches_the_same_actor(system: ActorSystem) -> None:
    talker, echo = system.createActor(cast.Talker), system.createActor(cast.Echo)
    assert system.ask(talker, Tell(echo, "hi"), PATIENCE) == Said("he said hi!")


def test_a_wakeup_comes_with_its_payload(system: ActorSystem) -> None:
    sleeper = system.createActor(cast.Sleeper)
    assert system.ask(sleeper, Wake(0.01), PATIENCE) == Said("payload 0.01")


def test_a_message_that_fails_once_is_retried(system: ActorSystem) -> None:
    counter = system.createActor(cast.Counter)
    assert system.ask(counter, Fail(1), PATIENCE) == Number(1)


def test_a_message_that_always_fails_comes_back_as_poison(system: ActorSystem) -> None:
    choker, talker = system.createActor(cast.Choker), system.createActor(cast.Talker)
    assert system.ask(talker, Tell(choker, "fish bone"), PATIENCE) == Said("poison Say")


def test_an_actor_outlives_its_failures(system: ActorSystem) -> None:
    counter = system.createActor(cast.Counter)
    system.tell(counter, Add(5))
    system.tell(counter, Fail(10))
    assert not isinstance(system.ask(counter, Fail(0), PATIENCE), Said)
    while (answer := system.ask(counter, Get(), PATIENCE)) != Number(5):
        assert answer is not None


def test_a_parent_learns_that_a_child_exited(system: ActorSystem) -> None:
    parent = system.createActor(cast.Parent)
    made = system.ask(parent, Make(), PATIENCE)
    system.tell(made.child, ActorExitRequest())
    seen_by(system, parent, "child exited")


def test_a_parent_learns_that_a_child_could_not_be_made(system: ActorSystem) -> None:
    parent = system.createActor(cast.ParentOfStillborn)
    system.tell(parent, Make())
    seen_by(system, parent, "child exited")


def test_children_exit_with_their_parent(system: ActorSystem) -> None:
    mourner = system.createActor(cast.Mourner)
    assert system.ask(mourner, Make(), PATIENCE) == Said("ready")
    parent = system.createActor(cast.Parent)
    child = system.ask(parent, Make(), PATIENCE).child
    system.tell(parent, ActorExitRequest())
    deadline = time.monotonic() + PATIENCE
    while system.ask(child, Say("anybody?"), 0.05) is not None:
        assert time.monotonic() < deadline
    while "Say" not in system.ask(mourner, Get(), PATIENCE).seen:
        assert time.monotonic() < deadline


def test_the_dead_answer_nobody_and_their_letters_are_handled(system: ActorSystem) -> None:
    mourner = system.createActor(cast.Mourner)
    assert system.ask(mourner, Make(), PATIENCE) == Said("ready")
    echo = system.createActor(cast.Echo)
    system.tell(echo, ActorExitRequest())
    assert system.ask(echo, Say("hello"), 0.05) is None
    seen_by(system, mourner, "Say")


def test_a_global_name_names_one_actor(system: ActorSystem) -> None:
    first = system.createActor(cast.Counter, globalName="the counter")
    second = system.createActor(cast.Counter, globalName="the counter")
    assert first == second
    system.tell(first, Add(2))
    assert system.ask(second, Get(), PATIENCE) == Number(2)


def test_a_class_can_be_given_by_its_name(system: ActorSystem) -> None:
    echo = system.createActor("tests.actors.system.cast.Echo")
    assert system.ask(echo, Say("hello"), PATIENCE) == Said("hello!")


def test_a_private_endpoint_gets_its_own_answers(system: ActorSystem) -> None:
    echo = system.createActor(cast.Echo)
    with system.private() as private:
        private.tell(echo, Say("private"))
        assert system.ask(echo, Say("public"), PATIENCE) == Said("public!")
        assert private.listen(PATIENCE) == Said("private!")


def test_three_generations_exit_together(system: ActorSystem) -> None:
    grandparent = system.createActor(cast.Grandparent)
    assert isinstance(system.ask(grandparent, Make(), PATIENCE), Made)
    system.tell(grandparent, ActorExitRequest())
    assert system.ask(grandparent, Get(), 0.05) is None


def test_initializing_messages_come_before_all_others(system: ActorSystem) -> None:
    actor = system.createActor(cast.Initialized)
    system.tell(actor, Get())
    system.tell(actor, Say("hello"))
    system.tell(actor, Add(41))
    assert system.listen(PATIENCE) == Number(42)
    assert system.ask(actor, Get(), PATIENCE) == Number(42)


def test_a_transient_actor_ends_by_itself(system: ActorSystem) -> None:
    actor = system.createActor(cast.Transient)
    deadline = time.monotonic() + PATIENCE
    while system.ask(actor, Say("still there?"), 0.03) is not None:
        assert time.monotonic() < deadline
        # Its moment begins anew with every message: leave it alone for longer than that.
        system.listen(0.05)


# Actors of the product that are promised to run on every base.


def reports(system: ActorSystem, last: str) -> list[str]:
    """What is reported, up to the report `last`."""
    texts = []
    deadline = time.monotonic() + PATIENCE
    while last not in texts:
        assert time.monotonic() < deadline, texts
        report = system.listen(PATIENCE)
        if isinstance(report, Report):
            texts.append(report.text)
    return texts


def test_a_scripted_moderator_leads_its_group(system: ActorSystem) -> None:
    house, moderator = system.createActor(cast.House), system.createActor(Moderator)
    guests = tuple(Name("org", "house", guest) for guest in ("ann", "bob"))
    system.tell(moderator, Begin(house, Name("org", "house", "stage"), guests, "Macbeth"))
    assert reports(system, "bob has joined") == ["the group is open", "ann has joined", "bob has joined"]
    system.tell(house, Say("ann: good evening"))
    system.tell(house, Say("bob: macbeth!"))
    assert reports(system, "the group is closed") == [
        "ann says: good evening",
        "bob says: macbeth!",
        "bob is out (removed)",
        "the group is closed",
    ]
    deadline = time.monotonic() + PATIENCE
    while system.ask(house, Get(), PATIENCE) != Number(2):
        assert time.monotonic() < deadline


def test_a_watcher_follows_the_group_of_another(system: ActorSystem) -> None:
    house, moderator = system.createActor(cast.House), system.createActor(Moderator)
    watcher = system.createActor(Watcher)
    guests = (Name("org", "house", "ann"), Name("org", "house", "bob"))
    system.tell(watcher, Follow(house))
    assert reports(system, "in the group: leader") == ["in the group: leader"]
    with system.private() as script:
        script.tell(moderator, Begin(house, Name("org", "house", "stage"), guests, "macbeth"))
        seen = reports(system, "in the group: leader, ann, bob")
        assert seen == ["in the group: leader, ann", "in the group: leader, ann, bob"]
        system.tell(house, Say("ann: macbeth"))
        assert reports(system, "in the group: leader, bob") == ["in the group: leader, bob"]


def test_a_troupe_shares_the_work(system: ActorSystem, request: pytest.FixtureRequest) -> None:
    if "strict" in request.node.name:
        pytest.skip("a troupe wraps messages in a class of its own, which no vocabulary declares")
    troupe = system.createActor(cast.Worker)
    for number in range(10):
        system.tell(troupe, Say(str(number)))
    assert {system.listen(PATIENCE) for _ in range(10)} == {Said(f"{number}!") for number in range(10)}
