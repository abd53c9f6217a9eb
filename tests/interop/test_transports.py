"""Each transport of our node, with and without TLS, between originals and ours."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from gateway.config import TRANSPORTS
from tests.gateway.http2.conftest import Certificate
from tests.interop import scenarios
from tests.interop.harness import CallboardNode, OriginalApp, requires_originals
from tests.interop.ours import CallboardApp

pytestmark = [pytest.mark.originals, requires_originals]


async def test_originals_through_the_grpc_library() -> None:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(CallboardNode(0, "--transport", "grpc"))
        names = ("ben", "ann", "moderator")
        apps = [await stack.enter_async_context(OriginalApp(name, node.endpoint)) for name in names]
        await scenarios.group_talk(apps[-1], apps[:-1], mls=True, count=20)
        await scenarios.p2p_both_ways(apps[0], apps[1], mls=False, count=200)


@pytest.mark.parametrize("client", TRANSPORTS)
@pytest.mark.parametrize("server", TRANSPORTS)
async def test_either_end_may_use_the_grpc_library(server: str, client: str) -> None:
    async with (
        CallboardNode(0, "--transport", server) as node,
        CallboardApp("bob", node.endpoint, client={"transport": client}) as bob,
        CallboardApp("alice", node.endpoint) as alice,
    ):
        await scenarios.p2p_both_ways(alice, bob, mls=False, count=200)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tls(transport: str, certificate: Certificate) -> None:
    trust = {"tls": {"ca_source": {"type": "file", "path": str(certificate.authority)}}}
    async with (
        CallboardNode(0, "--transport", transport, certificate=certificate.cert, key=certificate.key) as node,
        OriginalApp("bob", node.endpoint, authority=certificate.authority) as bob,
        CallboardApp("alice", node.endpoint, client=trust | {"transport": transport}) as alice,
    ):
        await scenarios.p2p_both_ways(alice, bob, mls=False, count=100)
