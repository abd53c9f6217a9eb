"""Who is not let in is told to people, with address, identity and reason, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

import pytest

from actors.errors import ConnectionLost
from gateway.security.door import Door, host_of
from tests.gateway.authority import HostAuthority, Issued
from tests.gateway.planes import TRANSPORTS, plane, serving

INSECURE = {"insecure": True}


def shown(issued: Issued) -> dict[str, Any]:
    return {"type": "pem", "cert": issued.cert, "key": issued.key}


def trusted(authority: HostAuthority) -> dict[str, Any]:
    return {"type": "pem", "data": authority.pem}


async def refused(at: Any, tls: dict[str, Any], **options: Any) -> None:
    async with plane() as client:
        with pytest.raises(ConnectionLost):
            await at.dial(client, tls, **options)


async def test_a_client_certificate_that_is_not_taken(lines: list[str]) -> None:
    servers, clients = HostAuthority("servers"), HostAuthority("clients")
    tls = {"source": shown(servers.issue()), "client_ca": trusted(clients)}
    knows = {"ca_source": trusted(servers)}
    async with serving(tls, transport="fast") as at:
        await refused(at, knows)
        await refused(at, {**knows, "source": shown(HostAuthority("x").issue())})
        await refused(at, {**knows, "source": shown(clients.issue(ttl=-60.0))})
        refusals = at.node.door.refusals["handshake"]
        samples = at.node.telemetry.figures()
    said = [line for line in lines if "refused at the door" in line]
    assert all("'peer': '127.0.0.1:" in line and "'rule': 'handshake'" in line for line in said)
    for reason in (
        "no client certificate was shown",
        "the certificate is refused: unable to get local issuer certificate",
        "the certificate is refused: certificate has expired",
    ):
        assert [line for line in said if reason in line], (reason, said)
    assert refusals == 3
    assert samples['callboard_door_refusals_total{rule="handshake"}'] == 3


async def test_of_the_grpc_librarys_handshakes_it_is_said_where_they_are_told(
    lines: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    servers, clients = HostAuthority("servers"), HostAuthority("clients")
    tls = {"source": shown(servers.issue()), "client_ca": trusted(clients)}
    async with serving(tls, transport="grpc") as at:
        assert [line for line in lines if "handshakes that fail are not told here" in line]
        await refused(at, {"ca_source": trusted(servers)})
        assert at.node.door.refusals["handshake"] == 0
    assert "peer did not return a certificate" in capfd.readouterr().err.lower().replace("_", " ")


async def test_who_speaks_no_tls_or_no_http2(lines: list[str]) -> None:
    authority = HostAuthority()
    async with serving({"source": shown(authority.issue())}, transport="fast") as at:
        await refused(at, INSECURE)
        context = ssl.create_default_context(cadata=authority.pem)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(at.port), ssl=context)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        assert at.node.door.refusals["alpn"] == 1
    said = "".join(lines)
    assert "the peer speaks no TLS" in said
    assert "the peer does not offer HTTP/2" in said


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_password_and_a_bad_token(transport: str, lines: list[str]) -> None:
    basic = {"type": "basic", "username": "ann", "password": "right"}
    async with serving(INSECURE, transport=transport, auth=basic) as at:
        await refused(at, INSECURE, auth={**basic, "password": "hidden"})
        await refused(at, INSECURE)
        assert at.node.door.refusals["authentication"] == 2
    said = [line for line in lines if "refused at the door" in line]
    assert "'who': 'ann'" in said[0]
    assert "basic authentication failed" in said[0]
    assert "127.0.0.1:" in said[0]
    assert "basic authentication is wanted" in said[1]
    assert "hidden" not in "".join(lines)


def test_one_host_has_few_lines_and_every_refusal_is_counted(lines: list[str]) -> None:
    now = [0.0]
    door = Door(lambda: now[0])
    for number in range(100):
        door.refused("handshake", f"192.0.2.1:{number}", "no certificate")
    assert len(lines) == 1
    now[0] += 2
    door.refused("handshake", "192.0.2.1:7", "no certificate")
    assert "99 more were not told" in lines[1]
    assert door.refusals["handshake"] == 101


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.1:5", "192.0.2.1"), ("[2001:db8::1]:5", "2001:db8::1"), ("ipv4:192.0.2.1:5", "192.0.2.1"),
        ("ipv6:%5B::1%5D:5", "::1"), ("2001:db8::1:5", "2001:db8::1"), ("unix socket", "unix socket"),
        ("memory", "memory"),
    ],
)  # fmt: skip
def test_the_host_of_an_address(peer: str, host: str) -> None:
    assert host_of(peer) == host
