"""Encrypted sessions of our applications and originals, through our node and through theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

import gateway.node.data_plane
from actors.names import Name
from actors.session.mls_session import MlsSession, mls_sessions
from gateway.proto import dataplane_pb2 as pb
from identity.errors import CryptoError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.mls import KeyUnavailable
from identity.mls.framing import PrivateMessage, decode_message
from identity.protocols import Verifier
from identity.provider import IdentityProvider, IdentityVerifier
from tests.interop import scenarios
from tests.interop.harness import (
    CallboardNode,
    Jwt,
    OriginalApp,
    OriginalNode,
    OriginalSession,
    numbered,
    requires_originals,
)
from tests.interop.issuer import Issuer
from tests.interop.ours import CallboardApp, CallboardSession
from tests.interop.proxy import TO_NODE, Proxy, Rule, once_each

pytestmark = [pytest.mark.originals, requires_originals]

AUDIENCE = ["callboard"]
MSG, ACK = pb.SESSION_MESSAGE_TYPE_MSG, pb.SESSION_MESSAGE_TYPE_MSG_ACK
RTX_REPLY = pb.SESSION_MESSAGE_TYPE_RTX_REPLY
App = CallboardApp | OriginalApp
End = CallboardSession | OriginalSession
Cast = Callable[..., Awaitable[list[App]]]


class Wire(NamedTuple):
    """A PrivateMessage that an application sent: from whom, in which epoch."""

    source: str
    epoch: int
    blob: bytes


def app_named(name: str, proxy: Proxy) -> App:
    return (CallboardApp if name.startswith("our") else OriginalApp)(name, proxy.endpoint)


@pytest.fixture(params=[CallboardNode, OriginalNode], ids=["our-node", "their-node"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[CallboardNode | OriginalNode]:
    async with request.param() as running:
        yield running


@pytest.fixture
async def proxy(node: CallboardNode | OriginalNode) -> AsyncIterator[Proxy]:
    async with Proxy(node.endpoint) as running:
        yield running


@pytest.fixture
async def cast(proxy: Proxy) -> AsyncIterator[Cast]:
    """Starts applications by name, connected through the proxy; who has `our` in its name is ours."""
    async with AsyncExitStack() as stack:

        async def start(*names: str) -> list[App]:
            apps = [app_named(name, proxy) for name in names]
            for app in reversed(apps):
                await stack.enter_async_context(app)
            return apps

        yield start


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[Verifier, MlsSession]:
    """The newest MLS session of each of our applications, by its verifier."""
    made: dict[Verifier, MlsSession] = {}

    def witnessed(verifier: Verifier, **more: Any) -> Callable[[], MlsSession]:
        make = mls_sessions(verifier, **more)

        def factory() -> MlsSession:
            session = make()
            assert isinstance(session, MlsSession)
            made[verifier] = session
            return session

        return factory

    monkeypatch.setattr(gateway.node.data_plane, "mls_sessions", witnessed)
    return made


def sent(proxy: Proxy, since: int = 0) -> list[Wire]:
    """All application messages that went to the node; every one must be encrypted."""
    found = []
    for passed, _ in proxy.recorded[since:]:
        if passed.direction is TO_NODE and passed.kind == MSG:
            publish = passed.message.publish
            blob = publish.msg.app_payload.blob
            message = decode_message(blob)
            assert isinstance(message, PrivateMessage)
            assert message.authenticated_data == b""
            source = publish.header.source.str_name
            name = "/".join((source.str_component_0, source.str_component_1, source.str_component_2))
            found.append(Wire(name, message.epoch, blob))
    return found


async def everybody_talks(proxy: Proxy, apps: Sequence[App], ends: Sequence[End], epoch: int) -> None:
    """All publish at once, each hears each other one in order and no more, and all of them are in `epoch`."""
    since, count = len(proxy.recorded), 5
    heard = await asyncio.gather(
        *(end.receive(count * (len(ends) - 1)) for end in ends),
        *(end.publish_many(count, prefix=app.name) for app, end in zip(apps, ends, strict=True)),
    )
    for me, messages in zip(apps, heard[: len(ends)], strict=True):
        for other in apps:
            wanted = [] if other is me else [numbered(other.name, number) for number in range(count)]
            assert [m.payload for m in messages if other.name == "/".join(m.source.components)] == wanted
    await scenarios.silent(*ends)  # type: ignore[arg-type]
    told = sent(proxy, since)
    assert {(wire.source, wire.epoch) for wire in told} == {(app.name, epoch) for app in apps}
    ours = [end.session for end in ends if isinstance(end, CallboardSession)]
    assert {session.epoch for session in ours} <= {epoch}
    assert len({session.fingerprint for session in ours}) <= 1


@pytest.mark.parametrize("names", [("our-alice", "bob"), ("alice", "our-bob"), ("our-alice", "our-bob")])
async def test_point_to_point(cast: Cast, proxy: Proxy, names: tuple[str, str]) -> None:
    alice, bob = await cast(*names)
    await scenarios.p2p_both_ways(alice, bob, mls=True, count=100)  # type: ignore[arg-type]
    assert {wire.epoch for wire in sent(proxy)} == {1}
    assert {wire.source for wire in sent(proxy)} == {alice.name, bob.name}


@pytest.mark.parametrize("names", [("our-alice", "bob"), ("alice", "our-bob")])
async def test_signed_tokens_are_credentials(
    node: CallboardNode | OriginalNode, names: tuple[str, str]
) -> None:
    """Tokens of an issuer whose keys are published: ours fetch them on the way."""
    async with Issuer() as issuer, AsyncExitStack() as stack:
        theirs = Jwt(private=issuer.private, issuer=issuer.url, audience=AUDIENCE, verify_audience=AUDIENCE)

        def app(name: str) -> App:
            if not name.startswith("our"):
                return OriginalApp(name, node.endpoint, identity=theirs)
            key = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(issuer.private.data or ""))
            provider = IdentityProvider.Jwt(
                key, timedelta(hours=1), issuer.url, AUDIENCE, f"org/test/{name}", key_id="only"
            )
            verifier = IdentityVerifier.Jwt(autoresolve=True, issuer=issuer.url, audience=AUDIENCE)
            return CallboardApp(name, node.endpoint, identity=(provider, verifier))

        bob, alice = [await stack.enter_async_context(app(name)) for name in reversed(names)]
        ends: Any = await scenarios.pair(alice, bob, mls=True)  # type: ignore[arg-type]
        await scenarios.flood(ends[0], [ends[1]], 3, "alice")
        await scenarios.flood(ends[1], [ends[0]], 3, "bob")
        await ends[0].delete()


@pytest.mark.parametrize("moderator", ["our-moderator", "moderator"])
async def test_the_life_of_a_mixed_group(
    cast: Cast, proxy: Proxy, groups: dict[Verifier, MlsSession], moderator: str
) -> None:
    names = ("our-ann", "ben", "our-cleo", "dan", "our-eve", "fred")
    lead, *members = apps = await cast(moderator, *names)
    ends: list[End] = await scenarios.gathering(lead, members, mls=True)  # type: ignore[assignment, arg-type]
    by_name = dict(zip((moderator, *names), zip(apps, ends, strict=True), strict=True))
    await everybody_talks(proxy, apps, ends, 6)

    # Two are removed: one of ours, whose keys we keep, and an original.
    cleo = by_name["our-cleo"][0]
    assert isinstance(cleo, CallboardApp)
    crypto = groups[cleo.slim._life._identity[1]]
    keys, lead_name = crypto._group, Name.parse(lead.name)
    assert keys is not None
    for name in ("our-cleo", "dan"):
        told, _ = await asyncio.gather(by_name[name][1].ended(), ends[0].remove(name))
        assert "session closed" in told
        del by_name[name]
    await everybody_talks(proxy, *_unzip(by_name), 8)
    later = [wire for wire in sent(proxy) if wire.epoch > 6]
    assert later
    for wire in later:
        with pytest.raises(CryptoError):
            crypto.decrypt(lead_name, wire.blob)
        with pytest.raises(KeyUnavailable):
            keys.decrypt(wire.blob)

    # One leaves by itself, one comes back.
    told, _ = await asyncio.gather(ends[0].ended(), by_name["fred"][1].delete())
    assert "participant disconnected" in told
    del by_name["fred"]
    left = {app.name for app, _ in by_name.values()}
    await scenarios.membership(list(_unzip(by_name)[1]), left, among=range(len(by_name)))  # type: ignore[arg-type]
    await everybody_talks(proxy, *_unzip(by_name), 9)
    again = next(app for app in apps if app.name.endswith("our-cleo"))
    _, end = await asyncio.gather(ends[0].invite(again.name), again.listen())
    by_name["our-cleo"] = (again, end)
    await everybody_talks(proxy, *_unzip(by_name), 10)

    rest = [end for _, end in list(by_name.values())[1:]]
    *told_all, _ = await asyncio.gather(*(end.ended() for end in rest), ends[0].delete())
    assert all("session closed" in text for text in told_all)


def _unzip(by_name: dict[str, tuple[App, End]]) -> tuple[list[App], list[End]]:
    return [app for app, _ in by_name.values()], [end for _, end in by_name.values()]


@pytest.fixture
def through(node: CallboardNode | OriginalNode) -> Callable[..., Any]:
    """`async with through(rule, "alice", "bob") as (proxy, alice, bob)`: a pair behind a proxy."""

    @asynccontextmanager
    async def start(rule: Rule, *names: str) -> AsyncIterator[tuple[Any, ...]]:
        async with Proxy(node.endpoint, rule) as proxy, AsyncExitStack() as stack:
            apps = [await stack.enter_async_context(app_named(name, proxy)) for name in reversed(names)]
            yield proxy, *reversed(apps)

    return start


RECEIVERS = pytest.mark.parametrize("names", [("alice", "our-bob"), ("our-alice", "our-bob")])


@RECEIVERS
async def test_a_copy_is_acknowledged_without_being_decrypted(
    through: Callable[..., Any], names: tuple[str, str]
) -> None:
    """An original stays silent then (`session.md` 14, point 2), and its sender fails: only ours is tested."""
    async with through(once_each(TO_NODE, ACK, {2, 5}), *names) as (_, alice, bob):
        ends = await scenarios.pair(alice, bob, mls=True, interval=0.3)
        await scenarios.flood(ends[0], [ends[1]], 8, "alice")
        await ends[0].delete()


@RECEIVERS
async def test_a_lost_message_is_asked_for_and_decrypted(
    through: Callable[..., Any], names: tuple[str, str]
) -> None:
    async with through(once_each(TO_NODE, MSG, {2, 3, 7}), *names) as (proxy, alice, bob):
        # The sender's own timer is far away, so that only the receiver's requests can fill the gaps.
        ends = await scenarios.pair(alice, bob, mls=True, interval=5.0)
        await scenarios.flood(ends[0], [ends[1]], 10, "alice")
        assert proxy.count(TO_NODE, RTX_REPLY) == 3
        await ends[0].delete()
