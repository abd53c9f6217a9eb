"""Fair shares of the route table: who may have how many of its places.

    places of the node   [ shared by all ...................... | reserve ]
    of one peer          [ at most PEER_BOUND                             ]

1. A name costs a place for each kilobyte that its text may take, at least one: long names are not cheap.
2. One peer, which is a TCP connection with all its streams, or one application of this process, has at most
   PEER_BOUND places.
3. When only the reserve is left, it goes to those who have less than SMALL places: whoever comes last still
   gets its few names, however many others were taken before.
4. Routes that wait for a lost peer to return count like a peer's own.
5. Names with an instance id are those of applications; of these one peer may have fewer.
6. What a node tells of its edges is no peer's share: it counts against the places of the node, but for the
   reserve.
"""

from __future__ import annotations

from actors.names import Name

PEER_BOUND = 65_536
NODE_BOUND = 8 * PEER_BOUND
"""Places of all peers together. One with a short name takes up to 1 KiB."""
RESERVE = PEER_BOUND
SMALL = 1024
NAME_BOUND = 4096
"""Characters of a name that may be subscribed to."""

_PLACE = 256
"""Characters, of up to four bytes each, that one place pays for."""

Holder = str | int
"""A peer, by what its streams have in common; a connection that stands alone, by its index."""


def places(name: Name) -> int:
    """What a subscription of `name` costs."""
    return 1 + sum(map(len, name.strings)) // _PLACE


class Shares:
    """The places that are taken, by holder."""

    def __init__(
        self,
        *,
        node: int = NODE_BOUND,
        peer: int = PEER_BOUND,
        reserve: int = RESERVE,
        applications: int | None = None,
    ) -> None:
        self._reserve = reserve
        self.limit(node=node, peer=peer, applications=applications)
        self._held: dict[Holder, int] = {}
        self._applications: dict[Holder, int] = {}
        self.total = 0
        self.refusals = dict.fromkeys(("name", "peer", "applications", "node"), 0)
        """By what was full."""

    def limit(self, *, node: int, peer: int, applications: int | None) -> None:
        """Other limits are in force; who has more keeps it."""
        self.most, self.most_of_peer, self.most_applications = node, peer, applications

    @property
    def refused(self) -> int:
        """How often a name got no place."""
        return sum(self.refusals.values())

    @property
    def largest_held(self) -> int:
        """The places of who has most."""
        return max(self._held.values(), default=0)

    @property
    def largest_applications(self) -> int:
        """The applications of who has most."""
        return max(self._applications.values(), default=0)

    def held(self, holder: Holder) -> int:
        return self._held.get(holder, 0)

    def acquire(self, holder: Holder, name: Name, *, node_link: bool = False) -> str:
        """Take the places for `name`, or say why not: the text is for the acknowledgement."""
        if sum(map(len, name.strings)) > NAME_BOUND:
            self.refusals["name"] += 1
            return f"the name has more than {NAME_BOUND} characters"
        cost, mine = places(name), self.held(holder)
        if mine + cost > self.most_of_peer and not node_link:
            self.refusals["peer"] += 1
            return f"this peer holds its {self.most_of_peer} subscriptions"
        brought = self._applications.get(holder, 0) + name.has_id
        if self.most_applications is not None and brought > self.most_applications and not node_link:
            self.refusals["applications"] += 1
            return f"this peer has its {self.most_applications} applications"
        left = self.most - self.total - cost
        if left < 0 or (left < self._reserve and (node_link or mine + cost > SMALL)):
            self.refusals["node"] += 1
            return f"the node holds its {self.most} subscriptions"
        if name.has_id:
            self._applications[holder] = brought
        self._held[holder] = mine + cost
        self.total += cost
        return ""

    def release(self, holder: Holder, name: Name) -> None:
        """Give the places of `name` back."""
        cost = places(name)
        self.total -= cost
        if name.has_id:
            fewer = self._applications[holder] - 1
            if fewer:
                self._applications[holder] = fewer
            else:
                del self._applications[holder]
        left = self._held[holder] - cost
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]
