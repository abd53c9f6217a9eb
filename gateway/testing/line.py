"""The line between two hosts, and what can be wrong with it.

Streams are TCP's: what they carry arrives whole, in order, and once, or the stream breaks. What is *lost*
here is a message of a session that some node on the way dropped, as nodes may when queues are full: `loss` is
for those. What a program and its node say to each other (subscriptions) is never lost while their stream
stands.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from actors.messages.wire import Frame, MessageType
from gateway.codec import InboundParser, WireCodec

_PUBLISH = 0x1A
"""The first byte of a message that belongs to a session."""


class Line:
    """Latency, jitter (seconds, one way) and loss (0 to 1) may be set at any time; faults have verbs."""

    def __init__(self, one: str, two: str, random: Random, changed: Callable[[Line], None]) -> None:
        self.ends = (one, two)
        self.latency = 0.001
        self.jitter = 0.0
        self.loss = 0.0
        self._random = random
        self._changed = changed
        self.disturbed = False
        """Whether a fault was ever asked for."""
        self._cut = False
        self._stalled: set[str] = set()
        """The ends from which nothing gets through."""
        self._to_lose: dict[MessageType, int] = {}

    def __repr__(self) -> str:
        state = "cut" if self._cut else f"stalled from {sorted(self._stalled)}" if self._stalled else "whole"
        return f"<Line {' - '.join(self.ends)}, {state}>"

    # Faults

    def cut(self) -> None:
        """Break it: streams end, which both sides see, and nobody can dial until `mend`."""
        self._cut = self.disturbed = True
        self._changed(self)

    def stall(self, source: str | None = None) -> None:
        """Let nothing through, from the host `source` or from both; nobody is told.

        What is sent waits, and arrives after `mend`; an end of a stream breaks when its keepalive says so.
        """
        self.disturbed = True
        self._stalled |= {source} if source is not None else set(self.ends)
        self._changed(self)

    def mend(self) -> None:
        """Undo `cut` and `stall`, and lose nothing any more. Latency and jitter stay."""
        self._cut = False
        self._stalled.clear()
        self._to_lose.clear()
        self.loss = 0.0
        self._changed(self)

    def lose(self, kind: MessageType, count: int = 1) -> None:
        """Lose the next `count` messages of this kind."""
        self.disturbed = True
        self._to_lose[kind] = self._to_lose.get(kind, 0) + count

    # What the network asks

    @property
    def whole(self) -> bool:
        """Whether streams can stand on it."""
        return not self._cut

    def passes(self, source: str) -> bool:
        """Whether what `source` sends gets through."""
        return not self._cut and source not in self._stalled

    def delay(self) -> float:
        """The time that one message takes."""
        return self.latency + self.jitter * self._random.random() if self.jitter else self.latency

    def loses(self, data: bytes) -> bool:
        """Whether this message is lost."""
        if (not self.loss and not self._to_lose) or not data or data[0] != _PUBLISH:
            return False
        if self._to_lose:
            record = InboundParser(0).parse(data)
            kind = WireCodec().decode(record).kind if isinstance(record, Frame) else MessageType.UNSPECIFIED
            left = self._to_lose.get(kind, 0)
            if left:
                self._to_lose[kind] = left - 1
                return True
        return self._random.random() < self.loss
