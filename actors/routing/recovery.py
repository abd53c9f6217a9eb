"""Connections that were lost: whoever comes back in time has his routes again (`dataplane.md` 8)."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from actors.messages.wire import Subscription
from actors.names import Name
from actors.record import record
from actors.routing.pieces import piece_of
from actors.routing.shares import Holder
from actors.routing.table import References

RECOVERY_TIME = 30.0
"""Seconds for which the routes of a lost, negotiated connection are remembered."""
RECOVERY_BOUND = 1024
"""Lost connections remembered at most; the oldest is forgotten first."""
REMEMBERED_BOUND = 65_536
"""Places of the route table that all lost connections together may keep."""


@record
class Lost(NamedTuple):
    """What is kept of a connection that may return."""

    holder: Holder
    names: list[References]
    forwarded: list[Subscription]
    deadline: float
    weight: int
    """The places that its holder has, which may be those of other streams too, and subscriptions."""

    def some(self) -> list[tuple[Name, int]]:
        """Take a piece of the (name, subscription id) pairs away; none at the end."""
        return [(references.name, id) for references in piece_of(self.names) for id in references]


class LostConnections:
    """By link id, in the order of their deadlines, since all are kept equally long."""

    def __init__(self, time: float) -> None:
        self._time = time
        self._lost: OrderedDict[str, Lost] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._lost)

    def keep(
        self,
        link_id: str,
        holder: Holder,
        names: list[References],
        forwarded: list[Subscription],
        *,
        places: int,
        now: float,
    ) -> tuple[Lost | None, list[Lost]]:
        """Remember one, with the `places` of its holder.

        Returns the earlier one of that link, and whoever makes room for it.
        """
        earlier = self.take(link_id)
        weight = places + len(forwarded)
        self._lost[link_id] = Lost(holder, names, forwarded, now + self._time, weight)
        self._weight += weight
        forgotten = []
        while len(self._lost) > RECOVERY_BOUND or self._weight > REMEMBERED_BOUND:
            forgotten.append(self._oldest())
        return earlier, forgotten

    def take(self, link_id: str) -> Lost | None:
        """Who was lost under this link id, and is remembered no longer."""
        lost = self._lost.pop(link_id, None)
        if lost is not None:
            self._weight -= lost.weight
        return lost

    def expired(self, now: float) -> list[Lost]:
        """Those for whom nobody came back."""
        gone = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            gone.append(self._oldest())
        return gone

    def next_deadline(self) -> float | None:
        return next(iter(self._lost.values())).deadline if self._lost else None

    def _oldest(self) -> Lost:
        _, lost = self._lost.popitem(last=False)
        self._weight -= lost.weight
        return lost
