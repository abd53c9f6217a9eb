"""A disk in memory that loses, in a power cut, what was not synced: all of it, or any part."""

from __future__ import annotations

from random import Random


class LossyDisk:
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

    def after_power_cut(self, random: Random) -> LossyDisk:
        """The disk of the next boot. Of what was not synced any writes are there, in part or not at all."""
        content = bytearray(self._synced)
        for offset, data in self._written:
            kept = random.choice((data, b"", data[: random.randrange(len(data) + 1)]))
            if len(data) < 512 and kept != data:
                kept = b""  # within one sector
            if kept:
                if offset > len(content):
                    content += bytes(offset - len(content))
                content[offset : offset + len(kept)] = kept
        return LossyDisk(bytes(content))
