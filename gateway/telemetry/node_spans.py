"""Spans of messages on their way through a node, by OpenTelemetry. Needs the extra `tracing`.

    slim.publish (application) ─► slim.node.receive ─► slim.node.route ─► slim.node.send ─► next node, or
                                                                                          slim.receive

Only messages that their sender samples have any; a node begins no traces. What leaves carries the context of
its send span, so that a message's way is one trace, over peers and over the backbone. Attributes are numbers
of connections and sizes: a node opens no message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from actors.messages.wire import Frame
from actors.record import record
from actors.routing import tracing
from gateway.api.version import DISTRIBUTION, get_version
from gateway.telemetry.trace_context import FrameContext, context_in, continued

SPANS_PER_SECOND = 1500
"""Spans that a node makes in a second: peers decide what is sampled, and could spend its time with that."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@record
class _Routing(NamedTuple):
    frame: Frame
    receive: Span
    route: Span


@record
class _Sending(NamedTuple):
    frame: Frame
    span: Span


class NodeSpans:
    """The tracer of a node's connections (`actors.routing.tracing`). `clock` tells seconds that only grow."""

    def __init__(self, clock: Callable[[], float], tracers: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(DISTRIBUTION, get_version(), tracers)
        self._clock = clock
        self._left = float(SPANS_PER_SECOND)
        self._at = clock()
        self.passed_over = 0
        """Hops without spans, because there were too many in a second."""

    def received(self, frames: Sequence[Any], connection: int) -> tuple[Sequence[Any], Sequence[_Routing]]:
        changed: list[Any] | None = None
        opened: list[_Routing] = []
        for place, frame in enumerate(frames):
            if type(frame) is not Frame or (found := context_in(frame)) is None or not self._may(2):
                continue
            receive = self._span("slim.node.receive", _remote(found), SpanKind.CONSUMER, connection, frame)
            if not receive.is_recording():
                continue
            route = self._tracer.start_span("slim.node.route", trace.set_span_in_context(receive))
            changed = changed or list(frames)
            changed[place] = frame = continued(frame, found, route.get_span_context().span_id)
            opened.append(_Routing(frame, receive, route))
        return changed or frames, opened

    def routed(self, opened: Sequence[_Routing], out: Mapping[int, Sequence[Frame]]) -> None:
        targets = Counter(id(frame) for batch in out.values() for frame in batch)
        for frame, receive, route in opened:
            count = targets[id(frame)]
            route.set_attribute("slim.targets", count)
            if not count:
                route.set_status(Status(StatusCode.ERROR, "nobody has the name"))
            route.end()
            receive.end()

    def sending(self, frames: Sequence[Frame], connection: int) -> tuple[Sequence[Frame], Sequence[_Sending]]:
        changed: list[Frame] | None = None
        opened: list[_Sending] = []
        for place, frame in enumerate(frames):
            if (found := context_in(frame)) is None or not self._may(1):
                continue
            span = self._span("slim.node.send", _remote(found), SpanKind.PRODUCER, connection, frame)
            if not span.is_recording():
                continue
            changed = changed or list(frames)
            changed[place] = frame = continued(frame, found, span.get_span_context().span_id)
            opened.append(_Sending(frame, span))
        return changed or frames, opened

    def sent(self, opened: Sequence[_Sending], written: Sequence[Frame], refused: Sequence[Frame]) -> None:
        taken, large = {id(frame) for frame in written}, {id(frame) for frame in refused}
        for frame, span in opened:
            if id(frame) not in taken:
                span.set_status(Status(StatusCode.ERROR, "dropped: the peer is slow"))
            elif id(frame) in large:
                span.set_status(Status(StatusCode.ERROR, "too large for the link"))
            span.end()

    def _span(self, name: str, parent: Any, kind: SpanKind, connection: int, frame: Frame) -> Span:
        attributes = {"slim.connection": connection, "slim.message.size": frame.size}
        return self._tracer.start_span(name, parent, kind, attributes)

    def _may(self, spans: int) -> bool:
        """Whether so many more may be made now."""
        now = self._clock()
        self._left = min(SPANS_PER_SECOND, self._left + (now - self._at) * SPANS_PER_SECOND)
        self._at = now
        if self._left < spans:
            self.passed_over += 1
            return False
        self._left -= spans
        return True


def _remote(found: FrameContext) -> Any:
    context = SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=_SAMPLED)
    return trace.set_span_in_context(NonRecordingSpan(context))


def activate(clock: Callable[[], float], tracers: trace.TracerProvider | None = None) -> None:
    """Connections that are made from now on make spans, by the given provider or else the global one."""
    tracing.current = NodeSpans(clock, tracers)


def deactivate() -> None:
    """Undo `activate`, for connections that are made from now on."""
    tracing.current = None
