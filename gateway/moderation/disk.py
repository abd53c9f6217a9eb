"""A journal's file, and whose it is at the moment.

The file is readable by its owner alone. Beside it lies `<file>.lock`, which the process has that keeps the
journal: the file itself is replaced now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from pathlib import Path

from identity.errors import ConfigError
from identity.files import reason_of
from identity.sealed_log import BOOT_BYTES

HAND_OVER = 15.0
"""Seconds to wait for a journal that another process keeps, which may be about to hand it over."""
_LOOK_AGAIN = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FileDisk:
    """A Disk on one file. Made by `take`; `close` gives it up."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self._file = -1

    @classmethod
    async def take(cls, path: Path, *, patience: float = HAND_OVER) -> FileDisk:
        """Have a journal's file to oneself. Raises ConfigError: another process keeps it, others may read it,
        or it cannot be had."""
        try:
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the journal {path} cannot be had: {reason_of(error)}", field="journal"
            ) from error
        try:
            await _locked(lock, path, patience)
            _check(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    def read(self) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return self._path.read_bytes()
        return b""

    def append(self, data: bytes) -> None:
        os.lseek(self._file, 0, os.SEEK_END)
        _write_all(self._file, data)

    def overwrite(self, offset: int, data: bytes) -> None:
        os.pwrite(self._file, data, offset)

    def sync(self) -> None:
        os.fdatasync(self._file)

    def replace(self, data: bytes) -> None:
        beside = Path(f"{self._path}.new")
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, data)
            os.fsync(file)
            os.replace(beside, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file = file

    def close(self) -> None:
        """Let another process have it. Idempotent."""
        for each in (self._file, self._lock):
            if each >= 0:
                os.close(each)
        self._file = self._lock = -1


def boot_id() -> bytes:
    """What tells one run of this machine from the next; where nothing does, each call counts as another."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(BOOT_BYTES)


async def _locked(lock: int, path: Path, patience: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The kernel tells nobody when a lock is free, but for a thread that waits for it.
            if loop.time() >= deadline:
                raise ConfigError(
                    f"the journal {path} is kept by another process; end that one first", field="journal"
                ) from None
            await asyncio.sleep(_LOOK_AGAIN)
        else:
            return


def _check(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"the journal {path} is not a regular file", field="journal")
    if status.st_mode & 0o077:
        raise ConfigError(
            f"the journal {path} can be read by others, and holds the keys of the group: chmod 600 it",
            field="journal",
        )


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
