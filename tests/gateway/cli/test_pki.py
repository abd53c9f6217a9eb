"""`callboard pki`: certificates with which a node lets in an application, and nobody else."""

from __future__ import annotations

import datetime
import re
import shlex
import socket
import ssl
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from cryptography import x509

from actors.errors import CannotConnect
from gateway.cli import main
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.security.pki import DAYS, PkiFolder
from identity.errors import ConfigError
from tests.gateway.cli.processes import running

SECRET = "a shared secret of at least thirty-two bytes"


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(path: Path) -> list[str]:
    found = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in found]


def test_what_init_makes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pki"
    assert main(["pki", "init", str(folder), "--host", "node.example", "--host", "192.0.2.7"]) == 0
    said = capfd.readouterr().out
    assert f"callboard start --listen node.example:46357 --tls-cert {folder}/node.pem" in said
    assert names(folder / "node.pem") == ["node.example", "192.0.2.7", "spiffe://callboard/node"]
    assert names(folder / "client.pem") == ["spiffe://callboard/client"]
    for kind in ("ca", "node", "client"):
        assert (folder / f"{kind}.key").stat().st_mode & 0o777 == 0o600
        if kind != "ca":
            made = certificate(folder / f"{kind}.pem")
            made.verify_directly_issued_by(certificate(folder / "ca.pem"))
            left = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
            assert DAYS - 1 <= left.days <= DAYS
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert len(before) == 6
    assert main(["pki", "init", str(folder)]) == 2
    assert "already: take another folder" in capfd.readouterr().err
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_renew_keeps_names_and_authority(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pki"
    assert main(["pki", "init", str(folder)]) == 0
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    kept = names(folder / "node.pem")
    assert main(["pki", "renew", str(folder), "--only", "node"]) == 0
    changed = [each.name for each in folder.iterdir() if each.read_bytes() != before[each.name]]
    assert sorted(changed) == ["node.key", "node.pem"]
    assert names(folder / "node.pem") == kept
    assert (folder / "node.key").stat().st_mode & 0o777 == 0o600
    assert main(["pki", "renew", str(tmp_path / "nothing")]) == 2
    assert "ca.pem: No such file" in capfd.readouterr().err


def test_an_authority_that_has_ended_renews_nothing(tmp_path: Path) -> None:
    PkiFolder(str(tmp_path), lambda: time.time() - 4000 * 86_400).init(["localhost"])
    with pytest.raises(ConfigError, match="the authority has expired"):
        PkiFolder(str(tmp_path), time.time).renew()


@pytest.mark.parametrize(("domain", "refused"), [("callboard", 0), ("example.org", 1)])
async def test_its_spiffe_ids_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, domain: str, refused: int
) -> None:
    PkiFolder(str(tmp_path), time.time).init(["127.0.0.1"])
    ca = str(tmp_path / "ca.pem")
    client_ca = {"type": "file", "path": ca, "trust_domains": [domain]}
    mine = {"cert_file": f"{tmp_path}/node.pem", "key_file": f"{tmp_path}/node.key", "client_ca": client_ca}
    shown = {"cert_file": f"{tmp_path}/client.pem", "key_file": f"{tmp_path}/client.key", "ca_file": ca}
    node, client = DataPlane(strict=True), DataPlane(strict=True)
    try:
        address = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": mine}))
        there = ClientConfig.read({"endpoint": f"https://{address}", "tls": shown})
        with pytest.raises(CannotConnect) if refused else nullcontext():
            await client.connect(there)
        assert node.doorkeeper.door.refusals["identity"] == refused
    finally:
        await client.close(1.0)
        await node.close(1.0)
    told = 'cause="the peer\'s identity is refused: there is no X.509 authority for trust domain callboard"'
    assert (told in caplog.text) is bool(refused)


@pytest.mark.parametrize("host", ["", "a b", "host:80", "http://host"])
def test_no_hosts(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="--host: a DNS name or an address"):
        PkiFolder(str(tmp_path), time.time).init([host])
    assert not list(tmp_path.iterdir())


def test_the_commands_that_it_prints_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["pki", "init", str(tmp_path / "pki")]) == 0
    start, listen = re.findall(r"^  callboard (.*)$", capfd.readouterr().out, re.MULTILINE)
    with running(*shlex.split(start.replace(":46357", ":0"))) as node:
        address = node.until(r"listening on (\S+)")[1]
        words = shlex.split(listen.replace("127.0.0.1:46357", address))
        with running(*words, SLIM_SHARED_SECRET=SECRET) as listening:
            listening.until("-- listening")
        # In TLS 1.3 a client hears of it, if at all, with the first thing that it reads.
        context = ssl.create_default_context(cafile=str(tmp_path / "pki" / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), 10) as plain,
            suppress(OSError),
            context.wrap_socket(plain, server_hostname=host) as refused,
        ):
            assert refused.recv(1) == b""
        node.until("no client certificate was shown")
