"""Networks other than the machine's own: what dials and listens for the endpoints of a scheme.

`Surroundings.schemes` is the registry. A scheme that stands in it is carried by what stands there, `http` and
`https` included; all others by `gateway.links.transport`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, cast
from urllib.parse import urlsplit

from gateway.config import ClientConfig, ServerConfig
from gateway.config.address import SIMULATED
from gateway.links.stream import Stream
from gateway.links.transport import Server
from gateway.surroundings import Surroundings
from identity.errors import ConfigError


class Scheme(Protocol):
    """One network. It has no TLS and asks nobody who he is: `tls` and `auth` say nothing."""

    def listener(self, config: ServerConfig, accept: Callable[[Stream], None]) -> Server:
        """A listener as configured; each new stream is given to `accept`."""

    def dialler(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """A function that opens one stream as configured. It raises LinkError."""


def scheme_of(endpoint: str, surroundings: Surroundings) -> Scheme | None:
    """What carries the streams of an endpoint; None: the machine's own network.

    Raises ConfigError for a host of a simulated network where there is none.
    """
    name = urlsplit(endpoint).scheme if "://" in endpoint else ""
    scheme = cast("Scheme | None", surroundings.schemes.get(name))
    if scheme is None and name == SIMULATED:
        text = f"endpoint: {endpoint} is a host of a World (gateway.testing), and this program runs in none"
        raise ConfigError(text, field="endpoint")
    return scheme
