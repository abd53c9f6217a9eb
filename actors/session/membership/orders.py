"""What a controller ordered, and what it was told of that (`session.md` 6.6)."""

from __future__ import annotations

from actors.messages.wire import ORDER_FAILED, REPORT_FAILURE, GroupAck, MessageType, SessionMessage
from actors.session.conversation import Conversation
from actors.session.turn import Turn
from identity.errors import SlimError

ORDERS_KNOWN = 256
"""A controller's orders that are remembered, to answer copies."""


class Orders:
    """Which orders came, and which of them were carried out."""

    __slots__ = ("_conversation", "_done")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._done: dict[int, bool] = {}

    def take(self, order: SessionMessage) -> bool:
        """Whether this order is new."""
        if order.message_id in self._done:
            return False
        self._done[order.message_id] = False
        if len(self._done) > ORDERS_KNOWN:
            del self._done[next(iter(self._done))]
        return True

    def carried_out(self, order: SessionMessage) -> bool:
        return self._done.get(order.message_id, False)

    def decline(self, order: SessionMessage) -> None:
        """It cannot be carried out now, and may be given again."""
        self._done.pop(order.message_id, None)

    def fail(self, order: SessionMessage, why: str, turn: Turn) -> None:
        """It was not carried out: a controller's node of ours is told why, others learn it from silence."""
        self.decline(order)
        if REPORT_FAILURE in (order.metadata or {}):
            reply = self._conversation.reply(order, MessageType.GROUP_ACK, GroupAck())
            turn.send(reply._replace(metadata={ORDER_FAILED: why}))

    def report(self, order: SessionMessage, error: SlimError | None, turn: Turn) -> None:
        """Tell the controller that its order was carried out, or was not."""
        if error is not None:
            self.fail(order, str(error), turn)
            return
        self._done[order.message_id] = True
        reply = self._conversation.reply(order, MessageType.GROUP_ACK, GroupAck())
        turn.send(reply)
        self._conversation.ending.farewells.append(reply)
