"""Each actor of the broker is broken by a message, under load and over real sockets; the rest goes on.

alice publishes to bob all the time, each in a data plane of its own that is connected to one node. eve is a
bare stream to the node. What breaks an actor is a record with fields that no parser lets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from thespian.actors import ActorAddress, WakeupMessage

from actors.errors import HandshakeFailed, SessionClosed, SlimTimeout
from actors.messages.routing import Congested, ConnectionState, Drained, Forward, FramesIn, Opened
from actors.messages.session import Received, SubscribeName
from actors.messages.wire import ONE, Frame, Subscription
from actors.names import NO_INSTANCE
from actors.routing.budget import ByteBudget
from actors.system import Address, LoopSystem
from gateway import Session, SessionConfiguration, Slim
from gateway.cli.start import serve
from gateway.config import ClientConfig
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.http2.limits import Counters
from gateway.links.link import AcceptedLink
from gateway.links.transport import dialler
from gateway.node.node import Node
from gateway.security.material import Side, TlsSource
from identity.errors import SlimError
from tests.gateway.app_stage import AppStage, identity, name
from tests.gateway.stage import Peer

WAIT = 15.0
LATER = 1.0
"""Seconds after which a message must arrive again."""
RELIABLE = SessionConfiguration.PointToPoint(0.5, 10)
NO_NAME: Any = None
POISON = Subscription(True, name("eve"), NO_NAME, subscription_id=7)
"""A subscription to nothing: the route table's core stumbles over it."""


def cell(system: LoopSystem, address: ActorAddress) -> Any:
    return system.cell_of(address)


