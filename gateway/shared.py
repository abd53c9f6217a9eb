"""The process-wide data plane: where applications that did not ask for their own meet (`api.md` 3).

One for each running loop. When `asyncio.run` ends its loop, what was published is still written out and
sessions that were being closed get a moment to say goodbye.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from gateway.dataplane import DataPlane

LAST_GRACE = 2.0
"""Seconds that the end of the loop may take."""

_Kept = tuple[DataPlane, asyncio.Task[None]]
_planes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()


def shared_data_plane() -> DataPlane:
    """The data plane of the running loop, made when first asked for."""
    loop = asyncio.get_running_loop()
    known = _planes.get(loop)
    if known is not None and not known[0].closed:
        return known[0]
    plane = DataPlane()
    _planes[loop] = (plane, loop.create_task(_keep(plane), name="callboard data plane"))
    return plane


async def _keep(plane: DataPlane) -> None:
    """Live as long as the loop; cancelled at its end, close what is open."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await plane.close(LAST_GRACE)
