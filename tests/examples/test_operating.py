"""What an operator copies: the unit of systemd, and the rules of Prometheus."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from gateway.admin.metrics import exposition
from gateway.admin.view import NodeView
from gateway.config import ClientConfig
from gateway.config.node import NodeConfig
from gateway.http2.limits import Counters
from gateway.node.data_plane import DataPlane
from gateway.node.node import Node
from tests.test_floors import ROOT

UNIT = ROOT / "examples/systemd/callboard.service"
GROUPS = yaml.safe_load((ROOT / "examples/alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
OF_PROMETHEUS = {"up"}
OF_SOME_NODES = {"callboard_backbone_up", "callboard_certificate_expiry_timestamp_seconds"}
"""Shown where there is a backbone, or a certificate."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    # Where the command is installed differs from machine to machine: /bin/true is everywhere.
    unit = tmp_path / "callboard.service"
    unit.write_text(UNIT.read_text().replace("/opt/callboard/bin/callboard", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "callboard" in line]) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_gives_the_node_little_to_break(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-500:]


def test_the_rules_have_what_people_need() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 10
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")


async def test_a_rule_asks_for_figures_that_a_node_shows() -> None:
    plain = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
    services = {"slim/0": {"dataplane": {"servers": [plain]}}}
    node = Node(NodeConfig.read({"services": services}))
    client = DataPlane()
    try:
        [address] = await node.start()
        # What is counted of a connection, or by a rule, is there from the first one on.
        node.data_plane.telemetry.shared(Counters).refuse("handshake")
        await client.connect(ClientConfig.read({**plain, "endpoint": f"http://{address}"}))
        shown = exposition(NodeView(node).node(), node.data_plane.telemetry.samples()).decode()
    finally:
        await client.close(1.0)
        await node.close(0.0)
    names = set(re.findall(r"^# HELP (\S+)", shown, re.MULTILINE)) | OF_PROMETHEUS | OF_SOME_NODES
    for rule in RULES:
        asked = set(re.findall(r"\b(?:callboard|process)_\w+|\bup\b", rule["expr"]))
        assert asked
        assert asked <= names, asked - names
