"""How many bytes may wait to be sent, on a node and on one of its connections.

    put ──►  [ stream ][ stream ] ...   each with a bound of its own (`outbox`)
               connection's budget ┤
                     node's budget ┤    over it: the streams that stand still longest lose data

A payload that many streams wait with is in memory once, and is counted once. Who counts here has told how
to give bytes up; when there are too many, those that made no progress for longest are asked first, as many
as it takes. They drop data that they have not begun to send, never control messages; what is left of those
is bounded per stream, by the loss of the connection.
"""

from __future__ import annotations

from typing import Protocol

from actors.telemetry import Registry

NODE_LIMIT = 256 * 1024 * 1024


class Holder(Protocol):
    """Something with bytes that wait."""

    def shed(self) -> int:
        """Drop data that was not begun; the number of messages dropped. Takes their bytes off the budget."""


class ByteBudget:
    """A bound on waiting bytes. `parent` is the wider budget that they count for too.

    `size` is what waits; bytes that nobody shares are added to and taken off it with `add`.
    """

    __slots__ = ("_shared", "dropped", "holders", "limit", "parent", "size")

    def __init__(self, limit: int = NODE_LIMIT, parent: ByteBudget | None = None) -> None:
        self.limit = limit
        self.parent = parent
        self.size = 0
        self.dropped = 0
        """Messages dropped for this budget."""
        self._shared: dict[int, int] = {}
        """How many wait with a payload, by its identity: it lives as long as one of them does."""
        self.holders: dict[Holder, None] = {}
        """Who has bytes that wait, those without progress for longest first."""

    def register(self, telemetry: Registry) -> None:
        """Show in `telemetry`."""
        telemetry.read("waiting_bytes", "Bytes that wait on all streams.", lambda: self.size)
        text = "Messages dropped because too much waited."
        telemetry.read("waiting_dropped_total", text, lambda: self.dropped)

    @property
    def over(self) -> bool:
        """Whether more waits than may, here or in the wider budget."""
        return self.size > self.limit or (self.parent is not None and self.parent.over)

    def add(self, size: int) -> None:
        """`size` bytes more wait, or fewer when it is negative."""
        self.size += size
        if self.parent is not None:
            self.parent.size += size

    def share(self, payload: bytes) -> None:
        """One more waits with `payload`. The caller keeps it alive until `release`."""
        key = id(payload)
        budget: ByteBudget | None = self
        while budget is not None:
            shared = budget._shared
            if key in shared:
                shared[key] += 1
                return
            shared[key] = 1
            budget.size += len(payload)
            budget = budget.parent

    def release(self, payload: bytes) -> None:
        """One fewer."""
        key = id(payload)
        budget: ByteBudget | None = self
        while budget is not None:
            waiting = budget._shared.pop(key)
            if waiting > 1:
                budget._shared[key] = waiting - 1
                return
            budget.size -= len(payload)
            budget = budget.parent

    def waits(self, holder: Holder) -> None:
        """`holder` has bytes that wait."""
        self.holders.setdefault(holder)
        if self.parent is not None:
            self.parent.holders.setdefault(holder)

    def progressed(self, holder: Holder) -> None:
        """Some of its bytes went out, others still wait."""
        budget: ByteBudget | None = self
        while budget is not None:
            budget.holders.pop(holder, None)
            budget.holders[holder] = None
            budget = budget.parent

    def settled(self, holder: Holder) -> None:
        """None of its bytes wait any more."""
        self.holders.pop(holder, None)
        if self.parent is not None:
            self.parent.holders.pop(holder, None)

    def relieve(self) -> None:
        """Have holders shed, the slowest first, until the budgets are kept or there is nothing to shed."""
        if self.size > self.limit:
            for holder in list(self.holders):
                self.dropped += holder.shed()
                if self.size <= self.limit:
                    break
        if self.parent is not None:
            self.parent.relieve()

    def figures(self) -> dict[str, int]:
        """What waits, what may, and how many messages were dropped for it."""
        return {"bytes": self.size, "limit": self.limit, "dropped": self.dropped}
