"""What the admin port tells of the limits of a node, and of its certificates."""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ConnectionLost
from gateway.admin.metrics import exposition
from gateway.cli.status import status_page
from gateway.config import ClientConfig
from gateway.config.node import NodeConfig
from gateway.node.data_plane import DataPlane
from gateway.security.pki import PkiFolder
from tests.gateway.admin.conftest import READER, Run, Running
from tests.gateway.authority import HostAuthority
from tests.gateway.planes import plane

LIMITS = {
    "connections": 7,
    "connections_per_address": 2,
    "subscriptions": 70_000,
    "subscriptions_per_peer": 1000,
    "applications_per_peer": 5,
    "messages_per_second": 10_000,
    "memory": 1 << 40,
}


async def shown_node(running: Running) -> dict[str, Any]:
    async with running.client() as http:
        return dict((await http.get("/api/v1/node")).json())


async def limits(running: Running) -> dict[str, dict[str, Any]]:
    return {one["limit"]: one for one in (await shown_node(running))["limits"]}


async def test_each_limit_is_shown_with_what_is_taken_and_what_was_refused(run_node: Run) -> None:
    async with run_node(limits=LIMITS) as running, AsyncExitStack() as stack:
        shown = await limits(running)
        assert {name: one["bound"] for name, one in shown.items() if name != "descriptors"} == {
            "connections": 7,
            "connections per address": 2,
            "subscriptions": 70_000,
            "subscriptions per peer": 1000,
            "applications per peer": 5,
            "messages per second": 10_000,
            "bytes per second": None,
            "waiting bytes": running.node.data_plane.waiting.limit,
            "memory bytes": 1 << 40,
        }
        assert not any(one["refused"] for one in shown.values())
        assert shown["memory bytes"]["used"] > 1 << 20
        client = {"endpoint": f"http://{running.node.addresses[0]}", "tls": {"insecure": True}}
        for _ in range(2):
            one = await stack.enter_async_context(plane())
            await one.connect(ClientConfig.read(client))
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1 at this node has its 2 connections"):
            third = await stack.enter_async_context(plane())
            await third.connect(ClientConfig.read(client))
        shown = await limits(running)
        for limit, used, refused in (("connections", 2, 0), ("connections per address", 2, 1)):
            assert (shown[limit]["used"], shown[limit]["refused"]) == (used, refused)
        text = exposition(running.admin.view.node(), []).decode()
        assert 'callboard_limit_refused_total{limit="connections_per_address"} 1.0' in text
        assert 'callboard_limit_bound{limit="bytes_per_second"}' not in text
        page = status_page(await shown_node(running), [])
        assert "connections per address: refused 1 so far, the bound is 2" in page
        # After a reload those are shown that were read again.
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
        service = {"dataplane": {"servers": [server]}, "limits": LIMITS | {"connections": 9}}
        running.node.reload(NodeConfig.read({"services": {"slim/0": service}}))
        assert (await limits(running))["connections"]["bound"] == 9


async def test_certificates_are_shown_with_the_days_that_they_have(run_node: Run, tmp_path: Path) -> None:
    cert, key = HostAuthority().issue(ttl=2.5 * 86_400).write(tmp_path)
    tls = {"source": {"type": "file", "cert": cert, "key": key}}
    dataplane = {"servers": [{"endpoint": "127.0.0.1:0", "tls": tls}]}
    async with run_node({"reader_token": READER}, dataplane=dataplane) as running:
        async with running.client(READER) as http:
            (shown,) = (await http.get("/api/v1/node")).json()["certificates"]
            assert 2.4 < shown["days"] < 2.5
            assert shown["where"].endswith("dataplane.servers[0].tls")
            assert shown["problem"].endswith("expires in 2 days")
            answer = await http.get("/readyz")
            assert (answer.status_code, answer.text) == (200, f"ok, but {shown['problem']}\n")
            metrics = (await http.get("/metrics")).text
        told = re.search(r"^callboard_certificate_expiry_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
        assert told is not None
        assert float(told[1]) == shown["ends"]
        async with running.client() as anybody:
            assert (await anybody.get("/readyz")).text == "ok\n"


async def test_who_shows_a_certificate_is_listed_by_its_names(run_node: Run, tmp_path: Path) -> None:
    PkiFolder(str(tmp_path), time.time).init(["127.0.0.1"])
    ca, *ours = [str(tmp_path / each) for each in ("ca.pem", "node.pem", "node.key")]
    tls = {"cert_file": ours[0], "key_file": ours[1], "client_ca_file": ca}
    shown = {"cert_file": f"{tmp_path}/client.pem", "key_file": f"{tmp_path}/client.key", "ca_file": ca}
    client = DataPlane(strict=True)
    async with run_node(dataplane={"servers": [{"endpoint": "127.0.0.1:0", "tls": tls}]}) as running:
        try:
            [address] = (await shown_node(running))["listeners"]
            await client.connect(ClientConfig.read({"endpoint": f"https://{address}", "tls": shown}))
            async with running.client() as http:
                [row] = (await http.get("/api/v1/connections")).json()["items"]
        finally:
            await client.close(1.0)
    assert row["identity"] == "client, spiffe://callboard/client"
