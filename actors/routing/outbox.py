"""Credit towards one link (`design.md` 5.4).

    Forward ──►  [ backlog of the link: bytes accepted, not yet written ]  ──► stream
                        low ┤           high ┤               hard ┤

1. Up to the high-water mark everything is accepted.
2. Above it the senders are told (Congested) and stop reading; what they had read already is accepted
   up to the hard mark. They are told again (Drained) when the backlog is below the low-water mark.
3. Congested for longer than `patience` seconds, the link counts as dead slow: its data frames are
   dropped and counted until it drains, so that it cannot hold up streams that others share.
4. Control frames are never dropped. If even they pass the hard mark twice over, after all patience, the
   peer takes nothing at all: it loses its stream, and what we dialled is dialled again. Pings do not come to
   that: sessions that hear Congested ask nobody until Drained (`docs/signs-of-life.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from actors.messages.wire import Frame
from actors.record import record

HIGH = 1024 * 1024
PATIENCE = 1.0
"""Seconds for which a slow receiver may hold up those who send to it."""


@record
class Admitted(NamedTuple):
    """What to do with some frames: write these; tell the sender to pause; give the peer up."""

    write: Sequence[Frame]
    pause_sender: bool = False
    overwhelmed: bool = False


class Outbox:
    """The policy in front of one link. The backlog itself is the link's; its size is an argument."""

    __slots__ = ("_congested_since", "dropped", "high", "patience")

    def __init__(self, *, high: int = HIGH, patience: float = PATIENCE) -> None:
        self.high = high
        self.patience = patience
        self.dropped = 0
        """Data frames dropped so far."""
        self._congested_since: float | None = None

    @property
    def congested(self) -> bool:
        return self._congested_since is not None

    def full_for(self, now: float) -> float:
        """Seconds for which it has been full and did not drain."""
        return 0.0 if self._congested_since is None else now - self._congested_since

    def admit(self, frames: Sequence[Frame], backlog: int, now: float) -> Admitted:
        """Decide about `frames` while the link has `backlog` bytes unwritten."""
        if backlog < self.high:
            return Admitted(frames)
        if self._congested_since is None:
            self._congested_since = now
        patient = now - self._congested_since < self.patience
        if patient and backlog < 4 * self.high:
            return Admitted(frames, pause_sender=True)
        control = [frame for frame in frames if frame.control]
        self.dropped += len(frames) - len(control)
        return Admitted(control, patient, not patient and backlog >= 8 * self.high)

    def drained(self) -> None:
        """The backlog fell below the low-water mark: a fresh start."""
        self._congested_since = None
