"""Spans and metrics of applications, by OpenTelemetry (`api.md` 5). Needs the extra `tracing`.

Spans: `slim.session.open` from `create_session` until the session stands, `slim.session.accept`,
`slim.publish` until everybody acknowledged, `slim.receive`, `slim.handle` around a handler of `Slim.serve`,
`slim.request` from a request to its answer. A published message carries the context of its
span in its metadata (W3C Trace Context: `traceparent`, `tracestate`), and its receiver's span is a child of
that one. A context that the application itself put there becomes the parent, else the span that is current;
an answer outside any belongs to the message that it answers. The spans of messages are linked to that of
their session's beginning, which is a trace of its own unless the application has one.

Metrics: `slim.messages` and `slim.message.bytes` by `direction` (`sent`, `received`), `slim.drops` by
`reason`, the type of the error.

Names of sessions and peers are attributes; payloads, tokens and other metadata are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors.memo import Memo
from actors.messages.wire import SessionMessage
from actors.names import Name
from gateway.api import observing
from gateway.api.completion import CompletionHandle
from gateway.api.observing import Metadata
from gateway.api.version import DISTRIBUTION, get_version
from identity.errors import SlimError

_SESSIONS = 4096


class SpanHandle(CompletionHandle):
    """A handle whose outcome ends a span."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span

    def finish(self, error: BaseException | None = None) -> None:
        if not self.done():
            if error is not None:
                self.span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            self.span.end()
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
        self._begun: Memo[tuple[str, int], list[Link]] = Memo(_SESSIONS)
        """How sessions began, by who began and their number: a link to that span."""

    def opening(
        self, kind: str, destination: Name, metadata: Metadata
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        carrier = dict(metadata or {})
        attributes = {"slim.session.type": kind, "slim.destination": str(destination)}
        span = self._tracer.start_span("slim.session.open", self._parent(carrier), attributes=attributes)
        self._propagator.inject(carrier, trace.set_span_in_context(span))
        return SpanHandle(span), carrier or None

    def opened(self, handle: CompletionHandle, session_id: int) -> None:
        if isinstance(handle, SpanHandle):
            self._begun_by(handle.span, "slim.session.open", session_id)

    def accepted(self, session_id: int, kind: str, destination: Name, metadata: Metadata) -> None:
        attributes = {"slim.session.type": kind, "slim.destination": str(destination)}
        parent = self._parent(dict(metadata or {}))
        span = self._tracer.start_span("slim.session.accept", parent, attributes=attributes)
        self._begun_by(span, "slim.session.accept", session_id)
        span.end()

    def publishing(
        self, session_id: int, destination: Name, size: int, metadata: Metadata, answered: Any = None
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        carrier = dict(metadata or {})
        parent = self._parent(carrier)
        if (
            parent is None
            and answered is not None
            and not trace.get_current_span().get_span_context().is_valid
        ):
            parent = answered
        span = self._tracer.start_span(
            "slim.publish",
            parent,
            SpanKind.PRODUCER,
            _message(session_id, destination, size),
            self._links(session_id, "slim.session.open", "slim.session.accept"),
        )
        self._propagator.inject(carrier, trace.set_span_in_context(span))
        self._count("sent", size)
        return SpanHandle(span), carrier or None

    def received(self, session_id: int, message: SessionMessage, size: int) -> context.Context:
        span = self._tracer.start_span(
            "slim.receive",
            self._parent(message.metadata or {}),
            SpanKind.CONSUMER,
            _message(session_id, message.destination, size),
            self._links(session_id, "slim.session.accept", "slim.session.open"),
        )
        span.end()
        self._count("received", size)
        return trace.set_span_in_context(span)

    def handling(self, seen: Any) -> AbstractContextManager[object]:
        return self._around("slim.handle", seen, SpanKind.SERVER, {})

    def requesting(self, session_id: int, destination: Name) -> AbstractContextManager[object]:
        attributes = {"slim.session.id": session_id, "slim.destination": str(destination)}
        return self._around("slim.request", None, SpanKind.CLIENT, attributes)

    @contextmanager
    def _around(self, name: str, parent: Any, kind: SpanKind, attributes: dict[str, Any]) -> Iterator[None]:
        """A span that is current meanwhile. Of an error it tells the type: a text may be a payload."""
        span = self._tracer.start_span(name, parent, kind, attributes)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def failed(self, session_id: int, error: SlimError) -> None:
        self._drops.add(1, {"reason": type(error).__name__})

    def _begun_by(self, span: Span, name: str, session_id: int) -> None:
        """Spans of its messages are linked to this one."""
        if span.is_recording():
            span.set_attribute("slim.session.id", session_id)
            self._begun.remember((name, session_id), [Link(span.get_span_context())])

    def _links(self, session_id: int, likely: str, other: str) -> list[Link] | None:
        """To where a session began: where one process has both its ends, at the end that is likely."""
        begun = self._begun
        return begun.get((likely, session_id)) or begun.get((other, session_id)) if begun else None

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


def _message(session_id: int, destination: Name, size: int) -> dict[str, Any]:
    return {
        "slim.session.id": session_id,
        "slim.destination": str(destination),
        "messaging.message.body.size": size,
    }
