"""Spans and metrics, seen by the SDK's in-memory exporters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actors.errors import HandshakeFailed, MessageUndelivered, SessionClosed
from gateway import SessionConfiguration, Slim
from gateway.api import observing
from tests.gateway.app_stage import AppStage, name

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from gateway.telemetry import open_telemetry as telemetry

RELIABLE = SessionConfiguration.PointToPoint(1.0, 5)


class Collected:
    """What was exported."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])

    def spans(self, kind: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == kind]

    def span(self, kind: str) -> Any:
        (found,) = self.spans(kind)
        return found

    def counts(self, metric: str) -> dict[str, int]:
        """Values by their one attribute."""
        data = self._reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    if one.name == metric:
                        for point in one.data.data_points:
                            (value,) = point.attributes.values()
                            found[value] = point.value
        return found


@pytest.fixture
def collected() -> Iterator[Collected]:
    made = Collected()
    telemetry.activate(made.tracers, made.meters)
    yield made
    telemetry.deactivate()


async def exchange(alice: Slim, bob: Slim) -> tuple[Any, Any]:
    """alice publishes, bob answers; both received messages."""
    session = await alice.create_session(name("bob"), RELIABLE)
    await session.established
    there = await bob.listen_for_session(5)
    handle = await session.publish(b"hello", metadata={"a": "b"})
    message = await there.get_message(5)
    await handle
    await (await message.reply(b"hi"))
    return message, await session.get_message(5)


def accepted_of(collected: Collected) -> int | None:
    """The span from which the accepted session comes."""
    accepted = collected.span("slim.session.accept")
    return accepted.parent and accepted.parent.span_id


async def test_spans_of_one_trace_on_both_ends(stage: AppStage, collected: Collected) -> None:
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    message, _ = await exchange(alice, bob)
    published = collected.spans("slim.publish")[0]
    received = collected.spans("slim.receive")[0]
    assert published.kind is SpanKind.PRODUCER
    assert received.kind is SpanKind.CONSUMER
    assert received.context is not None
    assert received.parent is not None
    assert published.context is not None
    assert received.context.trace_id == published.context.trace_id
    assert received.parent.span_id == published.context.span_id
    assert message.metadata["a"] == "b"
    assert f"{published.context.span_id:016x}" in message.metadata["traceparent"]
    opened = collected.span("slim.session.open")
    assert opened.attributes["slim.session.type"] == "PointToPoint"
    assert (
        opened.attributes["slim.session.id"]
        == collected.span("slim.session.accept").attributes["slim.session.id"]
    )
    assert accepted_of(collected) == opened.context.span_id
    # The beginning of the session is linked to, at either end by its own.
    accepted = collected.span("slim.session.accept")
    assert [link.context for link in published.links] == [opened.context]
    assert [link.context for link in received.links] == [accepted.context]
    shown = str([dict(span.attributes or {}) for span in collected.spans("slim.publish")])
    assert "hello" not in shown


async def test_a_context_of_the_application_is_the_parent(process: AppStage, collected: Collected) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    session = await alice.create_session(name("bob"), RELIABLE)
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await session.publish(b"x", metadata={"traceparent": given})
    there = await bob.listen_for_session(5)
    message = await there.get_message(5)
    await session.close()
    span = collected.span("slim.publish")
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert message.metadata["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


async def test_an_answer_belongs_to_what_it_answers(process: AppStage, collected: Collected) -> None:
    await exchange(await process.app("alice"), await process.app("bob"))
    (question, answer), (asked, answered) = collected.spans("slim.publish"), collected.spans("slim.receive")
    ids = [span.context and span.context.span_id for span in (question, asked, answer)]
    assert [span.parent and span.parent.span_id for span in (asked, answer, answered)] == ids


async def test_a_handler_works_in_a_span_of_its_own(process: AppStage, collected: Collected) -> None:
    alice, bob = await process.app("alice"), await process.app("bob")
    current: list[int] = []

    async def fail(request: Any) -> None:
        current.append(get_current_span().get_span_context().span_id)
        raise LookupError(request.payload)

    async with bob.serve(fail):
        session = await alice.create_session(name("bob"), RELIABLE)
        with pytest.raises(SessionClosed):
            await session.request(b"payload", timeout=5)
    handled, asked = collected.span("slim.handle"), collected.span("slim.request")
    assert [handled.context.span_id] == current
    assert (handled.status.status_code, handled.status.description) == (StatusCode.ERROR, "LookupError")
    assert asked.status.description == "SessionClosed"
    assert handled.context.trace_id == asked.context.trace_id
    assert not handled.events


async def test_messages_and_bytes_are_counted(process: AppStage, collected: Collected) -> None:
    await exchange(await process.app("alice"), await process.app("bob"))
    assert collected.counts("slim.messages") == {"sent": 2, "received": 2}
    assert collected.counts("slim.message.bytes") == {"sent": 7, "received": 7}


async def test_what_fails_is_marked(process: AppStage, collected: Collected) -> None:
    alice = await process.app("alice")
    session = await alice.create_session(name("nobody"), SessionConfiguration.PointToPoint(0.02, 1))
    with pytest.raises(HandshakeFailed):
        await session.established
    assert collected.span("slim.session.open").status.status_code is StatusCode.ERROR
    assert observing.current is not None
    observing.current.failed(1, MessageUndelivered(1))
    assert collected.counts("slim.drops") == {"MessageUndelivered": 1}


async def test_without_observer_metadata_passes_untouched(process: AppStage) -> None:
    assert observing.current is None
    alice, bob = await process.app("alice"), await process.app("bob")
    session = await alice.create_session(name("bob"), RELIABLE)
    await session.publish(b"x", metadata={"traceparent": "whatever", "tracestate": "more"})
    await session.publish(b"y")
    there = await bob.listen_for_session(5)
    assert (await there.get_message(5)).metadata == {"traceparent": "whatever", "tracestate": "more"}
    assert (await there.get_message(5)).metadata == {}
