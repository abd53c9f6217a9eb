"""The memory alarm of a node: senders are held back before the machine swaps, or the container is killed.

used ──────────────────────┐ limit: the alarm rings
                           │ ... and goes on
───────────────────────────┘ 90 % of it: it is over
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from identity.log import logger

PERIOD = 1.0
"""Seconds between two looks."""
CALM = 0.9
"""Of the limit: below it the alarm is over."""
SHARE = 0.85
"""Of a container's memory, where no limit is configured."""
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class MemoryAlarm:
    """Whether too much is used; pure."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.rings = False
        self.used = 0
        """Bytes at the last look."""

    def look(self, used: int) -> bool:
        """Take what is used now. Returns whether that changes anything."""
        self.used = used
        rings = used >= self.limit * CALM if self.rings else used >= self.limit
        changed, self.rings = rings is not self.rings, rings
        return changed


class MemoryWatch:
    """Looks at the process's memory while it is open. `tell` is called with whether the alarm rings."""

    def __init__(
        self, limit: int, tell: Callable[[bool], None], used: Callable[[], int] | None = None
    ) -> None:
        self.alarm = MemoryAlarm(limit)
        self._tell = tell
        self._used = used or resident
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Look now, and from now on."""
        self._look()

    def close(self) -> None:
        """Look no more; who is held back is let go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.alarm.rings:
            self.alarm.rings = False
            self._tell(False)

    def _look(self) -> None:
        self._timer = self._loop.call_later(PERIOD, self._look)
        used = self._used()
        if not self.alarm.look(used):
            return
        if self.alarm.rings:
            logger.warning("memory is nearly full: senders are held back", size=used, limit=self.alarm.limit)
        else:
            logger.warning("memory is enough again: senders go on", size=used, limit=self.alarm.limit)
        self._tell(self.alarm.rings)


def resident() -> int:
    """Bytes of memory that this process has; 0 where that cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def limit_of_container(paths: tuple[str, ...] = _CGROUP) -> int | None:
    """Bytes that the container of this process may have; None where there is no such limit."""
    for path in paths:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def memory_limit(configured: int | None) -> int | None:
    """At how many bytes the alarm rings; None: never."""
    if configured is not None:
        return configured
    container = limit_of_container()
    return None if container is None else int(container * SHARE)
