"""A group whose moderator takes orders from a controller (`session.md` 6.6).

The controller's JOIN_REQUEST, with IS_MODERATOR, makes an application the moderator of a new group. It then
orders with the messages that moderators use themselves: DISCOVERY_REQUEST with a destination invites,
LEAVE_REQUEST with one removes (or closes, if it names the moderator), and with DELETE_GROUP closes. GROUP_ACK
tells it of each order that was carried out.
"""

from __future__ import annotations

from collections import OrderedDict

from actors.messages.session import Bind
from actors.messages.wire import (
    DELETE_GROUP,
    DiscoveryRequest,
    GroupAck,
    LeaveRequest,
    MessageType,
    SessionMessage,
)
from actors.names import Name
from actors.session.conversation import Setting
from actors.session.effects import Effect, Joined, Refused
from actors.session.membership.moderator import TASKS, Moderator
from actors.session.membership.tasks import Kind, Task
from identity.errors import SlimError

ORDERS = (MessageType.JOIN_REQUEST, MessageType.DISCOVERY_REQUEST, MessageType.LEAVE_REQUEST)
"""What a controller orders with."""
ORDERED_GRACE = 10.0
"""Seconds to await acknowledgements before a group is closed on a controller's order."""
ORDERS_KNOWN = 256
"""A controller's orders that are remembered, to answer copies."""


class ControlledModerator(Moderator):
    """A Moderator that also obeys the sender of `order`, the JOIN_REQUEST that made it one."""

    def __init__(self, setting: Setting, destination: Name, order: SessionMessage, now: float) -> None:
        super().__init__(setting, destination, None, now)
        self._first = order
        self._orders = _Orders()
        self._orders.take(order.message_id)

    def start(self, now: float) -> list[Effect]:
        """The controller is told, and so is our application, which did not ask for this group."""
        self._report(self._first, None)
        return [*super().start(now), Joined()]

    def _control(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        if message.source == self._first.source and message.kind in ORDERS:
            self._ordered(message, now, out)
        else:
            super()._control(message, now, out)

    def _ordered(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        """The controller wants something (6.6). A copy of an order that was carried out is only answered."""
        content, metadata = message.content, message.metadata or {}
        if self._orders.carried_out(message.message_id):
            out.append(self._reply(message, MessageType.GROUP_ACK, GroupAck()))
            return
        if not self._orders.take(message.message_id):
            return
        to = content.destination if isinstance(content, DiscoveryRequest | LeaveRequest) else None
        if DELETE_GROUP in metadata or (
            message.kind is MessageType.LEAVE_REQUEST and to is not None and to.key == self.local.key
        ):
            self._close(now + ORDERED_GRACE, message)
        elif to is None or self._draining or len(self._tasks) >= TASKS:
            self._orders.report(message.message_id, done=False)
            out.append(Refused(f"{message.kind.name} of the controller {message.source} cannot be followed"))
        else:
            adds = message.kind is MessageType.DISCOVERY_REQUEST
            if adds and message.connection is not None:
                out.append(Bind(to, message.connection))
            task = Task(Kind.ADD if adds else Kind.REMOVE, to)
            task.order = message
            self._tasks.append(task)

    def _report(self, order: SessionMessage | None, error: SlimError | None) -> None:
        """Tell the controller that its order was carried out; silence tells that it was not."""
        if order is not None:
            self._orders.report(order.message_id, done=error is None)
            if error is None:
                reply = self._reply(order, MessageType.GROUP_ACK, GroupAck())
                self._answers.append(reply)
                self._farewells.append(reply)


class _Orders:
    """Which orders came, and which of them were carried out."""

    def __init__(self) -> None:
        self._done: OrderedDict[int, bool] = OrderedDict()

    def take(self, message_id: int) -> bool:
        """Whether this order is new."""
        if message_id in self._done:
            return False
        self._done[message_id] = False
        if len(self._done) > ORDERS_KNOWN:
            self._done.popitem(last=False)
        return True

    def carried_out(self, message_id: int) -> bool:
        return self._done.get(message_id, False)

    def report(self, message_id: int, *, done: bool) -> None:
        """An order was carried out, or could not be: then it may be given again."""
        if done:
            self._done[message_id] = True
        else:
            self._done.pop(message_id, None)
