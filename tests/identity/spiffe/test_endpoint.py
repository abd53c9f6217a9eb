"""Addresses of the Workload API."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from identity.spiffe.endpoint import (
    check_socket_owner,
    find_endpoint,
    parse_endpoint,
    warn_about_open_socket,
)
from identity.spiffe.errors import ArgumentError, WorkloadApiError


@pytest.mark.parametrize(
    ("address", "target", "path"),
    [
        ("/run/agent.sock", "unix:/run/agent.sock", "/run/agent.sock"),
        ("unix:/run/agent.sock", "unix:/run/agent.sock", "/run/agent.sock"),
        ("unix:///run/agent.sock", "unix:/run/agent.sock", "/run/agent.sock"),
        ("UNIX:/run/agent.sock", "unix:/run/agent.sock", "/run/agent.sock"),
        ("tcp://127.0.0.1:8081", "ipv4:127.0.0.1:8081", None),
        ("tcp://169.254.1.2:1", "ipv4:169.254.1.2:1", None),
        ("tcp://[::1]:65535", "ipv6:[::1]:65535", None),
        ("tcp://[fe80::1]:80", "ipv6:[fe80::1]:80", None),
    ],
)
def test_addresses_that_work(address: str, target: str, path: str | None) -> None:
    endpoint = parse_endpoint(address)
    assert (endpoint.target, endpoint.path) == (target, path)


@pytest.mark.parametrize(
    "address",
    [
        "agent.sock",
        "unix:agent.sock",
        "unix://run/agent.sock",
        "unix:",
        "unix:/",
        "unix:/run/",
        "unix:/run/agent.sock?x=1",
        "unix:/run/agent.sock#x",
        "unix:/run/agent.sock?",
        "unix:/run/a b",
        "unix:/run/a\n",
        "/run/a\x00",
        "unix:/" + "a" * 107,
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:" + "9" * 5000,
        "tcp://127.0.0.1:80/",
        "tcp://localhost:80",
        "tcp://user@127.0.0.1:80",
        "tcp://10.0.0.1:80",
        "tcp://[::1:80",
        "tcp:127.0.0.1:80",
        "http://127.0.0.1:80",
        "npipe:agent",
    ],
)
def test_addresses_that_do_not(address: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_endpoint(address)
    assert caught.value.field == "socket_path"


@given(st.text(max_size=50))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for address in (text, f"unix:{text}", f"tcp://{text}"):
        try:
            parse_endpoint(address)
        except ArgumentError:
            pass


def test_the_argument_comes_before_the_environment() -> None:
    environment = {"SPIFFE_ENDPOINT_SOCKET": "unix:/run/environment.sock"}
    assert find_endpoint(None, environment).path == "/run/environment.sock"
    assert find_endpoint("/run/argument.sock", environment).path == "/run/argument.sock"
    for nothing in ({}, {"SPIFFE_ENDPOINT_SOCKET": ""}):
        with pytest.raises(ArgumentError, match="SPIFFE_ENDPOINT_SOCKET"):
            find_endpoint(None, nothing)


def test_the_owner_of_the_socket_is_the_process_behind_it() -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(directory) / "agent.sock")
        with pytest.raises(WorkloadApiError, match="no agent") as caught:
            check_socket_owner(path, os.getuid())
        assert caught.value.code == "UNAVAILABLE"
        listener.bind(path)
        listener.listen()
        check_socket_owner(path, os.getuid())
        with pytest.raises(WorkloadApiError, match="belongs to user") as caught:
            check_socket_owner(path, os.getuid() + 1)
        assert caught.value.code == "UNTRUSTED_AGENT"


def test_a_socket_that_anybody_may_replace_is_warned_about(tmp_path: Path) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING")
    try:
        for mode, warned in ((0o755, 0), (0o1777, 0), (0o777, 1)):
            lines.clear()
            tmp_path.chmod(mode)
            warn_about_open_socket(str(tmp_path / "agent.sock"))
            assert len(lines) == warned
        warn_about_open_socket("/no/such/directory/agent.sock")
    finally:
        logger.remove(sink)
