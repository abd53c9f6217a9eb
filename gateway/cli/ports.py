"""Ports for processes that have to be told of one another before they start."""

from __future__ import annotations

import socket
from contextlib import suppress

from gateway.surroundings import SYSTEM

_LOWEST, _HIGHEST = 15_000, 30_000
"""Below those that systems hand out to who asks for any: whoever does meanwhile does not get one of these."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nobody listens now."""
    found: dict[int, None] = {}
    while len(found) < count:
        port = _LOWEST + SYSTEM.draw(_HIGHEST - _LOWEST)
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            found[port] = None
    return list(found)
