"""A controller on a host of a World: its actor and its service towards nodes, on a disk that outlives it.

    ask, change ──► Desk ──► ControllerActor ──► DiskStore ──► a file of the host
                                  ▲
    nodes ── streams over lines ──┘ Southbound

What is left out is what a World cannot have: SQLite, gRPC's listeners, and the service towards programs,
whose methods ask the desk as tests do.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from actors.controller.actor import ControllerActor
from actors.controller.controller import Controller
from actors.controller.turn import Save
from actors.messages import VOCABULARY
from actors.system import LoopSystem
from gateway.config import ServerConfig
from gateway.controller.access import AccessPolicy, AccessRole
from gateway.controller.audit import Audit
from gateway.controller.calls import RpcCaller
from gateway.controller.desk import Desk
from gateway.controller.southbound import Southbound
from gateway.links.stream import Stream
from gateway.testing.disk import SimDisk
from gateway.testing.process import SimProcess

PORT = 50052


class DiskStore:
    """A ControllerStore on a file of a host: a line for each call, with its number and a checksum.

    A killed process loses nothing that was saved; a power cut may take the last calls, as with SQLite's
    write-ahead log (`gateway.controller.store`), unless each is synced.
    """

    def __init__(self, disk: SimDisk, *, synced: bool = False) -> None:
        self._disk = disk
        self._synced = synced
        self._entries: dict[tuple[str, str], Save] = {}
        self._count = 0
        whole = b""
        for line in disk.read().split(b"\n"):
            entries = self._read(line)
            if entries is None:
                # What was torn off ends the file: behind it no line follows from the one before.
                break
            whole += line + b"\n"
            self._count += 1
            self._take(entries)
        disk.replace(whole)

    def _read(self, line: bytes) -> list[Save] | None:
        check, _, text = line.partition(b" ")
        if check != b"%08x" % zlib.crc32(text):
            return None
        number, entries = json.loads(text)
        return [_entry(*each) for each in entries] if number == self._count else None

    def _take(self, entries: Iterable[Save]) -> None:
        for entry in entries:
            place = (entry.kind, json.dumps(entry.key))
            if entry.value is None:
                self._entries.pop(place, None)
            else:
                self._entries[place] = entry

    def load(self) -> Iterable[Save]:
        """All entries, in the order of their kinds and keys."""
        return [self._entries[place] for place in sorted(self._entries)]

    def save(self, entries: Sequence[Save]) -> None:
        """Keep or forget entries, all of them or none."""
        text = json.dumps([self._count, entries]).encode()
        self._disk.append(b"%08x %s\n" % (zlib.crc32(text), text))
        if self._synced:
            self._disk.sync()
        self._count += 1
        self._take(_entry(*each) for each in json.loads(text)[1])


def _entry(kind: str, key: list[Any], value: list[Any] | None) -> Save:
    return Save(kind, tuple(key), None if value is None else tuple(value))


class SimController:
    """Runs in one process of a host, until that ends."""

    def __init__(self, process: SimProcess, disk: SimDisk, *, strict: bool, **options: Any) -> None:
        """`options` are those of `Controller`."""
        around = process.surroundings
        self._process = process
        self._store = DiskStore(disk)
        core = Controller(around.draw, **options)
        core.load(self._store.load())
        self.system = LoopSystem(loop=around.running_loop(), vocabulary=VOCABULARY if strict else None)
        actor = self.system.spawn(ControllerActor, core, self._store, around.clock, around.draw)
        self.desk = Desk(self.system, actor, Audit(clock=around.wall), around.clock)
        policy = AccessPolicy(default_role=AccessRole.ADMIN, clock=around.wall)
        self.southbound = Southbound(self.desk, policy, {})

    async def start(self) -> None:
        """Listen for nodes."""
        config = ServerConfig.read({"endpoint": f"sim://{self._process.host}:{PORT}"})
        await self._process.listener(config, self._accept).start()

    def _accept(self, stream: Stream) -> None:
        self._process.begin(self._open(stream), "a node")

    async def _open(self, stream: Stream) -> None:
        take = await self.southbound.open(RpcCaller(f"{stream.peer}:0", {}, b"", None))
        take(stream)

    async def close(self) -> None:
        """End."""
        await self.system.shutdown(1.0)
