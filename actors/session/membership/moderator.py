"""The initiator of a session: of a group its moderator, point to point the side that calls.

One task at a time, others queue (`session.md` 10; `actors/session/membership/tasks.py` has the tables):

    Add     Adding    discovery ─► [channel bound] ─► join ─► [credential, commit]
                                ─► { GROUP_ADD acks, welcome ack }
    Remove  Parting   [credential, commit] ─► GROUP_REMOVE acks ─► leave reply
    Drop    Parting   as Remove, without asking the one who is gone
    Close             window empty, or time is up ─► GROUP_CLOSE acks

Answers that are not awaited are ignored: the second answer to a request that was sent twice must not add a
member twice (`session.md` 14, point 4).
"""

from __future__ import annotations

from actors.errors import QueueFull, SessionClosed, SessionError
from actors.messages.session import (
    BeginSession,
    Bound,
    CloseSession,
    Invite,
    Moved,
    PeerAlive,
    RemoveMember,
)
from actors.messages.wire import (
    ALL,
    LEAVING_SESSION,
    ONE,
    GroupClose,
    JoinReply,
    LeaveReply,
    MessageType,
    Ping,
    SessionMessage,
)
from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.effects import Event
from actors.session.membership.adding import Adding
from actors.session.membership.agenda import MISSED_A_CHANGE, TASKS_QUEUED, Agenda
from actors.session.membership.failures import not_moderator
from actors.session.membership.kept import KeptModerator, KeptSession
from actors.session.membership.outsiders import Outsiders
from actors.session.membership.parting import Parting
from actors.session.membership.requests import PendingRequest
from actors.session.membership.resuming import Resuming, kept
from actors.session.membership.tasks import (
    AddTask,
    AskedBy,
    AskedByApplication,
    AskedByNobody,
    CloseTask,
    Discovering,
    Dismissing,
    Draining,
    DropTask,
    Joining,
    RemoveTask,
    TakingLeave,
    Telling,
    Welcoming,
)
from actors.session.turn import Turn
from identity.errors import SlimError

_DISCOVERY_REPLY, _LEAVE_REPLY = MessageType.DISCOVERY_REPLY, MessageType.LEAVE_REPLY
_JOIN_REPLY, _LEAVE_REQUEST = MessageType.JOIN_REPLY, MessageType.LEAVE_REQUEST
_GROUP_ACK, _GROUP_NACK, _PING = MessageType.GROUP_ACK, MessageType.GROUP_NACK, MessageType.PING
_TELLS = (MessageType.GROUP_ADD, MessageType.GROUP_REMOVE)
_GROUP_REQUESTS = (*_TELLS, MessageType.GROUP_CLOSE)
"""Requests that are complete without those who left."""


