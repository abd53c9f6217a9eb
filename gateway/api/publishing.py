"""What a session's application publishes: how much may be under way, and whose turn it is.

    publish ──► room? ──► Outgoing ──► gathered before the turn ──► Publish
                  ▲ no: waits, in order of arrival
                  └── credit ◄── Completed

Bounds: the credit that the session actor gives (its window), and BYTES_UNDER_WAY. Nothing is dropped: who
publishes waits.
"""

from __future__ import annotations

from collections import deque

from actors.messages.session import Outgoing, Publish
from gateway.api.session_line import SessionLine
from gateway.api.waiters import Turns

BYTES_UNDER_WAY = 1024 * 1024
"""Bytes of messages whose credit is not back yet, above which `publish` waits, beside the window."""


class Publishing:
    """`line` leads to the session actor."""

    def __init__(self, credit: int, line: SessionLine) -> None:
        self._credit = credit
        self._line = line
        self._unfinished = 0
        """Bytes of messages whose credit was not given back."""
        self._sizes: deque[int] = deque()
        """Of each of them, oldest first."""
        self._turns = Turns(self._room)
        self._gathered: list[Outgoing] = []
        self._armed = False
        self._over = False
        self.free = credit > 0
        """Whether the next message may be put without waiting for a turn."""

    @property
    def waiting(self) -> int:
        """How many tasks wait for their turn."""
        return len(self._turns)

    def _room(self) -> bool:
        return self._over or (self._credit > 0 and self._unfinished <= BYTES_UNDER_WAY)

    async def turn(self) -> None:
        """Wait until there is room and everybody who came before has gone on. `put` must follow at once."""
        await self._turns.take()

    def put(self, outgoing: Outgoing, lone: bool) -> None:
        """Send it: at once if it is alone under way, else with what others send in this turn."""
        size = len(outgoing.blob)
        self._credit -= 1
        self._unfinished += size
        self._sizes.append(size)
        if not self.free or self._credit <= 0 or self._unfinished > BYTES_UNDER_WAY:
            self._look()
        if lone:
            self._line.tell_now(Publish((outgoing,)))
            return
        self._gathered.append(outgoing)
        if not self._armed:
            self._armed = True
            self._line.before_turn(self.flush)

    def _look(self) -> None:
        """Whoever is next goes on if there is room; with nobody there, whoever comes."""
        turns = self._turns
        if turns.waiting:
            turns.pass_on()
        self.free = self._room() and not (turns.waiting or turns.woken or self._over)

    def flush(self) -> None:
        """What gathered leaves in one message."""
        self._armed = False
        if self._gathered:
            items, self._gathered = tuple(self._gathered), []
            self._line.tell(Publish(items))

    def release(self, credit: int) -> None:
        """So many of the oldest messages are not under way any more."""
        self._credit += credit
        sizes = self._sizes
        for _ in range(min(credit, len(sizes))):
            self._unfinished -= sizes.popleft()
        if self._turns.waiting:
            self._turns.wake(credit)
        self._look()

    def end(self) -> None:
        """Nothing can be published any more: who waits goes on, and is told so by its caller."""
        self._over = True
        self.free = False
        self._turns.wake_all()
