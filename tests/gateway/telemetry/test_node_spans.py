"""A message's way is one trace: application, nodes, application, as a collector sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from actors.messages.wire import Frame, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.routing import tracing
from gateway import IdentityProvider, IdentityVerifier, SessionConfiguration, Slim
from gateway.codec.codec import WireCodec
from gateway.node.data_plane import DataPlane
from gateway.telemetry import node_spans, open_telemetry
from gateway.telemetry.trace_context import ENTRIES, TAIL, context_in, continued
from tests.gateway.cli.processes import Command
from tests.gateway.links.nats_server import PROGRAM, NatsServer
from tests.gateway.telemetry.collector import Collector, Seen, collector

SECRET = "a shared secret of enough bytes, for tests"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
RELIABLE = SessionConfiguration.PointToPoint(1.0, 10)
HOP = ("slim.node.receive", "slim.node.route", "slim.node.send")


# The whole way


async def node(stack: AsyncExitStack, name: str, otlp: Collector, *more: str) -> str:
    """A node in a process of its own: where it listens."""
    options = ("--insecure", "--listen", "127.0.0.1:0", "--node-id", name, "--otlp", otlp.endpoint, *more)
    made = Command("start", *options, OTEL_BSP_SCHEDULE_DELAY="100")
    stack.callback(made.process.wait, 20)
    stack.callback(made.process.terminate)
    listening = await asyncio.to_thread(made.until, r"listening on (\S+)")
    return f"http://{listening[1]}"


async def application(stack: AsyncExitStack, name: str, endpoint: str) -> Slim:
    provider = IdentityProvider.SharedSecret(name, SECRET)
    verifier = IdentityVerifier.SharedSecret(name, SECRET)
    # A data plane of its own: two of one process would meet there, and not at the nodes.
    plane = DataPlane()
    stack.push_async_callback(plane.close, 1.0)
    made = Slim(Name("org", "ns", name), provider, verifier, data_plane=plane)
    await stack.enter_async_context(made)
    await made.connect({"endpoint": endpoint, "tls": {"insecure": True}})
    return made


def applications_export_to(otlp: Collector) -> TracerProvider:
    tracers = TracerProvider(resource=Resource.create({"service.name": "applications"}))
    exporter = OTLPSpanExporter(endpoint=otlp.endpoint, insecure=True)
    tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    return tracers


def way(spans: list[Seen], last: Seen) -> list[tuple[str, str]]:
    """From the root of a trace to this span."""
    by_id, found = {span.id: span for span in spans}, [last]
    while found[0].parent:
        found.insert(0, by_id[found[0].parent])
    assert {span.trace for span in found} == {last.trace}
    return [(span.where, span.name) for span in found]


@pytest.mark.parametrize("between", ["peers", pytest.param("backbone", marks=pytest.mark.long)])
async def test_a_request_and_its_answer_are_one_trace_over_two_nodes(between: str, tmp_path: Path) -> None:
    if between == "backbone" and PROGRAM is None:
        pytest.skip("nats-server is not installed")
    async with AsyncExitStack() as stack:
        otlp = stack.enter_context(collector())
        if between == "backbone":
            nats = await NatsServer(tmp_path).start()
            stack.callback(nats.kill)
            west = await node(stack, "west", otlp, "--backbone", nats.url)
            east = await node(stack, "east", otlp, "--backbone", nats.url)
        else:
            west = await node(stack, "west", otlp)
            east = await node(stack, "east", otlp, "--peer", west)
        open_telemetry.activate(applications_export_to(otlp))
        stack.callback(open_telemetry.deactivate)
        client, agent = await application(stack, "client", west), await application(stack, "agent", east)

        async def answer(request):
            return b"echo: " + request.payload

        async with agent.serve(answer):
            await client.set_route(agent.local_name)
            session = await client.create_session(
                agent.local_name, SessionConfiguration.PointToPoint(1.0, 10)
            )
            await session.established
            assert (await session.request(b"hello", timeout=20)).payload == b"echo: hello"

            def complete(spans: list[Seen]) -> bool:
                received = [span for span in spans if span.name == "slim.receive"]
                return len(received) == 2 and any(span.name == "slim.request" for span in spans)

            await asyncio.to_thread(otlp.until, complete)
    # Both nodes have exported what they had when they ended.
    spans = otlp.spans
    there = [("west", name) for name in HOP] + [("east", name) for name in HOP]
    back = [("east", name) for name in HOP] + [("west", name) for name in HOP]
    [answered] = [span for span in spans if span.name == "slim.receive" and len(way(spans, span)) > 12]
    assert way(spans, answered) == [
        ("applications", "slim.request"),
        ("applications", "slim.publish"),
        *there,
        ("applications", "slim.receive"),
        ("applications", "slim.handle"),
        ("applications", "slim.publish"),
        *back,
        ("applications", "slim.receive"),
    ]
    assert not [span for span in spans if span.failed]
    # How the session began is another trace, over the same nodes.
    [accepted] = [span for span in spans if span.name == "slim.session.accept"]
    assert way(spans, accepted) == [
        ("applications", "slim.session.open"),
        *there,
        ("applications", "slim.session.accept"),
    ]
    assert {span.trace for span in spans if span.name in HOP} == {answered.trace, accepted.trace}


# The bytes


def frame(metadata: dict[str, str] | None, payload: bytes = b"payload") -> Frame:
    bob = Name("org", "ns", "bob", 7)
    kinds = (SessionKind.POINT_TO_POINT, MessageType.MSG)
    message = SessionMessage(bob, bob, *kinds, 1, 1, Payload("", payload), 1, metadata)
    return WireCodec().encode(message, "token")


@pytest.mark.parametrize("metadata", [{}, {"a": "b", "z": "y"}, {"zz": "x" * 300, "b": ""}])
def test_the_next_hop_continues_where_this_one_ends_and_nothing_else_changes(metadata) -> None:
    before = frame({"traceparent": SAMPLED, "tracestate": "vendor=1", **metadata})
    found = context_in(before)
    assert found is not None
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (TRACE, SPAN)
    after = WireCodec().decode(continued(before, found, 0xAB))
    assert after == WireCodec().decode(before)._replace(metadata=after.metadata)
    assert after.metadata == {
        "traceparent": f"00-{TRACE}-{0xAB:016x}-01",
        "tracestate": "vendor=1",
        **metadata,
    }


@pytest.mark.parametrize(
    "said",
    [
        "",
        "00-1",
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"01-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"{SAMPLED}-more",
        f"00-{TRACE}-{SPAN}-0g",
        f"00_{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_sampled_context_is_passed_over(said: str) -> None:
    assert context_in(frame({"traceparent": said})) is None


def test_a_context_is_looked_for_in_the_metadata_alone() -> None:
    entry = "\n\x0btraceparent\x127" + SAMPLED
    assert context_in(frame({"other": entry})) is None
    assert context_in(frame({"a": "b"}, entry.encode())) is None
    assert context_in(frame(None, entry.encode())) is None


def test_metadata_is_looked_through_within_bounds() -> None:
    many = {f"a{number:04}": "" for number in range(ENTRIES)}
    assert context_in(frame({**many, "traceparent": SAMPLED})) is None
    assert context_in(frame({"a": "x" * TAIL, "traceparent": SAMPLED})) is None
    assert context_in(frame({"a": "x" * (TAIL // 2), "traceparent": SAMPLED})) is not None


def test_metadata_that_is_broken_is_passed_over() -> None:
    whole = frame({"traceparent": SAMPLED})
    for cut in range(1, len(whole.body) - whole.inner):
        assert context_in(whole._replace(body=whole.body[:-cut])) is None


# What a node makes of them


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    return InMemorySpanExporter()


def tracer(spans: InMemorySpanExporter, now: list[float], **options) -> node_spans.NodeSpans:
    tracers = TracerProvider(**options)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    return node_spans.NodeSpans(lambda: now[0], tracers)


def test_frames_that_are_not_sampled_are_handed_back_as_they_are(spans: InMemorySpanExporter) -> None:
    made = tracer(spans, [0.0])
    batch = (frame(None), frame({"traceparent": f"00-{TRACE}-{SPAN}-00"}))
    assert made.received(batch, 1)[0] is batch
    assert made.sending(batch, 1)[0] is batch
    assert not spans.get_finished_spans()


def test_a_node_that_samples_nothing_changes_nothing(spans: InMemorySpanExporter) -> None:
    batch = (frame({"traceparent": SAMPLED}),)
    assert tracer(spans, [0.0], sampler=ALWAYS_OFF).received(batch, 1) == (batch, [])


def test_a_message_that_is_dropped_or_leads_nowhere_is_marked(spans: InMemorySpanExporter) -> None:
    made = tracer(spans, [0.0])
    batch, opened = made.received((frame({"traceparent": SAMPLED}),), 1)
    made.routed(opened, {})
    sent, opened = made.sending(batch, 2)
    made.sent(opened, (), ())
    large, opened = made.sending(batch, 2)
    made.sent(opened, large, large)
    assert [span.status.description for span in spans.get_finished_spans()] == [
        "nobody has the name",
        None,
        "dropped: the peer is slow",
        "too large for the link",
    ]
    assert sent[0] != batch[0]


def test_a_flood_of_sampled_messages_gets_no_more_than_its_spans(spans: InMemorySpanExporter) -> None:
    now = [0.0]
    made = tracer(spans, now)
    batch = (frame({"traceparent": SAMPLED}),) * 2000
    for _ in range(2):
        made.sent(made.sending(batch, 1)[1], batch, ())
    assert len(spans.get_finished_spans()) == node_spans.SPANS_PER_SECOND
    assert made.passed_over == 4000 - node_spans.SPANS_PER_SECOND
    now[0] = 0.1
    made.sending(batch, 1)
    assert made.passed_over == 6000 - node_spans.SPANS_PER_SECOND * 1.1


def test_it_is_off_unless_somebody_turns_it_on() -> None:
    assert tracing.current is None
    node_spans.activate(lambda: 0.0)
    assert isinstance(tracing.current, node_spans.NodeSpans)
    node_spans.deactivate()
    assert tracing.current is None
