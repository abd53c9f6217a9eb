"""Members of a group without MLS that missed a change: they are told again until they know, or are gone.

    change not acknowledged ──► told again, by itself ──► acknowledged ──► the next that it missed
                                   └ CHANCES times what a request has ──► dropped

With MLS nobody can go on without a commit, and who missed one is dropped. Without it a member that was away
for longer than a request is repeated comes up to date as soon as it is back; signs of life say whether it
comes back at all. Each copy has the id of the change, so that one that was carried out is only acknowledged,
and the list as it is now.
"""

from __future__ import annotations

from collections import deque

from actors.messages.wire import ONE, GroupAdd, GroupRemove, SessionMessage
from actors.names import Key, Name
from actors.session.conversation import Conversation
from actors.session.membership.member_list import MemberList
from actors.session.retry import Attempt, ResendPolicy, review
from actors.session.turn import Turn

CHANCES = 4
"""How many times as long as a request is repeated."""
MISSED = 16
"""Changes that one member may miss."""


class _Telling(Attempt):
    """The first change that a member missed, on its way to it."""

    __slots__ = ("member",)

    def __init__(self, member: Name, policy: ResendPolicy, now: float) -> None:
        super().__init__(policy, now)
        self.member = member


class Behind:
    """Who missed what."""

    __slots__ = ("_conversation", "_members", "_missed", "_telling")

    def __init__(self, conversation: Conversation, members: MemberList) -> None:
        self._conversation = conversation
        self._members = members
        self._missed: dict[Name, deque[SessionMessage]] = {}
        """In the order of the changes."""
        self._telling: dict[Name, _Telling] = {}

    def missed(self, member: Name, change: SessionMessage, turn: Turn) -> bool:
        """`member` did not acknowledge `change`. Returns whether it can be told again."""
        missed = self._missed.setdefault(member, deque())
        missed.append(change)
        if len(missed) == 1:
            self._tell(member, turn)
        return len(missed) <= MISSED

    def acknowledged(self, message: SessionMessage, turn: Turn) -> bool:
        """A GROUP_ACK. Returns whether it is of a change that its sender had missed."""
        missed = self._missed.get(message.source, ())
        change = next((each for each in missed if each.message_id == message.message_id), None)
        if change is None:
            return False
        first = self._missed[message.source][0] is change
        self._missed[message.source].remove(change)
        if first:
            self._tell(message.source, turn)
        return True

    def waiting_for_the_end_of(self, key: Key) -> list[Name]:
        """Who does not know yet that somebody of that name had left."""
        return [
            member
            for member, missed in self._missed.items()
            if any(
                isinstance(c.content, GroupRemove) and c.content.removed_participant.key == key
                for c in missed
            )
        ]

    def left(self, member: Name) -> None:
        """It is no member any more."""
        self._missed.pop(member, None)
        self._telling.pop(member, None)

    def expire(self, turn: Turn) -> list[Name]:
        """Tell again what is due. Returns those who were told in vain for too long, and forgets them."""
        again, failed, _ = review(self._telling.values(), turn.now)
        for telling in again:
            self._send(telling.member, turn)
        lost = [telling.member for telling in failed]
        for member in lost:
            self.left(member)
        return lost

    def next_deadline(self) -> float | None:
        if not self._telling:
            return None
        return min(telling.deadline for telling in self._telling.values())

    def _tell(self, member: Name, turn: Turn) -> None:
        """Begin with the first of what it missed; what came to nothing since then it need not know."""
        missed = self._missed[member]
        while missed and self._came_to_nothing(missed[0]):
            missed.popleft()
        if not missed:
            self.left(member)
            return
        policy = self._conversation.requests.policy
        patient = ResendPolicy(policy.interval, CHANCES * (policy.retries + 1) - 1)
        self._telling[member] = _Telling(member, patient, turn.now)
        self._send(member, turn)

    def _came_to_nothing(self, change: SessionMessage) -> bool:
        content = change.content
        return isinstance(content, GroupAdd) and content.new_participant not in self._members

    def _send(self, member: Name, turn: Turn) -> None:
        change, located = self._missed[member][0], self._members.find(member)
        content = change.content
        if isinstance(content, GroupAdd):
            content = content._replace(participants=self._members.all)
        elif isinstance(content, GroupRemove):
            # As ever, the one that it is about is on it.
            content = content._replace(participants=(*self._members.all, content.removed_participant))
        connection = located.connection if located is not None else None
        turn.send(
            change._replace(
                destination=member, fanout=ONE, content=content, connection=connection, identity=""
            )
        )
