"""What a peer pays for: a frame that brings nobody anything is charged by the work it makes.

A unit is about a microsecond. Bytes of messages are not charged: flow control paces them, and whoever reads
the socket takes turns (`transport`).

    frame                                    charge                                                  from
    ---------------------------------------  ------------------------------------------------------  --------
    PING, PRIORITY, WINDOW_UPDATE, GOAWAY,   1                                                       control_*
    CONTINUATION, unknown, empty DATA
    SETTINGS                                 1, 1 for 8 settings, 1 for 8 streams that it widens     control_*
    RST_STREAM                               1 when late; else the stream's end                      control_*
    DATA on a stream that has ended          1, beyond the window that the stream had                control_*
    header block                             1 for 8 bytes, 2 for each field, 50 for each new call   header_*
    call refused, or reset before an answer  1, about 50 us                                          reset_*
"""

from __future__ import annotations

from gateway.http2.errors import ErrorCode, Violation
from gateway.http2.limits import Limits

SETTINGS_PER_UNIT = 8
STREAMS_PER_UNIT = 8
HEADER_BYTES_PER_UNIT = 8
FIELD = 2
CALL = 50
LATE_UPDATES = 4
"""Frames that may come for a stream that has ended, from a peer that does not know yet."""


class Allowance:
    """A token bucket: `burst` at once and `rate` per second for ever. Time is an argument."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, burst: int, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens: float = burst
        self._at = now

    def spend(self, now: float, cost: int = 1) -> bool:
        """Take `cost` tokens. False: there are not as many."""
        if self._tokens < cost:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens < cost:
                return False
        self._tokens -= cost
        return True

    def earn(self, count: int) -> None:
        """Put `count` tokens back, up to the burst."""
        self._tokens += count
        if self._tokens > self._burst:
            self._tokens = self._burst


class Charges:
    """What one connection's peer has left of its allowances. Raises Violation when that is too little."""

    __slots__ = ("_controls", "_headers", "_resets")

    def __init__(self, limits: Limits, now: float) -> None:
        self._controls = Allowance(limits.control_burst, limits.control_rate, now)
        self._headers = Allowance(limits.header_burst, limits.header_rate, now)
        self._resets = Allowance(limits.reset_burst, limits.reset_rate, now)

    def control(self, now: float, rule: str, cost: int = 1) -> None:
        """A frame that brings nobody anything."""
        if not self._controls.spend(now, cost):
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, rule, "too many frames that carry nothing")

    def header_block(self, now: float, size: int) -> None:
        """A header block of `size` bytes is to be decoded."""
        self._header_work(now, 1 + size // HEADER_BYTES_PER_UNIT)

    def fields(self, now: float, count: int) -> None:
        """It had this many fields."""
        self._header_work(now, FIELD * count)

    def call(self, now: float) -> None:
        """A client opens a call."""
        self._header_work(now, CALL)

    def reset(self, now: float) -> None:
        """A stream was opened for nothing."""
        if not self._resets.spend(now):
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "rapid_reset", "too many streams opened and reset")

    def data_sent(self, messages: int, size: int) -> None:
        """We sent `size` bytes, the ends of this many messages among them.

        The peer answers with window updates, for the stream and for the connection. Most send few, but
        nothing forbids one for every small message. One for every byte of it has to be paid for.
        """
        # As `earn`, without the call: each write comes by.
        controls = self._controls
        tokens = controls._tokens + 2 * messages + size // 32
        controls._tokens = tokens if tokens < controls._burst else controls._burst

    def stream_ended(self) -> None:
        """A stream is over, which the peer may not know yet."""
        self._controls.earn(LATE_UPDATES)

    def _header_work(self, now: float, cost: int) -> None:
        if not self._headers.spend(now, cost):
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "header_flood", "too much work for headers")
