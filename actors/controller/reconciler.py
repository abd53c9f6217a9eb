"""What nodes are to have, held against what they have acknowledged (`controller.md` 5).

Every link and route is an Item: wanted or to be taken away, with its status, the reason of its last failure
and how often it was tried. A node gets one Configure at a time, with what is not acknowledged yet; what
failed is tried again after growing delays, `MAX_ATTEMPTS` times, then when the node registers again or the
item is wanted anew. A node that registers has forgotten everything: all of its items are sent again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import count

from actors.controller.turn import ControllerTurn
from actors.messages.controller import Configure, Configured, Direction, DrawnLink, Triple

PENDING, APPLIED, FAILED, DELETING = "PENDING", "APPLIED", "FAILED", "DELETING"

ACK_TIME = 20.0
"""Seconds that a node has to answer a Configure."""
FIRST_DELAY, LARGEST_DELAY = 0.1, 60.0
"""Seconds before the first and, after doubling, between the last attempts of what failed."""
MAX_ATTEMPTS = 15
BATCH = 500
"""Items in one Configure."""

LinkKey = tuple[str, str]
"""Node and connection id."""
RouteKey = tuple[str, Triple, int | None, str]
"""Node, name, instance id, connection id."""
ItemKey = LinkKey | RouteKey


@dataclass(slots=True)
class Item:
    """One link (with `config`) or route of a node."""

    node: str
    connection_id: str
    name: Triple | None = None
    id: int | None = None
    config: str = ""
    destination: str = ""
    """The node at the other end, if it is known."""
    automatic: bool = False
    status: str = PENDING
    reason: str = ""
    attempts: int = 0
    sent: bool = False
    """Whether the node may have it: what never left needs no withdrawal."""
    due: float | None = 0.0
    """When it is to be sent; None: not before something changes."""
    waiting: list[Hashable] = field(default_factory=list)
    """Questions that are answered once the node has."""

    @property
    def key(self) -> ItemKey:
        if self.name is None:
            return (self.node, self.connection_id)
        return (self.node, self.name, self.id, self.connection_id)

    @property
    def direction(self) -> Direction:
        assert self.name is not None
        return Direction(self.name, self.id, self.connection_id)


@dataclass(slots=True)
class _Session:
    """A node's stream: the Configure under way, if there is one."""

    command: int = 0
    deadline: float = 0.0
    items: dict[ItemKey, Item] = field(default_factory=dict)


