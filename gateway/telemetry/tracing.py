"""init_tracing: what is logged, and OpenTelemetry export when the extra is installed (`api.md` 5)."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from typing import Any

from loguru import logger

from gateway.config import Section, duration
from identity.errors import ConfigError

_LEVELS = ("trace", "debug", "info", "warn", "warning", "error")
_INSTALL = "pip install 'callboard[tracing]'"

_EXPORT_TIMEOUT = 3
"""Seconds for one export: how long a program whose collector is gone may be held up at its end, twice."""

FLOORS = ("gateway", "actors", "identity")
"""The packages whose log is off until somebody asks for it."""

_initialized = False


def log_to_stderr(level: str | int, **more: Any) -> None:
    """Turn the log of the three floors on, from `level` up; `more` as for loguru's `add`."""
    logger.remove()
    logger.add(sys.stderr, level=level, **more)
    for floor in FLOORS:
        logger.enable(floor)


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
    global _initialized
    section = Section(config or {}, "")
    level = section.take("log_level", str, "info").lower()
    names = section.take("display_thread_names", bool, True)
    ids = section.take("display_thread_ids", bool, False)
    filters = section.take("filters", (list, tuple), ())
    telemetry = section.section("opentelemetry")
    export = _Export(telemetry) if telemetry is not None else None
    section.end()
    levels = _filters(level, filters)
    if _initialized:
        return Done()
    if export is not None and export.enabled:
        export.start()
    _initialized = True
    thread = ("{thread.name} " if names else "") + ("{thread.id} " if ids else "")
    line = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} " + thread + "{name}: {message} {extra}"
    log_to_stderr(0, filter=levels, format=line)
    return Done()


def _filters(level: str, filters: Any) -> dict[str | None, str | int | bool]:
    """loguru's form of a level for everything and others for some modules."""
    levels: dict[str | None, str | int | bool] = {"": _level(level)}
    for text in filters:
        if not isinstance(text, str):
            raise ConfigError(
                f"filters: expected texts such as 'gateway=debug', got {text!r}", field="filters"
            )
        module, _, wanted = text.partition("=")
        levels["" if not wanted else module] = _level(wanted or module)
    return levels


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise ConfigError(f"log_level: one of {', '.join(_LEVELS)}, got {text!r}", field="log_level")
    return "WARNING" if text.lower() == "warn" else text.upper()


class _Export:
    """The `opentelemetry` part: read early, so that mistakes show, started once."""

    def __init__(self, section: Section) -> None:
        self.enabled = section.take("enabled", bool, False)
        grpc = section.section("grpc")
        self._endpoint = "http://localhost:4317"
        self._headers: dict[str, str] = {}
        if grpc is not None:
            self._endpoint = grpc.take("endpoint", str, self._endpoint)
            self._headers = grpc.take("headers", dict, self._headers)
            grpc.ignore("tls", "auth", "keepalive", "connect_timeout", "request_timeout", "compression")
            grpc.end()
        self._name = section.take("service_name", str, "slim-data-plane")
        self._version = section.take("service_version", str, "v0.1.0")
        self._environment = section.take("environment", str, "development")
        interval = section.take("metrics_interval_secs", (int, float), 30)
        self._interval = duration(interval, "opentelemetry.metrics_interval_secs")
        section.end()

    def start(self) -> None:
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
                "service.name": self._name,
                "service.version": self._version,
                "deployment.environment": self._environment,
            }
        )
        target: dict[str, Any] = {
            "endpoint": self._endpoint,
            "insecure": self._endpoint.startswith("http://"),
            "headers": self._headers or None,
            "timeout": _EXPORT_TIMEOUT,
        }
        spans = TracerProvider(resource=resource)
        spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**target)))
        trace.set_tracer_provider(spans)
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(**target), export_interval_millis=self._interval * 1000
        )
        metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
        activate()