class Moderator:
    """The initiator's side. Point to point it starts with one AddTask, whose outcome is that of opening."""

    __slots__ = (
        "_adding",
        "_agenda",
        "_conversation",
        "_members",
        "_opened_by",
        "_outsiders",
        "_parting",
        "_ping_id",
        "_resuming",
    )

    def __init__(self, conversation: Conversation, opened_by: AskedBy, now: float) -> None:
        self._conversation = conversation
        self._opened_by = opened_by
        self._agenda = Agenda(conversation, now)
        self._members = self._agenda.members
        self._adding = Adding(self._agenda)
        self._parting = Parting(self._agenda)
        self._outsiders = Outsiders(conversation)
        conversation.data.receiver.outsider = self._outsider
        self._ping_id = 0
        self._resuming: Resuming | None = None
        """There if it goes on with what one of another process began."""

    @property
    def members(self) -> tuple[Name, ...]:
        return self._members.present

    # What is kept of it

    def kept(self) -> KeptModerator:
        """Itself, for another process to go on with."""
        return kept(self._conversation, self._agenda, self._adding)

    def resume(self, what: KeptSession) -> None:
        """Go on with what was kept, when BeginSession comes."""
        self._resuming = Resuming(self._conversation, self._agenda, self._adding, self._parting, what)

    # Operations

    def operate(self, event: Event, turn: Turn) -> None:
        match event:
            case Invite() | RemoveMember():
                self._change(event, turn)
            case CloseSession():
                self._close(event, turn)
            case Bound():
                self._adding.bound(event, turn)
            case Moved():
                self._members.moved(event)
                self._adding.moved(event)
            case BeginSession():
                self._begin(turn)
            case PeerAlive():
                self._agenda.rounds.alive(event.peer)
            case _:
                pass

    def _begin(self, turn: Turn) -> None:
        """A group stands at once; a peer must be found first."""
        if self._resuming is not None:
            self._resuming.begin(turn)
        if self._conversation.group:
            self._agenda.tell(self._opened_by, None, turn)
        else:
            self._agenda.queue.append(AddTask(self._conversation.destination, self._opened_by))

    def _change(self, event: Invite | RemoveMember, turn: Turn) -> None:
        error = self._objection(event)
        if error is not None:
            turn.answer(event.handle, error, event.inbox)
            return
        kind = AddTask if isinstance(event, Invite) else RemoveTask
        self._agenda.queue.append(kind(event.name, AskedByApplication(event.handle, event.inbox)))

    def _objection(self, event: Invite | RemoveMember) -> SlimError | None:
        session_id = self._conversation.session_id
        if not self._conversation.group:
            return not_moderator(self._conversation, event, "a point-to-point session")
        if self._conversation.data.draining:
            return SessionClosed("draining, no new operations", session_id=session_id)
        if self._agenda.full:
            return QueueFull(f"operations of session {session_id}", TASKS_QUEUED)
        return None

    def _close(self, event: CloseSession, turn: Turn) -> None:
        conversation = self._conversation
        if event.handle is not None:
            conversation.ending.await_by(event.handle)
        if not conversation.group and not self._members and not conversation.data.keeps:
            # Nobody was found yet, and nothing waits for whoever it is.
            self._agenda.end(None, turn)
        else:
            self._agenda.close(turn.now + event.grace, AskedByNobody())

    def obeys(self, message: SessionMessage) -> bool:
        """Nobody orders a moderator that no controller made one."""
        return False

    # Tasks

    def progress(self, turn: Turn) -> None:
        agenda = self._agenda
        if agenda.task is None and not agenda.queue:
            return
        close = agenda.queue[-1] if agenda.queue else None
        if isinstance(close, CloseTask) and turn.now >= close.deadline:
            agenda.skip_to(close, turn)
        while agenda.task is None and agenda.queue and not self._conversation.ended:
            task = agenda.move(agenda.queue.popleft())
            match task:
                case AddTask():
                    self._adding.begin(task, turn)
                case RemoveTask():
                    self._parting.begin_remove(task, turn)
                case DropTask():
                    self._parting.begin_drop(task, turn)
                case CloseTask():
                    agenda.move(task.moved(Draining()))
        match agenda.task:
            case CloseTask(at=Draining()) as close:
                self._take_leave(close, turn)

    def _take_leave(self, task: CloseTask, turn: Turn) -> None:
        if self._conversation.data.unacknowledged and turn.now < task.deadline:
            return
        if not self._members:
            self._closed(task, None, turn)
            return
        request = self._members.request(MessageType.GROUP_CLOSE, GroupClose(self._members.all))
        self._agenda.move(task.moved(TakingLeave(request)))
        self._conversation.requests.start(request, self._members.names, turn)

    def _closed(self, task: CloseTask, error: SlimError | None, turn: Turn) -> None:
        self._agenda.task = None
        self._agenda.answer(task, error, turn)
        self._conversation.ending.answer(error, turn)
        self._agenda.end(None, turn)

    # Messages

    def control(self, message: SessionMessage, turn: Turn) -> None:
        requests, kind = self._conversation.requests, message.kind
        if kind is _DISCOVERY_REPLY or kind is _LEAVE_REPLY:
            if (request := requests.answered(message)) is not None:
                self._answered(request, message, turn)
        elif kind is _GROUP_ACK:
            if (request := requests.answered(message)) is not None:
                self._answered(request, message, turn)
            elif not self._agenda.behind.acknowledged(message, turn):
                self._outsider(message, turn)
        elif kind is _JOIN_REPLY:
            if isinstance(message.content, JoinReply) and (request := requests.answered(message)):
                self._answered(request, message, turn)
        elif kind is _LEAVE_REQUEST:
            self._leaving(message, turn)
        elif kind is _PING:
            self._agenda.rounds.answered(message.source, message.message_id)
            requests.answered(message)
            if self._resuming is not None:
                for request in self._resuming.there(message.source):
                    self._acknowledged(request, turn)
            self._outsider(message, turn)
        elif kind is not _GROUP_NACK:
            turn.refuse(f"{kind.name} from {message.source.short}: this side is the moderator")

    def _answered(self, request: PendingRequest, reply: SessionMessage, turn: Turn) -> None:
        """A request of the current step is answered by all, `reply` being the last answer."""
        match self._agenda.task:
            case AddTask(at=Discovering()) as task:
                self._adding.discovered(task, reply, turn)
            case AddTask(at=Joining(member)) as task:
                self._adding.joined(task, member, reply, turn)
            case RemoveTask(at=Dismissing()) as task:
                self._agenda.finish(task, None, turn)
            case _:
                self._acknowledged(request, turn)

    def _acknowledged(self, request: PendingRequest, turn: Turn) -> None:
        """GROUP_ACK of everybody who was to send one."""
        match self._agenda.task:
            case AddTask(at=Welcoming() as at) as task:
                self._adding.acknowledged(task, at, request, turn)
            case RemoveTask(at=Telling(member)) | DropTask(at=Telling(member)) as task:
                self._parting.acknowledged(task, member, turn)
            case CloseTask() as task:
                self._closed(task, None, turn)

    def _failed(self, request: PendingRequest, cause: str, turn: Turn) -> None:
        """Nobody, or not everybody, answered a request of the current step."""
        kind = request.message.kind
        if kind is MessageType.PING:
            return
        if self._resuming is not None and self._resuming.takes_for_answered(request):
            self._followed(turn)
            return
        match self._agenda.task:
            case AddTask() as task:
                self._adding.failed(task, request, cause, turn)
            case RemoveTask() | DropTask() as task:
                self._parting.failed(task, request.awaiting, cause, turn)
            case CloseTask() as task:
                text = f"failed to close session: {cause}"
                self._closed(task, SessionError(text, session_id=self._conversation.session_id), turn)
        if kind in _TELLS:
            for name in sorted(request.awaiting, key=str):
                self._agenda.missed(name, request.message, turn)

    def _outsider(self, message: SessionMessage, turn: Turn) -> None:
        """Somebody who is no member speaks in the group, and must learn that unless it comes or goes now."""
        source = message.source
        if not self._conversation.group or source in self._members or self._conversation.data.draining:
            return
        match self._agenda.task:
            case AddTask(name=name) | RemoveTask(name=name) if name.key == source.key:
                return
        self._outsiders.dismiss(message, turn)

    def _followed(self, turn: Turn) -> None:
        """Last words were followed before our time."""
        match self._agenda.task:
            case RemoveTask() as task:
                self._agenda.finish(task, None, turn)
            case CloseTask() as task:
                self._closed(task, None, turn)

    def _leaving(self, message: SessionMessage, turn: Turn) -> None:
        """A member leaves by itself. It is answered each time it asks (`session.md` 9.2)."""
        if not (message.metadata and LEAVING_SESSION in message.metadata):
            turn.refuse(f"LEAVE_REQUEST from {message.source}: this side is the moderator")
            return
        reply = self._conversation.reply(message, MessageType.LEAVE_REPLY, LeaveReply())
        turn.send(reply)
        if message.source not in self._members:
            return
        self._conversation.ending.farewells.append(reply)
        self._gone(message.source, "left", turn)

    def _gone(self, member: Name, cause: str, turn: Turn) -> None:
        """A member is gone: a request that told others is complete without it, any other has failed."""
        for request in self._conversation.requests.excuse(member):
            if request.message.kind in _GROUP_REQUESTS:
                self._acknowledged(request, turn)
            else:
                self._failed(request, "it left", turn)
        self._agenda.drop(member, cause, turn)

    # Time

    def expire(self, turn: Turn) -> None:
        if self._conversation.data.congested:
            # A ping would wait behind what the peer does not take; its silence is the link's affair.
            self._conversation.requests.cancel(self._ping_id)
            if turn.now >= self._agenda.rounds.next_deadline():
                self._agenda.rounds.postpone(turn.now)
        for request in self._conversation.requests.expire(turn):
            self._failed(request, request.why, turn)
        if self._resuming is not None:
            self._resuming.sent_again(turn)
        for member in self._agenda.behind.expire(turn):
            self._agenda.drop(member, MISSED_A_CHANGE, turn)
        if not self._conversation.ended and turn.now >= self._agenda.rounds.next_deadline():
            self._ping(turn)

    def next_deadline(self) -> float | None:
        deadline, close = self._agenda.rounds.next_deadline(), self._agenda.closing
        if (behind := self._agenda.behind.next_deadline()) is not None:
            deadline = min(deadline, behind)
        return deadline if close is None else min(deadline, close.deadline)

    def _ping(self, turn: Turn) -> None:
        conversation, rounds = self._conversation, self._agenda.rounds
        overdue = rounds.close_round(turn.now)
        for member in overdue.lost:
            self._gone(member, "it stopped answering", turn)
        for member in overdue.ask:
            turn.ask_peer(member)
        conversation.requests.cancel(self._ping_id)
        if conversation.ended or not self._members:
            return
        ping = self._members.request(MessageType.PING, Ping(), ALL if conversation.group else ONE)
        self._ping_id = ping.message_id
        again = rounds.open_round(ping.message_id, self._members.names)
        if again:
            conversation.requests.start(ping, again, turn)
        else:
            turn.send(ping)
