"""The peers that this node dials: each is tried on and on, and its losses and returns are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from actors.errors import AlreadyConnected
from gateway.config import ClientConfig
from identity.errors import SlimError
from identity.log import logger

SETTLE_WAIT = 0.5
"""Seconds after which a node that did not say that it is one of ours is taken for an original."""
REFUSED_WAIT = 5.0
"""Seconds before a node that did not let us in is asked again."""


class LinkLife(Protocol):
    """A link to another node, from when it is up until it is closed for good."""

    index: int
    settled: asyncio.Event
    over: asyncio.Event
    outcome: str
    node_id: str
    cause: str


class NodeDialler(Protocol):
    """The data plane, as it is needed here."""

    async def dial(self, config: ClientConfig, *, as_node: bool) -> LinkLife:
        """Dial as a node. Raises SlimError."""

    async def parted(self, node_id: str) -> None:
        """Return when there is no link to that node."""


class _Peer:
    """A node that we want as a peer."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.made: LinkLife | None = None
        self.node_id = ""
        """Who was there last."""
        self.cause = ""
        """Why it is no peer now."""
        self.complaint = ""
        """What people were told last of why it is none."""
        self.attempts = 0
        """In a row that failed."""
        self.tried = asyncio.Event()
        """It joined, or the first attempt failed."""
        self.task: asyncio.Task[None] | None = None

    def figures(self) -> dict[str, Any]:
        made = self.made
        return {
            "node": made.node_id if made is not None else self.node_id,
            "connection": made.index if made is not None else None,
            "state": (made.outcome or "original") if made is not None else "dialling",
            "cause": self.cause,
            "attempts": self.attempts,
        }


class Peering:
    """Keeps a data plane linked to other nodes. `fraction` draws from 0 to 1: it spreads attempts."""

    def __init__(
        self, plane: NodeDialler, loop: asyncio.AbstractEventLoop, fraction: Callable[[], float]
    ) -> None:
        self._plane, self._loop, self._fraction = plane, loop, fraction
        self._peers: dict[str, _Peer] = {}
        """By endpoint."""

    async def add(self, configs: Sequence[ClientConfig]) -> None:
        """Dial these and keep them. Returns when each has joined, or was tried. Raises AlreadyConnected."""
        for config in configs:
            if config.endpoint in self._peers:
                raise AlreadyConnected(config.endpoint)
        added = [_Peer(config) for config in configs]
        for peer in added:
            self._peers[peer.config.endpoint] = peer
            peer.task = self._loop.create_task(self._keep(peer))
        for peer in added:
            await peer.tried.wait()

    def figures(self) -> dict[str, Any]:
        """Where each stands, by endpoint."""
        return {endpoint: peer.figures() for endpoint, peer in self._peers.items()}

    def close(self) -> None:
        """Try no more."""
        for peer in self._peers.values():
            peer.tried.set()
            if peer.task is not None:
                peer.task.cancel()

    async def _keep(self, peer: _Peer) -> None:
        """Dial, watch, and dial again, until the peer turns out to be ourselves."""
        while True:
            try:
                peer.made = await self._plane.dial(peer.config, as_node=True)
                peer.attempts, peer.cause = 0, ""
                outcome = await self._watch(peer, peer.made)
            except SlimError as exc:
                outcome, peer.cause = "unreachable", str(exc)
                if not peer.attempts:
                    logger.warning(
                        "a peer cannot be reached, trying on", endpoint=peer.config.endpoint, cause=peer.cause
                    )
            finally:
                peer.made = None
                peer.tried.set()
            if outcome == "itself":
                logger.info("that is this node itself, and no peer", endpoint=peer.config.endpoint)
                return
            await self._pause(peer, outcome)
            peer.attempts += 1

    async def _watch(self, peer: _Peer, made: LinkLife) -> str:
        """What became of a link, once it is over."""
        endpoint = peer.config.endpoint
        try:
            async with asyncio.timeout(SETTLE_WAIT):
                await made.settled.wait()
        except TimeoutError:
            logger.warning(
                "no node of ours: nothing goes there but what routes say", endpoint=endpoint, conn=made.index
            )
        if made.outcome == "joined":
            peer.complaint = ""
        peer.tried.set()
        await made.over.wait()
        peer.cause, peer.node_id = made.cause, made.node_id or peer.node_id
        if made.outcome in ("refused", "namesake") and made.cause != peer.complaint:
            peer.complaint = made.cause
            logger.warning("not taken as a peer", endpoint=endpoint, cause=made.cause)
        if made.outcome in ("superseded", "namesake"):
            await self._plane.parted(made.node_id)
        return made.outcome

    async def _pause(self, peer: _Peer, outcome: str) -> None:
        delay = peer.config.backoff.delay(peer.attempts, self._fraction())
        if outcome in ("refused", "namesake"):
            delay = max(delay, REFUSED_WAIT)
        await asyncio.sleep(delay)
