"""The subscription table (`dataplane.md` 5.1): who wants what, counted, and snapshots of it.

One writer owns it (the RouteTable actor). Readers get immutable `Route` entries: a change builds a new
entry for its name and leaves the old one to whoever still holds it.
"""

from __future__ import annotations

from actors.messages.routing import Route
from actors.names import InstanceId, Key, Name


class SubscriptionNotFound(Exception):
    """Nothing to remove. The text goes into the acknowledgement, nowhere else."""


class SubscriptionTable:
    """Subscriptions by name, with references counted per (name, connection, subscription id).

    `add` is idempotent for the same triple; `remove` takes one reference away, and the entry disappears
    with its last. Names without id are stored under NO_INSTANCE.
    """

    def __init__(self) -> None:
        self._names: dict[Key, dict[InstanceId, dict[int, None]]] = {}
        """Connections, in order, by instance id, by key."""
        self._reach: dict[Key, dict[int, int]] = {}
        """Under how many ids of a key a connection stands; in the order of their first subscription."""
        self._references: dict[int, dict[tuple[Key, InstanceId], dict[int, Name]]] = {}
        """Name by subscription id, by (key, instance id), by connection."""
        self._counts: dict[int, int] = {}
        self.total = 0
        """References to all connections."""
        self._local: set[int] = set()
        self._routes: dict[Key, Route] = {}
        self._stale: dict[Key, set[InstanceId]] = {}
        """Instance ids whose connections changed."""

    def add(self, name: Name, connection: int, subscription_id: int, *, local: bool) -> None:
        """Let messages for `name` go to `connection`."""
        if local:
            self._local.add(connection)
        mine = self._references.setdefault(connection, {})
        references = mine.get((name.key, name.instance))
        if references is None:
            references = mine[name.key, name.instance] = {}
            self._names.setdefault(name.key, {}).setdefault(name.instance, {})[connection] = None
            reach = self._reach.setdefault(name.key, {})
            reach[connection] = reach.get(connection, 0) + 1
            self._stale.setdefault(name.key, set()).add(name.instance)
        elif subscription_id in references:
            return
        references[subscription_id] = name
        self._counts[connection] = self.count(connection) + 1
        self.total += 1

    def remove(self, name: Name, connection: int, subscription_id: int) -> None:
        """Take one reference away. Raises SubscriptionNotFound.

        The reference under id 0, left behind by a client that re-subscribed after a reconnect, goes with
        it; where only that one was there, removing it is a success (`dataplane.md` 8).
        """
        ids = self._names.get(name.key)
        if ids is None:
            raise SubscriptionNotFound("subscription not found")
        if name.instance not in ids:
            raise SubscriptionNotFound("id not found")
        mine = self._references.get(connection, {}).get((name.key, name.instance))
        if not mine:
            raise SubscriptionNotFound("connection id not found")
        gone = mine.keys() & {subscription_id, 0}
        if not gone:
            raise SubscriptionNotFound("subscription id not found")
        for subscription in gone:
            self._forget(name.key, name.instance, connection, subscription)

    def remove_connection(self, connection: int) -> list[tuple[Name, int]]:
        """Forget a connection. Returns the (name, subscription id) pairs that led to it."""
        gone = []
        for (key, id), references in list(self._references.get(connection, {}).items()):
            for subscription, name in list(references.items()):
                gone.append((name, subscription))
                self._forget(key, id, connection, subscription)
        self._local.discard(connection)
        return gone

    def count(self, connection: int) -> int:
        """How many references lead to `connection`: what a limit per peer is checked against."""
        return self._counts.get(connection, 0)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def changed(self) -> bool:
        """Whether `routes()` would differ from its last answer."""
        return bool(self._stale)

    def routes(self) -> dict[Key, Route]:
        """The table as it is now. The mapping is not touched again; a later change makes a new one."""
        if self._stale:
            routes = self._routes.copy()
            for key, changed in self._stale.items():
                if key in self._names:
                    routes[key] = self._patched(key, changed)
                else:
                    routes.pop(key, None)
            self._routes = routes
            self._stale.clear()
        return self._routes

    def _forget(self, key: Key, id: InstanceId, connection: int, subscription: int) -> None:
        mine = self._references[connection]
        del mine[key, id][subscription]
        if not mine[key, id]:
            del mine[key, id]
            self._leave(key, id, connection)
        if not mine:
            del self._references[connection]
        self.total -= 1
        self._counts[connection] -= 1
        if not self._counts[connection]:
            del self._counts[connection]

    def _leave(self, key: Key, id: InstanceId, connection: int) -> None:
        """The last reference of a connection to (key, id) is gone."""
        ids, reach = self._names[key], self._reach[key]
        del ids[id][connection]
        if not ids[id]:
            del ids[id]
        reach[connection] -= 1
        if not reach[connection]:
            del reach[connection]
        if not ids:
            del self._names[key], self._reach[key]
        self._stale.setdefault(key, set()).add(id)

    def _patched(self, key: Key, changed: set[InstanceId]) -> Route:
        """The route of a key, from its last one and the ids that changed: names may have many instances."""
        last = self._routes.get(key)
        local_by_id = last.local_by_id.copy() if last else {}
        remote_by_id = last.remote_by_id.copy() if last else {}
        ids, ours = self._names[key], self._local
        for id in changed:
            connections = ids.get(id, ())
            for by_id, here in ((local_by_id, True), (remote_by_id, False)):
                found = tuple(c for c in connections if (c in ours) is here)
                if found:
                    by_id[id] = found
                else:
                    by_id.pop(id, None)
        reach = self._reach[key]
        return Route(
            tuple(c for c in reach if c in ours),
            tuple(c for c in reach if c not in ours),
            local_by_id,
            remote_by_id,
        )
