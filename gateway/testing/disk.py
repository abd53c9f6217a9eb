"""A file of a simulated host, which loses in a power cut what was not synced: all of it, or any part."""

from __future__ import annotations

from random import Random

_SECTOR = 512
"""Bytes that are written as a whole or not at all."""


class SimDisk:
    """One file. Implements `actors.moderation.journal.Disk`."""

    def __init__(self, synced: bytes = b"") -> None:
        self.content = bytearray(synced)
        self._synced = bytes(synced)
        self._written: list[tuple[int, bytes]] = []
        self.syncs = 0

    def read(self) -> bytes:
        return bytes(self.content)

    def append(self, data: bytes) -> None:
        self._write(len(self.content), data)

    def overwrite(self, offset: int, data: bytes) -> None:
        self._write(offset, data)

    def sync(self) -> None:
        self.syncs += 1
        self._synced, self._written = bytes(self.content), []

    def replace(self, data: bytes) -> None:
        self.content = bytearray(data)
        self.sync()

    def _write(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data
        self._written.append((offset, data))

    def after_power_cut(self, random: Random) -> SimDisk:
        """The disk of the next boot. Of what was not synced any writes are there, in part or not at all."""
        content = bytearray(self._synced)
        for offset, data in self._written:
            kept = random.choice((data, b"", data[: random.randrange(len(data) + 1)]))
            if len(data) < _SECTOR and kept != data:
                kept = b""
            if kept:
                if offset > len(content):
                    content += bytes(offset - len(content))
                content[offset : offset + len(kept)] = kept
        return SimDisk(bytes(content))
