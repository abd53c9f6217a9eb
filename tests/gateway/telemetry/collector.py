"""A stand-in for an OTLP collector: the trace service, on a port of loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Seen(NamedTuple):
    """A span as it was exported."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    where: str
    """The node that exported it, or the service."""
    failed: str
    """What went wrong, where something did."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.endpoint = ""
        self._news = threading.Condition()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        with self._news:
            for resource in request.resource_spans:
                named = {each.key: each.value.string_value for each in resource.resource.attributes}
                node = named["service.name"] == "slim-data-plane"
                where = named["service.instance.id" if node else "service.name"]
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    failed = span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else ""
                    self.spans.append(
                        Seen(span.name, span.trace_id, span.span_id, span.parent_span_id, where, failed)
                    )
            self._news.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def until(self, done: Callable[[list[Seen]], bool], limit: float = 20.0) -> list[Seen]:
        """Wait for it: the spans so far."""
        with self._news:
            assert self._news.wait_for(lambda: done(self.spans), limit), self.spans
            return list(self.spans)


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(made, server)
    made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(None).wait(5)
