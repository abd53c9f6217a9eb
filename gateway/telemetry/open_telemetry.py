"""Spans and metrics of applications, by OpenTelemetry (`api.md` 5). Needs the extra `tracing`.

Spans: `slim.session.open` from `create_session` until the session stands, `slim.session.accept`,
`slim.publish` until everybody acknowledged, `slim.receive`. A published message carries the context of its
span in its metadata (W3C Trace Context: `traceparent`, `tracestate`), and its receiver's span is a child of
that one. A context that the application itself put there becomes the parent.

Metrics: `slim.messages` and `slim.message.bytes` by `direction` (`sent`, `received`), `slim.drops` by
`reason`, the type of the error.

Names of sessions and peers are attributes; payloads, tokens and other metadata are not looked at.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors.messages.wire import SessionMessage
from actors.names import Name
from gateway.api import observing
from gateway.api.completion import CompletionHandle
from gateway.api.observing import Metadata
from gateway.api.version import DISTRIBUTION, get_version
from identity.errors import SlimError


class SpanHandle(CompletionHandle):
    """A handle whose outcome ends a span."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        super().__init__()
        self._span = span

    def finish(self, error: BaseException | None = None) -> None:
        if not self.done():
            if error is not None:
                self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            self._span.end()
        super().finish(error)


class Telemetry:
    """The observer (`gateway.api.observing`) that makes spans and counts."""

    def __init__(
        self,
        tracers: trace.TracerProvider | None = None,
        meters: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(DISTRIBUTION, get_version(), tracers)
        meter = metrics.get_meter(DISTRIBUTION, get_version(), meters)
        self._messages = meter.create_counter("slim.messages", "{message}", "Messages of applications")
        self._bytes = meter.create_counter("slim.message.bytes", "By", "Payloads of these messages")
        self._drops = meter.create_counter("slim.drops", "{message}", "Messages that did not arrive")
        self._propagator = TraceContextTextMapPropagator()

    def opening(self, session_id: int, kind: str, destination: Name) -> CompletionHandle:
        span = self._tracer.start_span(
            "slim.session.open", attributes=_session(session_id, kind, destination)
        )
        return SpanHandle(span)

    def accepted(self, session_id: int, kind: str, destination: Name) -> None:
        self._tracer.start_span(
            "slim.session.accept", attributes=_session(session_id, kind, destination)
        ).end()

    def publishing(
        self, session_id: int, destination: Name, size: int, metadata: Metadata
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        carrier = dict(metadata or {})
        span = self._tracer.start_span(
            "slim.publish",
            self._parent(carrier),
            SpanKind.PRODUCER,
            _message(session_id, destination, size),
        )
        self._propagator.inject(carrier, trace.set_span_in_context(span))
        self._count("sent", size)
        return SpanHandle(span), carrier or None

    def received(self, session_id: int, message: SessionMessage, size: int) -> None:
        span = self._tracer.start_span(
            "slim.receive",
            self._parent(message.metadata or {}),
            SpanKind.CONSUMER,
            _message(session_id, message.destination, size),
        )
        span.end()
        self._count("received", size)

    def failed(self, session_id: int, error: SlimError) -> None:
        self._drops.add(1, {"reason": type(error).__name__})

    def _parent(self, carrier: dict[str, str]) -> context.Context | None:
        """The context that a message brought, or the current one."""
        return self._propagator.extract(carrier) if "traceparent" in carrier else None

    def _count(self, direction: str, size: int) -> None:
        attributes = {"direction": direction}
        self._messages.add(1, attributes)
        self._bytes.add(size, attributes)


def activate(
    tracers: trace.TracerProvider | None = None, meters: metrics.MeterProvider | None = None
) -> None:
    """Make spans and count from now on, with the given providers or else the global ones."""
    observing.current = Telemetry(tracers, meters)


def deactivate() -> None:
    """Undo `activate`; spans that are open end with what they are about."""
    observing.current = None


def _session(session_id: int, kind: str, destination: Name) -> dict[str, Any]:
    return {"slim.session.id": session_id, "slim.session.type": kind, "slim.destination": str(destination)}


def _message(session_id: int, destination: Name, size: int) -> dict[str, Any]:
    return {
        "slim.session.id": session_id,
        "slim.destination": str(destination),
        "messaging.message.body.size": size,
    }
