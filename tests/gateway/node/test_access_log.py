"""The access log: who came, from where, for how long, and why it ended."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from actors.errors import CannotConnect
from actors.messages.routing import ConnectionState
from gateway.cli.remedies import sentence
from gateway.config import ClientConfig, ServerConfig
from gateway.node.access_log import LINES, AccessLog
from gateway.node.data_plane import DataPlane
from gateway.security.pki import PkiFolder
from gateway.telemetry.log import JsonFormat
from identity.log import access
from tests.gateway.app_stage import AppStage, name
from tests.gateway.telemetry.test_open_telemetry import RELIABLE

LOG = "callboard.access"


def fields(caplog: pytest.LogCaptureFixture, what: str) -> list[dict[str, Any]]:
    found = [record for record in caplog.records if record.name == LOG and record.__dict__["what"] == what]
    return [record.__dict__["fields"] for record in found]


async def until(caplog: pytest.LogCaptureFixture, what: str, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while len(fields(caplog, what)) < count:  # noqa: ASYNC110 (the log has no event)
            await asyncio.sleep(0.01)
    return fields(caplog, what)


def closed(conn: int) -> ConnectionState:
    return ConnectionState(conn, "closed", "why")


def attached(conn: int) -> ConnectionState:
    return ConnectionState(conn, "attached", f"192.0.2.1:{conn}")


async def test_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOG)
    node, client = DataPlane(strict=True), DataPlane(strict=True)
    auth = {"type": "basic", "username": "alice", "password": "a password"}
    server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "auth": auth}
    try:
        address = await node.serve(ServerConfig.read(server))
        there = {"endpoint": f"http://{address}", "tls": {"insecure": True}, "auth": auth}
        await client.connect(ClientConfig.read(there))
        opened = [line for line in await until(caplog, "connection opened", 2) if "listener" in line]
        await client.disconnect(f"http://{address}")
        over = [line for line in await until(caplog, "connection closed", 2) if "listener" in line]
    finally:
        await client.close(1.0)
        await node.close(1.0)
    [came], [went] = opened, over
    assert {key: came[key] for key in ("identity", "listener")} == {
        "identity": "alice",
        "listener": "127.0.0.1:0",
    }
    assert came["peer"].startswith("127.0.0.1:")
    assert came.items() <= went.items()
    assert went["cause"]
    assert went["seconds"] >= 0
    assert min(went[key] for key in ("messages_in", "messages_out", "bytes_in", "bytes_out")) > 0
    assert "a password" not in caplog.text


async def test_who_shows_a_certificate_is_known_by_its_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", LOG)
    PkiFolder(str(tmp_path), time.time).init(["127.0.0.1"])
    pki = {
        each: str(tmp_path / each) for each in ("ca.pem", "node.pem", "node.key", "client.pem", "client.key")
    }
    node, client = DataPlane(strict=True), DataPlane(strict=True)
    ours = {"cert_file": pki["node.pem"], "key_file": pki["node.key"], "client_ca_file": pki["ca.pem"]}
    theirs = {"cert_file": pki["client.pem"], "key_file": pki["client.key"], "ca_file": pki["ca.pem"]}
    try:
        address = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": ours}))
        there = f"https://{address}"
        with pytest.raises(CannotConnect) as refused:
            await client.connect(ClientConfig.read({"endpoint": there, "tls": {"ca_file": pki["ca.pem"]}}))
        await client.connect(ClientConfig.read({"endpoint": there, "tls": theirs}))
        opened = [line for line in await until(caplog, "connection opened", 2) if "listener" in line]
    finally:
        await client.close(1.0)
        await node.close(1.0)
    assert opened[0]["identity"] == "client, spiffe://callboard/client"
    assert str(refused.value).startswith(f"cannot connect to {there}: {there} ")
    assert "--tls-cert FILE" in sentence(refused.value)


async def test_a_session(process: AppStage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOG)
    alice, bob = await process.app("alice"), await process.app("bob")
    session = await alice.create_session(name("bob"), RELIABLE)
    there = await bob.listen_for_session(5)
    await (await session.publish(b"a secret payload"))
    await there.get_message(5)
    await (await there.publish(b"hi"))
    number = session.id
    await session.close()
    [opened] = fields(caplog, "session opened")
    over = await until(caplog, "session closed", 2)
    assert opened["name"] == str(bob.local_name)
    assert opened["session"] == number
    assert opened["kind"] == "point_to_point"
    at_alice = next(line for line in over if "/alice" in line["name"])
    at_bob = next(line for line in over if "/bob" in line["name"])
    assert (at_alice["messages_out"], at_alice["messages_in"], at_alice["cause"]) == (1, 1, "closed here")
    assert (at_bob["messages_out"], at_bob["messages_in"]) == (1, 1)
    assert at_bob["cause"] != "closed here"
    assert at_bob["seconds"] >= 0
    assert "a secret payload" not in caplog.text


def test_a_flood_of_connections_costs_a_bounded_number_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOG)
    now = [0.0]
    log = AccessLog(lambda: now[0])
    for conn in range(1000):
        log.take(attached(conn), None)
        log.take(closed(conn), None)
    assert len(fields(caplog, "connection opened")) == len(fields(caplog, "connection closed")) == LINES
    now[0] = 1.0
    log.take(attached(1000), None)
    assert fields(caplog, "connection opened")[-1] == {
        "conn": 1000,
        "peer": "192.0.2.1:1000",
        "skipped": 1000 - LINES,
    }
    log.take(attached(1001), None)
    assert "skipped" not in fields(caplog, "connection opened")[-1]


def test_it_can_be_switched_off_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "callboard")
    logging.getLogger(LOG).setLevel("WARNING")
    try:
        log = AccessLog(lambda: 0.0)
        log.take(attached(1), None)
        assert not access.shows("INFO")
    finally:
        logging.getLogger(LOG).setLevel("NOTSET")
    log.take(closed(1), None)
    assert not caplog.records


def test_a_line_as_json(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOG)
    AccessLog(lambda: 0.0).take(attached(1), None)
    [record] = caplog.records
    said = json.loads(JsonFormat().format(record))
    assert (said["name"], said["message"]) == ("access", "connection opened")
    assert said["fields"] == {"conn": 1, "peer": "192.0.2.1:1"}
