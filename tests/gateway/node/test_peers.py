"""Cliques of data planes in one process: who is told what, exactly once, and what a loss does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from actors.errors import AlreadyConnected
from actors.messages.wire import ALL, ONE, ControlRecord, Introduction, Role
from actors.names import Name
from actors.routing import connection
from gateway import IdentityProvider, IdentityVerifier, Slim
from gateway.config import ClientConfig, ServerConfig
from gateway.links.link import AcceptedLink
from gateway.node.data_plane import DataPlane
from gateway.node.peer_policy import PeerPolicy, is_loopback
from tests.gateway.stage import BOB, CHANNEL, Local

TOKEN = "a token of the network"
SECRET = "a shared secret of at least thirty-two bytes"
NODE = Introduction(Role.NODE, "node", 1)


class Caller(NamedTuple):
    """The link of a node that calls."""

    peer: str
    certificate: bytes
    subject: str = ""


def certificate_for(uri: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


class Clique:
    """Nodes that listen on loopback and are peers of one another."""

    def __init__(self) -> None:
        self.nodes: list[DataPlane] = []
        self.endpoints: list[str] = []

    async def node(self, **options: Any) -> DataPlane:
        """One more node, a peer of nobody yet."""
        made = DataPlane(strict=True, **options)
        self.nodes.append(made)
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
        self.endpoints.append(f"http://{await made.serve(ServerConfig.read(server))}")
        return made

    async def complete(self, size: int) -> None:
        """That many nodes, each of which dials all, itself too, and wait until all are linked."""
        for number in range(size):
            await self.node(node_id=f"node {number}")
        await asyncio.gather(*(node.peer(self.configs()) for node in self.nodes))
        await self.linked(self.nodes)

    def configs(self) -> list[ClientConfig]:
        return [dialled(endpoint) for endpoint in self.endpoints]

    async def linked(self, nodes: list[DataPlane]) -> None:
        """Wait until each of these has one link to each other, and no further ones."""
        async with asyncio.timeout(20):
            while not all([await is_linked(node, len(nodes) - 1) for node in nodes]):
                pass

    async def close(self) -> None:
        await asyncio.gather(*(node.close(1.0) for node in self.nodes))


def dialled(endpoint: str) -> ClientConfig:
    fast = {"type": "fixed", "interval": 0.05}
    return ClientConfig.read({"endpoint": endpoint, "tls": {"insecure": True}, "backoff": fast})


async def is_linked(node: DataPlane, others: int) -> bool:
    figures = await node.status()
    linked = [one for one in figures["connections"].values() if one["role"] == "node"]
    joined = [one for one in linked if one["node"]]
    return len(joined) == others == len(linked)


async def knows(node: DataPlane, name: Name, connections: int) -> None:
    """Wait until a name leads to that many connections of a node."""
    async with asyncio.timeout(10):
        while (
            len(targets.all if (targets := node.routes.find(name.key, name.instance)) else ()) != connections
        ):
            await node.status()


@pytest.fixture
async def clique() -> AsyncIterator[Clique]:
    async with AsyncExitStack() as stack:
        made = Clique()
        stack.push_async_callback(made.close)
        yield made


@pytest.mark.parametrize("size", [2, 3, 5])
async def test_every_member_gets_every_message_of_a_group_once(clique: Clique, size: int) -> None:
    await clique.complete(size)
    members = [Local(node) for node in clique.nodes for _ in range(2)]
    await asyncio.gather(*(member.order(CHANNEL) for member in members))
    for node in clique.nodes:
        await knows(node, CHANNEL, 2 + size - 1)
    for number, member in enumerate(members):
        member.publish(CHANNEL, b"%d" % number, fanout=ALL)
    for number, member in enumerate(members):
        expected = sorted(b"%d" % other for other in range(len(members)) if other != number)
        await member.until(lambda member=member: len(member.blobs()) >= len(members) - 1)
        for _ in range(3):
            await member.plane.status()
        assert sorted(member.blobs()) == expected


async def test_a_message_for_one_stays_at_home_where_it_can_and_reaches_one(clique: Clique) -> None:
    await clique.complete(3)
    here, first, second = [Local(node) for node in clique.nodes]
    for member in (first, second):
        await member.order(BOB)
    await knows(clique.nodes[0], BOB, 2)
    blobs = [b"%d" % number for number in range(10)]
    for blob in blobs:
        here.publish(BOB, blob, fanout=ONE)
    for member in (first, second):
        await member.until(lambda member=member: len(member.blobs()) >= 5)
    assert sorted(first.blobs() + second.blobs()) == blobs
    at_home = Local(clique.nodes[0])
    await at_home.order(BOB)
    here.publish(BOB, b"home", fanout=ONE)
    await at_home.heard(b"home")


async def test_a_lost_peers_names_go_and_come_back_with_it(clique: Clique) -> None:
    await clique.complete(2)
    one, two = clique.nodes
    member = Local(two)
    await member.order(BOB)
    await knows(one, BOB, 1)
    for link in list(two.links.values()):
        link.reset("cut")
    async with asyncio.timeout(10):
        # Both dial again, so that a link may be lost once more to the one that stays.
        while (
            not 0 < (peers := (await one.status())["routes"]["peers"]["node 1"])["returns"] == peers["losses"]
        ):
            pass
    await knows(one, BOB, 1)
    await clique.linked(clique.nodes)
    sender = Local(one)
    sender.publish(BOB, b"back")
    await member.heard(b"back")


async def test_only_who_shows_the_token_comes_in(clique: Clique) -> None:
    guarded = await clique.node(peers=PeerPolicy(token=TOKEN))
    stranger = await clique.node()
    await stranger.peer([dialled(clique.endpoints[0])])
    figures = (await stranger.status())["peers"][clique.endpoints[0]]
    assert "takes as peer only who shows a peer token" in figures["cause"]
    assert (await guarded.status())["routes"]["peers"] == {}
    friend = await clique.node(peers=PeerPolicy(token=TOKEN))
    await friend.peer([dialled(clique.endpoints[0])])
    await clique.linked([guarded, friend])


async def test_only_whom_the_listener_knows_comes_in_where_subjects_are_named(clique: Clique) -> None:
    guarded = DataPlane(strict=True, peers=PeerPolicy(subjects=frozenset({"node"})))
    clique.nodes.append(guarded)
    shown = {"type": "basic", "username": "node", "password": "hidden"}
    stranger_shows = {**shown, "username": "application"}
    endpoints = []
    for auth in (shown, stranger_shows):
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "auth": auth}
        endpoints.append(f"http://{await guarded.serve(ServerConfig.read(server))}")
        await guarded.stop_server("127.0.0.1:0")
        server["endpoint"] = endpoints[-1].removeprefix("http://")
        await guarded.serve(ServerConfig.read(server))
    plain = {"tls": {"insecure": True}, "backoff": {"type": "fixed", "interval": 0.05}}
    friend, stranger = await clique.node(), await clique.node()
    await stranger.peer([ClientConfig.read({"endpoint": endpoints[1], "auth": stranger_shows, **plain})])
    cause = (await stranger.status())["peers"][endpoints[1]]["cause"]
    assert "takes as peer only who shows the authentication of a known peer" in cause
    await friend.peer([ClientConfig.read({"endpoint": endpoints[0], "auth": shown, **plain})])
    await clique.linked([guarded, friend])


def test_a_subject_that_was_not_proved_is_nobody() -> None:
    policy = PeerPolicy(subjects=frozenset({"node"}))
    assert policy.refusal(Caller("192.0.2.1:5", b"", "node"), NODE) == ""
    for subject in ("", "another"):
        refusal = policy.refusal(Caller("127.0.0.1:5", b"", subject), NODE)
        assert refusal == "this node takes as peer only who shows the authentication of a known peer"


async def test_an_application_of_ours_is_an_edge_and_never_transit(clique: Clique) -> None:
    await clique.complete(2)
    one, two = clique.nodes
    plane = DataPlane(strict=True)
    clique.nodes.append(plane)
    first = await plane.connect(dialled(clique.endpoints[0]))
    second = await plane.connect(dialled(clique.endpoints[1]))
    inside = Local(plane)
    await inside.order(CHANNEL, forward_to=first)
    await inside.routed(BOB, first)
    await inside.order(BOB, forward_to=second)
    await knows(two, BOB, 1)
    far = Local(two)
    far.publish(BOB, b"to the application")
    await inside.heard(b"to the application")
    assert (await one.status())["routes"]["peers"].keys() == {"node 1"}


async def test_an_embedded_application_is_a_node_among_peers(clique: Clique) -> None:
    node = await clique.node()
    far = Local(node)
    await far.order(CHANNEL)
    app = Slim(
        Name.parse("org/ns/embedded"),
        IdentityProvider.SharedSecret("embedded", SECRET),
        IdentityVerifier.SharedSecret("embedded", SECRET),
        local_service=True,
    )
    async with app:
        await app.run_server({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}})
        await app.peer(clique.endpoints)
        await clique.linked([node, app.data_plane])
        await knows(app.data_plane, CHANNEL, 1)
        Local(app.data_plane).publish(CHANNEL, b"from inside", fanout=ALL)
        await far.heard(b"from inside")
        with pytest.raises(AlreadyConnected):
            await app.peer(clique.endpoints)


async def test_a_silent_peer_is_given_up_and_its_names_go(
    clique: Clique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TICK", 0.05)
    await clique.complete(2)
    one, two = clique.nodes
    member = Local(two)
    await member.order(BOB)
    await knows(one, BOB, 1)
    # Its side of the link says nothing more, as if its machine had stopped.
    silent, transmit = set(two.links.values()), AcceptedLink.transmit

    def say(link: AcceptedLink, records: Sequence[ControlRecord]) -> None:
        if link not in silent:
            transmit(link, records)

    monkeypatch.setattr(AcceptedLink, "transmit", say)
    async with asyncio.timeout(10):
        while (await one.status())["routes"]["peers"]["node 1"]["losses"] == 0:
            pass


async def test_a_message_that_no_link_may_carry_is_dropped_counted_and_told(clique: Clique) -> None:
    await clique.complete(2)
    one, two = clique.nodes
    member, sender = Local(two), Local(one)
    await member.order(BOB)
    await knows(one, BOB, 1)
    sender.publish(BOB, bytes(5 * 1024 * 1024), b"small")
    await member.heard(b"small")
    await sender.until(lambda: sender.told)
    figures = (await one.status())["connections"].values()
    assert sum(link["oversized"] for link in figures) == 1


def test_identities_of_a_certificate_are_its_names() -> None:
    policy = PeerPolicy(identities=frozenset({"spiffe://example.org/node"}))
    known = Caller("192.0.2.1:5", certificate_for("spiffe://example.org/node"))
    other = Caller("127.0.0.1:5", certificate_for("spiffe://example.org/other"))
    assert policy.refusal(known, NODE) == ""
    assert "a certificate of a known peer" in policy.refusal(other, NODE)
    assert "from loopback only" in PeerPolicy().refusal(known, NODE)
    assert PeerPolicy().refusal(other, NODE) == ""
    assert PeerPolicy(loopback=False).refusal(other, NODE) == "this node takes no peers"


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv6:%5B::1%5D:1", True),
        ("::ffff:127.0.0.1:1", True),
        ("unix socket", True),
        ("192.0.2.1:1", False),
        ("ipv6:%5B2001:db8::1%5D:1", False),
        ("localhost.example:1", False),
        ("", False),
    ],
)
def test_loopback_is_told_by_the_address(peer: str, local: bool) -> None:
    assert is_loopback(peer) is local


async def test_a_node_that_does_not_answer_is_dialled_again_early(
    clique: Clique, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a cut the attempt that began in it must not be waited for."""
    monkeypatch.setattr("gateway.node.dialled.NODE_WAIT", 0.05)
    calls: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    async with await asyncio.start_server(lambda _, writer: calls.put_nowait(writer), "127.0.0.1", 0) as mute:
        node = await clique.node()
        endpoint = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(5):
            await node.peer([dialled(endpoint)])
            held = [await calls.get() for _ in range(3)]
        cause = (await node.status())["peers"][endpoint]["cause"]
        assert "no answer in time" in cause, cause
        await node.close(0.0)
        for writer in held:
            writer.close()


