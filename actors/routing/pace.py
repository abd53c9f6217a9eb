"""How fast the peers of a node may send: who is faster is not read for a while.

    messages_per_second, bytes_per_second    a second's worth at once, then no more than that in the mean
    held back                                memory is nearly full: a batch, then nothing for HELD seconds

Nothing is dropped: the peer's own stream fills, and it has to wait. Who is held back is read now and then, so
that signs of life and acknowledgements come through, and so does the end of what fills the memory. Links of
nodes that proved to be such, which carry what many send, are held back for memory alone.
"""

from __future__ import annotations

HELD = 0.5
"""Seconds between two reads of somebody who is held back."""
RECENT = 10.0
"""Seconds for which it is remembered who sent most."""


class SendingLimits:
    """One object for all connections of a node; None: no limit."""

    __slots__ = (
        "_most", "_most_at", "active", "bytes_per_second", "held_back", "messages_per_second", "slowed",
    )  # fmt: skip

    def __init__(self, messages_per_second: int | None = None, bytes_per_second: int | None = None) -> None:
        self.held_back = False
        self._most, self._most_at = (0, 0), -RECENT
        self.slowed = dict.fromkeys(("messages_per_second", "bytes_per_second", "memory"), 0)
        """How often each of them was why somebody was not read."""
        self.take(messages_per_second, bytes_per_second)

    def take(self, messages_per_second: int | None, bytes_per_second: int | None) -> None:
        """Other limits are in force."""
        self.messages_per_second = messages_per_second
        self.bytes_per_second = bytes_per_second
        self._settle()

    def hold_back(self, *, yes: bool) -> None:
        """Hold everybody back, or no more."""
        self.held_back = yes
        self._settle()

    def note(self, messages: int, size: int, now: float) -> None:
        """One peer sent so many messages and bytes within a second."""
        if now - self._most_at >= RECENT:
            self._most, self._most_at = (0, 0), now
        self._most = (max(self._most[0], messages), max(self._most[1], size))

    def most(self, now: float) -> tuple[int, int]:
        """Messages and bytes a second of those who lately sent most of each; only known while `active`."""
        return self._most if now - self._most_at < RECENT else (0, 0)

    def _settle(self) -> None:
        self.active = self.held_back or bool(self.messages_per_second or self.bytes_per_second)
        """Whether there is anything to ask: nearly never, and that is all that it costs."""


class Pace:
    """Of one connection."""

    __slots__ = ("_at", "_bytes", "_messages", "_second", "_sent", "_sent_bytes", "limit", "limits")

    def __init__(self, limits: SendingLimits) -> None:
        self.limits = limits
        self._messages = self._bytes = 0.0
        """What was sent above the rate, in messages and bytes; it runs off with time."""
        self._at = self._second = 0.0
        self._sent = self._sent_bytes = 0
        """Since `_second`, which is less than a second ago."""
        self.limit = "memory"
        """Which limit made the last wait that there was."""

    def spend(self, messages: int, size: int, now: float, *, node: bool = False) -> float:
        """Seconds for which the peer is not to be read, which just sent so many messages and bytes."""
        wait, self.limit = HELD if self.limits.held_back else 0.0, "memory"
        if node:
            return wait
        passed, self._at = max(0.0, now - self._at), now
        if now - self._second >= 1.0:
            self._second, self._sent, self._sent_bytes = now, 0, 0
        self._sent += messages
        self._sent_bytes += size
        self.limits.note(self._sent, self._sent_bytes, now)
        if rate := self.limits.messages_per_second:
            self._messages = max(0.0, self._messages - passed * rate) + messages
            wait = self._longer(wait, self._messages / rate - 1.0, "messages_per_second")
        if rate := self.limits.bytes_per_second:
            self._bytes = max(0.0, self._bytes - passed * rate) + size
            wait = self._longer(wait, self._bytes / rate - 1.0, "bytes_per_second")
        return wait

    def _longer(self, wait: float, other: float, limit: str) -> float:
        if other <= wait:
            return wait
        self.limit = limit
        return other
