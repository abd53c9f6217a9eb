"""Files that others rewrite while we run: tokens, keys, key sets (`identity.md` 3.4).

Rotation comes as a write in place, as a rename over the file, or as a swapped symlink (Kubernetes). All
three change what `stat` says about the path, so that is what is compared, at most once a second and only
when the content is wanted. There is nothing to start or to stop, and an idle application does nothing.
The `stat` of a local file takes about two microseconds, which is why it may happen where nothing may wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file, reason_of
from identity.log import logger
from identity.record import record

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the file."""

T = TypeVar("T")


@record
class _Version(NamedTuple):
    """What changes when a file is written, replaced or relinked."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class WatchedFile(Generic[T]):
    """The parsed content of a file, as new as its last good version.

    A file that is missing, too large or not parseable (a writer may be at work) leaves the last good content
    in place, with one warning per reason. `generation` grows with each new content. Raises ConfigError
    naming `field` when the first content is not usable.
    """

    def __init__(self, path: str, parse: Callable[[bytes], T], *, max_bytes: int, field: str) -> None:
        self.path = path
        self.generation = 0
        self.last: T
        """The last good content, without a look at the file."""
        self._parse = parse
        self._max_bytes = max_bytes
        self._checked = float("-inf")
        self._complained: str | None = None
        try:
            self._version, self.last = self._load()
        except Malformed as error:
            raise ConfigError(f"{path}: {error}", field=field) from None

    def get(self, now: float) -> T:
        """The content at `now` (Unix seconds). Raises nothing."""
        # A clock that went back counts as time gone by: it must not stop the watch.
        if not 0 <= now - self._checked < CHECK_INTERVAL:
            self._checked = now
            self._look()
        return self.last

    def _look(self) -> None:
        try:
            status = os.stat(self.path)
            if _version(status) == self._version:
                return
            self._version, self.last = self._load()
        except (Malformed, OSError) as error:
            reason = str(error) if isinstance(error, Malformed) else reason_of(error)
            if reason != self._complained:
                self._complained = reason
                logger.warning("the content read before stays in use", path=str(self.path), cause=reason)
            return
        self._complained = None
        self.generation += 1
        logger.info("new content is in use", path=str(self.path))

    def _load(self) -> tuple[_Version, T]:
        """Read and parse the file; the version is of the very file that was read. Raises Malformed."""
        content = read_file(self.path, max_bytes=self._max_bytes)
        if not content.data:
            raise Malformed("the file is empty")
        return _version(content.status), self._parse(content.data)


def _version(status: os.stat_result) -> _Version:
    return _Version(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
