"""What listeners and links have in common (`api.md` 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.config.address import NO_WEBSOCKET
from gateway.config.keys import Key
from gateway.config.wording import unfit
from identity.errors import ConfigError

MIB = 1024 * 1024
MAX_MESSAGE_SIZE = 4 * MIB

TRANSPORTS = ("fast", "grpc")
"""`fast` is our own HTTP/2 framing, `grpc` the gRPC library; peers cannot tell them apart."""
DEFAULT_TRANSPORT = "fast"

TRANSPORT = Key(
    "transport",
    "our own HTTP/2 (fast) or the gRPC library (grpc); peers cannot tell them apart",
    default=DEFAULT_TRANSPORT,
    choices=TRANSPORTS,
    refused={"websocket": NO_WEBSOCKET},
)

_METADATA_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Times in seconds; 0 is off."""

    ping: float
    timeout: float
    while_idle: bool = False
    max_connection_age: float = 0.0
    max_connection_age_grace: float = 300.0
    max_connection_idle: float = 0.0
    tcp: float = 0.0


def metadata(value: dict[Any, Any], where: str) -> dict[str, Any]:
    """Free values: texts, numbers, lists and dicts of them by text. Raises ConfigError."""
    _check(value, where, _METADATA_DEPTH)
    return value


def _check(value: object, where: str, left: int) -> None:
    if not left:
        raise ConfigError(f"{where}: nested too deeply", field=where)
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise unfit(where, "texts as keys", key)
            _check(member, f"{where}.{key}", left - 1)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            _check(member, f"{where}[{index}]", left - 1)
    elif not (value is None or isinstance(value, str | int | float)):
        raise unfit(where, "a text, a number, a list or a section", value)
