"""`/metrics`, read by Prometheus' own parser."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.admin.conftest import Run
from tests.gateway.admin.test_server import application

LABELS = {"version", "limit", "rule"}
"""Each with few values, which no peer chooses."""


async def test_prometheus_takes_what_is_shown(run_node: Run) -> None:
    async with run_node() as running, running.client() as http, application("org/ns/alice") as alice:
        await alice.connect(f"http://{running.node.addresses[0]}")
        answer = await http.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        ours = {name: family for name, family in families.items() if name.startswith("callboard_")}
        for name, family in ours.items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
            assert family.documentation.endswith("."), name
            assert family.type in ("counter", "gauge"), name
            for sample in family.samples:
                assert (family.type == "counter") == sample.name.endswith("_total"), name
                assert sample.labels.keys() <= LABELS, name
        assert "alice" not in answer.text
        assert ours["callboard_connection_frames_received"].samples[0].value > 0
        assert ours["callboard_node_serving"].samples[0].value == 1
        assert ours["callboard_node_connections"].samples[0].value == 1
        assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000
        # What the registry counts is shown to the last counter.
        shown = {sample.name for family in ours.values() for sample in family.samples}
        assert {sample.name for sample in running.node.data_plane.telemetry.samples()} <= shown
