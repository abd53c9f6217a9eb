"""Data planes that live as long as a running loop (`api.md` 3).

One of them is shared: there applications meet that did not ask for their own. When `asyncio.run` ends its
loop, applications that are still open are closed: what they published is delivered and their peers are told,
as far as that takes no longer than LAST_GRACE.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

from loguru import logger

from gateway.node.data_plane import DataPlane
from gateway.surroundings import Surroundings, current

LAST_GRACE = 2.0
"""Seconds that the end of the loop may take: one half for the sessions, one for the connections."""


class Member(Protocol):
    """An application."""

    async def close(self, grace: float) -> None:
        """End within about `grace` seconds."""


class Keeper:
    """The data planes of one loop (and surroundings), and the applications that are to be closed with it."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._loop = loop = asyncio.get_running_loop()
        self._shared: DataPlane | None = None
        self._planes: list[DataPlane] = []
        self._members: dict[Member, None] = {}
        self._task = loop.create_task(self._keep(), name="callboard data planes")

    def own(self) -> DataPlane:
        """A data plane for one application."""
        self._planes = [plane for plane in self._planes if not plane.closed]
        plane = DataPlane(surroundings=self._surroundings)
        self._planes.append(plane)
        return plane

    def shared(self) -> DataPlane:
        """The data plane that all applications of the loop share, made when first asked for."""
        if self._shared is None or self._shared.closed:
            self._shared = self.own()
        return self._shared

    @property
    def planes(self) -> list[DataPlane]:
        """Its data planes that are open."""
        return [plane for plane in self._planes if not plane.closed]

    @property
    def members(self) -> list[Member]:
        """The applications that are open, oldest first."""
        return list(self._members)

    async def end(self) -> None:
        """Close what is open, as the end of the loop would."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def add(self, member: Member) -> None:
        """Close this application with the loop, unless it is closed before."""
        self._members[member] = None

    def discard(self, member: Member) -> None:
        """It is closed."""
        self._members.pop(member, None)

    async def _keep(self) -> None:
        """Live as long as the loop; cancelled at its end, close what is open."""
        try:
            await self._loop.create_future()
        except asyncio.CancelledError:
            # The table holds a loop only weakly, but its keeper holds it too.
            _keepers.get(self._loop, {}).pop(self._surroundings, None)
            half = LAST_GRACE / 2
            members = [member.close(half) for member in self._members]
            outcomes = await asyncio.gather(*members, return_exceptions=True)
            planes = [plane.close(half) for plane in self._planes]
            outcomes += await asyncio.gather(*planes, return_exceptions=True)
            for error in filter(None, outcomes):
                logger.warning("cut off at the end of the loop", cause=type(error).__name__)
            raise


_keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Surroundings, Keeper]] = WeakKeyDictionary()


def keeper() -> Keeper:
    """That of the running loop: of the running task's surroundings there."""
    around = current()
    kept = _keepers.setdefault(asyncio.get_running_loop(), {})
    if around not in kept:
        kept[around] = Keeper(around)
    return kept[around]


def kept(loop: asyncio.AbstractEventLoop, surroundings: Surroundings) -> Keeper | None:
    """The keeper of these surroundings in this loop, if there is one yet."""
    return _keepers.get(loop, {}).get(surroundings)


def forget(loop: asyncio.AbstractEventLoop) -> None:
    """A loop is over without having ended its tasks."""
    _keepers.pop(loop, None)
