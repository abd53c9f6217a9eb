"""What ours say to ours alone: originals open sessions that carry it, read past it, and get no hints."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from actors.errors import HandshakeFailed
from gateway.proto import dataplane_pb2 as pb
from tests.interop import scenarios
from tests.interop.harness import CallboardNode, OriginalApp, PeerError, requires_originals
from tests.interop.ours import CallboardApp
from tests.interop.proxy import TO_APP, TO_NODE, Proxy

pytestmark = [pytest.mark.originals, requires_originals]

OUTAGE = 120.0
OTHER = "another-shared-secret-of-more-than-32-bytes"


@pytest.fixture(
    params=["installed", pytest.param("1.0.1", marks=[pytest.mark.long, pytest.mark.timeout(300)])]
)
def original(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which original plays: that of this environment, or another version, in a folder of its own."""
    version: str = request.param
    if version != "installed":
        wanted = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(tmp_path)]
        pip = [sys.executable, "-m", "pip", "install", *wanted, f"slim-bindings=={version}"]
        if subprocess.run(pip, capture_output=True, timeout=240, check=False).returncode:
            pytest.skip(f"slim-bindings {version} cannot be installed here")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return version


def payload(message: pb.Message) -> pb.CommandPayload:
    return message.publish.msg.command_payload


def outages(proxy: Proxy) -> list[tuple[object, int]]:
    """Which way an invitation, or the answer to one, went, and the seconds that stood in it."""
    found = []
    for passed, _ in proxy.recorded:
        said = payload(passed.message)
        for kind in ("join_request", "join_reply"):
            if said.HasField(kind):
                found.append((passed.direction, getattr(said, kind).outage))
    return found


@pytest.mark.parametrize("mls", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_an_original_reads_past_our_outage_whoever_invites(original: str, mls: bool) -> None:
    if mls and original != "installed":
        pytest.skip("originals before 1.3 answer encrypted sessions in clear")
    async with (
        CallboardNode() as node,
        Proxy(node.endpoint) as proxy,
        CallboardApp("ours", node.endpoint, outage=OUTAGE) as ours,
        OriginalApp("theirs", proxy.endpoint) as theirs,
    ):
        for first, second in ((ours, theirs), (theirs, ours)):
            ends = await scenarios.pair(first, second, mls=mls)
            await scenarios.flood(ends[0], [ends[1]], 20, "there")
            await scenarios.flood(ends[1], [ends[0]], 20, "back")
            await ends[0].delete()
        # Ours asks and answers with it, and the original with nothing: so its 30 s are the bound.
        said = outages(proxy)
        assert (TO_APP, int(OUTAGE)) in said
        assert {seconds for way, seconds in said if way is TO_NODE} == {0}


@pytest.mark.parametrize(
    "reason", ["another secret", pytest.param("nobody has the name", marks=pytest.mark.long)]
)
async def test_an_original_gets_no_hint_and_lives_on(original: str, reason: str) -> None:
    async with (
        CallboardNode() as node,
        Proxy(node.endpoint) as proxy,
        CallboardApp("ours", node.endpoint) as ours,
        CallboardApp("stranger", node.endpoint, secret=OTHER) as stranger,
        OriginalApp("theirs", proxy.endpoint) as theirs,
        CallboardApp("witness", node.endpoint) as witness,
    ):
        wanted = stranger.name if reason == "another secret" else "org/test/nobody"
        await theirs.set_route(wanted)
        await witness.set_route(wanted)
        # The same question of one of ours is answered by a hint, which stands in its error.
        sentence = "another secret" if reason == "another secret" else "nobody there has the name"
        with pytest.raises(HandshakeFailed, match=sentence):
            await witness.create_session(wanted, interval=0.1, max_retries=3)
        with pytest.raises(PeerError):
            await theirs.create_session(wanted, interval=0.1, max_retries=3)
        ends = await asyncio.wait_for(scenarios.pair(theirs, ours), 20)
        await scenarios.flood(ends[0], [ends[1]], 5, "after")
        assert not any(passed.message.HasField("hint") for passed, _ in proxy.recorded)
        assert proxy.count(TO_APP, pb.SESSION_MESSAGE_TYPE_DISCOVERY_REPLY) > 0
