"""The receive loop ends with its session: not for one message, not for one member, not for a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from loguru import logger

from actors.errors import (
    ConnectionLost,
    MessageLost,
    MessageTooLarge,
    MessageUndelivered,
    NoRoute,
    ParticipantDisconnected,
    QueueFull,
    SessionClosed,
)
from actors.messages.session import Delivered
from actors.system import Address
from gateway import ConfigError, MemberLeft, Request, Session, Slim
from identity.errors import AuthError, SlimError
from tests.gateway.app_stage import AppStage, name

BOB = name("bob")


async def ends(stage: AppStage, timeout: float | None = 1.0) -> tuple[Session, Session]:
    """Both ends of a session of alice with bob."""
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    here = await alice.session(BOB, timeout=timeout)
    return here, await bob.listen_for_session(5)


async def collect(session: Session) -> list[bytes]:
    return [message.payload async for message in session]


ERRORS: list[Callable[[int], SlimError]] = [
    lambda id: MessageLost(id, "org/default/alice", 7),
    lambda id: MessageUndelivered(7, ("org/default/alice",)),
    lambda id: ParticipantDisconnected("org/default/alice", "left", session_id=id),
    lambda id: MessageTooLarge(5_000_000, 4_194_304),
    lambda id: NoRoute("org/default/alice"),
    lambda id: QueueFull("outbox", 512),
    lambda id: ConnectionLost("http://node", "gone"),
    lambda id: AuthError("no token"),
]


@pytest.mark.parametrize("timeout", [1.0, None])
async def test_no_error_among_the_messages_ends_it(process: AppStage, timeout: float | None) -> None:
    here, there = await ends(process, timeout)
    listening = asyncio.create_task(collect(there))
    for number, error in enumerate(ERRORS):
        there._receive(Delivered(there.id, (error(there.id),)), Address(1))
        await here.publish(b"%d" % number)
    await here.close()
    assert await asyncio.wait_for(listening, 5) == [b"%d" % number for number in range(len(ERRORS))]
    assert isinstance(there.closed_because, SessionClosed)


async def test_get_message_raises_it_as_published(process: AppStage) -> None:
    here, there = await ends(process)
    for error in ERRORS:
        told = error(there.id)
        there._receive(Delivered(there.id, (told,)), Address(1))
        await here.publish(b"after")
        with pytest.raises(type(told)):
            await there.get_message(5)
        assert (await there.get_message(5)).payload == b"after"


async def test_a_member_that_leaves_is_an_event(stage: AppStage) -> None:
    mo, m0, m1 = [await stage.app(app) for app in ("mo", "m0", "m1")]
    await stage.route(mo, "m0", "m1")
    group = await mo.group(name("channel"), ["org/default/m0", "org/default/m1"])
    first, second = await m0.listen_for_session(5), await m1.listen_for_session(5)
    events = group.events()
    hearing = asyncio.create_task(collect(group))
    await first.close()
    async for event in events:
        if isinstance(event, MemberLeft):
            assert event.member == m0.local_name
            break
    await (await second.publish(b"still here"))
    await group.close()
    assert await asyncio.wait_for(hearing, 5) == [b"still here"]
    assert isinstance(group.closed_because, SessionClosed)
    assert await collect(second) == []
    assert "closed" in str(second.closed_because)
    # It ended without our doing: what it was can be read.
    assert (second.id, second.dst) == (group_id(first, second), name("channel"))


def group_id(*sessions: Session) -> int:
    (id,) = {session._id for session in sessions}
    return id


@pytest.fixture
async def narrow() -> AsyncIterator[tuple[Slim, Session, Session]]:
    """Bob, and both ends of a session; alice's connection takes 100,000 bytes at most."""
    stage = AppStage("server")
    await stage.start()
    alice, bob = await stage.app("alice", connect=False), await stage.app("bob")
    await alice.connect(stage.client_config | {"max_message_size": 100_000})
    await stage.route(alice, "bob")
    here = await alice.session(BOB, timeout=0.2)
    yield bob, here, await bob.listen_for_session(5)
    await stage.close()


@pytest.mark.parametrize("gaps", ["events", "items"])
async def test_a_gap_is_an_event_or_an_item(narrow: tuple[Slim, Session, Session], gaps: str) -> None:
    """A message that could not leave: its handle tells its sender, a gap its receiver."""
    _, here, there = narrow
    events = there.events()
    sending = asyncio.create_task(collect(here))
    handle = await here.publish(b"x" * 100_000)
    with pytest.raises(MessageTooLarge):
        await handle
    await here.publish(b"small")
    found = []
    async for item in there.messages(gaps=gaps):  # type: ignore[arg-type]
        found.append(item)
        if len(found) == (1 if gaps == "events" else 2):
            break
    last = found[-1]
    assert not isinstance(last, MessageLost)
    assert last.payload == b"small"
    gap = found[0] if gaps == "items" else await anext(events)
    assert isinstance(gap, MessageLost)
    assert gap.session_id == there.id
    assert not sending.done()
    await here.close()
    assert await sending == []


async def test_a_best_effort_message_that_cannot_leave_is_an_event_at_once(process: AppStage) -> None:
    """No handle tells it: that of a best-effort message completes when it is handed over. And nobody who only
    publishes has a loop that would come to it; one that does tells it no second time."""
    here, _ = await ends(process, None)
    events = here.events()
    for _ in range(20):
        here._receive(Delivered(here.id, (NoRoute("org/default/bob"),)), Address(1))
    for _ in range(20):
        assert isinstance(await asyncio.wait_for(anext(events), 5), NoRoute)
    hearing = asyncio.create_task(collect(here))
    await here.close()
    assert await hearing == []
    assert [event async for event in events] == []


async def test_each_of_a_burst_that_is_too_large_is_an_event_also_when_the_session_ends_at_once() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        alice, bob = await stage.app("alice", connect=False), await stage.app("bob")
        await alice.connect(stage.client_config | {"max_message_size": 10_000})
        await stage.route(alice, "bob")
        async with bob.serve(received), alice.session(BOB, timeout=None) as here:
            events = here.events()
            for _ in range(20):
                await here.publish(b"x" * 10_000)
        assert [type(event) for event in [event async for event in events]] == [MessageTooLarge] * 20
    finally:
        await stage.close()


async def received(request: Request[bytes]) -> None:
    """Nothing comes."""


async def test_a_gap_that_nobody_reads_is_logged(process: AppStage) -> None:
    here, there = await ends(process)
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}: {extra[session]} {extra[cause]}")
    error = MessageLost(there.id, "org/default/alice", 7)
    there._receive(Delivered(there.id, (error,)), Address(1))
    await here.publish(b"after")
    assert (await anext(there)).payload == b"after"
    logger.remove(sink)
    assert lines == [f"message lost: {there.id} {error}\n"]


async def test_many_gaps_are_few_lines(process: AppStage) -> None:
    """Ids that a peer leaves out cost it nothing."""
    here, there = await ends(process)
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    errors = tuple(MessageLost(there.id, "org/default/alice", number) for number in range(1000))
    there._receive(Delivered(there.id, errors), Address(1))
    await here.publish(b"after")
    assert (await anext(there)).payload == b"after"
    logger.remove(sink)
    assert 1 <= len(lines) <= 3


async def test_gaps_are_events_or_items(process: AppStage) -> None:
    here, _ = await ends(process)
    with pytest.raises(ConfigError, match="gaps"):
        here.messages(gaps="both")  # type: ignore[arg-type]
