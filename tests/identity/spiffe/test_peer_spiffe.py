"""The test server as PyPI's `spiffe` sees it: what that client accepts, our server says rightly.

The package and ours run in one process, which also shows that their messages do not collide.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from identity.spiffe.blocking import WorkloadApiClient as OurClient
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import PATIENCE, WorkloadServer

spiffe = pytest.importorskip("spiffe", reason="PyPI's spiffe has no wheel that fits this interpreter")

T = TypeVar("T")


async def in_thread(action: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(action), PATIENCE)


async def test_it_makes_every_call_and_sees_what_we_see(server: WorkloadServer) -> None:
    server.paths = ["/web", "/batch"]
    server.federated = [Authority("partner.test")]

    def calls() -> None:
        address = f"unix://{server.path}"
        with spiffe.WorkloadApiClient(address, PATIENCE) as theirs, OurClient(address, PATIENCE) as ours:
            context = theirs.fetch_x509_context()
            assert [str(svid.spiffe_id) for svid in context.x509_svids] == [
                str(svid.spiffe_id) for svid in ours.fetch_x509_svids()
            ]
            assert {
                b.trust_domain.name: set(b.x509_authorities) for b in theirs.fetch_x509_bundles().bundles
            } == {b.trust_domain.name: set(b.x509_authorities) for b in ours.fetch_x509_bundles().bundles}
            token = theirs.fetch_jwt_svid(audience={"slim"})
            batch = theirs.fetch_jwt_svid({"slim"}, subject=spiffe.SpiffeId("spiffe://example.org/batch"))
            assert str(batch.spiffe_id) == "spiffe://example.org/batch"
            assert len(theirs.fetch_jwt_svids({"slim"})) == 2
            assert theirs.validate_jwt_svid(token.token, "slim").spiffe_id == token.spiffe_id
            keys = {b.trust_domain.name: set(b.jwt_authorities) for b in theirs.fetch_jwt_bundles().bundles}
            assert keys == {"example.org": {"k1"}, "partner.test": {"k1"}}
            # Their verified parse takes the token that our client fetched, and ours theirs.
            bundles = theirs.fetch_jwt_bundles()
            bundle = bundles.get_bundle_for_trust_domain(spiffe.TrustDomain("example.org"))
            fetched = ours.fetch_jwt_svid({"slim"})
            assert spiffe.JwtSvid.parse_and_validate(fetched.token, bundle, {"slim"})
            assert ours.validate_jwt_svid(token.token, "slim").spiffe_id.path == "/web"

    await in_thread(calls)


async def test_its_sources_follow_rotation_and_reconnect(server: WorkloadServer) -> None:
    def follow() -> None:
        with spiffe.X509Source(socket_path=f"unix://{server.path}", timeout_in_seconds=PATIENCE) as source:
            changed = threading.Event()
            source.subscribe_for_updates(changed.set)
            for action in (server.rotate, server.disconnect):
                before: Any = source.get_x509_context().default_svid.leaf
                changed.clear()
                loop.call_soon_threadsafe(action)
                assert changed.wait(PATIENCE)
                assert source.get_x509_context().default_svid.leaf != before

    loop = asyncio.get_running_loop()
    await in_thread(follow)


async def test_it_is_refused_as_we_are(server: WorkloadServer) -> None:
    server.deny()

    def call() -> None:
        with (
            spiffe.WorkloadApiClient(f"unix://{server.path}", PATIENCE) as client,
            pytest.raises(Exception, match="no identity issued"),
        ):
            client.fetch_x509_svid()

    await in_thread(call)
