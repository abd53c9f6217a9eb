"""Readers of a session's events."""

from __future__ import annotations

import asyncio
import gc

from actors.messages.session import IdentityRotated
from actors.telemetry import Registry
from gateway.api.events import EVENTS, Event, EventCounts, EventReader, Events


async def test_each_reader_gets_what_comes_from_its_making_on() -> None:
    events = Events(Registry())
    events.tell(IdentityRotated(1))
    first = events.reader()
    events.tell(IdentityRotated(2))
    second = events.reader()
    events.tell(IdentityRotated(3))
    events.end()
    assert [event async for event in first] == [IdentityRotated(2), IdentityRotated(3)]
    assert [event async for event in second] == [IdentityRotated(3)]
    assert [event async for event in events.reader()] == []


async def test_a_reader_that_waits_is_woken() -> None:
    events = Events(Registry())
    reader = events.reader()
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    events.tell(IdentityRotated(1))
    assert await waiting == IdentityRotated(1)
    rest = asyncio.create_task(read(reader))
    await asyncio.sleep(0)
    await reader.aclose()
    assert await rest == []


async def read(reader: EventReader) -> list[Event]:
    return [event async for event in reader]


async def test_a_slow_reader_misses_what_is_above_the_bound_and_no_other_does() -> None:
    telemetry = Registry()
    events = Events(telemetry)
    slow, quick = events.reader(), events.reader()
    for number in range(EVENTS + 3):
        events.tell(IdentityRotated(number))
        assert await anext(quick) == IdentityRotated(number)
    events.end()
    assert await read(slow) == [IdentityRotated(number) for number in range(EVENTS)]
    assert telemetry.shared(EventCounts).events_dropped == 3


async def test_a_reader_that_nobody_holds_is_gone() -> None:
    events = Events(Registry())
    reader = events.reader()
    assert events.read
    del reader
    gc.collect()
    assert not events.read
