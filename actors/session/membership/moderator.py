"""The initiator of a session: of a group its moderator, point to point the side that calls.

One task at a time, others queue (`session.md` 10; `tasks.py` has the tables):

    Add     discovery ─► [channel bound] ─► join ─► [credential, commit] ─► { GROUP_ADD acks, welcome ack }
    Remove  [credential, commit] ─► GROUP_REMOVE acks ─► leave reply
    Drop    as Remove, without asking the one who is gone
    Close   window empty, or time is up ─► GROUP_CLOSE acks

GROUP_ADD and GROUP_REMOVE are skipped when there is nobody to tell. Answers that are not awaited are ignored:
the second answer to a request that was sent twice must not add a member twice (`session.md` 14, point 4).
"""

from __future__ import annotations

from collections import deque

from actors.errors import (
    ParticipantExists,
    ParticipantNotFound,
    QueueFull,
    SessionClosed,
    SessionError,
)
from actors.messages.session import (
    BeginSession,
    Bound,
    CloseSession,
    Invite,
    RemoveMember,
)
from actors.messages.wire import (
    ALL,
    LEAVING_SESSION,
    ONE,
    DiscoveryRequest,
    GroupAdd,
    GroupClose,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    LeaveReply,
    LeaveRequest,
    MessageType,
    MlsPayload,
    Ping,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.crypto import Addition, at_once
from actors.session.effects import Event
from actors.session.encryption import Phase
from actors.session.membership.failures import (
    disconnected,
    failed_to_add,
    failed_to_remove,
    not_moderator,
)
from actors.session.membership.liveness import Rounds
from actors.session.membership.requests import PendingRequest
from actors.session.membership.roster import Roster
from actors.session.membership.tasks import (
    AddTask,
    AskedBy,
    AskedByApplication,
    AskedByController,
    AskedByNobody,
    BindingChannel,
    CloseTask,
    CommittingAdd,
    CommittingRemove,
    Discovering,
    Dismissing,
    Draining,
    DropTask,
    Founding,
    Joining,
    Located,
    RemoveTask,
    TakingLeave,
    Task,
    Telling,
    Welcoming,
    open_requests,
)
from actors.session.turn import Turn
from identity.errors import ConfigError, SlimError

TASKS_QUEUED = 1024
"""Tasks that may queue; an operation beyond it fails at once."""

_TELLS = (MessageType.GROUP_ADD, MessageType.GROUP_REMOVE)
_GROUP_REQUESTS = (*_TELLS, MessageType.GROUP_CLOSE)
"""Requests that are complete without those who left."""


class Moderator:
    """The initiator's side. Point to point it starts with one AddTask, whose outcome is that of opening."""

    __slots__ = (
        "_channel_bound",
        "_commit_id",
        "_conversation",
        "_founded",
        "_opened_by",
        "_ping_id",
        "_queue",
        "_roster",
        "_rounds",
        "_task",
    )

    def __init__(self, conversation: Conversation, opened_by: AskedBy, now: float) -> None:
        self._conversation = conversation
        self._opened_by = opened_by
        self._roster = Roster(conversation)
        self._queue: deque[Task] = deque()
        self._task: Task | None = None
        self._founded = False
        self._commit_id = 0
        self._channel_bound = not conversation.group
        self._rounds = Rounds(conversation.settings.ping_interval, now)
        self._ping_id = 0

    @property
    def members(self) -> tuple[Name, ...]:
        return self._roster.all

    # Operations

    def operate(self, event: Event, turn: Turn) -> None:
        match event:
            case Invite() | RemoveMember():
                self._ordered_by_application(event, turn)
            case CloseSession():
                self._close_session(event, turn)
            case Bound():
                self._bound(event, turn)
            case BeginSession():
                self._begin(turn)
            case _:
                pass

    def _begin(self, turn: Turn) -> None:
        """A group stands at once; a peer must be found first."""
        if self._conversation.group:
            self._answer(self._opened_by, None, turn)
        else:
            self._queue.append(AddTask(self._conversation.destination, self._opened_by))

    def _ordered_by_application(self, event: Invite | RemoveMember, turn: Turn) -> None:
        error = self._objection(event)
        if error is not None:
            turn.answer(event.handle, error, event.inbox)
            return
        kind = AddTask if isinstance(event, Invite) else RemoveTask
        self._queue.append(kind(event.name, AskedByApplication(event.handle, event.inbox)))

    def _close_session(self, event: CloseSession, turn: Turn) -> None:
        conversation = self._conversation
        if event.handle is not None:
            conversation.ending.await_by(event.handle)
        if not conversation.group and not self._roster and not conversation.data.keeps:
            # Nobody was found yet, and nothing waits for whoever it is.
            self._end(None, turn)
        else:
            self._close(turn.now + event.grace, AskedByNobody())

    def _close(self, deadline: float, asked_by: AskedBy) -> None:
        if not self._conversation.data.draining:
            self._conversation.data.draining = True
            self._queue.append(CloseTask(deadline, asked_by))

    def _objection(self, event: Invite | RemoveMember) -> SlimError | None:
        session_id = self._conversation.session_id
        if not self._conversation.group:
            return not_moderator(self._conversation, event, "a point-to-point session")
        if self._conversation.data.draining:
            return SessionClosed("draining, no new operations", session_id=session_id)
        if len(self._queue) >= TASKS_QUEUED:
            return QueueFull(f"operations of session {session_id}", TASKS_QUEUED)
        return None

    # The task queue

    def progress(self, turn: Turn) -> None:
        if self._task is None and not self._queue:
            return
        close = self._queue[-1] if self._queue else None
        if isinstance(close, CloseTask) and turn.now >= close.deadline:
            self._skip_to(close, turn)
        while self._task is None and self._queue and not self._conversation.ended:
            task = self._task = self._queue.popleft()
            match task:
                case AddTask():
                    self._discover(task, turn)
                case RemoveTask():
                    self._begin_remove(task, turn)
                case DropTask():
                    self._begin_drop(task, turn)
                case CloseTask():
                    self._task = task.moved(Draining())
        if isinstance(self._task, CloseTask) and isinstance(self._task.at, Draining):
            self._take_leave(self._task, turn)

    def _skip_to(self, close: CloseTask, turn: Turn) -> None:
        """The grace is over before everything that waits was worked off."""
        closed = SessionClosed("the session is closing", session_id=self._conversation.session_id)
        self._queue.pop()
        for task in self._queue:
            self._answer_task(task, closed, turn)
        self._queue.clear()
        if self._task is not None:
            self._finish(self._task, closed, turn)
        self._queue.append(close)

    def _finish(self, task: Task, error: SlimError | None, turn: Turn) -> None:
        """The task under way is over."""
        conversation = self._conversation
        self._task = None
        for request in open_requests(task.at):
            conversation.requests.cancel(request.message_id)
        if conversation.encryption is not None:
            conversation.encryption.cancel()
        self._answer_task(task, error, turn)
        if error is None or not isinstance(task, AddTask):
            return
        if not conversation.group:
            self._end(error, turn)
        elif isinstance(task.at, Welcoming) and not task.at.welcomed:
            self._drop(task.at.member.name, "it never acknowledged its welcome", turn, rolls_back=True)

    def _answer_task(self, task: Task, error: SlimError | None, turn: Turn) -> None:
        if not isinstance(task, DropTask):
            self._answer(task.asked_by, error, turn)

    def _answer(self, asked_by: AskedBy, error: SlimError | None, turn: Turn) -> None:
        match asked_by:
            case AskedByApplication():
                turn.answer(asked_by.handle, error, asked_by.inbox)
            case AskedByController():
                self._report(asked_by.order, error, turn)
            case AskedByNobody():
                pass

    def _report(self, order: SessionMessage, error: SlimError | None, turn: Turn) -> None:
        """A task that a controller ordered is over (`controlled.py`)."""

    # Add

    def _discover(self, task: AddTask, turn: Turn) -> None:
        conversation = self._conversation
        taken = task.name.key == conversation.local.key or self._roster.find(task.name) is not None
        if conversation.group and taken:
            error = ParticipantExists(str(task.name), session_id=conversation.session_id)
            self._finish(task, error, turn)
            return
        request = conversation.message(MessageType.DISCOVERY_REQUEST, task.name, DiscoveryRequest())
        self._task = task.moved(Discovering(request))
        conversation.requests.start(request, {task.name.without_id()}, turn)

    def _discovered(self, task: AddTask, reply: SessionMessage, turn: Turn) -> None:
        member = Located(reply.source, reply.connection)
        if reply.connection is not None:
            turn.bind(reply.source, reply.connection)
            if not self._channel_bound:
                # Whoever is invited may publish as soon as it is welcome: we must receive by then.
                self._task = task.moved(BindingChannel(member))
                turn.subscribe(self._conversation.destination, reply.connection)
                return
        self._found(task, member, turn)

    def _bound(self, event: Bound, turn: Turn) -> None:
        if event.name != self._conversation.destination:
            return
        match self._task:
            case AddTask(at=BindingChannel(member)) as task:
                if event.error is not None:
                    self._finish(task, failed_to_add(self._conversation, task, str(event.error)), turn)
                    return
                self._channel_bound = True
                self._found(task, member, turn)

    def _found(self, task: AddTask, member: Located, turn: Turn) -> None:
        """Found the MLS group when there is a first member to be, then ask it to join."""
        encryption = self._conversation.encryption
        if encryption is None or self._founded:
            self._ask_to_join(task, member, turn)
            return
        self._task = task.moved(Founding(member))
        create = encryption.crypto.create
        encryption.start_with_credential(lambda: at_once(create), self._is_founded, self._not_committed, turn)

    def _is_founded(self, _: None, turn: Turn) -> None:
        self._founded = True
        match self._task:
            case AddTask(at=Founding(member)) as task:
                self._ask_to_join(task, member, turn)

    def _ask_to_join(self, task: AddTask, member: Located, turn: Turn) -> None:
        conversation = self._conversation
        config, encrypted = conversation.config, conversation.encryption is not None
        timers = None
        if config.interval is not None and config.max_retries is not None:
            timers = TimerSettings(config.interval, config.max_retries)
        request = conversation.message(
            MessageType.JOIN_REQUEST,
            member.name,
            JoinRequest(encrypted, timers, conversation.destination if conversation.group else None),
            metadata=config.metadata,
            connection=member.connection,
        )
        self._task = task.moved(Joining(member, request))
        conversation.requests.start(request, {member.name}, turn)

    def _joined(self, task: AddTask, member: Located, reply: SessionMessage, turn: Turn) -> None:
        content, encryption = reply.content, self._conversation.encryption
        self._rounds.met(reply.source, self._conversation.peer_generation(reply.identity))
        key_package = content.key_package if isinstance(content, JoinReply) else None
        if encryption is None:
            self._welcome(task, member, None, None, turn)
        elif key_package is None:
            self._finish(task, failed_to_add(self._conversation, task, "it sent no key package"), turn)
        else:
            crypto = encryption.crypto
            self._task = task.moved(CommittingAdd(member, key_package))
            encryption.start_with_credential(
                lambda: crypto.add(member.name, key_package), self._committed_add, self._not_committed, turn
            )

    def _committed_add(self, addition: Addition, turn: Turn) -> None:
        self._commit_id += 1
        commit, welcome = (MlsPayload(self._commit_id, content) for content in addition)
        match self._task:
            case AddTask(at=CommittingAdd(member)) as task:
                self._welcome(task, member, commit, welcome, turn)

    def _welcome(
        self,
        task: AddTask,
        member: Located,
        commit: MlsPayload | None,
        welcome: MlsPayload | None,
        turn: Turn,
    ) -> None:
        """Put the member on the list; tell the others, and itself."""
        conversation = self._conversation
        told = self._roster.names
        self._roster.put(member)
        awaited: list[tuple[SessionMessage, list[Name]]] = []
        if told:
            content = GroupAdd(member.name, self.members, commit)
            awaited.append((self._roster.request(MessageType.GROUP_ADD, content), told))
        request = conversation.message(
            MessageType.GROUP_WELCOME,
            member.name,
            GroupWelcome(self.members, welcome),
            connection=member.connection,
        )
        awaited.append((request, [member.name]))
        self._task = task.moved(Welcoming(member, tuple(request for request, _ in awaited)))
        for request, names in awaited:
            conversation.requests.start(request, names, turn)
        self._roster.tell_epoch(f"{member.name} added", turn)

    def _told(self, task: AddTask, at: Welcoming, request: PendingRequest, turn: Turn) -> None:
        """GROUP_ADD or GROUP_WELCOME is acknowledged by all it was for."""
        at = _without(at, request)
        if request.message.kind is MessageType.GROUP_WELCOME:
            at = at._replace(welcomed=True)
            self._roster.joined(at.member.name, turn)
        self._go_on_welcoming(task, at, turn)

    def _go_on_welcoming(self, task: AddTask, at: Welcoming, turn: Turn) -> None:
        self._task = task = task.moved(at)
        if not at.requests:
            # Not before: whoever has not answered yet must get the change all the same.
            self._finish(task, at.failures[0] if at.failures else None, turn)

    # Remove and Drop

    def _begin_remove(self, task: RemoveTask, turn: Turn) -> None:
        member = self._roster.find(task.name)
        if member is None:
            error = ParticipantNotFound(str(task.name), session_id=self._conversation.session_id)
            self._finish(task, error, turn)
            return
        at = CommittingRemove(member)
        self._task = task = task.moved(at)
        self._part(task, at, turn)

    def _begin_drop(self, task: DropTask, turn: Turn) -> None:
        member = self._roster.find(task.name)
        if member is None or member.name != task.name:
            self._finish(task, None, turn)
            return
        alone = not self._conversation.group or len(self._roster) == 1
        if alone and not task.rolls_back and not any(isinstance(waits, AddTask) for waits in self._queue):
            self._leave_list(task.name, task.cause, turn)
            self._end(disconnected(self._conversation, task.name, task.cause), turn)
            return
        at = CommittingRemove(member)
        self._task = task = task.moved(at)
        self._part(task, at, turn)

    def _part(self, task: RemoveTask | DropTask, at: CommittingRemove, turn: Turn) -> None:
        encryption = self._conversation.encryption
        if encryption is None:
            self._tell_without(task, at.member, None, turn)
            return
        crypto, name = encryption.crypto, at.member.name
        encryption.start_with_credential(
            lambda: crypto.remove(name), self._committed_remove, self._not_committed, turn
        )

    def _committed_remove(self, commit: bytes, turn: Turn) -> None:
        self._commit_id += 1
        match self._task:
            case RemoveTask(at=CommittingRemove(member)) | DropTask(at=CommittingRemove(member)) as task:
                self._tell_without(task, member, MlsPayload(self._commit_id, commit), turn)

    def _tell_without(
        self, task: RemoveTask | DropTask, member: Located, commit: MlsPayload | None, turn: Turn
    ) -> None:
        """Take the member off the list and tell the others; the list they get still has it."""
        if member.name not in self._roster:
            # It went while the session was closing, and the commit was on its way.
            self._finish(task, None, turn)
            return
        before, told = self.members, set(self._roster.names)
        cause = "removed"
        if isinstance(task, DropTask):
            cause = task.cause
            told.discard(member.name)
        self._leave_list(member.name, cause, turn)
        self._roster.tell_epoch(f"{member.name} {cause}", turn)
        if self._roster:
            content = GroupRemove(member.name, before, commit)
            request = self._roster.request(MessageType.GROUP_REMOVE, content)
            self._task = task.moved(Telling(member, request))
            self._conversation.requests.start(request, told, turn)
        else:
            self._let_go(task, member, turn)

    def _let_go(self, task: RemoveTask | DropTask, member: Located, turn: Turn) -> None:
        """Everybody knows: now the member itself may go."""
        if isinstance(task, DropTask):
            self._finish(task, None, turn)
            return
        request = self._conversation.message(
            MessageType.LEAVE_REQUEST, member.name, LeaveRequest(), connection=member.connection
        )
        self._task = task.moved(Dismissing(member, request))
        self._conversation.requests.start(request, {member.name}, turn)

    def _leave_list(self, member: Name, cause: str, turn: Turn) -> None:
        self._rounds.left(member)
        self._roster.strike(member, cause, turn)

    def _drop(self, member: Name, cause: str, turn: Turn, *, rolls_back: bool = False) -> None:
        """A member is gone without being asked to go: tell the application, and the others in turn."""
        if member not in self._roster:
            return
        tasks = (self._task, *self._queue)
        if any(isinstance(task, DropTask) and task.name == member for task in tasks):
            return
        self._conversation.data.sender.forget(member, turn)
        if not rolls_back:
            turn.report(disconnected(self._conversation, member, cause))
        if self._conversation.data.draining:
            # GROUP_CLOSE is next; it need not wait for somebody who is gone, nor the others be told twice.
            self._leave_list(member, cause, turn)
            return
        self._queue.append(DropTask(member, cause, rolls_back))

    # Close

    def _take_leave(self, task: CloseTask, turn: Turn) -> None:
        if self._conversation.data.unacknowledged and turn.now < task.deadline:
            return
        if not self._roster:
            self._closed(task, None, turn)
            return
        request = self._roster.request(MessageType.GROUP_CLOSE, GroupClose(self.members))
        self._task = task.moved(TakingLeave(request))
        self._conversation.requests.start(request, self._roster.names, turn)

    def _closed(self, task: CloseTask, error: SlimError | None, turn: Turn) -> None:
        self._task = None
        self._answer_task(task, error, turn)
        self._conversation.ending.answer(error, turn)
        self._end(None, turn)

    def _end(self, cause: SlimError | None, turn: Turn) -> None:
        if self._conversation.ended:
            return
        self._conversation.end(cause, turn)
        closed = self._conversation.closed(cause)
        for task in (self._task, *self._queue):
            if task is not None:
                self._answer_task(task, closed, turn)
        self._queue.clear()
        self._task = None

    # Messages

    def control(self, message: SessionMessage, turn: Turn) -> None:
        requests = self._conversation.requests
        match message.kind:
            case MessageType.DISCOVERY_REPLY | MessageType.GROUP_ACK | MessageType.LEAVE_REPLY:
                if (request := requests.answered(message)) is not None:
                    self._answered(request, message, turn)
            case MessageType.JOIN_REPLY:
                if isinstance(message.content, JoinReply) and (request := requests.answered(message)):
                    self._answered(request, message, turn)
            case MessageType.LEAVE_REQUEST:
                self._leaving(message, turn)
            case MessageType.PING:
                self._rounds.answered(message.source, message.message_id)
                requests.answered(message)
            case MessageType.GROUP_NACK:
                pass
            case kind:
                turn.refuse(f"{kind.name} from {message.source}: this side is the moderator")

    def _answered(self, request: PendingRequest, reply: SessionMessage, turn: Turn) -> None:
        """A request of the current step is answered by all, `reply` being the last answer."""
        match self._task:
            case AddTask(at=Discovering()) as task:
                self._discovered(task, reply, turn)
            case AddTask(at=Joining(member)) as task:
                self._joined(task, member, reply, turn)
            case RemoveTask(at=Dismissing()) as task:
                self._finish(task, None, turn)
            case _:
                self._acknowledged(request, turn)

    def _acknowledged(self, request: PendingRequest, turn: Turn) -> None:
        """GROUP_ACK of everybody who was to send one."""
        match self._task:
            case AddTask(at=Welcoming() as at) as task:
                self._told(task, at, request, turn)
            case RemoveTask(at=Telling(member)) | DropTask(at=Telling(member)) as task:
                self._let_go(task, member, turn)
            case CloseTask() as task:
                self._closed(task, None, turn)

    def _leaving(self, message: SessionMessage, turn: Turn) -> None:
        """A member leaves by itself. It is answered each time it asks (`session.md` 9.2)."""
        if not (message.metadata and LEAVING_SESSION in message.metadata):
            turn.refuse(f"LEAVE_REQUEST from {message.source}: this side is the moderator")
            return
        reply = self._conversation.reply(message, MessageType.LEAVE_REPLY, LeaveReply())
        turn.send(reply)
        if message.source not in self._roster:
            return
        self._conversation.ending.farewells.append(reply)
        self._excuse(message.source, turn)
        self._drop(message.source, "left", turn)

    def _excuse(self, member: Name, turn: Turn) -> None:
        """A member is gone: a request that told others is complete without it, any other has failed."""
        for request in self._conversation.requests.excuse(member):
            if request.message.kind in _GROUP_REQUESTS:
                self._acknowledged(request, turn)
            else:
                self._failed(request, "it left", turn)

    def _failed(self, request: PendingRequest, cause: str, turn: Turn) -> None:
        """Nobody, or not everybody, answered a request of the current step."""
        kind = request.message.kind
        if kind is MessageType.PING:
            return
        match self._task:
            case AddTask(at=Welcoming() as at) as task:
                failures = (*at.failures, failed_to_add(self._conversation, task, cause))
                self._go_on_welcoming(task, _without(at, request)._replace(failures=failures), turn)
            case AddTask() as task:
                self._finish(task, failed_to_add(self._conversation, task, cause), turn)
            case RemoveTask() | DropTask() as task:
                self._finish(task, failed_to_remove(self._conversation, task, cause), turn)
            case CloseTask() as task:
                text = f"failed to close session: {cause}"
                self._closed(task, SessionError(text, session_id=self._conversation.session_id), turn)
        if kind in _TELLS and self._conversation.encryption is not None:
            # Without this commit no later one can be applied: they could read nothing any more.
            for name in request.awaiting:
                self._drop(name, "it missed a change of the group", turn)

    def _not_committed(self, phase: Phase, error: SlimError, turn: Turn) -> None:
        """The group could not be founded or changed."""
        cause = f"no credential for MLS: {error}" if phase is Phase.CREDENTIAL else str(error)
        as_it_is = phase is Phase.CREDENTIAL and isinstance(error, ConfigError)
        match self._task:
            case AddTask() as task:
                self._finish(
                    task, error if as_it_is else failed_to_add(self._conversation, task, cause), turn
                )
            case RemoveTask() | DropTask() as task:
                self._finish(
                    task, error if as_it_is else failed_to_remove(self._conversation, task, cause), turn
                )

    # Time

    def expire(self, turn: Turn) -> None:
        for request in self._conversation.requests.expire(turn):
            self._failed(request, request.why, turn)
        if not self._conversation.ended and turn.now >= self._rounds.next_deadline():
            self._ping(turn)

    def next_deadline(self) -> float | None:
        deadline = self._rounds.next_deadline()
        close = self._queue[-1] if self._queue else self._task
        if isinstance(close, CloseTask) and not isinstance(close.at, TakingLeave):
            return min(deadline, close.deadline)
        return deadline

    def _ping(self, turn: Turn) -> None:
        conversation = self._conversation
        for member in self._rounds.close_round(turn.now):
            self._excuse(member, turn)
            self._drop(member, "it stopped answering", turn)
        conversation.requests.cancel(self._ping_id)
        if conversation.ended or not self._roster:
            return
        ping = self._roster.request(MessageType.PING, Ping(), ALL if conversation.group else ONE)
        self._ping_id = ping.message_id
        again = self._rounds.open_round(ping.message_id, self._roster.names)
        if again:
            conversation.requests.start(ping, again, turn)
        else:
            turn.send(ping)


def _without(at: Welcoming, request: PendingRequest) -> Welcoming:
    """A request of this step needs no answers any more."""
    left = tuple(open for open in at.requests if open.message_id != request.message.message_id)
    return at._replace(requests=left)
