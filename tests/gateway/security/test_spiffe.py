"""TLS between data planes whose certificates and authorities a SPIFFE agent gives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.errors import ConnectionLost
from gateway.config import ServerConfig, TlsConfig
from gateway.config.section import Section
from gateway.node.data_plane import DataPlane
from gateway.security.material import Side, TlsSource
from identity.errors import ConfigError
from identity.spiffe.errors import X509SourceError
from tests.gateway.planes import TRANSPORTS, Endpoint, plane, serving
from tests.identity.spiffe.trust import Authority
from tests.identity.spiffe.workload_server import WorkloadServer


@pytest.fixture
async def agent() -> AsyncIterator[WorkloadServer]:
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running


def of(agent: WorkloadServer, **more: Any) -> dict[str, Any]:
    return {"type": "spire", "socket_path": agent.path, **more}


def mutual(agent: WorkloadServer, authorities: str, **more: Any) -> dict[str, Any]:
    """Both the own certificate and the authorities come from the agent."""
    return {"source": of(agent), authorities: of(agent, **more)}


async def test_both_ends_are_known_by_their_spiffe_ids(agent: WorkloadServer) -> None:
    async with serving(mutual(agent, "client_ca"), transport="fast") as at, plane() as client:
        assert await at.dial(client, mutual(agent, "ca_source"))


async def test_the_agent_rotates_and_no_connection_ends(agent: WorkloadServer) -> None:
    async with serving(mutual(agent, "client_ca"), transport="fast") as at, plane() as early:
        states: list[str] = []
        early.observe(lambda state: states.append(state.state))
        await at.dial(early, mutual(agent, "ca_source"))
        for _ in range(3):
            agent.rotate(Authority())
            async with plane() as late:
                # The two ends hear of the new authority at their own times.
                await dial_until_it_works(at, late, mutual(agent, "ca_source"))
        assert not {"lost", "closed"} & set(states)


async def dial_until_it_works(at: Endpoint, client: DataPlane, tls: dict[str, Any]) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await at.dial(client, tls)
            except ConnectionLost:
                await asyncio.sleep(0.01)
            else:
                return


async def test_only_the_expected_peer_is_trusted(agent: WorkloadServer) -> None:
    tls = mutual(agent, "client_ca")
    async with serving(tls, transport="fast") as at:
        async with plane() as client:
            assert await at.dial(
                client, mutual(agent, "ca_source", target_spiffe_id="spiffe://example.org/web")
            )
        async with plane() as client:
            with pytest.raises(ConnectionLost, match="not among the expected identities"):
                await at.dial(
                    client, mutual(agent, "ca_source", target_spiffe_id="spiffe://example.org/other")
                )


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_stranger_with_a_good_certificate_of_another_domain(
    agent: WorkloadServer, transport: str
) -> None:
    """TLS itself would take any authority for any peer: a federated one must not speak for our domain."""
    other = Authority("other.org")
    agent.federated = [other]
    tls = {"source": of(agent), "client_ca": of(agent, trust_domains=["example.org", "other.org"])}
    # An authority of other.org vouches for somebody of example.org.
    leaf, key = other.svid()
    forged = Authority("example.org")
    forged.key, forged.root = other.key, other.root
    liar, liar_key = forged.svid("/web", issuer=(other.root, other.key))
    async with serving(tls, transport=transport) as at:
        for cert, private, welcome in ((leaf, key, True), (liar, liar_key, False)):
            shown = {
                "type": "pem",
                "cert": cert.public_bytes(Encoding.PEM).decode(),
                "key": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            }
            client_tls = {"source": shown, "insecure_skip_verify": True}
            at.transport = "fast"
            async with plane() as client:
                if welcome:
                    assert await at.dial(client, client_tls)
                else:
                    with pytest.raises(ConnectionLost):
                        await at.dial(client, client_tls)


async def test_the_grpc_library_serves_agents_certificates(agent: WorkloadServer) -> None:
    async with serving(mutual(agent, "client_ca"), transport="grpc") as at, plane() as client:
        at.transport = "fast"
        assert await at.dial(client, mutual(agent, "ca_source"))


async def test_the_grpc_library_cannot_check_a_servers_spiffe_id(agent: WorkloadServer) -> None:
    async with serving(mutual(agent, "client_ca"), transport="grpc") as at, plane() as client:
        with pytest.raises(ConfigError, match="SPIFFE ID"):
            await at.dial(client, mutual(agent, "ca_source"))


async def test_a_revoked_identity_is_not_shown_any_more(agent: WorkloadServer) -> None:
    async with serving(mutual(agent, "client_ca"), transport="fast") as at, plane() as early:
        await at.dial(early, mutual(agent, "ca_source"))
        source = TlsSource(read(mutual(agent, "client_ca")), Side.SERVER)
        await source.start()
        gone = asyncio.Event()
        source._agents[agent.path].subscribe_for_updates(gone.set)
        agent.deny()
        await asyncio.wait_for(gone.wait(), 10)
        with pytest.raises(X509SourceError, match="revoked"):
            source.material()
        await source.close()
        async with plane() as late:
            with pytest.raises(ConnectionLost):
                await at.dial(late, {"insecure_skip_verify": True})


async def test_files_of_spiffe_helper(agent: WorkloadServer, tmp_path: Path) -> None:
    leaf, key = agent.authority.svid("/web")
    for name, content in (
        ("tls.crt", leaf.public_bytes(Encoding.PEM)),
        ("tls.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ("svid_bundle.pem", agent.authority.root.public_bytes(Encoding.PEM)),
    ):
        (tmp_path / name).write_bytes(content)
    own = {"type": "file", "cert": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}
    bundle = {
        "type": "file",
        "path": str(tmp_path / "svid_bundle.pem"),
        "trust_domains": ["example.org"],
    }
    async with serving({"source": own, "client_ca": bundle}, transport="fast") as at:
        async with plane() as client:
            assert await at.dial(client, {"source": own, "ca_source": bundle})
        async with plane() as client:
            # The other client has its identity from the agent itself.
            assert await at.dial(client, {"source": of(agent), "ca_source": of(agent)})
        async with plane() as client:
            with pytest.raises(ConfigError, match=r"other\.org: no authority of that trust domain"):
                await at.dial(
                    client, {"source": own, "ca_source": {**bundle, "trust_domains": ["other.org"]}}
                )


async def test_no_agent_no_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.security.material.START_SECONDS", 0.2)
    async with plane() as node:
        tls = {"source": {"type": "spire", "socket_path": str(tmp_path / "absent.sock")}}
        with pytest.raises(X509SourceError, match="no first update within"):
            await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": tls}))


def test_a_trust_domain_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="trust_domains"):
        TlsSource(read({"ca_source": {"type": "pem", "data": "x", "trust_domains": ["A b"]}}), Side.CLIENT)


def read(tls: dict[str, Any]) -> TlsConfig:
    return TlsConfig.read(Section(tls, "tls"))
