"""Who speaks in a group and is no member of it, as its moderator sees it.

A member that was dropped while it was away knows nothing of it: it goes on speaking into the channel, and
answers pings. So does somebody whose welcome came when nobody waited for it any more. Each is answered with
the LEAVE_REQUEST that every version of SLIM understands, and its session ends.
"""

from __future__ import annotations

from actors.memo import Memo
from actors.messages.wire import LeaveRequest, MessageType, SessionMessage
from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.turn import Turn

OUTSIDERS = 256
"""How many are remembered."""
PAUSE = 1.0
"""Seconds within which one is answered once."""


class Outsiders:
    """Answers them. The moderator says who is one."""

    __slots__ = ("_answered", "_conversation")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._answered: Memo[Name, float] | None = None
        """There from the first on: most groups, and all pairs, never hear one."""

    def dismiss(self, message: SessionMessage, turn: Turn) -> None:
        """`message` is of an outsider: tell it so."""
        source = message.source
        if self._answered is None:
            self._answered = Memo(OUTSIDERS)
        if turn.now - self._answered.get(source, -PAUSE) < PAUSE:
            return
        self._answered.remember(source, turn.now)
        turn.refuse(f"{message.kind.name} from {source.short}: it is no member")
        turn.send(
            self._conversation.message(
                MessageType.LEAVE_REQUEST, source, LeaveRequest(), connection=message.connection
            )
        )
