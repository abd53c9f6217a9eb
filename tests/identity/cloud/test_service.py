"""One HTTP request under the rules of secrecy and bounded answers."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
import traceback
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import ANSWER_LIMIT, fetch, parse_object, parse_url, require_private
from identity.errors import ConfigError
from tests.identity.cloud.fake_clouds import FakeClouds, Reply, as_json, dripping, endless, text


async def get(clouds: FakeClouds, timeout: float = 5.0, **options):
    return await fetch("the service", "GET", clouds.url + "/thing", timeout=timeout, **options)


async def test_answer(clouds: FakeClouds) -> None:
    clouds.fail("/thing", as_json({"token": "abc"}))
    answer = await get(clouds, params={"a": "b c"}, headers={"X-Secret": "hidden"})
    assert answer.member("token") == "abc"
    assert clouds.seen[0].query == {"a": "b c"}
    assert "abc" not in repr(answer)


async def test_parameters_are_added_to_those_of_the_url(clouds: FakeClouds) -> None:
    await fetch("s", "GET", clouds.url + "/thing?x=1", timeout=5, params={"y": "2"})
    assert clouds.seen[0].query == {"x": "1", "y": "2"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_redirects_are_not_followed(clouds: FakeClouds, elsewhere: FakeClouds, status: int) -> None:
    clouds.fail("/thing", Reply(status, headers={"Location": elsewhere.url + "/thing"}))
    with pytest.raises(CloudRequestFailed, match="redirect, which is never followed") as caught:
        await get(clouds, headers={"Authorization": "Bearer abc"})
    assert caught.value.status == status
    assert not caught.value.transient
    assert not elsewhere.seen


async def test_endless_answer_is_cut_off(clouds: FakeClouds) -> None:
    clouds.fail("/thing", Reply(stream=endless))
    with pytest.raises(CloudRequestFailed, match="more than 65536 bytes"):
        await get(clouds)


async def test_answer_of_the_limit_is_taken_and_one_byte_more_is_not(clouds: FakeClouds) -> None:
    clouds.fail("/thing", Reply(body=b"x" * ANSWER_LIMIT), Reply(body=b"x" * (ANSWER_LIMIT + 1)))
    assert len((await get(clouds)).body) == ANSWER_LIMIT
    with pytest.raises(CloudRequestFailed):
        await get(clouds)


async def test_dripping_answer_ends_at_the_time_limit(clouds: FakeClouds) -> None:
    clouds.fail("/thing", Reply(stream=dripping))
    with pytest.raises(CloudRequestFailed, match=r"within 0\.2 s") as caught:
        await get(clouds, timeout=0.2)
    assert caught.value.transient


async def test_compressed_answer_is_refused_unread(clouds: FakeClouds) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    clouds.fail("/thing", Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(CloudRequestFailed, match="content coding"):
        await get(clouds)


async def test_nobody_there(clouds: FakeClouds) -> None:
    with pytest.raises(CloudRequestFailed, match="the service: no connection") as caught:
        await fetch("the service", "GET", "http://127.0.0.1:1/", timeout=5)
    assert caught.value.transient


async def test_untrusted_certificate_ends_it_before_anything_is_sent(tmp_path: Path) -> None:
    read: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read.append(await reader.read())
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CloudRequestFailed, match="certificate is not trusted"):
            await fetch("s", "GET", f"https://127.0.0.1:{port}/", timeout=5, headers={"X": "secret"})
    assert not any(read)


def self_signed(folder: Path) -> Path:
    """A certificate and its key that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    certificate = builder.sign(key, hashes.SHA256())
    path = folder / "nobody.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*plain))
    return path


@pytest.mark.parametrize("value", ["secret\r\nX-Other: 1", "secret\n", "secret\0", "sécret", "secret\t"])
async def test_header_that_would_smuggle_is_refused_without_quoting_it(
    clouds: FakeClouds, value: str
) -> None:
    with pytest.raises(CloudRequestFailed, match="line breaks") as caught:
        await get(clouds, headers={"Authorization": value})
    assert "cret" not in "".join(traceback.format_exception(caught.value))
    assert not clouds.seen


async def test_garbage_instead_of_http(clouds: FakeClouds) -> None:
    async def garbage(writer) -> None:
        writer.write(b"\xff" * 100)

    clouds.fail("/thing", Reply(headers={"Transfer-Encoding": "chunked"}, stream=garbage))
    with pytest.raises(CloudRequestFailed, match="connection failed"):
        await get(clouds)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_plain_http_ignores_proxies(
    clouds: FakeClouds, elsewhere: FakeClouds, bare: pytest.MonkeyPatch, variable: str
) -> None:
    bare.setenv(variable, elsewhere.url)
    clouds.fail("/thing", text("direct"))
    assert (await get(clouds)).text() == "direct"
    assert not elsewhere.seen


async def test_failure_quotes_an_error_code_but_no_prose(clouds: FakeClouds) -> None:
    clouds.fail(
        "/thing", as_json({"error": "invalid_client"}, 401), as_json({"error": "your secret is x"}, 401)
    )
    answer = await get(clouds)
    with pytest.raises(CloudRequestFailed, match=r"answered 401 \(invalid_client\)"):
        answer.expect_ok()
    with pytest.raises(CloudRequestFailed, match=r"answered 401$"):
        (await get(clouds)).expect_ok()


@pytest.mark.parametrize(
    "body", [b"[]", b"", b"{", b"NaN", b'{"a":NaN}', b"[" * 60_000, b"\xff", b'"x"', b"1" * 9000]
)
def test_what_is_no_json_object_is_none(body: bytes) -> None:
    assert parse_object(body) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example/",
        "http://127.0.0.1:80",
        "http://localhost/a",
        "http://169.254.170.2/",
        "http://[::1]/",
    ],
)
def test_secrets_may_go_to(url: str) -> None:
    assert require_private(url, "X") == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://8.8.8.8/",
        "ftp://localhost",
        "file:///etc/passwd",
        "http://",
        "",
        "x",
        "https://user:password@example.com",
        "http://localhost.evil.example",
        "http://[",
        "https://exa mple",
    ],
)
def test_secrets_may_not_go_to(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_private(url, "X_URL")
    assert caught.value.field == "X_URL"
    assert "password@" not in str(caught.value)


def test_parse_url_keeps_the_parts() -> None:
    assert parse_url("https://h:8443/p?q=1", "x").port == 8443
