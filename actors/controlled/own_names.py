"""Which names lead where, with their texts, and which of them are this node's own (`controller.md` 4, 4.2).

A name is the node's own while an edge has it: an application of this process, or one that dialled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from actors.messages.controller import Held, Triple
from actors.messages.routing import RouteEntry
from actors.names import Name

CONTROLLER = Name("controller", "controller", "controller", 0)
"""Who gives orders to moderators; every node has it, so nobody is told."""

Changed = tuple[tuple[Held, ...], tuple[Held, ...]]
"""Names gained, and names lost."""


def held(name: Name) -> Held:
    """A name as controllers know it."""
    return Held(name.strings, name.id if name.has_id else None)


class OwnNames:
    """A copy of the route table that knows texts. `is_edge` tells of a connection whether it is one."""

    def __init__(self, is_edge: Callable[[int], bool]) -> None:
        self._is_edge = is_edge
        self._places: dict[Name, dict[int, bool]] = {}
        """By name, the connections that it leads to, and whether each is an edge."""

    def take(self, entries: Iterable[RouteEntry], *, complete: bool = False) -> Changed:
        """What the table tells; what that changes about our own names. Names without texts are left out."""
        before = dict.fromkeys(self._own(), True) if complete else {}
        touched: dict[Name, bool] = dict(before)
        if complete:
            self._places = {}
        for name, connection, local, present, edge in entries:
            if not all(name.strings) or name.key == CONTROLLER.key:
                continue
            touched.setdefault(name, name in before or self._is_own(name))
            places = self._places.setdefault(name, {})
            if present:
                places[connection] = local or (edge and self._is_edge(connection))
            else:
                places.pop(connection, None)
            if not places:
                del self._places[name]
        gained = tuple(held(name) for name, was in touched.items() if not was and self._is_own(name))
        lost = tuple(held(name) for name, was in touched.items() if was and not self._is_own(name))
        return gained, lost

    def own(self) -> tuple[Held, ...]:
        """All names of ours."""
        return tuple(map(held, self._own()))

    def entries(self) -> tuple[RouteEntry, ...]:
        """Everything; `local` where it leads to an edge."""
        return tuple(
            RouteEntry(name, connection, edge)
            for name, places in self._places.items()
            for connection, edge in places.items()
        )

    def instance(self, name: Triple, id: int | None) -> int | None:
        """The instance of an application of ours: the one asked for, else the first in the order of ids.

        None when there is none.
        """
        key = Name(*name).key
        found = sorted(one.id for one in self._own() if one.key == key and one.has_id)
        if id is None:
            return found[0] if found else None
        return id if id in found else None

    def _own(self) -> Iterator[Name]:
        return (name for name in self._places if self._is_own(name))

    def _is_own(self, name: Name) -> bool:
        return any(self._places.get(name, {}).values())
