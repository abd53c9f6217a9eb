"""What those who route see of the subscription table: which connections a name leads to, as it is now.

One object for a whole loop, with one writer, the table (`actors/routing/table.py`). Everybody else reads it,
gets it when spawned and never in a message. What it holds are immutable values: a change puts new Targets in
the place of old ones, so that whoever took them out may go on with them, and tell by identity that they aged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from thespian.actors import ActorAddress

from actors.names import NO_INSTANCE, InstanceId, Key

Instance = tuple[Key, InstanceId]
"""A name with its instance id; NO_INSTANCE for those who subscribed the name alone."""


class Targets(NamedTuple):
    """The connections that a name leads to, each once, in the order of their first subscription."""

    local: tuple[int, ...] = ()
    """Applications of this process."""
    remote: tuple[int, ...] = ()
    all: tuple[int, ...] = ()
    """Local ones first."""

    def having(self, connection: int, *, local: bool) -> Targets:
        """These and one more."""
        if local:
            ours = (*self.local, connection)
            return Targets(ours, self.remote, ours + self.remote)
        theirs = (*self.remote, connection)
        return Targets(self.local, theirs, self.local + theirs)

    def without(self, connection: int) -> Targets | None:
        """These but one, which is among them; None when nobody is left."""
        if connection in self.local:
            ours, theirs = _without(self.local, connection), self.remote
        else:
            ours, theirs = self.local, _without(self.remote, connection)
        return Targets(ours, theirs, ours + theirs) if ours or theirs else None


class RouteView:
    """The table to read. Only the table that made it changes what is in it."""

    __slots__ = ("addresses", "by_instance", "by_name")

    def __init__(
        self,
        by_name: Mapping[Key, Targets],
        by_instance: Mapping[Instance, Targets],
        addresses: Mapping[int, ActorAddress],
    ) -> None:
        self.by_name = by_name
        """Everybody who subscribed a name, under whatever id."""
        self.by_instance = by_instance
        """Those who subscribed it under exactly this id."""
        self.addresses = addresses
        """The actor that puts frames out on a connection."""

    def find(self, key: Key, id: InstanceId) -> Targets | None:
        """Who may serve a message to (key, id): without id everybody, else those with exactly that id."""
        return self.by_name.get(key) if id == NO_INSTANCE else self.by_instance.get((key, id))


def _without(connections: tuple[int, ...], connection: int) -> tuple[int, ...]:
    at = connections.index(connection)
    return connections[:at] + connections[at + 1 :]
