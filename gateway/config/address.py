"""Endpoints as they are written: URLs, HOST:PORT, and paths of unix sockets."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from gateway.config.section import Section
from identity.errors import ConfigError

SIMULATED = "sim"
"""The scheme of a network that a test hands in (`gateway.testing`): sim://HOST."""
NO_WEBSOCKET = (
    "there is no WebSocket transport in the versions that we speak (0.7 to 1.4 talk gRPC among "
    "themselves): use http:// or https://, and leave transport out"
)
_NOT_PUT_IN = "${env:NAME} and ${file:PATH} stand for a whole value, and nothing else does"


def split(address: str, where: str = "endpoint") -> tuple[SplitResult, int | None]:
    """The parts of a URL, or of HOST:PORT alone, and the port. Raises ConfigError."""
    if address.startswith("unix:") and not address.startswith("unix://"):
        # As the gRPC library writes it.
        address = "unix://" + address.removeprefix("unix:")
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        port = parts.port
    except ValueError as exc:
        raise ConfigError(f"{where}: {_what_is_wrong(address)}", field=where) from exc
    if "${" in (parts.hostname or ""):
        raise ConfigError(f"{where}: {_NOT_PUT_IN}", field=where)
    if parts.scheme in ("ws", "wss"):
        raise ConfigError(f"{where}: {NO_WEBSOCKET}", field=where)
    return parts, port


def _what_is_wrong(address: str) -> str:
    place = address.rpartition("://")[2].partition("/")[0].rpartition("@")[2]
    host = place.rpartition(":")[0]
    if "${" in place:
        return _NOT_PUT_IN
    if ":" in host and not host.startswith("["):
        return "an IPv6 address stands in brackets, such as [::1]:46357"
    return "expected HOST:PORT with a port up to 65535"


def no_credentials(parts: SplitResult, where: str) -> None:
    """Refuse user and password in an endpoint, which logs and lists show. Raises ConfigError."""
    if parts.username is not None:
        raise ConfigError(f"{where}: user and password do not stand here: use auth", field=where)


def unix_path(parts: SplitResult) -> str:
    """The path of a unix socket; empty for anything else."""
    return (parts.path or parts.netloc) if parts.scheme == "unix" else ""


def required(section: Section, key: str, example: str) -> str:
    """An endpoint that has to be there. Raises ConfigError."""
    value: str | None = section.take(key, str, None)
    if not value:
        raise ConfigError(f"{section.at(key)}: required, such as {example}", field=section.at(key))
    return value
