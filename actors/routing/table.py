"""The subscription table (`dataplane.md` 5.1): who wants what, counted, and snapshots of it.

One writer owns it (the RouteTable actor). Readers get immutable `Route` entries: a change builds a new
entry for its name and leaves the old one to whoever still holds it.
"""

from __future__ import annotations

from actors.messages.routing import Route
from actors.names import Key, Name

Reference = tuple[int, int]
"""One reference: (connection, subscription id)."""


class SubscriptionNotFound(Exception):
    """Nothing to remove. The text goes into the acknowledgement, nowhere else."""


class SubscriptionTable:
    """Subscriptions by name, with references counted per (name, connection, subscription id).

    `add` is idempotent for the same triple; `remove` takes one reference away, and the entry disappears
    with its last. Names without id are stored under NO_ID.
    """

    def __init__(self) -> None:
        self._references: dict[Key, dict[int, dict[Reference, Name]]] = {}
        self._by_connection: dict[int, dict[tuple[Key, int], set[int]]] = {}
        self._counts: dict[int, int] = {}
        self._local: set[int] = set()
        self._routes: dict[Key, Route] = {}
        self._stale: set[Key] = set()

    def add(self, name: Name, connection: int, subscription_id: int, *, local: bool) -> None:
        """Let messages for `name` go to `connection`."""
        if local:
            self._local.add(connection)
        references = self._references.setdefault(name.key, {}).setdefault(name.id, {})
        if (connection, subscription_id) in references:
            return
        references[connection, subscription_id] = name
        self._by_connection.setdefault(connection, {}).setdefault((name.key, name.id), set()).add(
            subscription_id
        )
        self._counts[connection] = self.count(connection) + 1
        self._stale.add(name.key)

    def remove(self, name: Name, connection: int, subscription_id: int) -> None:
        """Take one reference away. Raises SubscriptionNotFound.

        The reference under id 0, left behind by a client that re-subscribed after a reconnect, goes with
        it; where only that one was there, removing it is a success (`dataplane.md` 8).
        """
        ids = self._references.get(name.key)
        if ids is None:
            raise SubscriptionNotFound("subscription not found")
        references = ids.get(name.id)
        if references is None:
            raise SubscriptionNotFound("id not found")
        mine = self._by_connection.get(connection, {}).get((name.key, name.id))
        if not mine:
            raise SubscriptionNotFound("connection id not found")
        gone = mine & {subscription_id, 0}
        if not gone:
            raise SubscriptionNotFound("subscription id not found")
        for subscription in gone:
            self._forget(name.key, name.id, connection, subscription)

    def remove_connection(self, connection: int) -> list[tuple[Name, int]]:
        """Forget a connection. Returns the (name, subscription id) pairs that led to it."""
        gone = []
        for (key, id), subscriptions in list(self._by_connection.get(connection, {}).items()):
            for subscription in list(subscriptions):
                gone.append((self._references[key][id][connection, subscription], subscription))
                self._forget(key, id, connection, subscription)
        self._local.discard(connection)
        return gone

    def count(self, connection: int) -> int:
        """How many references lead to `connection`: what a limit per peer is checked against."""
        return self._counts.get(connection, 0)

    def __len__(self) -> int:
        return len(self._references)

    @property
    def changed(self) -> bool:
        """Whether `routes()` would differ from its last answer."""
        return bool(self._stale)

    def routes(self) -> dict[Key, Route]:
        """The table as it is now. The mapping is not touched again; a later change makes a new one."""
        if self._stale:
            routes = self._routes.copy()
            for key in self._stale:
                ids = self._references.get(key)
                if ids is None:
                    routes.pop(key, None)
                else:
                    routes[key] = self._route(ids)
            self._routes = routes
            self._stale.clear()
        return self._routes

    def _forget(self, key: Key, id: int, connection: int, subscription: int) -> None:
        ids = self._references[key]
        del ids[id][connection, subscription]
        if not ids[id]:
            del ids[id]
        if not ids:
            del self._references[key]
        mine = self._by_connection[connection]
        mine[key, id].discard(subscription)
        if not mine[key, id]:
            del mine[key, id]
        if not mine:
            del self._by_connection[connection]
        self._counts[connection] -= 1
        if not self._counts[connection]:
            del self._counts[connection]
        self._stale.add(key)

    def _route(self, ids: dict[int, dict[Reference, Name]]) -> Route:
        local_by_id: dict[int, tuple[int, ...]] = {}
        remote_by_id: dict[int, tuple[int, ...]] = {}
        for id, references in ids.items():
            connections = dict.fromkeys(connection for connection, _ in references)
            if local := tuple(c for c in connections if c in self._local):
                local_by_id[id] = local
            if remote := tuple(c for c in connections if c not in self._local):
                remote_by_id[id] = remote
        return Route(_union(local_by_id), _union(remote_by_id), local_by_id, remote_by_id)


def _union(by_id: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(c for connections in by_id.values() for c in connections))
