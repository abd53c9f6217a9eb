"""Attacks on the admin port: who may not is refused, and the node goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from gateway.admin import door
from gateway.admin.access import (
    FAILING_BOUND,
    FAILURE_WAIT,
    FAILURE_WINDOW,
    FAILURES,
    LINK_LIFE,
    LINKS_BOUND,
    LOGIN_LIFE,
    AdminAccess,
    AdminRequest,
    AdminRole,
    NotAdmitted,
    Tokens,
)
from gateway.cli import main
from gateway.config.node import NodeConfig
from identity.errors import ConfigError
from tests.gateway.admin.conftest import OPERATOR, READER, Run, Running, run_node
from tests.gateway.authority import HostAuthority, Issued

__all__ = ["run_node"]

TOKENS = {"token": OPERATOR, "reader_token": READER}
NODE, KICK, DRAIN = "/api/v1/node", "/api/v1/connections/1/kick", "/api/v1/drain"


@asynccontextmanager
async def raw(running: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that says what it likes."""
    host, _, port = running.admin.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def unharmed(running: Running) -> bool:
    """Whether the node serves, and told nobody to drain."""
    async with running.local() as http:
        answer = await http.get(NODE)
    return bool(answer.json()["state"] == "serving" and running.drained == 0)


# Who shows nothing, or not enough


async def test_without_a_token_only_health_is_told_and_without_reasons(run_node: Run) -> None:
    async with run_node(TOKENS) as running, running.client() as http:
        for path in (
            NODE,
            "/metrics",
            "/api/v1/openapi.json",
            "/api/v1/events",
            "/nowhere",
            "/api/v1/routes",
        ):
            answer = await http.get(path)
            assert (answer.status_code, "token" in answer.text) == (401, True), path
        running.node.data_plane.health.end("draining")
        for path, text in (("/healthz", "ok\n"), ("/readyz", "not ready\n")):
            assert (await http.get(path)).text == text
        async with running.client(READER) as reader:
            assert (await reader.get("/readyz")).text == "draining\n"


async def test_readers_do_not_order(run_node: Run) -> None:
    async with run_node(TOKENS) as running, running.client(READER) as http:
        assert (await http.get(NODE)).status_code == 200
        for path in (KICK, DRAIN, "/api/v1/links"):
            assert (await http.post(path)).status_code == 403, path
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"):
            assert (await http.request(method, NODE)).status_code in (400, 403, 405), method
        assert await unharmed(running)
        async with running.client(OPERATOR) as operator:
            assert (await operator.post(DRAIN)).json() == {"state": "draining"}
        assert running.drained == 1


