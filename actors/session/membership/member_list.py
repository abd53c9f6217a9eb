"""Who is in a session, as its moderator knows it: the list that all members get told."""

from __future__ import annotations

from typing import Any

from actors.messages.session import MemberJoined, MemberLeft, Moved
from actors.messages.wire import ALL, GroupAdd, GroupClose, GroupRemove, MessageType, Ping, SessionMessage
from actors.names import Key, Name
from actors.session.conversation import Conversation
from actors.session.membership.tasks import Located
from actors.session.turn import Turn


class MemberList:
    """The other members of `conversation`, from the moment when the group is told of them."""

    __slots__ = ("_claims", "_conversation", "_members", "_present")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._members: dict[Key, Located] = {}
        self._present: set[Name] = set()
        """Members that acknowledged their welcome."""
        self._claims: dict[Name, dict[str, Any]] = {}
        """What the tokens said with which those agreed to join who have not acknowledged it yet."""

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: Name) -> bool:
        """Whether the member of this full name is in."""
        member = self._members.get(name.key)
        return member is not None and member.name == name

    def find(self, name: Name) -> Located | None:
        """The member of that name, whatever its id."""
        return self._members.get(name.key)

    @property
    def names(self) -> list[Name]:
        """The others, full names."""
        return [member.name for member in self._members.values()]

    @property
    def all(self) -> tuple[Name, ...]:
        """Everybody, ourselves first: what members are told."""
        return (self._conversation.local, *self.names)

    @property
    def present(self) -> tuple[Name, ...]:
        """Those of them who took part: what our application is shown."""
        return (self._conversation.local, *(name for name in self.names if name in self._present))

    def put(self, member: Located) -> None:
        """It is on the list, and we hear it, from now on."""
        self._members[member.name.key] = member
        self._conversation.data.admit(member.name, from_start=True)

    def is_present(self, name: Name) -> bool:
        """Whether a member acknowledged its welcome."""
        return name in self._present

    def agreed(self, member: Name, token: str) -> None:
        """`member` wants to join, and said so with this token."""
        self._claims[member] = self._conversation.senders.claims(token)

    def resume(self, member: Located, *, present: bool, turn: Turn) -> None:
        """It was a member before our time; `present`: it has acknowledged its welcome."""
        self._members[member.name.key] = member
        self._conversation.data.admit(member.name, from_start=True)
        if member.connection is not None:
            turn.bind(member.name, member.connection)
        if present:
            self._present.add(member.name)
            self._conversation.data.open_up(member.name, turn, new=False)

    def moved(self, event: Moved) -> None:
        """Members are reached by another connection."""
        for key, member in self._members.items():
            if member.connection in event.gone:
                self._members[key] = member._replace(connection=event.connection)

    def joined(self, member: Name, turn: Turn) -> None:
        """It acknowledged its welcome and hears us from now on."""
        conversation = self._conversation
        if not conversation.group:
            conversation.data.sender.destination = member
        self._present.add(member)
        claims = self._claims.pop(member, None)
        marks = conversation.marks_answers
        turn.tell(MemberJoined(conversation.session_id, member, self.present, marks, claims))
        conversation.data.open_up(member, turn)

    def strike(self, member: Name, cause: str, turn: Turn) -> None:
        """Take a member off the list."""
        conversation = self._conversation
        del self._members[member.key]
        self._claims.pop(member, None)
        conversation.data.expel(member, turn)
        turn.unbind(member)
        self.gone(member, cause, turn)

    def gone(self, member: Name, cause: str, turn: Turn) -> None:
        """Nothing is sent to it any more: our application does not count on it, whoever is still told."""
        conversation = self._conversation
        if member in self._present:
            self._present.discard(member)
            turn.tell(MemberLeft(conversation.session_id, member, self.present, cause))

    def tell_epoch(self, cause: str, turn: Turn) -> None:
        """The group that these are in is in a new epoch, if it has epochs."""
        self._conversation.tell_epoch(self.all, cause, turn)

    def request(
        self, kind: MessageType, content: GroupAdd | GroupRemove | GroupClose | Ping, fanout: int = ALL
    ) -> SessionMessage:
        """A request to all of them: to the channel, point to point to the peer."""
        conversation = self._conversation
        to = conversation.destination if conversation.group else self.names[0]
        return conversation.message(kind, to, content, fanout=fanout)
