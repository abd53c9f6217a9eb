"""The access log of a node: each connection when it opens and when it is over (`callboard.access`, INFO).

    connection opened conn=7 peer=192.0.2.1:51234 identity=alice listener=0.0.0.0:46357
    connection closed conn=7 peer=192.0.2.1:51234 ... seconds=12.4 ... cause='the peer ended the stream'

Whoever connects a thousand times a second costs LINES lines; how many were left out the next line says. A
connection whose opened line was left out has no closed line either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from actors.messages.routing import ConnectionState
from actors.record import record
from gateway.links.link import AcceptedLink
from gateway.node.peer_policy import proved_name
from identity.log import access

LINES = 100
"""Lines in a second about connections that open."""

_AMOUNTS = ("messages_in", "messages_out", "bytes_in", "bytes_out")


@record
class _Visit(NamedTuple):
    since: float
    who: dict[str, Any]


class AccessLog:
    """`clock` tells seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._visits: dict[int, _Visit] = {}
        """The connections of which an opened line was written."""
        self._second = clock()
        self._written = 0
        self._skipped = 0

    def take(self, state: ConnectionState, link: AcceptedLink | None) -> None:
        """A connection says how it stands."""
        if state.state == "attached":
            self._opened(state.connection, state.detail, link)
        elif state.state == "closed":
            self._closed(state.connection, state.detail, link)

    def _opened(self, conn: int, peer: str, link: AcceptedLink | None) -> None:
        if not access.shows("INFO"):
            return
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._written = now, 0
        if self._written >= LINES:
            self._skipped += 1
            return
        self._written += 1
        who: dict[str, Any] = {"conn": conn, "peer": peer}
        if link is not None:
            who |= {"identity": proved_name(link) or None, "listener": link.listener or None}
        self._visits[conn] = _Visit(now, who)
        skipped, self._skipped = self._skipped, 0
        access.info("connection opened", **who, skipped=skipped or None)

    def _closed(self, conn: int, cause: str, link: AcceptedLink | None) -> None:
        visit = self._visits.pop(conn, None)
        if visit is None:
            return
        amounts = {} if link is None else {each: getattr(link.counts, each) for each in _AMOUNTS}
        seconds = round(self._clock() - visit.since, 3)
        access.info("connection closed", **visit.who, seconds=seconds, **amounts, cause=cause or None)
