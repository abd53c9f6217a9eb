"""What happens in a session beside its messages: members, epochs, gaps.

    session actor ─► Events ─┬─► EventReader ─► async for event in session.events()
    receive loop  ─►         └─► EventReader ─► ...

Each reader keeps at most EVENTS of them; what comes while it is full is dropped and counted. A message that
is lost while nobody reads is a warning, of which a peer that leaves gaps makes no more than a few.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Self
from weakref import WeakSet

from actors.alarm import SourceAlarms
from actors.errors import DeliveryError
from actors.messages.session import EpochChanged, IdentityRotated, MemberJoined, MemberLeft
from actors.telemetry import Registry
from gateway.surroundings import current
from gateway.telemetry import Counts, counter
from identity.log import logger

Event = MemberJoined | MemberLeft | EpochChanged | IdentityRotated | DeliveryError
"""A DeliveryError (MessageLost, above all) is told here when no message's handle tells it."""

EVENTS = 1024


class EventCounts(Counts, part="session"):
    events_dropped: int = counter("Events that readers of Session.events did not get.")

    __slots__ = ("alarms",)

    def __init__(self) -> None:
        super().__init__()
        self.alarms = SourceAlarms()
        """Warnings of messages that are lost, by session."""


class EventReader(AsyncIterator[Event]):
    """One reader of a session's events, from its making on; the iteration ends with the session."""

    def __init__(self, over: bool) -> None:
        self._events: deque[Event] = deque()
        self._over = over
        self._news = asyncio.Event()

    def put(self, event: Event) -> bool:
        """Keep an event for who reads. Returns whether there was room."""
        if len(self._events) >= EVENTS:
            return False
        self._events.append(event)
        self._news.set()
        return True

    def end(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._news.set()

    async def aclose(self) -> None:
        """Read no more."""
        self._events.clear()
        self.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()


class Events:
    """Those of one session; what a reader does not get is counted in `telemetry`."""

    def __init__(self, telemetry: Registry) -> None:
        self._telemetry = telemetry
        self._over = False
        self._readers: WeakSet[EventReader] | None = None
        """A reader that nobody holds any more is gone. Few sessions ever have one."""

    @property
    def read(self) -> bool:
        """Whether anybody reads."""
        return bool(self._readers)

    def reader(self) -> EventReader:
        """One more reader."""
        made = EventReader(self._over)
        if self._readers is None:
            self._readers = WeakSet()
        self._readers.add(made)
        return made

    def tell(self, event: Event) -> None:
        """Tell everybody who reads."""
        for reader in self._readers or ():
            if not reader.put(event):
                self._telemetry.shared(EventCounts).events_dropped += 1

    def lost(self, session_id: int, error: DeliveryError) -> None:
        """A message is lost: tell who reads, and people if nobody does."""
        if not self.read:
            level, more = self._telemetry.shared(EventCounts).alarms.level(session_id, current().clock())
            logger.log(level, f"message lost{more}", session=session_id, cause=str(error))
        self.tell(error)

    def end(self) -> None:
        """The session is over."""
        self._over = True
        for reader in self._readers or ():
            reader.end()
