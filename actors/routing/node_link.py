"""What a Connection does when a node is at the other end (`backbone.md`): keepalive, and hop counts. Pure.

Both ends of a node link say something every KEEPALIVE seconds, whatever carries the link, and give it up when
nothing came for SILENCE seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.messages.wire import Frame

KEEPALIVE = 5.0
SILENCE = 10.0
TICK = 2.5
"""Seconds between looks at the link: it is given up that much later at most."""
HOPS = 8
"""How often a message may go from one node link to another, by routes that were made by hand."""

SETTLED = {
    "superseded": "another link to this node stays",
    "displaced": "a later run of this node has called",
    "itself": "this node called itself",
    "namesake": "another node has the same node id: give each its own",
}
"""What people are told of a link that does not stay."""

_TICKS_TO_SPEAK = round(KEEPALIVE / TICK)
_TICKS_TO_GIVE_UP = round(SILENCE / TICK)


class NodeLinkWatch:
    """Watches for silence. `heard` is how much has been received so far."""

    __slots__ = ("_heard", "_silent", "_ticks")

    def __init__(self, heard: int) -> None:
        self._heard = heard
        self._ticks = self._silent = 0

    def expire(self, heard: int, *, reading: bool) -> tuple[bool, bool]:
        """TICK seconds have passed. Whether to say something, and whether the link is dead.

        While we do not read, nobody can be heard.
        """
        self._ticks += 1
        if heard != self._heard or not reading:
            self._heard, self._silent = heard, 0
        else:
            self._silent += 1
        return self._ticks % _TICKS_TO_SPEAK == 0, self._silent >= _TICKS_TO_GIVE_UP


# A hop count is a field of the outer message, number 1001, a varint of one byte, behind all others.
_HOPS_TAG = bytes((0xC8, 0x3E))


class HopCount:
    """Counts how often messages went from one node link to another, in the messages themselves."""

    __slots__ = ("dropped",)

    def __init__(self) -> None:
        self.dropped = 0

    def forward(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames with one hop more each, but those that had all theirs."""
        counted = []
        for frame in frames:
            hops = hops_of(frame)
            if hops < HOPS:
                body = frame.body[:-3] if hops else frame.body
                counted.append(frame._replace(body=body + _HOPS_TAG + bytes((hops + 1,))))
                continue
            self.dropped += 1
        return counted


def hops_of(frame: Frame) -> int:
    """How often a frame has gone from one node link to another."""
    body = frame.body
    return body[-1] if len(body) >= frame.inner + 3 and body[-3:-1] == _HOPS_TAG else 0
