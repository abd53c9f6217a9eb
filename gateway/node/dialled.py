"""A connection that a data plane opens, as it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from actors.messages.routing import ConnectionState
from actors.routing.budget import ByteBudget
from gateway.config import ClientConfig
from gateway.http2.limits import Counters
from gateway.links.addresses import resolve
from gateway.links.link import DialledLink
from gateway.links.schemes import scheme_of
from gateway.links.stream import Stream
from gateway.links.transport import dialler
from gateway.security.auth import ClientAuth, ServerAuth, client_auth
from gateway.security.material import Side, TlsSource
from gateway.surroundings import Surroundings

NODE_WAIT = 4.0
"""Seconds that dialling a node may take where its configuration does not say. A first packet that is lost is
sent again after 1, 3, 7 and 15 s: behind a long cut a new attempt is there before the last of these."""


class Dialled:
    """A connection that we open: from the first attempt until it is closed for good."""

    def __init__(self, endpoint: str, index: int, *, as_node: bool = False) -> None:
        self.endpoint = endpoint
        self.index = index
        self.as_node = as_node
        self.held = AsyncExitStack()
        """What it keeps open for identity and TLS."""
        self.dialling: asyncio.Task[None] | None = None
        """The first attempt, while it lasts."""
        self.link: DialledLink | None = None
        """There once a stream is up."""
        self.attached = asyncio.Event()
        self.introduced = asyncio.Event()
        self.settled = asyncio.Event()
        """A node is at the other end, and it is known what becomes of the link to it."""
        self.over = asyncio.Event()
        """Also set when the others will not happen any more."""
        self.outcome = ""
        """That of NodeLinkSettled, or refused; lost while the link dials again."""
        self.node_id = ""
        self.cause = ""

    def take(self, state: ConnectionState) -> None:
        """The connection tells where it stands."""
        match state.state:
            case "attached":
                self.attached.set()
            case "negotiated":
                self.introduced.set()
            case "joined" | "superseded" | "displaced" | "itself" | "namesake":
                self.outcome, self.node_id = state.state, state.detail
                self.settled.set()
            case "refused":
                self.outcome = state.state
                self.end(state.detail)
            case "lost" if self.outcome:
                self.outcome = "lost"
            case "closed":
                self.end(state.detail)

    def end(self, cause: str) -> None:
        """It is over: wake up whoever waits."""
        self.cause = self.cause or cause
        for event in (self.over, self.attached, self.introduced, self.settled):
            event.set()


async def diallers(
    config: ClientConfig,
    made: Dialled,
    around: Surroundings,
    high: int,
    waiting: ByteBudget,
    counters: Counters,
) -> list[tuple[str, Callable[[], Awaitable[Stream]]]]:
    """The endpoints of a connection, and how to open a stream to each. Raises ConfigError, AuthError."""
    if made.as_node and not (config.connect_timeout or config.request_timeout):
        # The next attempt follows at once.
        config = replace(config, connect_timeout=NODE_WAIT)
    scheme = scheme_of(config.endpoint, around)
    if scheme is not None:
        return [(one.endpoint, scheme.dialler(one)) for one in config.each()]
    auth, source = client_auth(config.auth), TlsSource(config.tls, Side.CLIENT)
    await open_parts(made.held, auth, None if config.plaintext else source)
    shared, find = (auth, source, high, waiting, counters), around.resolve or resolve
    return [(one.endpoint, dialler(one, *shared, find=find)) for one in config.each()]


async def open_parts(held: AsyncExitStack, *parts: ClientAuth | ServerAuth | TlsSource | None) -> None:
    """Start the parts that there are; `held` will close them."""
    for part in parts:
        if part is not None:
            held.push_async_callback(part.close)
            await part.start()
