"""What becomes of the messages from and to one name, as a node sees it: for `callboard trace`.

    Connection ── routed, dropped ──► MessageTraces ──► each MessageTrace ──► TraceRow, LINES a second at most

There is a tap at the connections only while somebody looks. Headers are read, nothing that is in a message; a
token stands in a header, and is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from actors.errors import ProtocolError
from actors.messages.wire import Frame, MessageType
from actors.names import Key, Name
from actors.record import record
from actors.routing.view import RouteView
from gateway.admin.view import text
from gateway.codec.family import FIRST
from gateway.codec.header import HeaderReader
from gateway.codec.layout import head

LINES = 100
"""Lines a second to one who looks; how many more there were is said."""
LOOKS = 20_000
"""Messages a second that are looked at: the node has other work."""
WATCHERS = 8
SECONDS, LONGEST = 60.0, 3600.0
"""How long one looks unless more is asked for, and at most."""

_KINDS = tuple(MessageType)


@record
class TraceRow(NamedTuple):
    """One message at a node."""

    time: float
    """Unix seconds."""
    source: str
    destination: str
    """Both with the first digits of their instance ids."""
    kind: str
    session: int
    message: int
    size: int
    """Bytes."""
    by: int
    """The connection by which it came; 0 where it was dropped on its way out."""
    to: tuple[int, ...]
    """The connections by which it leaves."""
    dropped: str
    """Why it does not leave, or not by `to`; empty where nothing is wrong."""
    more: int = 0
    """Messages before this one that are not shown: there were too many."""
    unread: int = 0
    """Messages of any name that were not even looked at since the last row: the node had other work."""


Tell = Callable[[TraceRow | None], bool]


class _Second:
    """At most `bound` things in a second."""

    __slots__ = ("_bound", "_count", "_since")

    def __init__(self, bound: int) -> None:
        self._bound, self._count, self._since = bound, 0, float("-inf")

    def take(self, now: float) -> bool:
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._bound


class MessageTrace:
    """Somebody who looks at the messages of `name`: of all its instances, unless it has an id.

    `tell` takes rows, and says whether there was room for one; None when there will be no more.
    """

    def __init__(self, name: Name, tell: Tell) -> None:
        self.key: Key = name.key
        self._instance = name.instance if name.has_id else None
        self.tell = tell
        self._lines = _Second(LINES)
        self._more = 0

    def wants(self, source: Name, frame: Frame) -> bool:
        """Whether a message is from the name, or to it."""
        if self._instance is None:
            return self.key in (frame.key, source.key)
        mine = (self.key, self._instance)
        return mine in ((frame.key, frame.instance), (source.key, source.instance))

    def show(self, row: TraceRow, now: float) -> None:
        """Tell it, or count it."""
        if self._lines.take(now) and self.tell(row._replace(more=self._more)):
            self._more = 0
        else:
            self._more += 1


class MessageTraces:
    """All who look at one node's messages (`actors.routing.tap.Tap`). `wall` gives Unix seconds."""

    def __init__(self, routes: RouteView, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._routes, self._clock, self._wall = routes, clock, wall
        self._reader = HeaderReader(FIRST)
        self._looks = _Second(LOOKS)
        self._watching: list[MessageTrace] = []
        self._unread = 0

    def __len__(self) -> int:
        return len(self._watching)

    def begin(self, name: Name, tell: Tell) -> MessageTrace | None:
        """One more looks; None when too many do."""
        if len(self._watching) >= WATCHERS:
            return None
        made = MessageTrace(name, tell)
        self._watching.append(made)
        self._routes.tap = self
        return made

    def end(self, trace: MessageTrace) -> None:
        """One looks no more; with the last, connections tell nothing any more. Idempotent."""
        if trace in self._watching:
            self._watching.remove(trace)
        if not self._watching:
            self._routes.tap = None

    def close(self) -> None:
        """The node ends: who looks is told so by None."""
        for trace in list(self._watching):
            trace.tell(None)
            self.end(trace)

    # What connections tell

    def routed(self, connection: int, frame: Frame, targets: Sequence[int]) -> None:
        self._take(connection, frame, tuple(targets), "" if targets else "nobody has the name")

    def dropped(self, connection: int, frames: Sequence[Frame], cause: str) -> None:
        for frame in frames:
            self._take(0, frame, (connection,), cause)

    def _take(self, by: int, frame: Frame, to: tuple[int, ...], dropped: str) -> None:
        now = self._clock()
        if not self._looks.take(now):
            self._unread += 1
            return
        try:
            header = self._reader.read(frame.header)
        except ProtocolError:
            return
        row: TraceRow | None = None
        for trace in self._watching:
            if trace.wants(header.source, frame):
                row = row or self._row(header.source, header.destination, frame, by, to, dropped)
                trace.show(row, now)
                self._unread = 0

    def _row(
        self, source: Name, destination: Name, frame: Frame, by: int, to: tuple[int, ...], dropped: str
    ) -> TraceRow:
        found = head(frame.body, frame.inner)
        kind = found.kind if found is not None and found.kind < len(_KINDS) else 0
        return TraceRow(
            self._wall(),
            shown(source),
            shown(destination),
            _KINDS[kind].name.lower(),
            found.session_id if found is not None else 0,
            found.message_id if found is not None else 0,
            frame.size,
            by,
            to,
            dropped,
            unread=self._unread,
        )


def shown(name: Name) -> str:
    """A name with the first digits of its instance id, if it has one."""
    return f"{text(name)}/{name.id >> 48:04x}" if name.has_id else text(name)