async def test_of_two_nodes_with_one_id_the_later_stays_and_the_other_is_told_once(
    clique: Clique, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.node.peering.REFUSED_WAIT", 0.02)
    third = await clique.node(node_id="third")
    earlier, later = [await clique.node(node_id="twin") for _ in range(2)]
    refused: list[str] = []
    earlier.observe(lambda state: refused.append(state.detail) if state.state == "refused" else None)
    await earlier.peer([dialled(clique.endpoints[0])])
    await third.peer([dialled(clique.endpoints[1])])
    await clique.linked([third, earlier])
    await later.peer([dialled(clique.endpoints[0])])
    await third.peer([dialled(clique.endpoints[2])])
    member = Local(later)
    await member.order(BOB)
    await knows(third, BOB, 1)
    async with asyncio.timeout(10):
        # It goes on asking.
        while refused.count("another node has the node id 'twin' too, and came later: give each its own") < 5:
            await earlier.status()
    assert [*third.routes.node_links.values()] == ["twin"]
    assert [*later.routes.node_links.values()] == ["third"]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("a node is not taken as a peer" in text for text in told) == 1, told
    assert sum(text.startswith("not taken as a peer") for text in told) == 2, told
    assert sum("peer lost" in text for text in told) <= 2, told
    # It may come in as soon as the other one is gone.
    await later.close(0.0)
    async with asyncio.timeout(10):
        while not third.routes.node_links or not earlier.routes.node_links:
            await third.status()
