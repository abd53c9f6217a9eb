"""Rules by name at a real node: who may is served, who may not is told, and rules change while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.names import Name
from gateway import MessageUndelivered, Slim
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.node.peer_policy import LOOPBACK_ONLY, PeerPolicy
from gateway.security.rules import RuleSet
from gateway.security.users import PasswordHash, write_users
from identity.errors import SlimError
from tests.gateway.app_stage import identity
from tests.gateway.planes import TRANSPORTS
from tests.gateway.stage import Local

USERS = ("alice", "bob", "eve")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("users") / "users")
    write_users(path, {user: PasswordHash.make(user.encode(), b"salt" * 4) for user in USERS})
    return path


class RuledNode:
    def __init__(self, node: DataPlane, endpoint: str, transport: str) -> None:
        self.node, self.endpoint, self.transport = node, endpoint, transport

    @asynccontextmanager
    async def app(self, user: str, name: str = "") -> AsyncIterator[Slim]:
        """An application of a user, connected."""
        name = name or f"org/demo/{user}"
        client = {
            "endpoint": f"http://{self.endpoint}",
            "tls": {"insecure": True},
            "transport": self.transport,
            "auth": {"type": "basic", "username": user, "password": user},
        }
        async with Slim(Name.parse(name), *identity(name), local_service=True) as made:
            await made.connect(client)
            yield made


@asynccontextmanager
async def ruled(users: str, rules: str, transport: str = "fast") -> AsyncIterator[RuledNode]:
    node = DataPlane(strict=True, rules=RuleSet.parse(rules, "rules"))
    try:
        server = {
            "endpoint": "127.0.0.1:0",
            "tls": {"insecure": True},
            "transport": transport,
            "auth": {"type": "basic", "file": users},
        }
        yield RuledNode(node, await node.serve(ServerConfig.read(server)), transport)
    finally:
        await node.close(1.0)


async def answers(asking: Slim, name: str, *, times: int = 10) -> bytes:
    """What somebody answers who is asked this often, some tenths of a second apart."""
    await asking.set_route(name)
    async with asking.session(name, timeout=0.2, max_retries=times) as session:
        return (await session.request(b"hello", timeout=5)).payload


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_may_is_served_and_who_may_not_is_told(
    transport: str, users: str, lines: list[str]
) -> None:
    rules = "allow user:alice * *\nallow user:bob * org/demo/*\ndeny anyone invite,publish org/demo/bob\n"
    async with ruled(users, rules, transport) as at, at.app("bob") as bob, at.app("alice") as alice:

        @bob.serve
        async def echo(request):
            return request.payload

        async with echo, at.app("eve") as eve:
            assert await answers(alice, "org/demo/bob") == b"hello"
            with pytest.raises(SlimError, match="the rules of the node do not let us reach org/demo/bob"):
                await answers(eve, "org/demo/bob", times=2)
            assert await answers(alice, "org/demo/bob") == b"hello"
        assert at.node.door.refusals["invite"] > 0
        status = await at.node.status()
    refused = [line for line in lines if "refused at the door" in line]
    assert "may not invite org/demo/bob (rules, line 3)" in refused[0]
    assert "'who': 'user eve'" in refused[0]
    assert "'peer': '" in refused[0]
    identities = {each["identity"] for each in status["connections"].values()}
    assert {"user alice", "user bob"} <= identities


async def test_a_name_that_somebody_may_not_subscribe(users: str, lines: list[str]) -> None:
    rules = "allow user:bob subscribe org/demo/bob\ndeny anyone subscribe org/demo/bob\n"
    async with ruled(users, rules) as at:
        with pytest.raises(SlimError, match="do not let user eve subscribe to org/demo/bob"):
            async with at.app("eve", "org/demo/bob"):
                pass
        async with at.app("bob", "org/demo/bob"):
            assert at.node.routes.by_name
        assert at.node.door.refusals["subscribe"] >= 1
    assert "may not subscribe org/demo/bob/" in "".join(lines)
    assert "(rules, line 2)" in "".join(lines)


async def test_new_rules_count_for_who_is_connected_and_for_what_it_subscribed(users: str) -> None:
    async with ruled(users, "") as at, at.app("bob") as bob, at.app("alice") as alice:

        @bob.serve
        async def echo(request):
            return request.payload

        async with echo:
            assert await answers(alice, "org/demo/bob") == b"hello"
            at.node.rule(RuleSet.parse("deny user:bob subscribe org/demo/bob"))
            key = Name.parse("org/demo/bob").key
            async with asyncio.timeout(5):
                while key in at.node.routes.by_name:
                    await at.node.status()
            with pytest.raises(SlimError):
                await answers(alice, "org/demo/bob", times=2)
        assert Name.parse("org/demo/alice").key in at.node.routes.by_name
        at.node.rule(None)
        async with at.app("eve", "org/demo/bob"):
            assert key in at.node.routes.by_name


async def test_payloads_do_not_pass_whose_sender_may_not_publish(users: str) -> None:
    async with ruled(users, "") as at, at.app("bob") as bob, at.app("alice") as alice:
        came = asyncio.Event()

        @bob.serve
        async def note(request):
            came.set()
            return b""

        async with note:
            await alice.set_route("org/demo/bob")
            async with alice.session("org/demo/bob", timeout=0.2, max_retries=1) as session:
                await session.request(b"one", timeout=5)
                assert came.is_set()
                came.clear()
                at.node.rule(RuleSet.parse("deny user:alice publish org/demo/bob"))
                with pytest.raises(MessageUndelivered, match="the rules of the node do not let us reach"):
                    await session.request(b"two", timeout=5)
                assert not came.is_set()
                at.node.rule(None)
                assert at.node.door.refusals["publish"] > 0


@pytest.mark.parametrize("proved", [False, True])
async def test_who_only_says_that_it_is_a_node_is_judged_like_anybody(proved: bool, lines: list[str]) -> None:
    """Without `peers` every program of the machine may be a peer: that opens no way around the rules."""
    rules = RuleSet.parse("allow node * *\ndeny anyone * org/private/*", "rules")
    policy = PeerPolicy(loopback=True) if proved else LOOPBACK_ONLY
    node = DataPlane(node_id="ruled", strict=True, rules=rules, peers=policy)
    other = DataPlane(node_id="other", strict=True)
    try:
        address = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}))
        await other.peer([ClientConfig.read({"endpoint": f"http://{address}", "tls": {"insecure": True}})])
        inside = Local(other)
        await inside.order(Name.parse("org/private/vault"))
        await inside.order(Name.parse("org/open/door"))
        async with asyncio.timeout(10):
            while Name.parse("org/open/door").key not in node.routes.by_name:
                await node.status()
        assert (Name.parse("org/private/vault").key in node.routes.by_name) is proved
        assert (node.door.refusals["subscribe"] == 0) is proved
        assert any("judged like everybody else" in line for line in lines) is not proved
    finally:
        await asyncio.gather(node.close(1.0), other.close(1.0))
