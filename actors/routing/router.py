"""Which connections a message goes to (`dataplane.md` 6): the rules, on the snapshot a connection holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.messages.routing import Route, Snapshot
from actors.messages.wire import ONE
from actors.names import NO_INSTANCE, InstanceId, Key

_EMPTY: tuple[int, ...] = ()
_CACHE_BOUND = 8192


class Router:
    """Routes what arrives on connection `own`. Holds a snapshot; knows nothing of how frames are sent.

    1. fan-out 1: one connection, local ones first. Without id it is anycast: round robin over all
       connections of the name. With an id only those subscribed to exactly that id.
    2. any other fan-out: one copy to each connection, same id rule.
    3. never back to where it came from.

    The round robin starts at the connection's own index, so that many senders of one message each do not
    all reach the same instance.
    """

    __slots__ = ("_all", "_fixed", "_own", "_snapshot", "_turn", "addresses")

    def __init__(self, own: int) -> None:
        self._own = own
        self._snapshot = Snapshot(0, {}, {})
        self.addresses: Mapping[int, Any] = self._snapshot.addresses
        """The actors that put frames out, by connection."""
        self._all: dict[tuple[Key, InstanceId], tuple[int, ...]] = {}
        self._fixed: dict[tuple[Key, InstanceId], tuple[int, ...]] = {}
        """Answers to match-one that take no turns."""
        self._turn: dict[tuple[Key, InstanceId], int] = {}

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def update(self, snapshot: Snapshot) -> None:
        """Take a newer snapshot; older ones are ignored."""
        if snapshot.version >= self._snapshot.version:
            self._snapshot = snapshot
            self.addresses = snapshot.addresses
            self._all.clear()
            self._fixed.clear()
            if len(self._turn) > _CACHE_BOUND:
                self._turn.clear()

    def route(self, key: Key, id: InstanceId, fanout: int) -> tuple[int, ...]:
        """The connections for a message to (key, id); empty when there is no match."""
        name = (key, id)
        if fanout == ONE:
            return self._fixed.get(name) or self._one(key, id)
        found = self._all.get(name)
        if found is None:
            found = self._match_all(key, id)
            if len(self._all) < _CACHE_BOUND:
                self._all[name] = found
        return found

    def _one(self, key: Key, id: InstanceId) -> tuple[int, ...]:
        route = self._snapshot.routes.get(key)
        if route is None:
            return _EMPTY
        for connections in _candidates(route, id):
            if len(connections) == 1:
                if connections[0] != self._own:
                    if len(self._fixed) < _CACHE_BOUND:
                        self._fixed[key, id] = connections
                    return connections
            elif connections:
                chosen = self._next(key, id, connections)
                if chosen is not None:
                    return (chosen,)
        return _EMPTY

    def _next(self, key: Key, id: InstanceId, connections: tuple[int, ...]) -> int | None:
        turn = self._turn.get((key, id), self._own)
        for step in range(len(connections)):
            chosen = connections[(turn + step) % len(connections)]
            if chosen != self._own:
                self._turn[key, id] = turn + step + 1
                return chosen
        return None

    def _match_all(self, key: Key, id: InstanceId) -> tuple[int, ...]:
        route = self._snapshot.routes.get(key)
        if route is None:
            return _EMPTY
        local, remote = _candidates(route, id)
        return tuple(c for c in local + remote if c != self._own)


def _candidates(route: Route, id: InstanceId) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Local and remote connections that may serve (name, id)."""
    if id == NO_INSTANCE:
        return route.local_any, route.remote_any
    return route.local_by_id.get(id, _EMPTY), route.remote_by_id.get(id, _EMPTY)
