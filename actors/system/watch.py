"""Thespian's watches (`ThespianWatch`, `WatchMessage`) on the loop's own readers.

An actor that returns a ThespianWatch from `receiveMessage` is told by a WatchMessage which of the file
numbers have become readable. As in Thespian each handled message sets the watch anew, so a handler that
returns anything else ends it. A file that was reported is not watched again until its report was handled:
a readable file would otherwise report itself on every pass of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from thespian.actors import WatchMessage


class FileWatch:
    """The file numbers that one actor watches."""

    __slots__ = ("_deliver", "_loop", "_reported", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[WatchMessage], object]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._watched: set[int] = set()
        self._reported: list[int] = []

    def set(self, filenos: Iterable[int]) -> None:
        """Watch exactly these from now on, those that wait in an unhandled report excepted."""
        wanted = set(filenos).difference(self._reported)
        for fileno in self._watched - wanted:
            self._loop.remove_reader(fileno)
        for fileno in wanted - self._watched:
            self._loop.add_reader(fileno, self._ready, fileno)
        self._watched = wanted

    def handling(self, message: WatchMessage) -> None:
        """The actor is about to handle `message`: its files may be watched again afterwards."""
        if message.ready is self._reported:
            self._reported = []

    def close(self) -> None:
        """Watch nothing any more."""
        self.set(())
        self._reported = []

    def _ready(self, fileno: int) -> None:
        self._loop.remove_reader(fileno)
        self._watched.discard(fileno)
        first = not self._reported
        self._reported.append(fileno)
        if first:
            # The list itself goes into the message: files that become ready before it is handled join it.
            self._deliver(WatchMessage(self._reported))
