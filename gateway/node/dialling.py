"""The connections that a data plane opens: dialling, giving up, and disconnecting.

    dial ──► first attempt ──► link ──► attached ──► introduced, or NEGOTIATION_WAIT is over
                │ fails          └ dials again by itself (`gateway/links/link.py`) until it is closed
                └► nothing is left behind

A connection has its index through all reconnects. One that is being closed is known by it until the last has
been released, while its endpoint may be dialled anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from actors.errors import AlreadyConnected, ConnectionLost, NotConnected
from actors.messages.routing import ConnectionState, Opened
from actors.routing.budget import ByteBudget
from actors.system import Address
from actors.system.tasks import Tasks
from gateway.config import ClientConfig
from gateway.http2.limits import Counters
from gateway.links.addresses import Addresses
from gateway.links.link import DialledLink
from gateway.links.stream import Stream
from gateway.node.dialled import Dialled, diallers
from gateway.surroundings import Surroundings
from identity.log import logger

NEGOTIATION_WAIT = 0.5
"""Seconds for which `dial` waits for the peer to tell its version; older peers never do."""

_CLOSED = "the data plane is closed"


class DiallingPlane(Protocol):
    """The data plane, as it is needed here."""

    surroundings: Surroundings
    high_water: int
    waiting: ByteBudget
    http2: Counters

    def next_index(self) -> int:
        """A connection index not used before."""

    def take(self, link: DialledLink, opened: Opened) -> None:
        """A stream is there: give its link to the actors."""


class Dialling:
    """Of one data plane. `observer` is told how the connections stand; who hears that has it noted here."""

    def __init__(self, plane: DiallingPlane, observer: Address, tasks: Tasks) -> None:
        self._plane, self._observer, self._tasks = plane, observer, tasks
        self._loop = plane.surroundings.running_loop()
        self._dialled: dict[str, Dialled] = {}
        """By endpoint: those that an application may use, or is about to."""
        self._by_index: dict[int, Dialled] = {}
        """The same, and those that are being closed."""

    def __contains__(self, connection: int) -> bool:
        """Whether `connection` is one that we opened."""
        return connection in self._by_index

    def indices(self) -> dict[str, int]:
        """Endpoints and the indices of the connections dialled to them, oldest first."""
        return {endpoint: made.index for endpoint, made in self._dialled.items() if made.link is not None}

    async def dial(
        self, config: ClientConfig, *, dial: Callable[[], Awaitable[Stream]] | None, as_node: bool
    ) -> Dialled:
        """Open a connection; `dial` opens its streams, by default the transport that `config` names.

        Raises ConfigError, AuthError, AlreadyConnected, and ConnectionLost saying why nobody answered.
        """
        endpoint = config.endpoint
        if endpoint in self._dialled:
            raise AlreadyConnected(endpoint)
        made = Dialled(endpoint, self._plane.next_index(), as_node=as_node)
        self._dialled[endpoint] = self._by_index[made.index] = made
        try:
            await self._open_link(made, config, dial, as_node=as_node)
            await made.attached.wait()
            try:
                async with asyncio.timeout(NEGOTIATION_WAIT):
                    await made.introduced.wait()
            except TimeoutError:
                logger.debug("peer tells no version", conn=made.index)
            if made.over.is_set() and not (as_node and made.outcome):
                # Of a node that would not have this link, or has another one, the outcome tells.
                raise ConnectionLost(endpoint, made.cause)
        except BaseException:
            await self._give_up(made)
            raise
        return made

    async def _open_link(
        self,
        made: Dialled,
        config: ClientConfig,
        dial: Callable[[], Awaitable[Stream]] | None,
        *,
        as_node: bool,
    ) -> None:
        """Open the first stream and give it to the actors."""
        plane, where = self._plane, None
        if dial is None:
            parts = (plane.surroundings, plane.high_water, plane.waiting, plane.http2)
            addresses = Addresses(await diallers(config, made, *parts))
            dial, where = addresses.dial, addresses.where
        link = DialledLink(
            made.index,
            dial,
            config.backoff,
            endpoint=made.endpoint,
            where=where,
            moves=not as_node,
            high=plane.high_water,
            max_message_size=config.max_message_size,
            surroundings=plane.surroundings,
        )
        made.dialling = self._loop.create_task(link.connect())
        try:
            await made.dialling
        except asyncio.CancelledError:
            # The stream may have come up in the same turn.
            link.abort("connecting was given up")
            if made.over.is_set():
                raise ConnectionLost(made.endpoint, made.cause) from None
            raise
        finally:
            made.dialling = None
        made.link = link
        plane.take(link, Opened(made.index, config.link_id, self._observer, as_node))

    async def _give_up(self, made: Dialled) -> None:
        """`dial` has failed: leave nothing behind. A stream that is up is closed in the background."""
        self._free(made)
        if made.link is not None:
            made.link.close("connecting was given up")
        else:
            await self._release(made)

    async def disconnect(self, endpoint: str) -> None:
        """Close the connection that was dialled to `endpoint`, and return when it is. Raises NotConnected."""
        made = self._dialled.get(endpoint)
        if made is None or made.link is None:
            raise NotConnected(f"not connected to {endpoint}")
        del self._dialled[endpoint]
        made.link.close("disconnected")
        await made.over.wait()

    def note(self, state: ConnectionState) -> Dialled | None:
        """A connection tells where it stands. Returns it if it is one of these."""
        made = self._by_index.get(state.connection)
        if made is not None:
            made.take(state)
            if state.state == "closed":
                self._free(made)
                self._tasks(self._release(made), lambda *_: None)
        return made

    def end_attempts(self) -> None:
        """Wake up who still waits for a first stream."""
        for made in self._by_index.values():
            if made.dialling is not None:
                made.end(_CLOSED)
                made.dialling.cancel()

    async def close(self) -> None:
        """Wake up whoever waits, and let go of what the connections kept open."""
        for made in list(self._by_index.values()):
            made.end(_CLOSED)
            await self._release(made)

    def _free(self, made: Dialled) -> None:
        """Its endpoint may be dialled anew."""
        if self._dialled.get(made.endpoint) is made:
            del self._dialled[made.endpoint]

    async def _release(self, made: Dialled) -> None:
        await made.held.aclose()
        self._by_index.pop(made.index, None)
