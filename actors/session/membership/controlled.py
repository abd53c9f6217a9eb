"""A group whose moderator takes orders from a controller (`session.md` 6.6).

The controller's JOIN_REQUEST, with IS_MODERATOR, makes an application the moderator of a new group. It then
orders with the messages that moderators use themselves: DISCOVERY_REQUEST with a destination invites,
LEAVE_REQUEST with one removes (or closes, if it names the moderator), and with DELETE_GROUP closes. GROUP_ACK
tells it of each order that was carried out.
"""

from __future__ import annotations

from collections import OrderedDict

from actors.messages.wire import (
    DELETE_GROUP,
    DiscoveryRequest,
    GroupAck,
    LeaveRequest,
    MessageType,
    SessionMessage,
)
from actors.session.conversation import Conversation
from actors.session.membership.moderator import TASKS_QUEUED, Moderator
from actors.session.membership.tasks import AddTask, AskedByController, RemoveTask
from actors.session.turn import Turn
from identity.errors import SlimError

ORDERS = (MessageType.JOIN_REQUEST, MessageType.DISCOVERY_REQUEST, MessageType.LEAVE_REQUEST)
"""What a controller orders with."""
ORDERED_GRACE = 10.0
"""Seconds to await acknowledgements before a group is closed on a controller's order."""
ORDERS_KNOWN = 256
"""A controller's orders that are remembered, to answer copies."""


class ControlledModerator(Moderator):
    """A Moderator that also obeys the sender of `order`, the JOIN_REQUEST that made it one."""

    __slots__ = ("_controller", "_orders")

    def __init__(self, conversation: Conversation, order: SessionMessage, now: float) -> None:
        super().__init__(conversation, AskedByController(order), now)
        self._controller = order.source
        self._orders = _Orders()
        self._orders.take(order.message_id)

    def _begin(self, turn: Turn) -> None:
        """The controller is told, and so is our application, which did not ask for this group."""
        super()._begin(turn)
        turn.announce()

    def control(self, message: SessionMessage, turn: Turn) -> None:
        if message.source == self._controller and message.kind in ORDERS:
            self._ordered(message, turn)
        else:
            super().control(message, turn)

    def _ordered(self, message: SessionMessage, turn: Turn) -> None:
        """The controller wants something (6.6). A copy of an order that was carried out is only answered."""
        content, metadata = message.content, message.metadata or {}
        if self._orders.carried_out(message.message_id):
            self._conversation.acknowledge(message, turn)
            return
        if not self._orders.take(message.message_id):
            return
        to = content.destination if isinstance(content, DiscoveryRequest | LeaveRequest) else None
        if DELETE_GROUP in metadata or (
            message.kind is MessageType.LEAVE_REQUEST
            and to is not None
            and to.key == self._conversation.local.key
        ):
            self._close(turn.now + ORDERED_GRACE, AskedByController(message))
        elif to is None or self._conversation.data.draining or len(self._queue) >= TASKS_QUEUED:
            self._orders.report(message.message_id, done=False)
            turn.refuse(f"{message.kind.name} of the controller {message.source} cannot be followed")
        elif message.kind is MessageType.DISCOVERY_REQUEST:
            if message.connection is not None:
                turn.bind(to, message.connection)
            self._queue.append(AddTask(to, AskedByController(message)))
        else:
            self._queue.append(RemoveTask(to, AskedByController(message)))

    def _report(self, order: SessionMessage, error: SlimError | None, turn: Turn) -> None:
        """Tell the controller that its order was carried out; silence tells that it was not."""
        self._orders.report(order.message_id, done=error is None)
        if error is None:
            reply = self._conversation.reply(order, MessageType.GROUP_ACK, GroupAck())
            turn.send(reply)
            self._conversation.ending.farewells.append(reply)


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
