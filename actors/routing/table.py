"""The subscription table (`dataplane.md` 5.1): who wants what, counted.

One writer owns it (the RouteTable actor); everybody who routes reads its `view`. A subscription costs the
same however many names and connections there are, up to the copy of the connections of its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from thespian.actors import ActorAddress

from actors.names import Key, Name
from actors.routing.view import Instance, RouteView, Targets

_NOBODY = Targets()


class SubscriptionNotFound(Exception):
    """Nothing to remove. The text goes into the acknowledgement, nowhere else."""


class Change(NamedTuple):
    """A connection began or ceased to be a target of (key, id)."""

    name: Name
    connection: int
    local: bool
    present: bool


class _References:
    """The subscription ids under which one connection wants one (key, id). There is nearly always one."""

    __slots__ = ("first", "more", "name")

    def __init__(self, name: Name, first: int) -> None:
        self.name = name
        self.first = first
        self.more: set[int] | None = None

    def __contains__(self, id: int) -> bool:
        return id == self.first or (self.more is not None and id in self.more)

    def __iter__(self) -> Iterator[int]:
        yield self.first
        yield from self.more or ()

    def add(self, id: int) -> None:
        if self.more is None:
            self.more = set()
        self.more.add(id)

    def discard(self, id: int) -> bool:
        """Take one away that is there. Returns whether none is left."""
        if id != self.first:
            assert self.more is not None
            self.more.discard(id)
        elif self.more:
            self.first = self.more.pop()
        else:
            return True
        return False


class SubscriptionTable:
    """Subscriptions by name, with references counted per (name, connection, subscription id).

    `add` is idempotent for the same triple; `remove` takes one reference away, and the entry disappears
    with its last. Names without id are stored under NO_INSTANCE.
    """

    def __init__(self) -> None:
        self._by_name: dict[Key, Targets] = {}
        self._by_instance: dict[Instance, Targets] = {}
        self._addresses: dict[int, ActorAddress] = {}
        self.view = RouteView(self._by_name, self._by_instance, self._addresses)
        self._references: dict[int, dict[Instance, _References]] = {}
        """By connection."""
        self._further: dict[tuple[Key, int], int] = {}
        """How many ids of a key a connection stands under beyond its first, where it does."""
        self._local: set[int] = set()
        self._changes: dict[tuple[Instance, int], Change] | None = None

    # Connections

    def attach(self, connection: int, address: ActorAddress, *, local: bool) -> None:
        """Frames for `connection` go to `address` from now on."""
        self._addresses[connection] = address
        if local:
            self._local.add(connection)

    def detach(self, connection: int) -> list[tuple[Name, int]]:
        """Forget a connection. Returns the (name, subscription id) pairs that led to it."""
        gone = [
            (references.name, id)
            for references in self._references.get(connection, {}).values()
            for id in references
        ]
        for instance, references in self._references.pop(connection, {}).items():
            self._leave(instance, connection, references.name)
        self._addresses.pop(connection, None)
        self._local.discard(connection)
        return gone

    # Subscriptions

    def add(self, name: Name, connection: int, subscription_id: int) -> bool:
        """Let messages for `name` go to `connection`. Returns False when it was so already."""
        instance = (name.key, name.instance)
        mine = self._references.setdefault(connection, {})
        references = mine.get(instance)
        if references is None:
            mine[instance] = _References(name, subscription_id)
            self._join(instance, connection, name)
            return True
        if subscription_id in references:
            return False
        references.add(subscription_id)
        return True

    def remove(self, name: Name, connection: int, subscription_id: int) -> int:
        """Take one reference away. Returns how many went. Raises SubscriptionNotFound.

        The reference under id 0, left behind by a client that re-subscribed after a reconnect, goes with
        it; where only that one was there, removing it is a success (`dataplane.md` 8).
        """
        instance = (name.key, name.instance)
        if name.key not in self._by_name:
            raise SubscriptionNotFound("subscription not found")
        if instance not in self._by_instance:
            raise SubscriptionNotFound("id not found")
        mine = self._references.get(connection, {})
        references = mine.get(instance)
        if references is None:
            raise SubscriptionNotFound("connection id not found")
        gone = [id for id in {subscription_id, 0} if id in references]
        if not gone:
            raise SubscriptionNotFound("subscription id not found")
        for id in gone:
            if references.discard(id):
                del mine[instance]
                self._leave(instance, connection, references.name)
        return len(gone)

    def __len__(self) -> int:
        return len(self._by_name)

    # Changes, for those who follow the table from elsewhere

    def record_changes(self) -> list[Change]:
        """Keep changes for `changes` from now on. Returns all there is so far, as if it had just come."""
        if self._changes is None:
            self._changes = {}
        return [
            Change(references.name, connection, connection in self._local, True)
            for connection, mine in self._references.items()
            for references in mine.values()
        ]

    def changes(self) -> list[Change]:
        """What changed since the last call; what came and went in between is not in it."""
        if not self._changes:
            return []
        changes, self._changes = self._changes, {}
        return list(changes.values())

    def _changed(self, instance: Instance, connection: int, name: Name, *, present: bool) -> None:
        if self._changes is None:
            return
        where = (instance, connection)
        before = self._changes.pop(where, None)
        if before is None or before.present is present:
            self._changes[where] = Change(name, connection, connection in self._local, present)

    def _join(self, instance: Instance, connection: int, name: Name) -> None:
        """The first reference of a connection to (key, id)."""
        key, local = instance[0], connection in self._local
        exact, anyone = self._by_instance.get(instance), self._by_name.get(key)
        joined = self._by_instance[instance] = (exact or _NOBODY).having(connection, local=local)
        if anyone is exact:
            # Nobody stands under another id of the key: one value serves both.
            self._by_name[key] = joined
        else:
            assert anyone is not None, "a key without any instance"
            if connection in anyone.all:
                self._further[key, connection] = self._further.get((key, connection), 0) + 1
            else:
                self._by_name[key] = anyone.having(connection, local=local)
        self._changed(instance, connection, name, present=True)

    def _leave(self, instance: Instance, connection: int, name: Name) -> None:
        """The last reference of a connection to (key, id) is gone."""
        key = instance[0]
        exact, anyone = self._by_instance[instance], self._by_name[key]
        left = exact.without(connection)
        if left is None:
            del self._by_instance[instance]
        else:
            self._by_instance[instance] = left
        further = self._further.pop((key, connection), 0)
        if further > 1:
            self._further[key, connection] = further - 1
        if not further:
            remaining = left if anyone is exact else anyone.without(connection)
            if remaining is None:
                del self._by_name[key]
            else:
                self._by_name[key] = remaining
        self._changed(instance, connection, name, present=False)
