"""What the sessions of one process have learned of where their peers are, beside the subscription table.

An application that is invited by another one of its process knows of the other members only that one: where
they are, that one has found out. So what sessions bind is shared within a process, by session and name; it is
no route of the node, and nothing that comes in is passed on by it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from actors.names import Name


class Bindings:
    """Each application writes what its own sessions bound, all read."""

    __slots__ = ("_found", "_of", "local", "version")

    def __init__(self) -> None:
        self.version = 0
        """Another one whenever something has changed."""
        self.local: set[int] = set()
        """The connections that are applications of this process: they lead to nobody but those."""
        self._found: dict[tuple[int, Name], dict[int, tuple[int, ...]]] = {}
        """Connections by session and name, and by who bound them."""
        self._of: dict[int, set[tuple[int, Name]]] = {}
        """What each has bound."""

    def join(self, own: int) -> None:
        """The connection `own` is an application, and begins with nothing bound."""
        self.leave(own)
        self.local.add(own)

    def leave(self, own: int) -> None:
        """The application `own` is over, and what its sessions bound."""
        self.local.discard(own)
        for key in self._of.pop(own, ()):
            self._drop(own, key)
        self.version += 1

    def put(self, own: int, session_id: int, name: Name, connections: tuple[int, ...]) -> None:
        """A session of the application `own` reaches `name` over these; over none any more."""
        key = session_id, name
        if connections:
            self._found.setdefault(key, {})[own] = connections
            self._of.setdefault(own, set()).add(key)
        elif key in (mine := self._of.get(own, set())):
            mine.discard(key)
            if not mine:
                del self._of[own]
            self._drop(own, key)
        self.version += 1

    def _drop(self, own: int, key: tuple[int, Name]) -> None:
        by_owner = self._found[key]
        del by_owner[own]
        if not by_owner:
            del self._found[key]

    def routes(
        self, bound: Iterable[int], session_id: int, name: Name, alive: Container[int]
    ) -> tuple[int, ...]:
        """The connections to `name`, the best first, for a session that has `bound` these itself.

        If it was told by applications of its process alone, what their sessions know counts too.
        """
        local = self.local
        near = [connection for connection in bound if connection in alive]
        far = [connection for connection in near if connection not in local]
        if not far:
            for connections in self._found.get((session_id, name), {}).values():
                far += (c for c in connections if c in alive and c not in local and c not in far)
        return (*far, *(connection for connection in near if connection in local))
