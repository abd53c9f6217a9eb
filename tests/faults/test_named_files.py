"""Files that a configuration, a command line or the environment names: pipes, devices, folders, huge ones,
and authorities with what editors and people put before them. All is refused or read; nothing waits."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.controller.audit import Audit
from identity import http
from identity.authorities import MAX_PEM_BYTES, context_of, plain_pem
from identity.cloud import environment
from identity.encoding import Malformed
from identity.errors import AuthError, ConfigError
from identity.files import read_file
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from identity.spiffe import FileTls, JwtBundle, TrustDomain, X509Bundle
from identity.spiffe.certificates import load_certificates, load_private_key
from tests.gateway.authority import HostAuthority
from tests.gateway.planes import TRANSPORTS, plane, serving

PATIENCE = 10.0
"""Seconds in which a program has to refuse; a second is enough on an idle machine."""
COMMENTS = {
    "a byte order mark": b"\xef\xbb\xbf",
    "a comment in UTF-8": "# Zertifizierungsstelle Zürich\n".encode(),
    "a comment in Latin-1": "# Zertifizierungsstelle Zürich\n".encode("latin-1"),
}


@pytest.fixture(params=["pipe", "device", "folder", "huge", "absent"])
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What somebody may name in place of a file."""
    path = tmp_path / "trap"
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "device":
            return "/dev/zero"
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(MAX_PEM_BYTES + 1)
    return str(path)


def jwks(path: str) -> Key:
    return Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(path))


READERS: dict[str, Callable[[str], object]] = {
    "a token": IdentityProvider.StaticJwt,
    "a signing key": lambda path: IdentityProvider.Jwt(
        Key(Algorithm.ES256, KeyFormat.Pem, KeyData.File(path)), timedelta(hours=1), subject="app"
    ),
    "a key set": lambda path: IdentityVerifier.Jwt(jwks(path)),
    "an issuer's authorities": lambda path: IdentityVerifier.Jwt(
        autoresolve=True, issuer="https://issuer.test", ca_file=path
    ),
    "a context's authorities": lambda path: context_of(path, "ca_file"),
    "a cloud's setting": lambda path: environment.read_file(path, "SOME_FILE"),
    "spiffe-helper's files": lambda path: FileTls(path, path, path),
    "certificates": load_certificates,
    "a private key": load_private_key,
    "a JWT bundle": lambda path: JwtBundle.load(TrustDomain("example.org"), path),
    "an X.509 bundle": lambda path: X509Bundle.load(TrustDomain("example.org"), path),
}


@pytest.mark.parametrize("what", READERS)
async def test_nobody_reads_what_is_no_file(what: str, trap: str) -> None:
    with pytest.raises((ConfigError, AuthError)) as refused:
        await asyncio.wait_for(asyncio.to_thread(READERS[what], trap), PATIENCE)
    assert trap in str(refused.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("member", ["cert", "key", "client_ca"])
async def test_a_listener_refuses_at_the_start(
    member: str, transport: str, trap: str, tmp_path: Path
) -> None:
    cert, key = HostAuthority().issue().write(tmp_path)
    source = {"type": "file", "cert": cert, "key": key}
    tls: dict[str, Any] = {"source": source}
    if member == "client_ca":
        tls["client_ca"] = {"type": "file", "path": trap}
    else:
        source[member] = trap
    with pytest.raises(ConfigError, match=r"cannot read .*(?:No such file|not a regular file|larger than)"):
        async with serving(tls, transport=transport):
            pass


async def test_a_file_that_becomes_a_pipe_leaves_the_node_serving(tmp_path: Path) -> None:
    authority = HostAuthority()
    cert, key = authority.issue().write(tmp_path)
    trusted = {"ca_source": {"type": "pem", "data": authority.pem}}
    async with serving({"source": {"type": "file", "cert": cert, "key": key}}, transport="fast") as at:
        async with plane() as client:
            assert await at.dial(client, trusted)
        os.unlink(key)
        os.mkfifo(key)
        async with plane() as client:
            assert await at.dial(client, trusted)


async def test_changes_are_not_written_into_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    pipe = tmp_path / "audit"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match=r"audit\.file: cannot open"):
        await asyncio.wait_for(asyncio.to_thread(Audit, pipe), PATIENCE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "--listen", "127.0.0.1:0", "--tls-cert", "PIPE", "--tls-key", "PIPE"],
        ["start", "--listen", "127.0.0.1:0", "--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"],
        ["token", "inspect", "PIPE"],
        ["up", "--file", "PIPE"],
        ["up", "--file", "/dev/zero"],
    ],
)
async def test_a_program_says_what_is_wrong_and_ends(arguments: list[str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    named = [str(pipe) if word == "PIPE" else word for word in arguments]
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *named, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, complaint = await asyncio.wait_for(program.communicate(), 3 * PATIENCE)
    finally:
        if program.returncode is None:
            program.kill()
    assert program.returncode not in (0, None)
    assert b"not a regular file" in complaint
    assert b"Traceback" not in complaint


@pytest.mark.parametrize("what", COMMENTS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_authorities_with_comments_are_taken(what: str, transport: str, tmp_path: Path) -> None:
    authority = HostAuthority()
    issued = authority.issue()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(COMMENTS[what] + authority.pem.encode())
    own = {"type": "pem", "cert": issued.cert, "key": issued.key}
    served = {"source": own, "client_ca": {"type": "file", "path": str(bundle)}}
    async with serving(served, transport=transport) as at, plane() as client:
        dialled = {"source": own, "ca_source": {"type": "file", "path": str(bundle)}}
        assert await at.dial(client, dialled)


@pytest.mark.parametrize("what", COMMENTS)
def test_an_issuers_authorities_with_comments_are_taken(what: str, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(COMMENTS[what] + HostAuthority().pem.encode())
    assert len(context_of(str(bundle), "ca_file").get_ca_certs()) == 1


def test_the_systems_authorities_are_read_with_the_same_care(
    trap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", trap)
    with pytest.raises(ConfigError) as refused:
        http.public_authorities.__wrapped__()
    assert refused.value.field == "SSL_CERT_FILE"


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="no PEM certificate"):
        plain_pem("Zürich".encode("latin-1"))
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"ca_file .* cannot be used"):
        context_of(str(path), "ca_file")


def test_a_file_of_exactly_the_bound_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345678")
    assert read_file(path, max_bytes=8).data == b"12345678"
    with pytest.raises(Malformed, match="larger than 7 bytes"):
        read_file(path, max_bytes=7)
    with pytest.raises(Malformed, match="no path"):
        read_file("a\0b", max_bytes=7)
