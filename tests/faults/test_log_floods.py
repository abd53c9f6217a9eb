"""Whoever is refused a thousand times has a few lines in the log: at every door."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from actors.alarm import BURST
from actors.messages.session import SessionAnnounced, SessionConfig
from actors.messages.wire import SessionKind
from actors.names import Name
from gateway import http2
from gateway.api.accepting import Arrivals
from gateway.config import AuthConfig, Section
from gateway.controller.access import AccessPolicy
from gateway.controller.calls import RpcCaller
from gateway.controller.southbound import Southbound
from gateway.security.auth import basic_header, server_auth
from gateway.security.door import Door
from identity.errors import AuthError
from tests.gateway.authority import HostAuthority
from tests.gateway.http2.links import Accepting, settled
from tests.gateway.http2.peers import METHOD

TIMES = 100


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(found.append, level="INFO", format="{message} {extra}")
    yield found
    logger.remove(sink)


@pytest.mark.parametrize("kind", ["basic", "jwt"])
async def test_a_listener_that_demands_a_proof(kind: str, lines: list[str]) -> None:
    basic = {"type": "basic", "username": "u", "password": "p"}
    key = {"type": "autoresolve"}
    bearer = {"type": "jwt", "claims": {"issuer": "https://issuer.test"}, "duration": "1m", "key": key}
    gate = server_auth(AuthConfig.read(Section(basic if kind == "basic" else bearer, "auth")))
    assert gate is not None
    door = Door()
    for number in range(TIMES):
        with pytest.raises(AuthError) as refused:
            await gate.check({"authorization": basic_header("u", str(number))})
        door.refused("authentication", f"192.0.2.{number}:1", str(refused.value), "u")
    assert 0 < len([line for line in lines if "refused at the door" in line]) <= BURST
    assert door.refusals["authentication"] == TIMES


async def test_a_controller(lines: list[str]) -> None:
    desk: Any = None
    nodes = Southbound(desk, AccessPolicy(token="the token"), {})
    for number in range(TIMES):
        with pytest.raises(AuthError):
            await nodes.open(RpcCaller(f"192.0.2.1:{number}", {}, b"", None))
    assert len([line for line in lines if "a node was refused" in line]) == 1


async def test_an_application_that_takes_no_session_of_that_kind(lines: list[str]) -> None:
    turned_away: list[SessionAnnounced] = []
    arrivals = Arrivals(lambda announced: 1 / 0, turned_away.append)  # type: ignore[arg-type, return-value]
    address: Any = None
    config = SessionConfig(SessionKind.POINT_TO_POINT, 1.0, 1)
    for number in range(TIMES):
        here, there = Name("o", "n", "here", 1), Name("o", "n", "there", number)
        arrivals.add(SessionAnnounced(number, address, here, there, config, 512))
        assert arrivals._first() is None
    assert len(turned_away) == TIMES
    assert 0 < len([line for line in lines if "session turned away" in line]) <= BURST


async def test_handshakes_of_tls_that_fail(lines: list[str], tmp_path: Path) -> None:
    files = [tmp_path / "chain.pem", tmp_path / "key.pem"]
    for file, text in zip(files, HostAuthority().issue(), strict=True):
        file.write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    async with await http2.serve(Accepting(), METHOD, ssl=context) as server:
        for _ in range(TIMES):
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(b"\x16\x03\x01 this is no handshake \r\n\r\n")
        await settled(lambda: server.statistics().refusals.get("handshake") == TIMES)
    assert len([line for line in lines if "TLS handshake refused" in line]) == 1