class Traffic:
    """alice's session with bob, which carries a numbered message every few milliseconds."""

    def __init__(self, alice: Slim, here: Session, there: Session) -> None:
        self.alice, self.here, self.there = alice, here, there
        self.received: list[bytes] = []
        self.ended: SlimError | None = None
        self._came = asyncio.Event()
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._receive())]

    async def _publish(self) -> None:
        number = 0
        try:
            while True:
                await self.here.publish(b"%d" % number)
                number += 1
                await asyncio.sleep(0.002)
        except SessionClosed:
            return

    async def _receive(self) -> None:
        try:
            while True:
                self.received.append((await self.there.get_message()).payload)
                self._came.set()
        except SlimError as error:
            self.ended = error
            self._came.set()

    async def flows(self) -> None:
        """Twenty more messages arrive."""
        wanted = len(self.received) + 20
        async with asyncio.timeout(WAIT):
            while len(self.received) < wanted:
                assert self.ended is None, self.ended
                self._came.clear()
                await self._came.wait()

    async def over(self) -> SlimError:
        """Why bob's end is over."""
        async with asyncio.timeout(WAIT):
            while self.ended is None:
                self._came.clear()
                await self._came.wait()
        return self.ended

    async def arrives(self, delay: float = 0.0) -> None:
        """After `delay` seconds a message of this session arrives, after all before it and once."""
        await asyncio.sleep(delay)
        await (await self.here.publish(b"later"))
        await self.flows()
        numbers = [int(one) for one in self.received if one != b"later"]
        assert self.received.count(b"later") == 1
        assert numbers == list(range(len(numbers)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Faults(AppStage):
    """A node, alice and bob with traffic between them, and eve."""

    async def begin(self) -> None:
        await self.start()
        self.alice, self.bob = await self.app("alice"), await self.app("bob")
        await self.route(self.alice, "bob")
        self.traffic = Traffic(self.alice, *await self.session(self.alice, self.bob, "bob"))
        await self.traffic.flows()

    async def session(self, one: Slim, other: Slim, to: str) -> tuple[Session, Session]:
        session, established = await one.create_session(name(to), RELIABLE)
        async with asyncio.timeout(WAIT):
            await established
            return session, await other.listen_for_session()

    async def arrives(self, one: Slim, other: Slim, to: str, delay: float = 0.0) -> None:
        """After `delay` seconds a new session works."""
        await asyncio.sleep(delay)
        here, there = await self.session(one, other, to)
        handle = await here.publish(b"later")
        assert (await there.get_message(WAIT)).payload == b"later"
        await handle

    async def eve(self) -> tuple[Peer, AcceptedLink]:
        """A stream to the node that is routed already, and the node's end of it."""
        before = set(self.node.links)
        config = ClientConfig.read(self.client_config)
        peer = Peer(
            await dialler(
                config, None, TlsSource(config.tls, Side.CLIENT), 1 << 20, ByteBudget(), Counters()
            )()
        )
        await peer.is_in_step()
        (index,) = set(self.node.links) - before
        return peer, self.node.links[index]

    def connection(self, link: AcceptedLink) -> ActorAddress:
        gateway = cell(self.node.system, self.node.gateway).actor
        address: ActorAddress = gateway._connections[link.index]
        return address

    async def finish(self) -> None:
        await self.traffic.close()
        await self.close()


@pytest.fixture
async def faults() -> AsyncIterator[Faults]:
    faults = Faults("server")
    await faults.begin()
    yield faults
    await faults.finish()


# The route table.


async def test_a_subscription_that_breaks_the_route_table_costs_its_peer_the_connection(
    faults: Faults,
) -> None:
    peer, link = await faults.eve()
    link._notify(FramesIn((POISON,)))
    await peer.ended()
    await faults.traffic.arrives(LATER)
    assert faults.node.system.restarts == 0
    newcomer, _ = await faults.eve()
    assert newcomer.closed is None


async def test_many_poisoned_subscriptions_cost_many_connections_and_nothing_else(faults: Faults) -> None:
    peers = [await faults.eve() for _ in range(5)]
    for _, link in peers:
        link._notify(FramesIn((POISON, POISON)))
    for peer, _ in peers:
        await peer.ended()
    await faults.traffic.arrives()
    assert not faults.node.failed.is_set()


async def test_a_subscription_of_an_application_that_breaks_the_route_table_fails(faults: Faults) -> None:
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    system = faults.bob.data_plane.system
    table = cell(system, faults.bob.data_plane.route_table).actor._core.table
    spared = table.add
    table.add = broken
    try:
        address = system.inbox(lambda message, _: inbox.put_nowait(message))
        system.tell(faults.bob.actor, SubscribeName(1, name("robert")), address)
        async with asyncio.timeout(WAIT):
            completed = await inbox.get()
    finally:
        table.add = spared
    assert [failure.handle for failure in completed.failed] == [1]
    await faults.traffic.arrives()


def broken(*_: Any, **__: Any) -> Any:
    raise LookupError("broken by a test")


async def test_a_route_table_that_fails_by_itself_goes_on_with_its_core(faults: Faults) -> None:
    core = cell(faults.node.system, faults.node.route_table).actor._core
    spared = core.expire
    core.expire = broken
    faults.node.system.tell(faults.node.route_table, WakeupMessage(None))
    await until(lambda: faults.node.system.restarts == 1)
    core.expire = spared
    await faults.traffic.arrives(LATER)
    await faults.route(faults.bob, "alice")
    await faults.arrives(faults.bob, faults.alice, "alice")
    assert not faults.node.failed.is_set()


async def test_a_route_table_that_fails_by_itself_twice_within_a_second_ends_the_node() -> None:
    made: list[Node] = []

    def make(config: NodeConfig) -> Node:
        made.append(Node(config))
        return made[0]

    config = NodeConfig(servers=(AppStage.server_config("127.0.0.1:0"),), drain=1.0)
    running = asyncio.create_task(serve(config, Document({}, {}), make))
    await until(lambda: bool(made) and not made[0].data_plane.never_served)
    plane = made[0].data_plane
    cell(plane.system, plane.route_table).actor._core.expire = broken
    for _ in range(2):
        plane.system.tell(plane.route_table, WakeupMessage(None))
    async with asyncio.timeout(WAIT):
        assert await running == 1
    assert plane.closed


# Applications and sessions.


async def test_an_app_that_fails_ends_its_sessions_and_is_reachable_under_its_names_again(
    faults: Faults,
) -> None:
    bob, system = faults.bob, faults.bob.data_plane.system
    await bob.subscribe(name("robert"))
    await faults.route(faults.alice, "robert")
    announced, _ = await faults.alice.create_session(name("bob"), RELIABLE)
    await announced.established
    system.tell(bob.actor, Forward((None,), 1, None))  # type: ignore[arg-type]
    over = await faults.traffic.over()
    assert isinstance(over, SessionClosed)
    assert "the application's actor failed: AssertionError on Forward" in str(over)
    # What was announced before the failure is over, and not handed out any more.
    await faults.arrives(faults.alice, bob, "bob", LATER)
    await faults.arrives(faults.alice, bob, "robert")
    assert system.restarts == 1


async def test_who_sends_what_breaks_an_app_loses_its_connection(faults: Faults) -> None:
    carol = Slim(name("carol"), *identity("bob"), data_plane=faults.node)
    with pytest.raises(SlimTimeout):
        await carol.listen_for_session(0.01)
    peer, link = await faults.eve()
    key = name("carol").key
    link._notify(FramesIn((Frame(key, carol.local_name.instance, ONE, False, None, 0, b""),)))  # type: ignore[arg-type]
    await peer.ended()
    await faults.route(faults.alice, "carol")
    await faults.arrives(faults.alice, carol, "carol")
    await faults.traffic.arrives()
    await carol.close(0.5)


async def test_an_app_that_fails_time_and_again_comes_back(faults: Faults) -> None:
    system = faults.bob.data_plane.system
    for count in range(1, 4):
        system.tell(faults.bob.actor, Forward((None,), 1, None))  # type: ignore[arg-type]
        await until(lambda count=count: system.restarts == count)
    await faults.arrives(faults.alice, faults.bob, "bob")


async def test_what_an_app_was_asked_for_and_counted_outlives_its_failure(faults: Faults) -> None:
    bob, plane = faults.bob, faults.bob.data_plane

    async def figures() -> dict[str, Any]:
        found: dict[str, Any] = (await bob.status())["application"]
        return found

    bob.require(mls=True)
    garbled = Frame(name("bob").key, bob.local_name.instance, ONE, False, b"", 1, b"\xff")
    plane.system.tell(bob.actor, Forward((garbled,), 1, None))
    assert (await figures())["undecodable"] == 1
    plane.system.tell(bob.actor, Forward((None,), 1, None))  # type: ignore[arg-type]
    await until(lambda: plane.system.restarts == 1)
    assert (await figures())["undecodable"] == 1
    assert plane.telemetry.figures()["callboard_app_undecodable_total"] == 1
    _, established = await faults.alice.create_session(name("bob"), SessionConfiguration.PointToPoint(0.2, 3))
    with pytest.raises(HandshakeFailed, match="no answer to the invitation"):
        await established
    assert (await figures())["refused"] > 0


async def test_an_app_that_fails_still_knows_who_is_congested(faults: Faults) -> None:
    """A connection says it once, until it has drained."""
    bob, plane = faults.bob, faults.bob.data_plane

    async def congested() -> int:
        return int((await bob.status())["application"]["congested"])

    [connection] = plane.dialled().values()
    plane.system.tell(bob.actor, Congested(connection))
    assert await congested() == 1
    plane.system.tell(bob.actor, Forward((None,), 1, None))  # type: ignore[arg-type]
    await until(lambda: plane.system.restarts == 1)
    assert await congested() == 1
    plane.system.tell(bob.actor, Drained(connection))
    assert await congested() == 0


async def test_a_session_that_fails_tells_its_application_why_and_the_others_go_on(faults: Faults) -> None:
    here, there = await faults.session(faults.alice, faults.bob, "bob")
    there._line.tell(Received((None,)))  # type: ignore[arg-type]
    with pytest.raises(SessionClosed, match="its actor failed: AttributeError on Received"):
        await there.get_message(WAIT)
    await faults.traffic.arrives(LATER)
    await faults.arrives(faults.alice, faults.bob, "bob")
    assert faults.bob.data_plane.system.restarts == 0
    here.close(0)


async def test_a_session_that_fails_before_it_is_adopted_is_not_handed_out(faults: Faults) -> None:
    session, _ = await faults.alice.create_session(name("bob"), RELIABLE)
    await session.established
    (announced,) = faults.bob._arrivals._announced
    system = faults.bob.data_plane.system
    system.tell(announced.address, Received((None,)))  # type: ignore[arg-type]
    await system.idle()
    with pytest.raises(SlimTimeout):
        await faults.bob.listen_for_session(0.2)
    await faults.traffic.arrives()


# Connections and their gateway.


async def test_a_connection_that_fails_closes_its_stream(faults: Faults) -> None:
    peer, link = await faults.eve()
    link._notify(FramesIn(None))  # type: ignore[arg-type]
    await peer.ended()
    await faults.traffic.arrives(LATER)


async def test_a_connection_that_cannot_even_end_is_ended_by_the_gateway(faults: Faults) -> None:
    peer, link = await faults.eve()
    await peer.subscribed(name("eve"))
    address = faults.connection(link)
    cell(faults.node.system, address).actor._outbox = None
    link._notify(FramesIn(None))  # type: ignore[arg-type]
    await peer.ended()
    await until(lambda: link.index not in faults.node.links)
    assert not faults.node.routes.by_name.get(name("eve").key)
    assert faults.node.system.status(address) is None
    await faults.traffic.arrives()


async def test_what_cannot_be_forwarded_costs_its_sender_the_connection_and_not_its_receiver(
    faults: Faults,
) -> None:
    victim, _ = await faults.eve()
    await victim.subscribed(name("victim"))
    peer, link = await faults.eve()
    key: Any = name("victim").key
    link._notify(FramesIn((Frame(key, NO_INSTANCE, ONE, False, b"", 0, None),)))  # type: ignore[arg-type]
    await peer.ended()
    await victim.is_in_step()
    assert victim.closed is None
    await faults.traffic.arrives()


async def test_a_word_of_a_connection_that_breaks_the_gateway_costs_it_its_stream(faults: Faults) -> None:
    peer, link = await faults.eve()
    unhashable: Any = []
    system = faults.node.system
    system.tell(faults.node.gateway, ConnectionState(unhashable, "closed"), faults.connection(link))
    await peer.ended()
    await faults.traffic.arrives(LATER)
    newcomer, _ = await faults.eve()
    assert newcomer.closed is None


async def test_a_link_that_breaks_the_gateway_is_closed(faults: Faults) -> None:
    class Broken(AcceptedLink):
        def attach(self, notify: Any) -> None:
            raise LookupError

    said: list[ConnectionState] = []
    node = faults.node
    address: Address = node.system.inbox(lambda message, _: said.append(message))
    index = node.next_index()
    node.links[index] = Broken(index, None)
    node.system.tell(node.gateway, Opened(index, None, address))
    await until(lambda: bool(said))
    assert [(one.connection, one.state) for one in said] == [(index, "closed")]
    await until(lambda: index not in node.links)
    await faults.traffic.arrives()
    newcomer, _ = await faults.eve()
    assert newcomer.closed is None


async def test_a_dialled_connection_that_fails_dials_again(faults: Faults) -> None:
    (link,) = faults.bob.data_plane.links.values()
    said: list[str] = []
    faults.bob.data_plane.observe(lambda state: said.append(state.state))
    link._notify(FramesIn(None))  # type: ignore[arg-type]
    await until(lambda: "restored" in said)
    assert "closed" not in said
    await faults.traffic.arrives()
    await faults.arrives(faults.alice, faults.bob, "bob")


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - what it waits for is the actors' own next turns
            await asyncio.sleep(0.01)
