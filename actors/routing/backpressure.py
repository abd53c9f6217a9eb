"""Why a connection's peer is not read now, and until when: what holds up the traffic that it brings.

    other connections are congested     until all have drained, or the patience with them is over
    the route table is busy             until it has answered the connection's Echo
    it sends too fast                   as long as its pace says (`pace.py`); so where memory is short

The link is read on when none of them holds any more. Nothing is dropped: the peer's own stream fills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actors.alarm import Alarm
from actors.messages.wire import Frame, HintReason
from actors.routing.link import Link
from actors.routing.pace import Pace, SendingLimits
from actors.system import Cancellable
from identity.log import logger

After = Callable[[float, Any], Cancellable]
"""`LoopActor.after`."""

_PATIENCE = "patience"
_SLOWED = "slowed"


class Backpressure:
    """On the peer of the connection `index`.

    `patience` is how long (seconds) congested receivers may hold it up, `sending` how fast it may send. By
    `after` a call asks for a wake-up, which goes to `woken`; kept, it would make a circle with its actor.
    """

    __slots__ = (
        "_alarm", "_blocked_by", "_blocked_timer", "_echo_awaited", "_index", "_link", "_pace", "_patience",
        "_slowed",
    )  # fmt: skip

    def __init__(self, index: int, link: Link, sending: SendingLimits, patience: float) -> None:
        self._index = index
        self._link = link
        self._pace = Pace(sending)
        self._patience = patience
        self._blocked_by: set[int] = set()
        """The connections that are congested."""
        self._blocked_timer: Cancellable | None = None
        self._echo_awaited = False
        self._slowed: Cancellable | None = None
        """Set while the peer is not read because it is too fast, or all are held back."""
        self._alarm = Alarm()

    @property
    def is_read(self) -> bool:
        """Whether nothing keeps the peer waiting."""
        return self._blocked_timer is None and not self._echo_awaited and self._slowed is None

    # Receivers

    def congested(self, connection: int, after: After) -> bool:
        """A connection to which the peer's messages go is full. Whether that is why the peer has to wait."""
        first = not self._blocked_by
        if first:
            self._link.pause()
            self._blocked_timer = after(self._patience, _PATIENCE)
        self._blocked_by.add(connection)
        return first

    def drained(self, connection: int) -> None:
        """It has room again."""
        self._blocked_by.discard(connection)
        if not self._blocked_by:
            self._unblock()

    def _unblock(self) -> None:
        """Read again: all have room, or their time is over and their own outboxes drop."""
        self._blocked_by.clear()
        if self._blocked_timer is not None:
            self._blocked_timer.cancel()
            self._blocked_timer = None
            self._read_on()

    # The route table

    def await_table(self) -> bool:
        """The route table has much to do with what the peer sent. Whether to ask it for an Echo now."""
        if self._echo_awaited:
            return False
        self._echo_awaited = True
        self._link.pause()
        return True

    def echoed(self) -> None:
        """The route table is done."""
        self._echo_awaited = False
        self._read_on()

    # Pace

    def slow_down(
        self, frames: Sequence[Any], now: float, after: After, *, node: bool
    ) -> tuple[bool, HintReason | None]:
        """Let a peer wait that sends faster than it may, `node` where many send by it.

        Whether it begins to wait with these frames, and what to tell it, now and then.
        """
        size = sum(frame.size for frame in frames if type(frame) is Frame)
        pace = self._pace
        wait = pace.spend(len(frames), size, now, node=node)
        if wait <= 0 or self._slowed is not None:
            return False, None
        pace.limits.slowed[pace.limit] += 1
        told = self._tell(pace.limit) if self._alarm.is_due(now) else None
        self._link.pause()
        self._slowed = after(wait, _SLOWED)
        return True, told

    def _tell(self, limit: str) -> HintReason:
        if limit == "memory":
            # People hear of that from the node.
            return HintReason.MEMORY
        cause = f"it sends more than limits.{limit} allows"
        logger.warning("peer is slowed down", conn=self._index, peer=self._link.peer, cause=cause)
        return HintReason.TOO_FAST

    # Time

    def woken(self, payload: Any) -> None:
        """Time has passed: take the payload of a wake-up."""
        if payload == _SLOWED:
            self._slowed = None
            self._read_on()
        elif payload == _PATIENCE:
            self._unblock()

    def _read_on(self) -> None:
        if self.is_read:
            self._link.resume()
