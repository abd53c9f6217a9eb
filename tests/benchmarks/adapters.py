"""What a workload needs to know about a broker, and which brokers there are."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Protocol

READY = "listening on "
"""What a node prints when it listens, followed by its address."""
PATIENCE = 90.0
"""Seconds after which a step of a worker is given up."""


class Session(Protocol):
    """One end of an established session."""

    async def publish(self, payload: bytes) -> Awaitable[object]:
        """Send; awaiting the answer waits for the acknowledgement."""
        ...

    async def receive(self, timeout: float) -> bytes:
        """The next payload; TimeoutError after `timeout` seconds without one."""
        ...

    async def invite(self, name: str) -> None:
        """Add a member, and wait until all members know."""
        ...


class Application(Protocol):
    """One application with a connection of its own."""

    async def open(self, destination: str, *, group: bool, reliable: bool, mls: bool) -> Session:
        """A new session, established."""
        ...

    async def accept(self) -> Session:
        """The next inbound session."""
        ...

    async def close(self) -> None:
        """End the application."""
        ...


class Adapter(Protocol):
    """What the workload needs to know about a broker."""

    label: str

    def node_command(self) -> Sequence[str]:
        """Starts a node without TLS on a free loopback port; it prints `listening on HOST:PORT`."""
        ...

    async def application(self, name: str, endpoint: str) -> Application:
        """An application called `name` (three components), connected to the node at `endpoint`."""
        ...


ADAPTERS = {
    "originals": "tests.benchmarks.originals:Originals",
    "callboard": "tests.benchmarks.callboard:Callboard",
}


def adapter(key: str) -> Adapter:
    """The adapter of this name; "callboard@TREE" is the one of another checkout.

    Raises ImportError when what it needs is not installed.
    """
    kind, tree = split(key)
    module, name = ADAPTERS[kind].split(":")
    made: Adapter = getattr(importlib.import_module(module), name)(*([tree] if tree else []))
    return made


def split(key: str) -> tuple[str, Path | None]:
    """Which adapter a key names, and upon the floors of which checkout, if not of the one that runs."""
    kind, _, tree = key.partition("@")
    return kind, Path(tree) if tree else None
