"""The subscription table (`dataplane.md` 5.1): who wants what, counted.

One writer owns it (the RouteTable actor); everybody who routes reads its `view`. A subscription costs the
same however many names and connections there are, up to the copy of the connections of its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from thespian.actors import ActorAddress

from actors.names import NO_INSTANCE, InstanceId, Key, Name
from actors.record import record
from actors.routing.view import Instance, Rank, RouteView, Targets

_NOBODY = Targets()

_Slot = int
"""A connection with what it told itself; `~connection` with the routes by hand that name it."""


class SubscriptionNotFound(Exception):
    """Nothing to remove. The text goes into the acknowledgement, nowhere else."""


@record
class Change(NamedTuple):
    """A connection began or ceased to be a target of (key, id)."""

    name: Name
    connection: int
    rank: Rank
    present: bool


class References:
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


class Departure:
    """What led to a connection that is gone, or was told by a node that is: to be forgotten bit by bit."""

    __slots__ = ("overtaken", "rank", "references", "slot")

    def __init__(self, slot: _Slot, rank: Rank, references: dict[Instance, References]) -> None:
        self.slot = slot
        self.rank = rank
        self.references = references
        self.overtaken: list[tuple[Name, int]] = []
        """What was told again meanwhile."""

    def names(self) -> list[References]:
        """What is left of it, each name once."""
        return list(self.references.values())


class SubscriptionTable:
    """Subscriptions by name, with references counted per (name, connection, subscription id).

    `add` is idempotent for the same triple; `remove` takes one reference away, and the entry disappears
    with its last. Names without id are stored under `no_instance`, which is their family's.
    """

    def __init__(self, no_instance: InstanceId = NO_INSTANCE) -> None:
        self._by_name: dict[Key, Targets] = {}
        self._by_instance: dict[Instance, Targets] = {}
        self._addresses: dict[int, ActorAddress] = {}
        self._node_links: dict[int, str] = {}
        self._patterns: dict[bytes, tuple[int, ...]] = {}
        self.view = RouteView(
            self._by_name,
            self._by_instance,
            self._addresses,
            self._node_links,
            self._patterns,
            no_instance,
        )
        self._references: dict[_Slot, dict[Instance, References]] = {}
        self._further: dict[tuple[Key, _Slot, Rank], int] = {}
        """How many ids of a key a connection stands under beyond its first, where it does."""
        self._ranks: dict[int, Rank] = {}
        self._departures: dict[_Slot, list[Departure]] = {}
        """What is not yet forgotten."""
        self._changes: dict[tuple[Instance, _Slot, Rank], Change] | None = None

    # Connections

    def attach(self, connection: int, address: ActorAddress, rank: Rank) -> None:
        """Frames for `connection` go to `address` from now on; names that it tells have this rank."""
        self._addresses[connection] = address
        self._ranks[connection] = rank

    def link(self, connection: int, node_id: str) -> None:
        """`connection` is a node link: what it told so far, and will tell, are names of a peer."""
        self._node_links[connection] = node_id
        told = self._references.pop(connection, {})
        for instance, references in told.items():
            self._leave(instance, connection, references.name, self._rank(connection))
        self._ranks[connection] = Rank.PEER
        for instance, references in told.items():
            self._references.setdefault(connection, {})[instance] = references
            self._join(instance, connection, references.name)

    def unlink(self, connection: int) -> list[Departure]:
        """The node at the other end is no peer any more, or not over this connection.

        Returns what it told, which is to be forgotten.
        """
        self._node_links.pop(connection, None)
        told = self._depart(connection)
        self._ranks[connection] = Rank.BY_HAND
        return told

    def detach(self, connection: int) -> list[Departure]:
        """A connection is gone. Returns what led to it, which is to be forgotten.

        Until then its address stays: what is sent there meets an actor that is gone, as what was under way.
        """
        gone = self._depart(connection) + self._depart(~connection)
        for prefix in [prefix for prefix, those in self._patterns.items() if connection in those]:
            self.remove_pattern(prefix, connection)
        self._node_links.pop(connection, None)
        self._ranks.pop(connection, None)
        self._drop_address(connection)
        return gone

    def _drop_address(self, connection: int) -> None:
        """Nobody is sent to a connection that is gone, once nothing leads to it."""
        departing = connection in self._departures or ~connection in self._departures
        if not departing and connection not in self._ranks:
            self._addresses.pop(connection, None)

    def _depart(self, slot: _Slot) -> list[Departure]:
        references = self._references.pop(slot, None)
        if not references:
            return []
        departure = Departure(slot, self._rank(slot), references)
        self._departures.setdefault(slot, []).append(departure)
        return [departure]

    def forget(self, departure: Departure, most: int) -> list[tuple[Name, int]]:
        """Forget some `most` names of it. Returns their (name, subscription id) pairs; none at its end."""
        gone, departure.overtaken = departure.overtaken, []
        while departure.references and len(gone) < most:
            instance, references = departure.references.popitem()
            gone += self._forget(departure, instance, references)
        if not departure.references:
            self._over(departure)
        return gone

    def _forget(
        self, departure: Departure, instance: Instance, references: References
    ) -> list[tuple[Name, int]]:
        self._leave(instance, departure.slot, references.name, departure.rank)
        return [(references.name, id) for id in references]

    def _over(self, departure: Departure) -> None:
        left = [one for one in self._departures.get(departure.slot, ()) if one is not departure]
        if left:
            self._departures[departure.slot] = left
        else:
            self._departures.pop(departure.slot, None)
            self._drop_address(_connection(departure.slot))

    def _overtake(self, instance: Instance, slot: _Slot) -> None:
        """A name is told again that was about to be forgotten."""
        for departure in self._departures[slot]:
            references = departure.references.pop(instance, None)
            if references is not None:
                departure.overtaken += self._forget(departure, instance, references)

    def _slot(self, connection: int, by_hand: bool) -> _Slot:
        return ~connection if by_hand and self._ranks.get(connection, Rank.EDGE) > Rank.EDGE else connection

    def _rank(self, slot: _Slot) -> Rank:
        return Rank.BY_HAND if slot < 0 else self._ranks.get(slot, Rank.EDGE)

    # Subscriptions

    def add(self, name: Name, connection: int, subscription_id: int, *, by_hand: bool = False) -> bool:
        """Let messages for `name` go to `connection`. Returns False when it was so already.

        `by_hand`: not the other end wants them, but somebody here made a route.
        """
        instance = (name.key, name.instance)
        slot = self._slot(connection, by_hand)
        mine = self._references.setdefault(slot, {})
        references = mine.get(instance)
        if references is None:
            if slot in self._departures:
                self._overtake(instance, slot)
            mine[instance] = References(name, subscription_id)
            self._join(instance, slot, name)
            return True
        if subscription_id in references:
            return False
        references.add(subscription_id)
        return True

    def remove(self, name: Name, connection: int, subscription_id: int, *, by_hand: bool = False) -> int:
        """Take one reference away. Returns how many went. Raises SubscriptionNotFound.

        The reference under id 0, left behind by a client that re-subscribed after a reconnect, goes with
        it; where only that one was there, removing it is a success (`dataplane.md` 8).
        """
        instance = (name.key, name.instance)
        if name.key not in self._by_name:
            raise SubscriptionNotFound("subscription not found")
        if instance not in self._by_instance:
            raise SubscriptionNotFound("id not found")
        slot = self._slot(connection, by_hand)
        mine = self._references.get(slot, {})
        references = mine.get(instance)
        if references is None:
            raise SubscriptionNotFound("connection id not found")
        gone = [id for id in {subscription_id, 0} if id in references]
        if not gone:
            raise SubscriptionNotFound("subscription id not found")
        for id in gone:
            if references.discard(id):
                del mine[instance]
                self._leave(instance, slot, references.name, self._rank(slot))
        return len(gone)

    def told_by(self, connection: int) -> list[References]:
        """What the other end of a connection subscribed."""
        return list(self._references.get(connection, {}).values())

    # Routes by hand for many names

    def add_pattern(self, prefix: bytes, connection: int) -> bool:
        """All names whose key begins with `prefix` lead to `connection`. Returns False when they did."""
        known = self._patterns.get(prefix, ())
        if connection in known:
            return False
        self._patterns[prefix] = (*known, connection)
        self._age(prefix)
        return True

    def remove_pattern(self, prefix: bytes, connection: int) -> bool:
        """Undo `add_pattern`. Returns False when there is no such route."""
        known = self._patterns.get(prefix, ())
        if connection not in known:
            return False
        left = tuple(one for one in known if one != connection)
        if left:
            self._patterns[prefix] = left
        else:
            del self._patterns[prefix]
        self._age(prefix)
        return True

    def _age(self, prefix: bytes) -> None:
        """What names that begin so lead to has changed: whoever remembers their targets looks again."""
        self.view.follow_patterns(follow=bool(self._patterns))
        fresh: dict[int, Targets] = {}
        for key, targets in self._by_name.items():
            if key.startswith(prefix):
                self._by_name[key] = fresh.setdefault(id(targets), Targets(*targets))
        for instance, targets in self._by_instance.items():
            if instance[0].startswith(prefix):
                # One value may serve both.
                self._by_instance[instance] = fresh.setdefault(id(targets), Targets(*targets))

    def __len__(self) -> int:
        return len(self._by_name)

    # Looking

    def tellers(self) -> list[int]:
        """The connections that names lead to, ascending."""
        return sorted({_connection(slot) for slot in self._references})

    def told(self, connection: int, start: int = 0) -> Iterator[tuple[Name, Rank, int]]:
        """The names that lead to a connection from the `start`th on, each with its rank and how many
        subscriptions there are. The table may change meanwhile: these are those of the first `next`.
        """
        own, by_hand = self._references.get(connection, {}), self._references.get(~connection, {})
        whole = [*own.values(), *by_hand.values()]
        for at in range(start, len(whole)):
            references = whole[at]
            slot = connection if at < len(own) else ~connection
            yield references.name, self._rank(slot), 1 + len(references.more or ())

    def names(self, connection: int) -> int:
        """How many names a connection told."""
        return len(self._references.get(connection, ()))

    # Changes, for those who follow the table from elsewhere

    def record_changes(self) -> list[Change]:
        """Keep changes for `changes` from now on. Returns all there is so far, as if it had just come."""
        if self._changes is None:
            self._changes = {}
        return [
            Change(references.name, _connection(slot), self._rank(slot), True)
            for slot, mine in self._references.items()
            for references in mine.values()
        ]

    def changes(self) -> list[Change]:
        """What changed since the last call; what came and went in between is not in it."""
        if not self._changes:
            return []
        changes, self._changes = self._changes, {}
        return list(changes.values())

    def _changed(self, instance: Instance, slot: _Slot, name: Name, rank: Rank, *, present: bool) -> None:
        if self._changes is None:
            return
        where = (instance, slot, rank)
        before = self._changes.pop(where, None)
        if before is None or before.present is present:
            self._changes[where] = Change(name, _connection(slot), rank, present)

    def _join(self, instance: Instance, slot: _Slot, name: Name) -> None:
        """The first reference of a connection to (key, id)."""
        key, connection, rank = instance[0], _connection(slot), self._rank(slot)
        exact, anyone = self._by_instance.get(instance), self._by_name.get(key)
        joined = self._by_instance[instance] = (exact or _NOBODY).having(connection, rank)
        if anyone is exact:
            # Nobody stands under another id of the key: one value serves both.
            self._by_name[key] = joined
        else:
            assert anyone is not None, "a key without any instance"
            if connection in anyone[rank]:
                self._further[key, slot, rank] = self._further.get((key, slot, rank), 0) + 1
            else:
                self._by_name[key] = anyone.having(connection, rank)
        self._changed(instance, slot, name, rank, present=True)

    def _leave(self, instance: Instance, slot: _Slot, name: Name, rank: Rank) -> None:
        """The last reference of a connection to (key, id) is gone."""
        key, connection = instance[0], _connection(slot)
        exact, anyone = self._by_instance[instance], self._by_name[key]
        left = exact.without(connection, rank)
        if left is None:
            del self._by_instance[instance]
        else:
            self._by_instance[instance] = left
        further = self._further.pop((key, slot, rank), 0)
        if further > 1:
            self._further[key, slot, rank] = further - 1
        if not further:
            remaining = left if anyone is exact else anyone.without(connection, rank)
            if remaining is None:
                del self._by_name[key]
            else:
                self._by_name[key] = remaining
        self._changed(instance, slot, name, rank, present=False)


def _connection(slot: _Slot) -> int:
    return slot if slot >= 0 else ~slot
