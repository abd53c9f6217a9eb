"""Who may call the controller: bearer tokens of our own verifiers, and certificates of the handshake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from identity.jose.keys import Algorithm
from tests.gateway.authority import HostAuthority
from tests.gateway.controller.stage import FakeNode, client, controller
from tests.identity.key_samples import encode, public_pem

TRANSPORTS = ("fast", "grpc")


def bearer(subject: str, number: int = 0) -> str:
    claims = {"sub": subject, "aud": "controller", "exp": int(time.time()) + 60}
    return f"Bearer {encode(claims, Algorithm.ES256, number)}"


def jwt_auth(**more: Any) -> dict[str, Any]:
    key = {
        "type": "decoding",
        "algorithm": "ES256",
        "format": "pem",
        "key": {"data": public_pem(Algorithm.ES256)},
    }
    return {"jwt": {"type": "jwt", "key": key, "claims": {"audience": ["controller"]}}, **more}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_gives_the_role_of_its_subject(transport: str) -> None:
    from controlplane.v1 import controlplane_pb2 as p

    auth = jwt_auth(roles={"ci": "operator"}, default_role="reader")
    async with controller(transport, northbound={"auth": auth}) as made:
        for subject, status in (("ci", "UNAVAILABLE"), ("somebody", "PERMISSION_DENIED")):
            async with client(made.northbound, authorization=bearer(subject)) as stub:
                assert not (await stub.ListNodes(p.NodeListRequest())).entries
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.CreateChannel(p.CreateChannelRequest(moderators=["a/b/c"]))
                assert caught.value.code().name == status
        async with client(made.northbound, authorization=bearer("ci", 1)) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListNodes(p.NodeListRequest())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_nodes_id_stays_with_the_subject_that_came_first() -> None:
    async with controller(southbound={"auth": jwt_auth()}) as made:
        first = FakeNode(made.southbound)
        first.metadata = (("authorization", bearer("spiffe://example.org/one")),)
        async with first:
            await first.registered()
            second = FakeNode(made.southbound)
            second.metadata = (("authorization", bearer("spiffe://example.org/two")),)
            async with second:
                with pytest.raises(AssertionError, match="slim/0 belongs to another identity"):
                    await second.registered()
            assert not first.ended.is_set()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_certificate_gives_the_role_of_its_name(transport: str, tmp_path: Path) -> None:
    from controlplane.v1 import controlplane_pb2 as p
    from controlplane.v1 import controlplane_pb2_grpc as api

    authority = HostAuthority()
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    cert, key = authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    tls = {"certFile": cert, "keyFile": key, "caFile": str(ca)}
    auth = {"certificates": True, "roles": {"operator.example": "operator"}}
    async with controller(transport, northbound={"tls": tls, "auth": auth}) as made:
        port = made.northbound.rpartition(":")[2]
        for name, status in (("operator.example", None), ("stranger.example", "PERMISSION_DENIED")):
            own_cert, own_key = authority.issue(name).write(tmp_path, name)
            credentials = grpc.ssl_channel_credentials(
                ca.read_bytes(), Path(own_key).read_bytes(), Path(own_cert).read_bytes()
            )
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                stub = api.ControlPlaneServiceStub(channel)
                if status is None:
                    assert not (await stub.ListNodes(p.NodeListRequest(), timeout=10)).entries
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await stub.ListNodes(p.NodeListRequest(), timeout=10)
                    assert caught.value.code().name == status
        async with grpc.aio.secure_channel(
            f"localhost:{port}", grpc.ssl_channel_credentials(ca.read_bytes())
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await api.ControlPlaneServiceStub(channel).ListNodes(p.NodeListRequest(), timeout=10)
