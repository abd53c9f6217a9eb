"""What happens at a node, second by second, for those who watch: server-sent events.

    registry ── once a second, in steps ──► Rates (core) ──► a bounded queue for each watcher ──► its stream

Nothing is computed while nobody watches. A watcher that does not take what waits for it is let go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from actors.telemetry import PREFIX, Sample
from gateway.admin.door import AdminCounts
from gateway.admin.rows import NodeRow, RatesRow
from gateway.admin.view import NodeView

PERIOD = 1.0
"""Seconds between two events."""
WAITING = 8
"""Broadcast that wait for one watcher at most."""
WATCHERS = 32

_COUNTED = {
    "frames_in": f"{PREFIX}_connection_frames_received_total",
    "frames_out": f"{PREFIX}_connection_frames_sent_total",
    "bytes_in": f"{PREFIX}_link_bytes_in_total",
    "bytes_out": f"{PREFIX}_link_bytes_out_total",
    "unrouted": f"{PREFIX}_connection_unrouted_total",
    "dropped": f"{PREFIX}_connection_dropped_total",
}


class Rates:
    """How fast counters grow. Time is an argument."""

    def __init__(self) -> None:
        self._last: tuple[float, dict[str, float]] | None = None

    def take(self, samples: Iterable[Sample], now: float, node: NodeRow) -> RatesRow:
        """The rates since the last call; the first has none."""
        found = {sample.name: float(sample.value) for sample in samples if not sample.labels}
        counts = {what: found.get(name, 0.0) for what, name in _COUNTED.items()}
        fixed = (node.since + node.uptime, node.state, node.connections, node.names, node.loop_lag)
        before, self._last = self._last, (now, counts)
        if before is None or now <= before[0]:
            return RatesRow(*fixed, *(0.0 for _ in counts))
        passed = now - before[0]
        rates = {what: round(max(0.0, count - before[1][what]) / passed, 3) for what, count in counts.items()}
        return RatesRow(*fixed, *rates.values())


class Watcher:
    """One who watches: `next` event, until it is `too_slow`."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self.too_slow = asyncio.Event()

    def put(self, event: bytes) -> bool:
        """One more for it. False: it has not taken what waits, and gets nothing more."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.too_slow.set()
            return False
        return True

    async def next(self) -> bytes:
        """The next event."""
        return await self._waiting.get()


class Broadcast:
    """Everybody who watches one node."""

    def __init__(self, view: NodeView, counts: AdminCounts, period: float = PERIOD) -> None:
        self._view, self._counts, self._period = view, counts, period
        self._watchers: dict[Watcher, None] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self) -> Watcher | None:
        """One more watcher; None when there are too many."""
        if len(self._watchers) >= WATCHERS:
            return None
        watcher = Watcher()
        self._watchers[watcher] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell())
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """It watches no longer. Idempotent."""
        self._watchers.pop(watcher, None)
        if not self._watchers:
            self.stop()

    def stop(self) -> None:
        """Tell nobody anything more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _tell(self) -> None:
        rates, view = Rates(), self._view
        while True:
            row = rates.take(await view.samples(), view.clock(), view.node())
            event = sse("rates", row._asdict())
            for watcher in list(self._watchers):
                if not watcher.put(event):
                    self._counts.watchers_dropped += 1
                    del self._watchers[watcher]
            await asyncio.sleep(self._period)


def sse(kind: str, value: Any) -> bytes:
    """An event as it is written."""
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()
