"""The post of a moderator: on which host it leads at the moment, with the journal that goes with it.

    appointed ──► waits for the journal ──► leads ──► asked to leave, for a successor ──► gives the journal up
                                              └──► killed ──► begins again where it was

A term is a program of its host: it begins again after a restart, unless there is a successor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.moderation.disk import HAND_OVER
from gateway.moderation.program import Stop
from gateway.testing import SimHost
from gateway.testing.moderating import JOURNAL
from gateway.testing.process import SimProcess
from identity.errors import ConfigError, SlimError

AGAIN = 1.0
"""Seconds after which a manager of processes starts one again that failed."""
_LOOK_AGAIN = 0.05


class Post:
    """`lead(host, stop)` leads on a host, until the group is over or what `stop` returns is set."""

    def __init__(
        self, host: SimHost, lead: Callable[[SimHost, Callable[[], asyncio.Future[Stop]]], Awaitable[None]]
    ) -> None:
        self.host = host
        """Whose turn it is."""
        self.failures: list[str] = []
        """Why it ended when nobody wanted it to; a group of which all are gone is over (`session.md` 9.2)."""
        self._lead = lead
        self._term = 0
        self._file_at = host
        self._keeper: SimProcess | None = None
        """The process that has the journal's lock; the lock of one that is gone is nobody's."""
        self._stop: asyncio.Future[Stop] | None = None
        self._task: asyncio.Task[None] | None = None
        """What is under way in this term, and how it is asked to stop once it leads."""

    def begin(self) -> None:
        """The first term begins."""
        self._begin()

    def hand_over(self, to: SimHost) -> None:
        """What a manager of processes does: ask the one to end, as by SIGTERM, and start the next, which
        waits for the journal."""
        if self._stop is not None:
            if not self._stop.done():
                self._stop.set_result(Stop.LEAVE)
        elif self._task is not None:
            # It does not listen yet: the signal ends it.
            self._task.cancel()
        self._stop = self._task = None
        self._term += 1
        self.host = to
        self._begin()

    # Private

    def _begin(self) -> None:
        self.host.run(self._serve, self.host, self._term)

    async def _serve(self, host: SimHost, term: int) -> None:
        """Lead in a term; again, if it fails and there is no successor."""
        while term == self._term:
            self._task, self._stop = asyncio.current_task(), None
            await self._take_lock(host)
            try:
                host.take_over(JOURNAL, self._file_at)
                self._file_at = host
                await self._lead(host, lambda: self._listened(term))
                return
            except SlimError as error:
                self.failures.append(str(error))
            finally:
                self._keeper = None
            await asyncio.sleep(AGAIN)

    async def _take_lock(self, host: SimHost) -> None:
        """Have the journal to oneself, as `FileDisk.take` does."""
        waited = 0.0
        while (keeper := self._keeper) is not None and not keeper.site.gone:
            if waited > HAND_OVER:
                raise ConfigError("the journal is kept by another process", field="journal")
            await asyncio.sleep(_LOOK_AGAIN)
            # While that one stands still, we are started again and again.
            waited = 0.0 if keeper.site.frozen else waited + _LOOK_AGAIN
        self._keeper = host.process

    def _listened(self, term: int) -> asyncio.Future[Stop]:
        """A term is led from now on; it listens for signals."""
        stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        if term == self._term:
            self._stop = stop
        else:
            stop.set_result(Stop.LEAVE)
        return stop
