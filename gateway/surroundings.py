"""What a program takes from the machine it runs on: time, chance, threads, networks. One record, handed in.

    surroundings ──► DataPlane ──► actors, links, HTTP/2, MLS

By default it is the machine's own (`SYSTEM`). A test hands in others (`gateway.testing`): a host of a network
on virtual time is a record of this kind. `current()` is the one that holds where no other is named: for an
application that is made inside a host.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gateway.node.identity_use import IdentityUse
from identity import randomness
from identity.randomness import RandomBytes


class Draw:
    """Random numbers below a bound, from random bytes that are fetched many at a time."""

    _FETCH = 2048

    def __init__(self, random: RandomBytes) -> None:
        self._random = random
        self._bytes = b""
        self._at = 0

    def __call__(self, below: int) -> int:
        """A number from 0 to `below` - 1, for a `below` of at most 2**64.

        Bounds of up to 2**32, or powers of two, have no bias worth speaking of.
        """
        if self._at == len(self._bytes):
            self._bytes, self._at = self._random(self._FETCH), 0
        self._at += 8
        return int.from_bytes(self._bytes[self._at - 8 : self._at], "little") % below


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Compared by identity: two are the same place only if they are one object."""

    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow."""
    wall: Callable[[], float] = time.time
    """Unix seconds."""
    random: RandomBytes = os.urandom
    """Bytes for keys, tokens and ids."""
    draw: Callable[[int], int] = field(default_factory=lambda: Draw(os.urandom))
    """A number from 0 up to below the one given: spreads load, guards nothing."""
    threads: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] = asyncio.to_thread
    """Runs long cryptography elsewhere."""
    schemes: Mapping[str, object] = field(default_factory=dict)
    """What carries streams, by the scheme of an endpoint, where it is not the machine's own network: each a
    `gateway.links.schemes.Scheme`."""
    resolve: Callable[[str, int], Awaitable[list[Any]]] | None = None
    """The addresses of a host, as `socket.getaddrinfo` tells them; None: by the machine's resolver."""
    loop: asyncio.AbstractEventLoop | None = None
    """Where the actors run; None: in the running loop."""
    identities: IdentityUse = field(default_factory=IdentityUse)
    """Who uses a provider or verifier here."""

    def fraction(self) -> float:
        """A number from 0 up to below 1, of `draw`."""
        return self.draw(1 << 53) / (1 << 53)

    def uuid4(self) -> str:
        """A new UUID, of `random`."""
        return str(uuid.UUID(bytes=self.random(16), version=4))

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """`loop`, or the running one. Raises RuntimeError when there is neither."""
        return self.loop if self.loop is not None else asyncio.get_running_loop()


SYSTEM = Surroundings()
_current: ContextVar[Surroundings] = ContextVar("surroundings", default=SYSTEM)


def current() -> Surroundings:
    """Those of the running task."""
    return _current.get()


def enter(surroundings: Surroundings) -> None:
    """Let them be `current` in this context, and in all tasks begun from it."""
    _current.set(surroundings)
    randomness.enter(surroundings.random)
