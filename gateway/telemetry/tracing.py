"""init_tracing: what is logged, and OpenTelemetry export when the extra is installed (`api.md` 5)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from gateway.config import Section
from gateway.config.tracing import TelemetryConfig, TracingConfig
from gateway.surroundings import current
from gateway.telemetry.log import log_to_stderr
from identity.errors import ConfigError

_INSTALL = "pip install 'callboard[tracing]'"

_EXPORT_TIMEOUT = 3
"""Seconds for one export: how long a program whose collector is gone may be held up at its end, twice."""

_initialized = False


class Done:
    """What `init_tracing` returns: it may be awaited, and has taken effect already."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


def init_tracing(config: Mapping[str, Any] | None = None) -> Done:
    """Log to standard error, and export when `opentelemetry.enabled`. The first call wins.

    Without it the standard library's rules hold: WARNING and above, where the application shows them. What
    the application logs itself, and its handlers and sinks, stay as they are.

    Keys: `log_level` ("info"), `display_thread_names` (True), `display_thread_ids` (False), `filters`
    (["gateway=debug", ...]), `opentelemetry` {`enabled`, `grpc` {`endpoint`, `headers`},
    `service_name`, `service_version`, `environment`, `metrics_interval_secs`}. Raises ConfigError.
    """
    return start_tracing(TracingConfig.read(Section(config or {}, "")))


def start_tracing(config: TracingConfig, form: str = "text", *, node: str = "") -> Done:
    """`init_tracing`, of what was read already; `form` is `text` or `json`.

    In the process of a node, `node` is its id: then messages on their way through it have spans.
    """
    global _initialized
    if _initialized:
        return Done()
    if config.telemetry.enabled:
        _export(config.telemetry, node)
    _initialized = True
    log_to_stderr(config.levels, form, thread_names=config.thread_names, thread_ids=config.thread_ids)
    return Done()


def _export(config: TelemetryConfig, node: str) -> None:
    """Export spans and metrics. Raises ConfigError with the install line when the extra is missing."""
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from gateway.telemetry import node_spans, open_telemetry
    except ImportError as exc:
        raise ConfigError(
            f"opentelemetry.enabled needs the exporter: {_INSTALL}", field="opentelemetry.enabled"
        ) from exc
    described = {
        "service.name": config.service_name,
        "service.version": config.service_version,
        "deployment.environment": config.environment,
    }
    if node:
        described["service.instance.id"] = node
    resource = Resource.create(described)
    target: dict[str, Any] = {
        "endpoint": config.endpoint,
        "insecure": config.endpoint.startswith("http://"),
        "headers": dict(config.headers) or None,
        "timeout": _EXPORT_TIMEOUT,
    }
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**target)))
    trace.set_tracer_provider(spans)
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(**target), export_interval_millis=config.metrics_interval * 1000
    )
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
    open_telemetry.activate()
    if node:
        node_spans.activate(current().clock)
