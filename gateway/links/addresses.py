"""Several addresses of one service: one is used at a time, and the next is taken when it is gone."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from actors.errors import CannotConnect, ConnectionLost, LinkError
from gateway.links.stream import Stream

Resolve = Callable[[str, int], Awaitable[list[Any]]]
"""The addresses of a host, as `socket.getaddrinfo` tells them. Raises OSError."""

T = TypeVar("T")


class Rotation:
    """Whose turn it is: from the second time on the one behind whoever was taken last is the first."""

    def __init__(self) -> None:
        self._taken: Any = None

    def order(self, all_of_them: Sequence[T]) -> list[T]:
        """All of them, in the order in which to try them."""
        them = list(all_of_them)
        if self._taken in them:
            first = them.index(self._taken) + 1
            return them[first:] + them[:first]
        return them

    def take(self, one: object) -> None:
        """This one works."""
        self._taken = one


class Addresses:
    """Dials one of several endpoints: `places` are they and how each is dialled."""

    def __init__(self, places: Sequence[tuple[str, Callable[[], Awaitable[Stream]]]]) -> None:
        self._dials = dict(places)
        self._turns = Rotation()
        self.current = places[0][0]
        """The endpoint that was dialled last, with success."""

    def where(self) -> str:
        """`current`, to be asked."""
        return self.current

    async def dial(self) -> Stream:
        """A new stream, to the first that answers. Raises the last one's error, with all causes in it."""
        causes: list[str] = []
        for endpoint in self._turns.order(list(self._dials)):
            try:
                stream = await self._dials[endpoint]()
            except LinkError as error:
                cause = error.cause if isinstance(error, ConnectionLost) else str(error)
                causes.append(f"{endpoint}: {cause}")
                last = error
            else:
                self._turns.take(endpoint)
                self.current = endpoint
                return stream
        if len(causes) == 1:
            raise last
        raise CannotConnect(", ".join(self._dials), "; ".join(causes)) from last


async def resolve(host: str, port: int) -> list[Any]:
    """The addresses of a host, by the machine's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address: nobody needs to be asked for it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def connected(info: Any) -> socket.socket:
    """A socket that is connected to one address of a host. Not blocking. Raises OSError."""
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
