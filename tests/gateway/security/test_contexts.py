"""TLS between two data planes: who is let in, who is trusted, and what happens when files are replaced."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ConnectionLost
from gateway.config import ClientConfig
from identity.errors import ConfigError
from tests.gateway.authority import HostAuthority, Issued
from tests.gateway.planes import TRANSPORTS, plane, serving

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


def shown(issued: Issued) -> dict[str, Any]:
    return {"type": "pem", "cert": issued.cert, "key": issued.key}


def trusted(authority: HostAuthority) -> dict[str, Any]:
    return {"type": "pem", "data": authority.pem}


async def test_a_link_trusts_the_configured_authority(transport: str) -> None:
    authority = HostAuthority()
    async with serving({"source": shown(authority.issue())}, transport=transport) as at, plane() as client:
        assert await at.dial(client, {"ca_source": trusted(authority)})


async def test_the_older_spelling_with_files(transport: str, tmp_path: Path) -> None:
    authority = HostAuthority()
    cert, key = authority.issue().write(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)
    async with serving({"cert_file": cert, "key_file": key}, transport=transport) as at, plane() as client:
        assert await at.dial(client, {"ca_file": str(tmp_path / "ca.crt")})


@pytest.mark.parametrize(
    ("names", "ttl"), [((), -60.0), (("elsewhere.example",), 3600.0)], ids=["expired", "another name"]
)
async def test_a_bad_certificate_is_refused(transport: str, names: tuple[str, ...], ttl: float) -> None:
    authority = HostAuthority()
    source = shown(authority.issue(*names, ttl=ttl))
    async with serving({"source": source}, transport=transport) as at, plane() as client:
        with pytest.raises(ConnectionLost):
            await at.dial(client, {"ca_source": trusted(authority)})


async def test_another_authority_is_refused(transport: str) -> None:
    source = shown(HostAuthority().issue())
    async with serving({"source": source}, transport=transport) as at, plane() as client:
        with pytest.raises(ConnectionLost):
            await at.dial(client, {"ca_source": trusted(HostAuthority())})


async def test_a_name_to_expect_in_place_of_the_host(transport: str) -> None:
    authority = HostAuthority()
    source = shown(authority.issue("node.example"))
    async with serving({"source": source}, transport=transport) as at, plane() as client:
        assert await at.dial(client, {"ca_source": trusted(authority)}, server_name="node.example")


async def test_skipping_verification_where_the_transport_can(transport: str) -> None:
    source = shown(HostAuthority().issue("elsewhere.example"))
    async with serving({"source": source}, transport=transport) as at, plane() as client:
        if transport == "fast":
            assert await at.dial(client, {"insecure_skip_verify": True})
        else:
            with pytest.raises(ConfigError, match=re.escape('use "transport": "fast"')):
                await at.dial(client, {"insecure_skip_verify": True})


async def test_a_client_needs_a_certificate_of_the_right_authority(transport: str) -> None:
    servers, clients = HostAuthority("servers"), HostAuthority("clients")
    tls = {"source": shown(servers.issue()), "client_ca": trusted(clients)}
    async with serving(tls, transport=transport) as at:
        async with plane() as client:
            assert await at.dial(
                client, {"ca_source": trusted(servers), "source": shown(clients.issue("one"))}
            )
        for refused in ({}, {"source": shown(HostAuthority().issue("stranger"))}):
            async with plane() as client:
                with pytest.raises(ConnectionLost):
                    await at.dial(client, {"ca_source": trusted(servers), **refused})


async def test_replaced_files_serve_the_next_connection_and_open_ones_stay(
    transport: str, tmp_path: Path
) -> None:
    first, second = HostAuthority("first"), HostAuthority("second")
    cert, key = first.issue().write(tmp_path)
    source = {"type": "file", "cert": cert, "key": key}
    async with (
        serving({"source": source}, transport=transport) as at,
        plane() as early,
        plane() as late,
        plane() as left,
    ):
        states: list[str] = []
        early.observe(lambda state: states.append(state.state))
        connection = await at.dial(early, {"ca_source": trusted(first)})
        replacement = second.issue()
        # In between the two writes certificate and key do not belong together: the old pair serves on.
        replacement._replace(key=Path(key).read_text()).write(tmp_path)
        await at.dial(left, {"ca_source": trusted(first)})
        replacement.write(tmp_path)
        await at.dial(late, {"ca_source": trusted(second)})
        assert list(early.dialled().values()) == [connection]
        assert not {"lost", "closed"} & set(states)


async def test_files_are_left_alone_for_the_configured_interval(transport: str, tmp_path: Path) -> None:
    first, second = HostAuthority("first"), HostAuthority("second")
    cert, key = first.issue().write(tmp_path)
    tls = {"source": {"type": "file", "cert": cert, "key": key}, "reload_interval": "1h"}
    async with serving(tls, transport=transport) as at, plane() as client:
        second.issue().write(tmp_path)
        assert await at.dial(client, {"ca_source": trusted(first)})


async def test_a_listener_says_which_file_it_cannot_use(transport: str, tmp_path: Path) -> None:
    cert, key = HostAuthority().issue().write(tmp_path)
    other = HostAuthority().issue().write(tmp_path, "other")[1]
    for bad, text in (
        ({"cert": cert, "key": str(tmp_path / "absent")}, "tls.source.key: cannot read"),
        ({"cert": key, "key": key}, "tls.source.cert: .* no PEM certificate in it"),
        ({"cert": cert, "key": other}, "certificate and key do not belong together"),
    ):
        with pytest.raises(ConfigError, match=text):
            async with serving({"source": {"type": "file", **bad}}, transport=transport):
                pass


async def test_a_link_with_unusable_material_can_be_dialled_again(transport: str) -> None:
    authority = HostAuthority()
    async with serving({"source": shown(authority.issue())}, transport=transport) as at, plane() as client:
        with pytest.raises(ConfigError, match="cannot read"):
            await at.dial(client, {"ca_source": {"type": "file", "path": "/absent"}})
        assert await at.dial(client, {"ca_source": trusted(authority)})


def test_secrets_are_in_no_repr(transport: str) -> None:
    issued = HostAuthority().issue()
    config = ClientConfig.read({"endpoint": "https://x", "tls": {"source": shown(issued)}})
    assert issued.key not in repr(config)
    assert issued.key.splitlines()[1] not in repr(config)
    assert transport
