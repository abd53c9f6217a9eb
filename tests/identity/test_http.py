"""Fetching from an issuer that is slow, broken or hostile: bounded time, bounded memory, typed errors."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import tracemalloc

import httpx
import pytest

from identity import http
from identity.http import FetchFailed, HttpAnswer, origin, trusted_url
from tests.identity.issuer import Issuer, drip, endless, gzip_bomb, hang, issuer, redirect, reply

LIMIT = 64 * 1024


async def get(served: Issuer, path: str = "/x") -> HttpAnswer:
    async with http.client(ssl.create_default_context(), connect=1) as client:
        return await http.get(client, httpx.URL(served.url + path), LIMIT)


async def reason(served: Issuer, path: str = "/x") -> str:
    with pytest.raises(FetchFailed) as caught:
        await get(served, path)
    return caught.value.reason


async def test_a_document() -> None:
    async with issuer() as served:
        served.serve("/x", b"text", cache_control="public, max-age=600")
        answer = await get(served)
        assert (answer.body, answer.max_age) == (b"text", 600)
        assert "text" not in repr(answer)


async def test_a_packed_document() -> None:
    async with issuer() as served:
        served.serve("/x", gzip.compress(b"text"), content_encoding="gzip")
        assert (await get(served)).body == b"text"


async def test_request_carries_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuer() as served:
        monkeypatch.setenv("HTTP_PROXY", "http://user:pass@127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://user:pass@127.0.0.1:1")
        served.serve("/x", b"")
        await get(served)
        assert "user-agent: callboard\r\n" in served.headers[0].lower()
        assert "authorization" not in served.headers[0].lower()


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 307, 308, 401, 404, 500])
async def test_only_status_200_counts_and_no_redirect_is_followed(status: int) -> None:
    async with issuer() as served:
        served.routes["/x"] = redirect(served.url + "/y", status)
        served.serve("/y", b"text")
        assert await reason(served) == f"status {status}"
        assert served.requests["/y"] == 0


async def test_large_and_endless_bodies() -> None:
    async with issuer() as served:
        served.serve("/exact", b"x" * LIMIT)
        served.serve("/large", b"x" * (LIMIT + 1))
        served.routes["/endless"] = endless()
        served.routes["/chunked"] = endless(
            b"8000\r\n" + b"x" * 0x8000 + b"\r\n", transfer_encoding="chunked"
        )
        assert len((await get(served, "/exact")).body) == LIMIT
        for path in ("/large", "/endless", "/chunked"):
            assert "more than" in await reason(served, path)


async def test_gzip_bomb_is_not_unpacked() -> None:
    async with issuer() as served:
        served.routes["/x"] = gzip_bomb(64)
        tracemalloc.start()
        try:
            assert "more than" in await reason(served)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


async def test_damaged_and_unasked_encodings() -> None:
    async with issuer() as served:
        served.serve("/bad", b"not gzip", content_encoding="gzip")
        served.serve("/short", gzip.compress(b"text")[:-9], content_encoding="gzip")
        served.serve("/other", b"x", content_encoding="br")
        served.serve("/twice", b"x", content_encoding="gzip, gzip")
        assert await reason(served, "/bad") == await reason(served, "/short") == "damaged gzip"
        assert "not asked for" in await reason(served, "/other")
        assert "not asked for" in await reason(served, "/twice")


async def test_answers_that_are_no_http() -> None:
    async def garbage(writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01garbage\r\n\r\n")

    async def head_without_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * 60000 + b"\r\n")
            await writer.drain()

    async with issuer() as served:
        served.routes["/garbage"] = garbage
        served.routes["/head"] = head_without_end
        served.routes["/short"] = reply(200, b"x", content_length="5000")
        for path in ("/garbage", "/head", "/short"):
            assert await reason(served, path)


async def test_nobody_listens() -> None:
    async with issuer() as served:
        pass
    assert await reason(served) == "no connection"


@pytest.mark.parametrize("answer", [hang(), drip()])
async def test_the_caller_can_bound_the_time(answer: object) -> None:
    async with issuer() as served:
        served.routes["/x"] = answer  # type: ignore[assignment]
        with pytest.raises((TimeoutError, FetchFailed)):
            async with asyncio.timeout(0.3):
                await get(served)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=5", 5),
        ("public,max-age=5", 5),
        ('Max-Age="70"', 70),
        ("s-maxage=5", None),
        ("max-age=-1", None),
        ("max-age=99999999999", None),
        ("no-store", 0),
        ("no-cache, max-age=500", 0),
    ],
)
async def test_cache_control(header: str, seconds: float | None) -> None:
    async with issuer() as served:
        served.serve("/x", b"", cache_control=header)
        assert (await get(served)).max_age == seconds


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.test",
        "https://issuer.test:8443/realms/a?x=1",
        "http://localhost:1",
        "http://127.0.0.1:1/a",
        "http://127.9.9.9",
        "http://[::1]:1",
    ],
)
def test_urls_that_may_be_fetched(url: str) -> None:
    assert str(trusted_url(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.test",
        "/path",
        "https://",
        "http://issuer.test",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "http://10.0.0.1",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ftp://issuer.test",
        "https://user@issuer.test",
        "https://user:pass@issuer.test",
        "https://issuer.test/#a",
        "https://issuer.test:99999",
        "https://issuer.test:x",
        "https://a\nb",
    ],
)
def test_urls_that_may_not(url: str) -> None:
    with pytest.raises(ValueError):
        trusted_url(url)


def test_origin_is_scheme_host_and_port() -> None:
    same = {origin(httpx.URL(url)) for url in ("https://A.test", "https://a.test:443/x", "https://a.test?y")}
    assert same == {("https", "a.test", 443)}
    assert origin(httpx.URL("http://a.test")) == ("http", "a.test", 80)
