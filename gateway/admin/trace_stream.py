"""The messages of one name as server-sent events, for as long as somebody looks, with a bound on that."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web

from actors.names import Name
from gateway.admin.message_trace import LONGEST, SECONDS, WATCHERS, MessageTraces, TraceRow
from gateway.admin.paging import BadQuery

ROWS = 256
"""Rows that wait for who looks; how many more there were is said."""
WRITE_WAIT = 10.0
"""Seconds for which somebody may not read."""
PULSE = 10.0
"""Seconds without a row after which a comment shows that the node is there."""


def seconds_of(asked: Mapping[str, str]) -> float:
    """For how long is looked. Raises BadQuery."""
    text = asked.get("seconds") or f"{SECONDS:g}"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST:
        raise BadQuery(f"seconds: expected a number up to {LONGEST:g}, got {text[:40]!r}")
    return seconds


async def stream_trace(
    request: web.Request, traces: MessageTraces, name: Name, seconds: float
) -> web.StreamResponse:
    """Tell rows until the time is over, or nobody reads them."""
    rows: asyncio.Queue[TraceRow | None] = asyncio.Queue()

    def tell(row: TraceRow | None) -> bool:
        if row is not None and rows.qsize() >= ROWS:
            return False
        rows.put_nowait(row)
        return True

    trace = traces.begin(name, tell)
    if trace is None:
        raise web.HTTPServiceUnavailable(reason=f"{WATCHERS} people look at messages already")
    try:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        with suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            await _write(response, ": looking\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _follow(response, rows)
            await _write(response, "event: end\ndata: {}\n\n")
        return response
    finally:
        traces.end(trace)


class _Unread(ConnectionError):
    """Who looks reads nothing."""


async def _follow(response: web.StreamResponse, rows: asyncio.Queue[TraceRow | None]) -> None:
    """Write rows until there will be no more."""
    while True:
        try:
            async with asyncio.timeout(PULSE):
                row = await rows.get()
        except TimeoutError:
            await _write(response, ": looking\n\n")
            continue
        lines = [row]
        while not rows.empty():
            lines.append(rows.get_nowait())
        told = [one for one in lines if one is not None]
        await _write(response, "".join(f"event: trace\ndata: {_json(one)}\n\n" for one in told))
        if len(told) < len(lines):
            return


async def _write(response: web.StreamResponse, text: str) -> None:
    """Raises ConnectionError when it is not read in time."""
    try:
        async with asyncio.timeout(WRITE_WAIT):
            await response.write(text.encode())
    except TimeoutError:
        raise _Unread from None


def _json(row: TraceRow) -> str:
    return json.dumps(row._asdict())
