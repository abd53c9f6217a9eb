"""What a node wants of the backbone (`backbone.md`): a name while at least one of its edges has it. Pure.

    RoutesChanged ──► counted by name ──► the first edge came? the last one went? ──► wanted, wanted no more

Who has a name under an id takes messages for that id, and those for the name without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.messages.routing import RouteEntry
from actors.names import NO_INSTANCE
from actors.routing.view import Instance


class Interest:
    """Counts edges. What came and went between two looks is no change."""

    def __init__(self) -> None:
        self._edges: dict[Instance, dict[int, int]] = {}
        """By what is wanted: the edges that have it, and under how many ids each."""
        self._entries: set[tuple[Instance, int]] = set()
        self._told: set[Instance] = set()
        self._touched: dict[Instance, None] = {}

    def take(self, entries: Iterable[RouteEntry], *, complete: bool = False) -> None:
        """Note what the route table told; `complete`: there is nothing else."""
        if complete:
            self._touched |= dict.fromkeys(self._edges)
            self._edges.clear()
            self._entries.clear()
        for name, connection, _, present, edge in entries:
            entry = ((name.key, name.instance), connection)
            if edge and present is not (entry in self._entries):
                (self._entries.add if present else self._entries.discard)(entry)
                for wanted in dict.fromkeys((entry[0], (name.key, NO_INSTANCE))):
                    self._count(wanted, connection, 1 if present else -1)

    def _count(self, wanted: Instance, connection: int, by: int) -> None:
        self._touched[wanted] = None
        edges = self._edges.setdefault(wanted, {})
        edges[connection] = edges.get(connection, 0) + by
        if not edges[connection]:
            del edges[connection]
            if not edges:
                del self._edges[wanted]

    def changes(self) -> Mapping[Instance, bool]:
        """What is wanted since the last look, or no more."""
        touched, self._touched = self._touched, {}
        changed = {}
        for wanted in touched:
            present = wanted in self._edges
            if present is not (wanted in self._told):
                changed[wanted] = present
                (self._told.add if present else self._told.discard)(wanted)
        return changed