async def test_on_loopback_reading_is_open_and_ordering_is_not(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        assert (await http.get(NODE)).status_code == 200
        assert (await http.post(DRAIN)).status_code == 403
        assert await unharmed(running)


async def test_guessing_is_logged_with_the_address_and_slowed_down(
    run_node: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with run_node(TOKENS) as running:
        for _ in range(FAILURES):
            async with running.client("a token that is wrong") as http:
                assert (await http.get(NODE)).status_code == 401
        began = time.monotonic()
        async with running.client("another that is wrong") as guessing, running.client(OPERATOR) as http:
            guess = asyncio.create_task(guessing.get(NODE))
            # Who shares the address with it, and knows the token, is served meanwhile.
            assert (await http.get(NODE)).status_code == 200
            assert not guess.done()
            assert (await guess).status_code == 429
        assert time.monotonic() - began >= FAILURE_WAIT
        assert running.admin.counts.refused == FAILURES + 1
        assert await unharmed(running)
    said = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(said) == 1, "one line, however many guesses"
    assert "127.0.0.1" in said[0]
    assert "a token that is wrong" not in caplog.text
    assert OPERATOR not in caplog.text


@pytest.mark.parametrize(
    ("section", "text"),
    {
        "open to others": ({"endpoint": "0.0.0.0:1"}, "needs a token, or tls with client_ca"),
        "a short token": ({"endpoint": "0.0.0.0:1", "token": "short"}, "at least 16"),
        "half a digest": ({"endpoint": "0.0.0.0:1", "token": "sha256:abcd"}, "64 hex digits"),
        "a scheme": ({"endpoint": "http://127.0.0.1:1"}, "tls says whether"),
        "a user": ({"endpoint": "u:p@127.0.0.1:1"}, "user and password"),
    }.values(),
)
def test_a_port_that_anybody_could_use_is_not_opened(section: dict[str, str], text: str) -> None:
    service = {"dataplane": {"servers": [{"endpoint": "h:1", "tls": {"insecure": True}}]}, "admin": section}
    with pytest.raises(ConfigError, match=text):
        NodeConfig.read({"services": {"slim/0": service}})


# What browsers are made to ask


CROSS_SITE = {
    "a name of somebody else, rebound": {"Host": "evil.example:46380"},
    "a name with ours in it": {"Host": "localhost.evil.example"},
    "another origin": {"Origin": "http://evil.example"},
    "an opaque origin": {"Origin": "null"},
    "a page of another site": {"Sec-Fetch-Site": "cross-site"},
}


@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE)
async def test_pages_of_other_sites_are_refused(run_node: Run, headers: dict[str, str]) -> None:
    async with run_node() as running, running.client(**headers) as http:
        assert (await http.get(NODE)).status_code in (403, 421)
        assert (await http.post(DRAIN)).status_code in (403, 421)
        assert await unharmed(running)


async def test_a_browser_logs_in_by_a_link_once_and_orders_from_our_page_only(run_node: Run) -> None:
    async with run_node(TOKENS) as running, running.client(OPERATOR) as operator:
        url = (await operator.post("/api/v1/links", json={"role": "operator"})).json()["url"]
        async with running.client() as browser:
            answer = await browser.get(url)
            cookie = answer.headers["Set-Cookie"]
            assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
            assert url.rpartition("=")[2] not in cookie + answer.text
            assert (await browser.get(NODE)).status_code == 200
            own = {"Origin": running.base, "Sec-Fetch-Site": "same-origin"}
            assert (await browser.post(DRAIN)).status_code == 403, "without saying which page asks"
            assert (await browser.post(DRAIN, headers={"Origin": "http://evil.example"})).status_code == 403
            assert await unharmed(running)
            assert (await browser.post(KICK, headers=own)).status_code == 404, (
                "an operator, but no such thing"
            )
            kept = dict(browser.cookies)
            assert (await browser.post("/logout", headers=own)).status_code == 200
        async with running.client() as later:
            assert (await later.get(url)).status_code == 403
            later.cookies.update(kept)
            assert (await later.get(NODE)).status_code == 401


# Strange and large requests


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/api/v1/../../etc/passwd", "/api/v1/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
        "/api/v1/node/..", "/api/v1/connections/..%2fnode", "/api/v1/connections/1%00",
        "/api/v1/connections/-1", "/api/v1/connections/99999999999999999999999", "/healthz/../api/v1/routes",
        "/api/v1/connections/٣", "/login", "/login?code=x", "/%", "*",
    ],
)  # fmt: skip
async def test_tricks_with_paths_lead_nowhere(run_node: Run, path: str) -> None:
    async with run_node(TOKENS) as running, raw(running) as (reader, writer), asyncio.timeout(10):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        status = int(answer.split()[1])
        assert status in (400, 401, 403, 404), answer[:200]
        assert b"root:" not in answer
        assert await unharmed(running)


