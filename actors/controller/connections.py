"""Connections that callers give in full: the JSON of a node's client configuration (`controller.md` 4.1)."""

from __future__ import annotations

import json

from actors.controller.turn import Declined
from actors.messages.controller import DrawnLink

CONFIG_SIZE = 64 * 1024
"""Characters of a connection's configuration at most."""


def check_connection(connection: DrawnLink) -> None:
    """Check a connection given in full. Raises Declined (INVALID_ARGUMENT)."""
    if not connection.connection_id:
        raise Declined("INVALID_ARGUMENT", "connection.connection_id: required")
    if len(connection.config) > CONFIG_SIZE:
        raise Declined(
            "INVALID_ARGUMENT",
            f"connection.config_data: {len(connection.config)} characters; the limit is {CONFIG_SIZE}",
        )
    try:
        config = json.loads(connection.config)
    except (ValueError, RecursionError):
        raise Declined("INVALID_ARGUMENT", "connection.config_data: not JSON") from None
    endpoint = config.get("endpoint") if isinstance(config, dict) else None
    if not isinstance(endpoint, str) or not endpoint:
        raise Declined("INVALID_ARGUMENT", "connection.config_data: a JSON object with an endpoint")
    if endpoint != connection.connection_id:
        raise Declined(
            "INVALID_ARGUMENT",
            f"connection.connection_id: has to be the endpoint of config_data, {endpoint[:200]!r}",
        )


def host_and_port(endpoint: str) -> str:
    """Host and port of an endpoint, to compare."""
    return endpoint.rpartition("://")[2].rstrip("/")
