"""The `tracing` section: what is logged and exported (`api.md` 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section, duration
from gateway.config.wording import unfit
from identity.errors import ConfigError

LEVELS = ("trace", "debug", "info", "warn", "warning", "error")
ENDPOINT = "http://localhost:4317"

_PLAIN = "the exporter has TLS if and only if the endpoint is https://"
EXPORTER = Table(
    "exporter",
    Key("endpoint", "of the collector", default=ENDPOINT),
    Key("headers", "further headers of requests", Kind.FREE, shown="none"),
    Key("tls", "", Kind.ANY, without_effect=_PLAIN),
    *(
        Key(name, "", Kind.ANY, without_effect="the exporter has times and keepalives of its own")
        for name in ("auth", "keepalive", "connect_timeout", "request_timeout", "compression")
    ),
)
TELEMETRY = Table(
    "opentelemetry",
    Key("enabled", "export spans and metrics; needs the extra tracing", Kind.SWITCH, False),
    Key("grpc", "where to", Kind.SECTION, inner=EXPORTER),
    Key("service_name", "what the node is called there", default="slim-data-plane"),
    Key("service_version", "its version there", default="v0.1.0"),
    Key("environment", "where it is deployed", default="development"),
    Key("metrics_interval_secs", "seconds between two exports of metrics", Kind.NUMBER, 30),
)
TRACING = Table(
    "tracing",
    Key("log_level", f"one of {', '.join(LEVELS)}", default="info"),
    Key("display_thread_names", "in each line", Kind.SWITCH, True),
    Key("display_thread_ids", "in each line", Kind.SWITCH, False),
    Key("filters", "levels of single modules, such as gateway.links=debug", Kind.ANY, (), shown="none"),
    Key("opentelemetry", "spans and metrics", Kind.SECTION, inner=TELEMETRY),
)


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Where spans and metrics go. `metrics_interval` in seconds."""

    enabled: bool = False
    endpoint: str = ENDPOINT
    headers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    service_name: str = "slim-data-plane"
    service_version: str = "v0.1.0"
    environment: str = "development"
    metrics_interval: float = 30.0


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """What is logged: `levels` by module, that of all others under ""."""

    levels: Mapping[str, str]
    thread_names: bool = True
    thread_ids: bool = False
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)

    @classmethod
    def read(cls, section: Section) -> TracingConfig:
        """Check the dict. Raises ConfigError naming the key at fault."""
        values = TRACING.read(section)
        return cls(
            _levels(section, values["log_level"].lower(), values["filters"]),
            values["display_thread_names"],
            values["display_thread_ids"],
            _telemetry(section, values["opentelemetry"]),
        )


def _telemetry(section: Section, values: dict[str, Any] | None) -> TelemetryConfig:
    if values is None:
        return TelemetryConfig()
    grpc = values["grpc"] or {"endpoint": ENDPOINT, "headers": {}}
    where = section.at("opentelemetry.metrics_interval_secs")
    return TelemetryConfig(
        values["enabled"],
        grpc["endpoint"],
        grpc["headers"],
        values["service_name"],
        values["service_version"],
        values["environment"],
        duration(values["metrics_interval_secs"], where),
    )


def _levels(section: Section, level: str, filters: Any) -> dict[str, str]:
    """A level for everything and others for some modules."""
    where = section.at("filters")
    if not isinstance(filters, list | tuple):
        raise unfit(where, "a list of texts", filters)
    levels: dict[str, str] = {"": _level(level, section.at("log_level"))}
    for text in filters:
        if not isinstance(text, str):
            raise unfit(where, "texts such as 'gateway=debug'", text)
        module, separator, wanted = text.partition("=")
        if separator:
            levels[module] = _level(wanted, section.at("log_level"))
        elif module.lower() in LEVELS:
            levels[""] = _level(module, where)
        else:
            # A module alone: all of it, as for the original.
            levels[module] = "TRACE"
    return levels


def _level(text: str, where: str) -> str:
    if text.lower() not in LEVELS:
        raise ConfigError(f"{where}: one of {', '.join(LEVELS)}, got {text!r}", field=where)
    return "WARNING" if text.lower() == "warn" else text.upper()
