"""A group whose moderator takes orders from a controller (`session.md` 6.6).

The controller's JOIN_REQUEST, with IS_MODERATOR, makes an application the moderator of a new group. It then
orders with the messages that moderators use themselves: DISCOVERY_REQUEST with a destination invites,
LEAVE_REQUEST with one removes (or closes, if it names the moderator), and with DELETE_GROUP closes. GROUP_ACK
tells it of each order that was carried out.
"""

from __future__ import annotations

from actors.messages.wire import (
    DELETE_GROUP,
    DiscoveryRequest,
    LeaveRequest,
    MessageType,
    SessionMessage,
)
from actors.session.conversation import Conversation
from actors.session.membership.moderator import Moderator
from actors.session.membership.tasks import AddTask, AskedByController, RemoveTask
from actors.session.turn import Turn

ORDERS = (MessageType.JOIN_REQUEST, MessageType.DISCOVERY_REQUEST, MessageType.LEAVE_REQUEST)
"""What a controller orders with."""
ORDERED_GRACE = 10.0
"""Seconds to await acknowledgements before a group is closed on a controller's order."""


class ControlledModerator(Moderator):
    """A Moderator that also obeys the sender of `order`, the JOIN_REQUEST that made it one."""

    __slots__ = ("_controller", "_subject")

    def __init__(self, conversation: Conversation, order: SessionMessage, now: float) -> None:
        super().__init__(conversation, AskedByController(order), now)
        self._controller = order.source
        self._subject = conversation.senders.subject(order.identity)
        self._agenda.orders.take(order)

    def _begin(self, turn: Turn) -> None:
        """The controller is told, and so is our application, which did not ask for this group."""
        super()._begin(turn)
        turn.announce()

    def control(self, message: SessionMessage, turn: Turn) -> None:
        if self.obeys(message):
            self._ordered(message, turn)
        else:
            super().control(message, turn)

    def obeys(self, message: SessionMessage) -> bool:
        """The controller may order, known by its name and by the subject of its token, if that has one: its
        name need not be one that an application of that subject has."""
        return (
            message.source == self._controller
            and message.kind in ORDERS
            and self._conversation.senders.subject(message.identity) == self._subject
        )

    def _ordered(self, message: SessionMessage, turn: Turn) -> None:
        """The controller wants something (6.6). A copy of an order that was carried out is only answered."""
        content, metadata = message.content, message.metadata or {}
        agenda, orders = self._agenda, self._agenda.orders
        if orders.carried_out(message):
            self._conversation.acknowledge(message, turn)
            return
        if not orders.take(message):
            return
        to = content.destination if isinstance(content, DiscoveryRequest | LeaveRequest) else None
        if DELETE_GROUP in metadata or (
            message.kind is MessageType.LEAVE_REQUEST
            and to is not None
            and to.key == self._conversation.local.key
        ):
            agenda.close(turn.now + ORDERED_GRACE, AskedByController(message))
        elif to is None or self._conversation.data.draining or agenda.full:
            why = "it names nobody" if to is None else "the group is closing, or has too many orders"
            orders.fail(message, why, turn)
            turn.refuse(
                f"{message.kind.name} of the controller {message.source.short} cannot be followed: {why}"
            )
        elif message.kind is MessageType.DISCOVERY_REQUEST:
            if message.connection is not None:
                turn.bind(to, message.connection)
            agenda.queue.append(AddTask(to, AskedByController(message)))
        else:
            agenda.queue.append(RemoveTask(to, AskedByController(message)))