class Reconciler:
    """The items of all nodes, and what is under way to those that are connected."""

    def __init__(self, *, ack_time: float = ACK_TIME, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._ack_time = ack_time
        self._max_attempts = max_attempts
        self._items: dict[ItemKey, Item] = {}
        self._by_node: dict[str, dict[ItemKey, Item]] = {}
        self._sessions: dict[str, _Session] = {}
        self._commands = count(1)

    # What is wanted

    def item(self, key: ItemKey) -> Item | None:
        """The item with this key, also one that is being taken away."""
        return self._items.get(key)

    def items(self, node: str | None = None) -> Iterable[Item]:
        """All items, or those of one node."""
        return (self._items if node is None else self._by_node.get(node, {})).values()

    def load(self, item: Item) -> None:
        """Take over what was stored."""
        self._items[item.key] = item
        self._by_node.setdefault(item.node, {})[item.key] = item

    def want(self, item: Item, turn: ControllerTurn) -> Item:
        """Have a node get `item`. One that it has already, unchanged, is left alone."""
        known = self._items.get(item.key)
        if known is not None and known.status != DELETING and known.config == item.config:
            if not item.automatic and known.automatic:
                known.automatic = False
                self._save(known, turn)
            if known.status == FAILED:
                known.attempts, known.due = 0, turn.now
            return known
        if known is not None:
            self._answer(known, turn, "ABORTED", "it was changed meanwhile")
            item.sent = known.sent
        item.due = turn.now
        self.load(item)
        self._save(item, turn)
        return item

    def refuse(self, item: Item, reason: str, turn: ControllerTurn) -> None:
        """Show an item that cannot be, with the reason; nothing is sent for it."""
        known = self._items.get(item.key)
        if known is not None and known.sent:
            self.unwant(item.key, turn)
            return
        item.status, item.reason, item.due = FAILED, reason, None
        if known is None or (known.status, known.reason) != (FAILED, reason):
            self.load(item)
            self._save(item, turn)

    def unwant(self, key: ItemKey, turn: ControllerTurn) -> None:
        """Take something away: at the node first, if it may have it."""
        item = self._items.get(key)
        if item is None:
            return
        self._answer(item, turn, "ABORTED", "it was deleted meanwhile")
        if not item.sent:
            self._forget(item, turn)
            return
        if item.status != DELETING:
            item.status, item.reason, item.attempts, item.due = DELETING, "", 0, turn.now
            self._save(item, turn)

    def forget_node(self, node: str, turn: ControllerTurn) -> None:
        """The node will not come back."""
        self._sessions.pop(node, None)
        for item in list(self.items(node)):
            self._answer(item, turn, "NOT_FOUND", f"the node {node} was deregistered")
            self._forget(item, turn)

    # What nodes do

    def joined(self, node: str, turn: ControllerTurn) -> None:
        """A node has registered: it gets everything, whatever it had before."""
        self._sessions[node] = _Session()
        for item in self.items(node):
            if item.status == FAILED and not item.sent:
                continue  # it cannot be, whatever the node says
            item.due, item.attempts = turn.now, 0
            if item.status == APPLIED:
                item.status = PENDING

    def left(self, node: str, cause: str, turn: ControllerTurn) -> None:
        """A node's stream has ended. What it was to do is done when it comes back."""
        self._sessions.pop(node, None)
        reason = f"{node} is not connected: {cause}"
        for item in list(self.items(node)):
            if item.status in (APPLIED, PENDING):
                item.status, item.reason = PENDING, reason
            if item.waiting:
                self._answer(item, turn, "UNAVAILABLE", reason)
                self.unwant(item.key, turn)

    def configured(self, message: Configured, turn: ControllerTurn) -> None:
        """A node answers a Configure. An answer to another one is left alone."""
        session = self._sessions.get(message.node)
        if session is None or session.command != message.command:
            return
        errors: dict[ItemKey, str] = {}
        for outcome in (*message.links, *message.routes):
            if isinstance(outcome.item, Direction):
                errors[(message.node, outcome.item.name, outcome.item.id, outcome.item.connection_id)] = (
                    outcome.error
                )
            else:
                errors[(message.node, outcome.item)] = outcome.error
        items = list(session.items.values())
        session.command, session.items = 0, {}
        for item in items:
            if self._items.get(item.key) is not item:
                continue
            error = errors.get(item.key, f"{message.node} said nothing of it")
            if error and item.name is not None:
                # The connection's own error says more than that there is no connection.
                error = errors.get((message.node, item.connection_id)) or error
            self._done(item, error, turn)

    def _done(self, item: Item, error: str, turn: ControllerTurn) -> None:
        if item.due is not None:
            return  # it was changed while it was under way, and goes again
        if item.status == DELETING:
            if not error or item.attempts >= self._max_attempts or "not found" in error:
                self._forget(item, turn)
                return
            self._failed(item, error, turn)
            item.status = DELETING
        elif error:
            self._failed(item, error, turn)
            if item.waiting:
                # Who asked for it and waits is told, and it is not tried again behind their back.
                self._answer(item, turn, "FAILED_PRECONDITION", error)
                self.unwant(item.key, turn)
        else:
            item.status, item.reason, item.attempts = APPLIED, "", 0
            self._answer(item, turn, "OK", "")
            self._save(item, turn)

    def _failed(self, item: Item, error: str, turn: ControllerTurn) -> None:
        item.status, item.reason = FAILED, error
        if item.attempts < self._max_attempts:
            full = min(LARGEST_DELAY, FIRST_DELAY * 2.0 ** (item.attempts - 1))
            item.due = turn.now + full * (1 - 0.5 * turn.random)
        self._save(item, turn)

    # Time

    def next_deadline(self) -> float | None:
        """When `expire` is to be called next."""
        times = [session.deadline for session in self._sessions.values() if session.command]
        for node, session in self._sessions.items():
            if not session.command:
                times += [item.due for item in self.items(node) if item.due is not None]
        return min(times, default=None)

    def expire(self, turn: ControllerTurn) -> None:
        """Send what is due, and give up what was not answered."""
        for node, session in list(self._sessions.items()):
            if session.command and turn.now >= session.deadline:
                items = list(session.items.values())
                session.command, session.items = 0, {}
                for item in items:
                    if self._items.get(item.key) is item and item.due is None:
                        self._done(item, f"{node} did not answer within {self._ack_time:g} s", turn)
            if not session.command:
                self._send(node, session, turn)

    def _send(self, node: str, session: _Session, turn: ControllerTurn) -> None:
        due = [item for item in self.items(node) if item.due is not None and item.due <= turn.now]
        if not due:
            return
        # Links first, so that no route of a batch lacks its connection.
        due.sort(key=lambda item: item.name is not None)
        batch = due[:BATCH]
        session.command = next(self._commands)
        session.deadline = turn.now + self._ack_time
        session.items = {item.key: item for item in batch}
        for item in batch:
            item.due, item.attempts, item.sent = None, item.attempts + 1, True
        turn.to(
            node,
            Configure(
                session.command,
                tuple(
                    DrawnLink(item.connection_id, item.config)
                    for item in batch
                    if item.name is None and item.status != DELETING
                ),
                tuple(item.direction for item in batch if item.name is not None and item.status != DELETING),
                tuple(item.direction for item in batch if item.name is not None and item.status == DELETING),
                tuple(item.connection_id for item in batch if item.name is None and item.status == DELETING),
            ),
        )

    # Private

    def _answer(self, item: Item, turn: ControllerTurn, status: str, text: str) -> None:
        waiting, item.waiting = item.waiting, []
        for ticket in waiting:
            if status == "OK":
                turn.answer(ticket, item.connection_id, before="absent", after=APPLIED)
            else:
                turn.refuse(ticket, status, text)

    def _forget(self, item: Item, turn: ControllerTurn) -> None:
        del self._items[item.key]
        del self._by_node[item.node][item.key]
        turn.save("item", item.key, None)

    @staticmethod
    def _save(item: Item, turn: ControllerTurn) -> None:
        turn.save(
            "item",
            item.key,
            (
                item.node,
                item.connection_id,
                item.name,
                item.id,
                item.config,
                item.destination,
                item.automatic,
                item.status,
                item.reason,
                item.sent,
            ),
        )
