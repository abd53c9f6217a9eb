"""Connections that applications of one data plane share.

In one data plane an endpoint is connected once: the first application that connects to it dials, the others
receive for their names there too, and the last one that disconnects closes it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary, WeakSet

from actors.errors import AlreadyConnected
from gateway.config import ClientConfig
from gateway.node.data_plane import DataPlane
from identity.errors import ConfigError


class Sharing:
    """Who uses which connection of one data plane."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        """While somebody dials, the others wait for the outcome."""
        self._users: dict[str, WeakSet[object]] = {}
        self._configs: dict[str, ClientConfig] = {}
        """How each was made."""

    async def connect(
        self, user: object, plane: DataPlane, config: ClientConfig, dial: Callable[[], Awaitable[object]]
    ) -> None:
        """Have `user` use the connection to an endpoint: dial if there is none.

        Raises AlreadyConnected when `user` uses it already, ConfigError when others connected to it in
        another way (its TLS, what is shown there), and what `dial` raises.
        """
        endpoint = config.endpoint
        async with self._lock:
            users = self._users.setdefault(endpoint, WeakSet())
            if endpoint not in plane.dialled():
                users.clear()
                await dial()
                self._configs[endpoint] = config
            elif user in users:
                raise AlreadyConnected(endpoint)
            elif dataclasses.replace(config, link_id="") != self._way(endpoint, config):
                raise ConfigError(
                    f"endpoint: another application of this process is connected to {endpoint} with other "
                    "settings: give the same ones, or this application a data plane of its own "
                    "(local_service=True)",
                    field="endpoint",
                )
            users.add(user)

    def join(self, user: object, endpoint: str) -> None:
        """`user` uses a connection that is there, whatever its settings."""
        self._users.setdefault(endpoint, WeakSet()).add(user)

    def _way(self, endpoint: str, config: ClientConfig) -> ClientConfig:
        """How the connection to `endpoint` was made; as `config` says, where somebody else made it."""
        return dataclasses.replace(self._configs.get(endpoint, config), link_id="")

    def leave(self, user: object, endpoint: str) -> bool:
        """`user` needs the connection no longer. Returns whether somebody else still does."""
        users = self._users.get(endpoint, WeakSet())
        users.discard(user)
        return bool(users)


_sharing: WeakKeyDictionary[DataPlane, Sharing] = WeakKeyDictionary()


def sharing(plane: DataPlane) -> Sharing:
    """That of `plane`."""
    return _sharing.setdefault(plane, Sharing())
