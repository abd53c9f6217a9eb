"""A process on a host: what runs there from a start to an end, with surroundings of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from gateway.config import ClientConfig, ServerConfig
from gateway.links.stream import Stream
from gateway.links.transport import Server
from gateway.surroundings import Draw, Surroundings, enter
from gateway.testing.backbone import SimClient
from gateway.testing.loop import Site, VirtualLoop
from gateway.testing.network import Network
from gateway.testing.site_loop import loop_of


class SimProcess:
    """`wall` tells Unix seconds on its host."""

    def __init__(
        self, host: str, loop: VirtualLoop, network: Network, random: Random, wall: Callable[[], float]
    ) -> None:
        self.host = host
        self.site = Site(host)
        loop.sites.add(self.site)
        self.context = self.site.context
        self._network = network
        self.surroundings = Surroundings(
            clock=loop.time,
            wall=wall,
            random=random.randbytes,
            draw=Draw(random.randbytes),
            threads=_inline,
            schemes=dict.fromkeys(("", "http", "https", "sim", "nats"), self),
            loop=loop_of(loop, self.context),
        )
        self.context.run(enter, self.surroundings)

    def __repr__(self) -> str:
        return f"<SimProcess on {self.site!r}>"

    def listener(self, config: ServerConfig, accept: Callable[[Stream], None]) -> Server:
        """A listener on this host (`gateway.links.schemes.Scheme`)."""
        return self._network.listener(self.site, config, accept)

    def dialler(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """Streams from this host (`gateway.links.schemes.Scheme`)."""
        return self._network.dialler(self.site, config)

    def client(self) -> Any:
        """A client of a backbone (`gateway.links.nats_library.NatsClients`)."""
        return SimClient(self.dialler, self.surroundings.running_loop)

    def begin(self, coroutine: Any, name: str) -> asyncio.Task[Any]:
        """Run a coroutine here."""
        task: asyncio.Task[Any] = self.surroundings.running_loop().create_task(
            coroutine, name=f"{self.host}: {name}"
        )
        return task


async def _inline(function: Callable[[], None]) -> None:
    """What would run in a thread runs at once: its result is the same, and its time does not count."""
    function()
