"""Which connections a message goes to (`dataplane.md` 6): the rules, on the table that all read."""

from __future__ import annotations

from collections.abc import Mapping

from thespian.actors import ActorAddress

from actors.memo import Memo
from actors.messages.wire import ONE
from actors.names import InstanceId, Key, Name
from actors.routing.view import Instance, RouteView, Targets

_EMPTY: tuple[int, ...] = ()
_MEMORY_BOUND = 8192


class Router:
    """Routes what arrives on connection `own`. Reads the table; knows nothing of how frames are sent.

    1. fan-out 1: one connection, of the first rank that has another than the one it came from. Without id
       it is anycast: round robin over all connections of the rank. With an id only those subscribed to
       exactly that id.
    2. any other fan-out: one copy to each connection, same id rule.
    3. never back to where it came from. What a node sent is routed by an `InwardView`: never to a node.

    The round robin starts at the connection's own index, so that many senders of one message each do not
    all reach the same instance.
    """

    __slots__ = ("_others", "_own", "_turns", "_view")

    def __init__(self, own: int, view: RouteView) -> None:
        self._own = own
        self._view = view
        self._others: Memo[Instance, tuple[Targets, tuple[int, ...]]] = Memo(_MEMORY_BOUND)
        """All targets of a name but ourselves, who are one of them; true while the targets are the same."""
        self._turns: Memo[Instance, int] = Memo(_MEMORY_BOUND)

    @property
    def addresses(self) -> Mapping[int, ActorAddress]:
        """The actors that put frames out, by connection."""
        return self._view.addresses

    def is_local(self, key: Key, connection: int) -> bool:
        """Whether `connection` is an application of this process that wants messages of this name."""
        targets = self._view.by_name.get(key)
        return targets is not None and connection in targets.local

    def may_serve(self, connection: int, name: Name) -> bool:
        """Whether `connection` leads to `name` as far as is known: only of node links all names are."""
        return self._view.may_serve(connection, name)

    def route(self, key: Key, id: InstanceId, fanout: int) -> tuple[int, ...]:
        """The connections for a message to (key, id); empty when there is no match."""
        view = self._view
        if view.plain:
            # As `find` does: a call less for each message.
            targets = view.by_name.get(key) if id == view.no_instance else view.by_instance.get((key, id))
        else:
            targets = view.find(key, id)
        if targets is None:
            return _EMPTY
        connections = targets.all
        if len(connections) == 1:
            # Nearly always: nothing to choose, whatever the fan-out.
            return connections if connections[0] != self._own else _EMPTY
        if fanout == ONE:
            return self._one(key, id, targets)
        return connections if self._own not in connections else self._all_others(key, id, targets)

    def _all_others(self, key: Key, id: InstanceId, targets: Targets) -> tuple[int, ...]:
        known = self._others.get((key, id))
        if known is not None and known[0] is targets:
            return known[1]
        others = tuple(c for c in targets.all if c != self._own)
        self._others.remember((key, id), (targets, others))
        return others

    def _one(self, key: Key, id: InstanceId, targets: Targets) -> tuple[int, ...]:
        for connections in targets[:4]:
            if len(connections) == 1:
                if connections[0] != self._own:
                    return connections
            elif connections:
                chosen = self._next(key, id, connections)
                if chosen is not None:
                    return (chosen,)
        return _EMPTY

    def _next(self, key: Key, id: InstanceId, connections: tuple[int, ...]) -> int | None:
        turn = self._turns.get((key, id), self._own)
        for step in range(len(connections)):
            chosen = connections[(turn + step) % len(connections)]
            if chosen != self._own:
                self._turns.remember((key, id), turn + step + 1)
                return chosen
        return None
