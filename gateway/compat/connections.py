"""Connections that applications of one data plane share.

Up to 0.5 every application of a process had connections of its own, so programs let each of them connect to
the same node. In one data plane an endpoint is connected once: the first application dials, the others
receive for their names there too, and the last one that disconnects closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary, WeakSet

from actors.errors import AlreadyConnected
from gateway.node.data_plane import DataPlane


class Sharing:
    """Who uses which connection of one data plane."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        """While somebody dials, the others wait for the outcome."""
        self._users: dict[str, WeakSet[object]] = {}

    async def connect(
        self, user: object, plane: DataPlane, endpoint: str, dial: Callable[[], Awaitable[int]]
    ) -> bool:
        """Have `user` use the connection to `endpoint`: dial if there is none. Returns whether it did.

        Raises AlreadyConnected when `user` uses it already, and what `dial` raises.
        """
        async with self._lock:
            users = self._users.setdefault(endpoint, WeakSet())
            there = endpoint in plane.dialled()
            if not there:
                users.clear()
                await dial()
            elif user in users:
                raise AlreadyConnected(endpoint)
            users.add(user)
            return not there

    def leave(self, user: object, endpoint: str) -> bool:
        """`user` needs the connection no longer. Returns whether somebody else still does."""
        users = self._users.get(endpoint, WeakSet())
        users.discard(user)
        return bool(users)


_sharing: WeakKeyDictionary[DataPlane, Sharing] = WeakKeyDictionary()


def sharing(plane: DataPlane) -> Sharing:
    """That of `plane`."""
    return _sharing.setdefault(plane, Sharing())
