"""Networks other than the machine's own: what dials and listens for the endpoints of a scheme.

`Surroundings.schemes` is the registry. A scheme that stands in it is carried by what stands there, `http` and
`https` included; all others by `gateway.links.transport`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, cast
from urllib.parse import urlsplit

from gateway.config import ClientConfig, ServerConfig
from gateway.links.stream import Stream
from gateway.links.transport import Server
from gateway.surroundings import Surroundings


class Scheme(Protocol):
    """One network. It has no TLS and asks nobody who he is: `tls` and `auth` say nothing."""

    def listener(self, config: ServerConfig, accept: Callable[[Stream], None]) -> Server:
        """A listener as configured; each new stream is given to `accept`."""

    def dialler(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """A function that opens one stream as configured. It raises LinkError."""


def scheme_of(endpoint: str, surroundings: Surroundings) -> Scheme | None:
    """What carries the streams of an endpoint; None: the machine's own network."""
    name = urlsplit(endpoint).scheme if "://" in endpoint else ""
    return cast("Scheme | None", surroundings.schemes.get(name))
