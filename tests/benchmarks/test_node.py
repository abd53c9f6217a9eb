"""The node alone: whatever is sent arrives, at both brokers' nodes, and is measured."""

from __future__ import annotations

import sys

import pytest

from actors.messages.wire import Frame
from actors.names import Name
from gateway.codec import InboundParser
from tests.benchmarks import node
from tests.benchmarks.raw import prepared
from tests.benchmarks.table import Figure
from tests.interop.harness import requires_originals

BOTH = pytest.mark.parametrize(
    "broker",
    [
        pytest.param("originals", marks=[pytest.mark.originals, requires_originals]),
        "callboard",
    ],
)


def test_prepared_messages_differ_in_their_ids_only() -> None:
    batches = prepared(Name("org", "bench", "sink", 11), 64, 1)
    messages = [message for batch in batches for message in batch]
    assert len(set(messages)) == len(messages)
    assert len({len(message) for message in messages}) == 1
    parser = InboundParser(1)
    frames = [parser.parse(message) for message in messages]
    assert all(
        isinstance(frame, Frame) and frame.instance == (11).to_bytes(8) and not frame.control
        for frame in frames
    )


@BOTH
@pytest.mark.parametrize("receivers", [1, 3])
async def test_all_that_is_sent_arrives(broker: str, receivers: int) -> None:
    figures = await node.forwarding(broker, size=64, count=100, receivers=receivers)
    assert "lost" not in figures[0].stage
    rate = figures[-1]
    assert rate.unit == "messages/s"
    assert rate.value > 0
    assert len(figures) == (2 if sys.platform == "linux" else 1)


@BOTH
async def test_idle_connections_are_weighed(broker: str) -> None:
    (figure,) = await node.idle(broker, connections=60) or [Figure("", 0.0, "KiB", False)]
    assert figure.unit == "KiB"


@pytest.mark.long
async def test_a_measurement_ends_in_a_table() -> None:
    told: list[str] = []
    text = await node.measure(["callboard"], told.append, scale=0.0)
    assert len(told) == len(node.stages())
    assert "forwarding, 64 B" in text
    assert "an idle connection, 20 open" in text