HUGE = {
    "a long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    "a large body": b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    + OPERATOR.encode()
    + b"\r\nContent-Length: 100000000\r\n\r\n"
    + b"x" * 200_000,
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", HUGE.values(), ids=HUGE)
async def test_large_and_broken_requests_are_refused(run_node: Run, request_bytes: bytes) -> None:
    async with run_node(TOKENS) as running, raw(running) as (reader, writer), asyncio.timeout(15):
        answer = b""
        try:
            writer.write(request_bytes)
            writer.write_eof()
            answer = await reader.read(4096)
        except ConnectionError:
            pass
        assert not answer or int(answer.split()[1]) >= 400
        assert await unharmed(running)


async def test_a_flood_of_broken_requests_is_a_line_that_shows_nothing_of_them(
    run_node: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server library would write a traceback for each, with the beginning of what it could not read."""
    secret = b"a-token-that-is-too-long" * 400
    async with run_node(TOKENS) as running:
        for _ in range(20):
            async with raw(running) as (reader, writer), asyncio.timeout(15):
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + secret + b"\r\n\r\n")
                assert (await reader.read(4096)).split()[1] == b"400"
        assert running.admin.counts.unread == 20
        assert await unharmed(running)
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "not read" in line and "LineTooLong" in line]) == 1
    shown = "".join([*said, *capfd.readouterr()])
    assert "a-token" not in shown
    assert "Traceback" not in shown


async def test_bodies_that_are_no_object_of_texts_are_refused(run_node: Run) -> None:
    async with run_node(TOKENS) as running, running.client(OPERATOR) as http:
        for body in (
            b"[]",
            b"{",
            b"[" * 10_000,
            b'{"cause": 1}',
            b'{"other": "x"}',
            b"\xff",
            b'{"cause": "' + b"a" * 999,
        ):
            assert (await http.post(KICK, content=body)).status_code == 400, body[:20]
        assert await unharmed(running)


# Slow clients, and many


async def test_who_dawdles_is_cut_and_others_are_served(
    run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REQUEST_WAIT", 0.2)
    async with run_node() as running, asyncio.timeout(10):
        async with raw(running) as (reader, writer), running.client() as http:
            writer.write(b"GET /api/v1/node HTTP/1.1\r\n")
            for _ in range(40):
                if reader.at_eof():
                    break
                try:
                    writer.write(b"a")
                    await asyncio.wait_for(reader.read(1), 0.05)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            else:
                pytest.fail("it was still listened to after ten times the time that it had")
            assert (await http.get(NODE)).status_code == 200
        assert running.admin.counts.dawdlers == 1


async def test_who_never_reads_the_answer_is_cut(run_node: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ANSWER_WAIT", 0.3)
    monkeypatch.setattr(door, "IDLE_WAIT", 0.3)
    async with run_node() as running, asyncio.timeout(10):
        host, _, port = running.admin.address.rpartition(":")
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, (host, int(port)))
        wanted = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(400):
            # Pipelined: answers pile up until the server stops reading.
            try:
                async with asyncio.timeout(0.05):
                    await loop.sock_sendall(one, wanted)
            except (TimeoutError, ConnectionError):
                break
        async with running.client() as http:
            while len(running.admin.doors[0]) > 1:
                await asyncio.sleep(0.02)
                assert (await http.get("/healthz")).status_code == 200
        one.close()


async def test_more_connections_than_there_may_be_are_turned_away(
    run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_node() as running, asyncio.timeout(10):
        monkeypatch.setattr(running.admin.doors[0], "_most", 5)
        host, _, port = running.admin.address.rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        async with raw(running) as (reader, _):
            with pytest.raises(ConnectionError):
                if not await reader.read():
                    raise ConnectionResetError
        assert running.admin.counts.turned_away == 1
        assert await unharmed(running), "the socket of commands has places of its own"
        for _, writer in held:
            writer.close()


# The core: bounds, times


def test_links_logins_and_failures_are_bounded_and_end() -> None:
    number = iter(range(10**6))
    access = AdminAccess(lambda size: next(number).to_bytes(size), Tokens.of(OPERATOR, None), loopback=True)
    asked = AdminRequest(host="127.0.0.1:1", address="a")
    codes = [access.link(AdminRole.READER, 0.0) for _ in range(LINKS_BOUND + 1)]
    with pytest.raises(NotAdmitted):
        access.redeem(codes[0], 0.0)
    with pytest.raises(NotAdmitted):
        access.redeem(codes[1], LINK_LIFE + 1)
    cookie = access.redeem(codes[2], 1.0)
    assert access.judge(asked._replace(cookie=cookie), LOGIN_LIFE) is AdminRole.READER
    assert access.judge(asked._replace(cookie=cookie), LOGIN_LIFE + 2) is AdminRole.NOBODY
    guess = asked._replace(authorization="Bearer wrong")
    for one in range(2 * FAILING_BOUND):
        with pytest.raises(NotAdmitted):
            access.judge(guess._replace(address=str(one)), 0.0)
    assert len(access._failures) == FAILING_BOUND
    right = asked._replace(authorization=f"Bearer {OPERATOR}")
    said = []
    for at in (*(0.0,) * FAILURES, FAILURE_WINDOW, FAILURE_WINDOW + 1):
        with pytest.raises(NotAdmitted) as refused:
            access.judge(guess, at)
        said.append((refused.value.status, refused.value.wait))
        assert access.judge(right, at) is AdminRole.OPERATOR
    assert said == [*((401, 0.0),) * FAILURES, (429, FAILURE_WAIT), (401, 0.0)]


def test_a_unix_socket_is_its_users() -> None:
    access = AdminAccess(bytes, uid=1000)
    assert access.judge(AdminRequest(unix=True, uid=1000), 0.0) is AdminRole.OPERATOR
    assert access.judge(AdminRequest(unix=True, uid=0), 0.0) is AdminRole.OPERATOR
    assert access.judge(AdminRequest(unix=True), 0.0) is AdminRole.OPERATOR, (
        "no credentials: file rights count"
    )
    with pytest.raises(NotAdmitted):
        access.judge(AdminRequest(unix=True, uid=1001), 0.0)


def test_a_certificate_reads_and_orders_where_it_is_listed() -> None:
    access = AdminAccess(bytes, loopback=False, operators=frozenset({"spiffe://t/op"}))
    asked = AdminRequest(host="10.0.0.1:1", identities=("spiffe://t/op", "x"))
    assert access.judge(asked, 0.0) is AdminRole.OPERATOR
    assert access.judge(asked._replace(identities=("x",)), 0.0) is AdminRole.READER
    assert access.judge(asked._replace(identities=None), 0.0) is AdminRole.NOBODY


async def test_tokens_come_from_a_file_too(run_node: Run, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# who\noperator: sha256:{sha256(OPERATOR.encode()).hexdigest()}\nreader: {READER}\n")
    async with run_node({"token_file": str(path)}) as running:
        for token, status in ((OPERATOR, 404), (READER, 403)):
            async with running.client(token) as http:
                answer: httpx.Response = await http.post(KICK)
                assert answer.status_code == status
                assert json.loads(answer.text)["error"]
    path.write_text("operator\n")
    with pytest.raises(ConfigError, match="line 1"):
        async with run_node({"token_file": str(path)}):
            pass


async def test_with_certificates_who_has_none_gets_nothing(run_node: Run, tmp_path: Path) -> None:
    authority, other = HostAuthority("ours"), HostAuthority("another")
    cert, key = authority.issue().write(tmp_path, "node")
    (tmp_path / "ca.pem").write_text(authority.pem)
    tls = {
        "source": {"type": "file", "cert": cert, "key": key},
        "client_ca": {"type": "file", "path": str(tmp_path / "ca.pem")},
    }
    section = {"tls": tls, "operators": ["ops.example"]}

    def context(issued: Issued | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=authority.pem)
        if issued is not None:
            made.load_cert_chain(*issued.write(tmp_path, "caller"))
        return made

    async with run_node(section) as running:
        base = running.base.replace("http:", "https:")
        for issued in (None, other.issue("ops.example")):
            async with httpx.AsyncClient(base_url=base, verify=context(issued), trust_env=False) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get(NODE)
        for name, status in (("ops.example", 404), ("reader.example", 403)):
            shown = context(authority.issue(name))
            async with httpx.AsyncClient(base_url=base, verify=shown, trust_env=False) as http:
                assert (await http.get(NODE)).status_code == 200
                assert (await http.post(KICK)).status_code == status, name
        assert await unharmed(running)


async def test_the_command_prints_a_link_that_logs_in(
    run_node: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    async with run_node(TOKENS) as running:
        assert await asyncio.to_thread(main, ["admin", "link", "--role", "operator"]) == 0
        url = capsys.readouterr().out.strip()
        async with running.client() as http:
            assert (await http.get(url)).status_code == 200
            assert (await http.post(KICK, headers={"Origin": running.base})).status_code == 404
        assert await asyncio.to_thread(main, ["admin", "link", "--node", "nobody"]) == 2
        assert "there are: " in capsys.readouterr().err
