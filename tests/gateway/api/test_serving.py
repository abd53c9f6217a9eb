"""Services: who is served, what a handler that fails ends, what bounds them, how they stop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from actors.errors import ParticipantDisconnected, SessionClosed, SlimTimeout
from gateway import ConfigError, Slim
from gateway.api.payloads import JSON, TEXT, Model
from gateway.api.serving import Request
from tests.gateway.app_stage import AppStage, name

BOB = name("bob")


async def echo(request: Request[bytes]) -> bytes:
    return b"echo: " + request.payload


async def apps(stage: AppStage, *names: str) -> list[Slim]:
    made = [await stage.app(app) for app in names]
    for app in made:
        await stage.route(app, "bob")
    return made


async def test_two_clients_at_once_are_served(stage: AppStage) -> None:
    bob, alice, carol = await apps(stage, "bob", "alice", "carol")
    async with bob.serve(echo) as service, alice.session(BOB) as one, carol.session(BOB) as two:
        for number in range(3):
            answers = await asyncio.gather(one.request(b"a%d" % number, 5), two.request(b"c%d" % number, 5))
            assert [answer.payload for answer in answers] == [b"echo: a%d" % number, b"echo: c%d" % number]
        assert service.sessions == 2


async def test_a_handler_that_fails_ends_its_session_only(
    process: AppStage, caplog: pytest.LogCaptureFixture
) -> None:
    bob, alice, carol = await apps(process, "bob", "alice", "carol")

    async def handler(request: Request[bytes]) -> bytes:
        if request.payload == b"bad":
            raise RuntimeError("of the user's own")
        return await echo(request)

    async with bob.serve(handler), alice.session(BOB) as one, carol.session(BOB) as two:
        assert (await two.request(b"x", 5)).payload == b"echo: x"
        with pytest.raises(SessionClosed):
            await one.request(b"bad", 5)
        assert (await two.request(b"y", 5)).payload == b"echo: y"
        async with alice.session(BOB) as again:
            assert (await again.request(b"z", 5)).payload == b"echo: z"
    (record,) = [record for record in caplog.records if record.name == "callboard.serve"]
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


async def test_a_session_that_nobody_awaited_says_so(process: AppStage) -> None:
    bob, alice = await apps(process, "bob", "alice")
    opening = alice.session(BOB)
    assert "await it" in repr(opening)
    with pytest.raises(AttributeError, match=r"^no 'publish' before the session is open: await"):
        await opening.publish(b"x")
    async with bob.serve(echo), opening as session:
        assert (await session.request(b"x", 5)).payload == b"echo: x"


async def test_sessions_above_the_bound_wait_for_a_place(process: AppStage) -> None:
    bob, alice, carol = await apps(process, "bob", "alice", "carol")
    async with bob.serve(echo, sessions=1), carol.session(BOB) as second, alice.session(BOB) as first:
        # Whichever was taken up first is served, the other waits.
        asked = {asyncio.create_task(s.request(b"x", None)): s for s in (first, second)}
        done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 1)
        await asyncio.wait(waiting, timeout=0.05)
        assert not any(task.done() for task in waiting)
        served = asked[done.pop()]
        await served.close()
        (late,) = waiting
        assert (await asyncio.wait_for(late, 5)).payload == b"echo: x"


@dataclass
class Gate:
    """A handler that waits, and how many are in it."""

    inside: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.opened = asyncio.Event()
        self.changed = asyncio.Event()

    async def __call__(self, request: Request[bytes]) -> bytes:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.changed.set()
        await self.opened.wait()
        self.inside -= 1
        return request.payload

    async def until(self, inside: int) -> None:
        async with asyncio.timeout(5):
            while self.inside < inside:
                self.changed.clear()
                await self.changed.wait()


@pytest.mark.parametrize(
    ("bounds", "most"), [({}, 2), ({"messages": 3, "at_once": 5}, 3), ({"at_once": 2}, 4)]
)
async def test_messages_in_work_are_bounded(process: AppStage, bounds: dict[str, Any], most: int) -> None:
    """Two sessions with five messages each."""
    bob, alice, carol = await apps(process, "bob", "alice", "carol")
    gate = Gate()
    async with bob.serve(gate, **bounds), alice.session(BOB) as one, carol.session(BOB) as two:
        asked = [asyncio.create_task(s.request(b"%d" % n, 5)) for s in (one, two) for n in range(5)]
        await gate.until(most)
        for _ in range(20):
            await asyncio.sleep(0)
        assert gate.inside == most
        gate.opened.set()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.payload for answer in answers) == sorted([b"0", b"1", b"2", b"3", b"4"] * 2)
        assert gate.most == most


async def test_what_is_in_work_is_finished_when_it_stops(stage: AppStage) -> None:
    bob, alice = await apps(stage, "bob", "alice")
    gate = Gate()
    serving = asyncio.ensure_future(bob.serve(gate))
    session = await alice.session(BOB)
    asked = [asyncio.create_task(session.request(b"%d" % number, 5)) for number in range(2)]
    await gate.until(1)
    # Both are there: the second is in the hands of the session already.
    serving.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    assert [answer.payload for answer in await asyncio.gather(*asked)] == [b"0", b"1"]
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert [message async for message in session] == []
    assert isinstance(session.closed_because, ParticipantDisconnected)


async def test_what_takes_too_long_is_cut_off(process: AppStage, caplog: pytest.LogCaptureFixture) -> None:
    bob, alice = await apps(process, "bob", "alice")
    gate = Gate()
    session = await alice.session(BOB)
    async with bob.serve(gate, drain=0.05):
        asked = asyncio.create_task(session.request(b"x", 5))
        await gate.until(1)
    with pytest.raises((SessionClosed, SlimTimeout)):
        await asked
    assert "1 handlers were cut off" in caplog.text


async def test_it_ends_with_its_application(stage: AppStage) -> None:
    bob, alice = await apps(stage, "bob", "alice")
    gate = Gate()
    serving = asyncio.ensure_future(bob.serve(gate))
    session = await alice.session(BOB)
    asked = asyncio.create_task(session.request(b"x", 5))
    await gate.until(1)
    closing = asyncio.create_task(bob.close())
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await asked).payload == b"x"
    await closing
    await asyncio.wait_for(serving, 5)


async def test_decorated_and_typed(process: AppStage, caplog: pytest.LogCaptureFixture) -> None:
    bob, alice = await apps(process, "bob", "alice")

    @bob.serve(codec=JSON)
    async def add(request: Request[Any]) -> Any:
        return {"sum": sum(request.payload)}

    async with add, alice.session(BOB) as session:
        # What the codec cannot read costs that message, not the session.
        for broken in (b"no json", b"\xff", b"[" * 100_000):
            await session.publish(broken)
        answer = await session.request(b"[1, 2, 3]", 5)
        assert answer.payload == b'{"sum":6}'
        assert answer.context.payload_type == "application/json"
    assert caplog.text.count("a message that the codec cannot read") == 3
    assert "no json" not in caplog.text


async def test_several_answers_and_none(process: AppStage) -> None:
    bob, alice = await apps(process, "bob", "alice")

    @bob.serve(codec=TEXT)
    async def letters(request: Request[str]) -> None:
        assert request.source == alice.local_name
        for letter in request.payload:
            await request.reply(letter)

    async with letters, alice.session(BOB) as session:
        await session.publish("äb".encode())
        assert [(await session.get_message(5)).payload.decode() for _ in range(2)] == ["ä", "b"]


async def test_models_of_pydantic(process: AppStage) -> None:
    pytest.importorskip("pydantic")

    @dataclass
    class Order:
        item: str
        count: int

    bob, alice = await apps(process, "bob", "alice")

    @bob.serve(codec=Model(Order))
    async def double(request: Request[Order]) -> Order:
        return Order(request.payload.item, 2 * request.payload.count)

    async with double, alice.session(BOB) as session:
        await session.publish(b'{"item": "tea", "count": "many"}')
        answer = await session.request(b'{"item": "tea", "count": 2}', 5)
        assert answer.payload == b'{"item":"tea","count":4}'


@pytest.mark.parametrize(
    ("arguments", "more", "field"),
    [
        ((echo,), {"sessions": 0}, "sessions"),
        ((echo,), {"messages": True}, "messages"),
        ((echo,), {"at_once": 1.5}, "at_once"),
        ((echo,), {"drain": "5s"}, "drain"),
        (("echo",), {}, "handler"),
    ],
)
async def test_what_cannot_work_is_named(
    process: AppStage, arguments: tuple[Any, ...], more: dict[str, Any], field: str
) -> None:
    bob = await process.app("bob")
    with pytest.raises(ConfigError, match=field) as caught:
        bob.serve(*arguments, **more)
    assert caught.value.field == field


async def test_a_plain_function_as_handler_is_told_what_it_should_be(
    process: AppStage, caplog: pytest.LogCaptureFixture
) -> None:
    bob, alice = await apps(process, "bob", "alice")
    plain: Any = lambda request: request.payload  # noqa: E731
    async with bob.serve(plain), alice.session(BOB) as one:
        with pytest.raises(SessionClosed):
            await one.request(b"x", 5)
    assert "handler: expected an async function (`async def`)" in caplog.text
