"""Which connections a session's message leaves by.

    pinned to a living connection? ──► that one
    match-one: the node's routes, else what sessions bound
    match-all: the node's routes and what sessions bound

Sessions learn on the way where their peers are (an answer's connection). These bindings live as long as the
session, and are no change of the node's table; sessions of the same process share what they know
(`actors/routing/bindings.py`).
"""

from __future__ import annotations

from typing import Any

from actors.messages.wire import ALL, ONE, SessionMessage
from actors.names import Key, Name
from actors.routing.router import Router
from actors.routing.view import RouteView

_FEW = 64
"""Connections remembered as local that are not worth looking through."""


class Routes:
    """The choice of connections of the application that is connection `own`."""

    def __init__(self, own: int, view: RouteView) -> None:
        self._own = own
        self._router = Router(own, view)
        self._shared = view.bindings
        self._shared.join(own)
        self._bound: dict[Name, dict[int, tuple[int, ...]]] = {}
        """Connections by session."""
        self._by_session: dict[int, dict[Name, None]] = {}
        self._local: set[int] = set()

    def address(self, connection: int) -> Any | None:
        """The actor that puts messages out on `connection`; None when it is gone."""
        return self._router.addresses.get(connection)

    def met(self, connection: int) -> None:
        """A message came by reference: an application of this process is there."""
        if len(self._local) > 2 * len(self._router.addresses) + _FEW:
            self._local &= self._router.addresses.keys()
        self._local.add(connection)

    def is_local(self, connection: int, key: Key) -> bool:
        """Whether `connection`, chosen for a name with this key, is an application of this process."""
        if connection in self._local:
            return True
        if self._router.is_local(key, connection):
            self.met(connection)
            return True
        return False

    @property
    def bound(self) -> int:
        """Names that sessions have bound."""
        return sum(map(len, self._by_session.values()))

    def leave(self) -> None:
        """The application is over."""
        self._shared.leave(self._own)

    def bind(self, name: Name, session_id: int, connection: int, *, also: bool = False) -> None:
        """A session reaches `name` by `connection`; `also`: beside others, as channels are."""
        sessions = self._bound.setdefault(name, {})
        before = sessions.get(session_id, ()) if also else ()
        others = [each for each in before if each != connection] if before else ()
        self._put(name, session_id, (*others, connection))

    def _put(self, name: Name, session_id: int, connections: tuple[int, ...]) -> None:
        self._bound[name][session_id] = connections
        self._by_session.setdefault(session_id, {})[name] = None
        self._shared.put(self._own, session_id, name, connections)

    def unbind(self, name: Name, session_id: int) -> None:
        sessions = self._bound.get(name)
        if sessions is not None:
            sessions.pop(session_id, None)
            if not sessions:
                del self._bound[name]
        self._by_session.get(session_id, {}).pop(name, None)
        self._shared.put(self._own, session_id, name, ())

    def forget(self, session_id: int) -> None:
        """A session is over: so are its bindings."""
        for name in list(self._by_session.get(session_id, ())):
            self.unbind(name, session_id)
        self._by_session.pop(session_id, None)

    def stranded(self, connection: int) -> list[int]:
        """The sessions with a peer who was reached over `connection`, which is gone, and who is not now."""
        found = {
            session_id: None
            for name, sessions in self._bound.items()
            if not self._router.route(name.key, name.instance, ALL)
            for session_id, bound in sessions.items()
            if connection in bound
        }
        return list(found)

    def move(self, connection: int) -> dict[int, tuple[int, ...]]:
        """Who was reached by streams that are gone is reached by `connection` now.

        Returns, by session, the connections that it takes the place of.
        """
        alive, moved = self._router.addresses, dict[int, dict[int, None]]()
        for name, sessions in self._bound.items():
            for session_id, bound in sessions.items():
                gone = [each for each in bound if each not in alive and each not in self._local]
                if gone:
                    kept = (each for each in bound if each not in gone)
                    self._put(name, session_id, tuple(dict.fromkeys((*kept, connection))))
                    moved.setdefault(session_id, {}).update(dict.fromkeys(gone))
        return {session_id: tuple(gone) for session_id, gone in moved.items()}

    def find(self, message: SessionMessage) -> tuple[int, ...]:
        """The connections for `message`; empty when nothing leads there."""
        addresses = self._router.addresses
        pinned = message.connection
        destination = message.destination
        if pinned is not None and pinned in addresses and self._router.may_serve(pinned, destination):
            return (pinned,)
        routed = self._router.route(destination.key, destination.instance, message.fanout)
        if routed and message.fanout == ONE:
            return routed
        bound = [c for those in self._bound.get(destination, {}).values() for c in those]
        bound.reverse()
        known = self._shared.routes(bound, message.session_id, destination, addresses)
        if message.fanout == ONE:
            return known[:1]
        return tuple(dict.fromkeys((*routed, *known))) if known else routed
