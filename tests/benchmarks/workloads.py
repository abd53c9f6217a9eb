"""What the applications do: each function opens its sessions and returns the part to be measured."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tests.benchmarks.adapters import PATIENCE, Application, Session

QUIET = 3.0
"""Seconds of silence after which a receiver takes the missing best-effort messages for lost."""

Report = dict[str, Any]
Part = Callable[[], Awaitable[Report]]
Arguments = Mapping[str, Any]


async def publish_all(session: Session, payload: bytes, count: int, window: int) -> None:
    """Publish with at most `window` unacknowledged messages; 1 awaits every acknowledgement."""
    pending: deque[Awaitable[object]] = deque()
    for _ in range(count):
        pending.append(await session.publish(payload))
        if len(pending) >= window:
            await pending.popleft()
    while pending:
        await pending.popleft()


async def send(apps: Sequence[Application], to: Arguments) -> Part:
    """Publish `count` payloads of `size` octets to one application."""
    session = await apps[0].open(to["peer"], group=False, reliable=to["reliable"], mls=to["mls"])
    return sending(session, to)


async def send_to_group(apps: Sequence[Application], to: Arguments) -> Part:
    """Publish `count` payloads of `size` octets to a group."""
    session = await apps[0].open(to["channel"], group=True, reliable=True, mls=to["mls"])
    for name in to["members"]:
        await session.invite(name)
    return sending(session, to)


def sending(session: Session, to: Arguments) -> Part:
    async def part() -> Report:
        start = time.monotonic()
        await publish_all(session, b"x" * to["size"], to["count"], to["window"])
        return {"start": start, "end": time.monotonic()}

    return part


async def receive(apps: Sequence[Application], of: Arguments) -> Part:
    """Receive `count` messages, or as many as come."""
    session = await apps[0].accept()

    async def part() -> Report:
        got, end = 0, time.monotonic()
        try:
            while got < of["count"]:
                await session.receive(QUIET if got else PATIENCE)
                got, end = got + 1, time.monotonic()
        except TimeoutError:
            pass
        return {"received": got, "end": end}

    return part


async def ping(apps: Sequence[Application], to: Arguments) -> Part:
    """`count` questions, each after the answer to the one before; all round trips in seconds."""
    session = await apps[0].open(to["peer"], group=False, reliable=to["reliable"], mls=False)

    async def part() -> Report:
        payload, trips = b"x" * to["size"], []
        for _ in range(to["count"]):
            start = time.perf_counter()
            await session.publish(payload)
            await session.receive(PATIENCE)
            trips.append(time.perf_counter() - start)
        return {"trips": trips}

    return part


async def pong(apps: Sequence[Application], of: Arguments) -> Part:
    """Answer `count` questions."""
    session = await apps[0].accept()

    async def part() -> Report:
        for _ in range(of["count"]):
            await session.publish(await session.receive(PATIENCE))
        return {}

    return part


async def open_sessions(apps: Sequence[Application], to: Arguments) -> Part:
    """Open `count` sessions with one application, `window` at a time."""

    async def part() -> Report:
        left = iter(range(to["count"]))

        async def opener() -> None:
            for _ in left:
                await apps[0].open(to["peer"], group=False, reliable=True, mls=False)

        start = time.monotonic()
        await asyncio.gather(*(opener() for _ in range(to["window"])))
        return {"start": start, "end": time.monotonic()}

    return part


async def accept_sessions(apps: Sequence[Application], of: Arguments) -> Part:
    """Accept `count` sessions."""

    async def part() -> Report:
        for _ in range(of["count"]):
            await apps[0].accept()
        return {}

    return part


async def grow_group(apps: Sequence[Application], to: Arguments) -> Part:
    """Invite `members` but the last `measured`; then those, each on its own; seconds per invitation."""
    session = await apps[0].open(to["channel"], group=True, reliable=True, mls=True)
    first, last = to["members"][: -to["measured"]], to["members"][-to["measured"] :]
    for name in first:
        await session.invite(name)

    async def part() -> Report:
        took = []
        for name in last:
            start = time.monotonic()
            await session.invite(name)
            took.append(time.monotonic() - start)
        return {"took": took}

    return part


async def join_group(apps: Sequence[Application], of: Arguments) -> Part:
    """Each application accepts one session whenever it comes."""
    joining = asyncio.gather(*(app.accept() for app in apps))

    async def part() -> Report:
        await joining
        return {}

    return part


WORK: dict[str, Callable[[Sequence[Application], Arguments], Awaitable[Part]]] = {
    work.__name__: work
    for work in (
        send,
        send_to_group,
        receive,
        ping,
        pong,
        open_sessions,
        accept_sessions,
        grow_group,
        join_group,
    )
}
