"""init_tracing: what is logged, and OpenTelemetry export when the extra is installed (`api.md` 5)."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from loguru import logger

from gateway.config import Section
from gateway.config.tracing import TelemetryConfig, TracingConfig
from identity.errors import ConfigError
from identity.text import harmless

if TYPE_CHECKING:
    from loguru import Record

_INSTALL = "pip install 'callboard[tracing]'"

_EXPORT_TIMEOUT = 3
"""Seconds for one export: how long a program whose collector is gone may be held up at its end, twice."""

FLOORS = ("gateway", "actors", "identity")
"""The packages whose log is off until somebody asks for it."""

_initialized = False


def log_to_stderr(level: str | int, **more: Any) -> None:
    """Turn the log of the three floors on, from `level` up; `more` as for loguru's `add`.

    What peers chose stands in many lines of theirs: all are made harmless in one place.
    """
    logger.configure(patcher=make_harmless)
    logger.remove()
    logger.add(sys.stderr, level=level, **{"format": _line, **more})
    for floor in FLOORS:
        logger.enable(floor)


def _line(record: Record) -> str:
    """loguru's format of one line: the message, and behind it what it is about, field by field."""
    fields = "".join(f" {key}={{extra[{key}]}}" for key in record["extra"])
    start = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <8}</level> <cyan>{name}</cyan>: "
    return f"{start}<level>{{message}}</level>{fields}\n{{exception}}"


def make_harmless(record: Record) -> None:
    """A patcher of loguru's: no record of the three floors moves a cursor, is two lines or a megabyte."""
    if (record["name"] or "").partition(".")[0] in FLOORS:
        record["message"] = harmless(record["message"])
        extra = record["extra"]
        for key, value in extra.items():
            if isinstance(value, str):
                extra[key] = harmless(value)


class Done:
    """What `init_tracing` returns: it may be awaited, and has taken effect already."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


def init_tracing(config: Mapping[str, Any] | None = None) -> Done:
    """Log to standard error, and export when `opentelemetry.enabled`. The first call wins.

    Without it nothing is logged at all. loguru's other sinks are replaced.

    Keys: `log_level` ("info"), `display_thread_names` (True), `display_thread_ids` (False), `filters`
    (["gateway=debug", ...]), `opentelemetry` {`enabled`, `grpc` {`endpoint`, `headers`},
    `service_name`, `service_version`, `environment`, `metrics_interval_secs`}. Raises ConfigError.
    """
    return start_tracing(TracingConfig.read(Section(config or {}, "")))


def start_tracing(config: TracingConfig) -> Done:
    """`init_tracing`, of what was read already."""
    global _initialized
    if _initialized:
        return Done()
    if config.telemetry.enabled:
        _export(config.telemetry)
    _initialized = True
    thread = ("{thread.name} " if config.thread_names else "") + ("{thread.id} " if config.thread_ids else "")
    line = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} " + thread + "{name}: {message} {extra}"
    log_to_stderr(0, filter=dict(config.levels), format=line)
    return Done()


def _export(config: TelemetryConfig) -> None:
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

        from gateway.telemetry.open_telemetry import activate
    except ImportError as exc:
        raise ConfigError(
            f"opentelemetry.enabled needs the exporter: {_INSTALL}", field="opentelemetry.enabled"
        ) from exc
    resource = Resource.create(
        {
            "service.name": config.service_name,
            "service.version": config.service_version,
            "deployment.environment": config.environment,
        }
    )
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
    activate()
