"""Data planes that live as long as a running loop (`api.md` 3).

One of them is shared: there applications meet that did not ask for their own. When `asyncio.run` ends its
loop, what was published is still written out, servers are stopped, and sessions that were being closed get
a moment to say goodbye.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from gateway.dataplane import DataPlane

LAST_GRACE = 2.0
"""Seconds that the end of the loop may take."""


class _Keeper:
    """The data planes of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._shared: DataPlane | None = None
        self._planes: list[DataPlane] = []
        self._task = loop.create_task(self._keep(), name="callboard data planes")

    def make(self) -> DataPlane:
        self._planes = [plane for plane in self._planes if not plane.closed]
        plane = DataPlane()
        self._planes.append(plane)
        return plane

    def shared(self) -> DataPlane:
        if self._shared is None or self._shared.closed:
            self._shared = self.make()
        return self._shared

    async def _keep(self) -> None:
        """Live as long as the loop; cancelled at its end, close what is open."""
        try:
            await self._loop.create_future()
        finally:
            await asyncio.gather(*(plane.close(LAST_GRACE) for plane in self._planes))


_keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Keeper] = WeakKeyDictionary()


def shared_data_plane() -> DataPlane:
    """The data plane that all applications of the running loop share, made when first asked for."""
    return _keeper().shared()


def own_data_plane() -> DataPlane:
    """A data plane for one application, closed with the running loop if nobody does so before."""
    return _keeper().make()


def _keeper() -> _Keeper:
    loop = asyncio.get_running_loop()
    keeper = _keepers.get(loop)
    if keeper is None:
        keeper = _keepers[loop] = _Keeper(loop)
    return keeper
