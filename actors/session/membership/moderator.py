"""The initiator of a session: of a group its moderator, point to point the side that calls.

One task at a time, others queue (`session.md` 10):

    Add     discovery ─► [channel bound] ─► join ─► [credential, commit] ─► { GROUP_ADD acks, welcome ack }
    Remove  [credential, commit] ─► GROUP_REMOVE acks ─► leave reply
    Drop    as Remove, without asking the one who is gone
    Close   window empty, or time is up ─► GROUP_CLOSE acks

GROUP_ADD and GROUP_REMOVE are skipped when there is nobody to tell. Answers that are not awaited are ignored:
the second answer to a request that was sent twice must not add a member twice (section 14, 4).
"""

from __future__ import annotations

from collections import deque

from actors.errors import (
    HandshakeFailed,
    NotModerator,
    ParticipantDisconnected,
    ParticipantExists,
    ParticipantNotFound,
    QueueFull,
    SessionClosed,
    SessionError,
)
from actors.messages.session import (
    Bind,
    Bound,
    CloseSession,
    Invite,
    MemberJoined,
    MemberLeft,
    RemoveMember,
    Unbind,
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
from actors.names import Key, Name
from actors.session.conversation import Conversation, Setting
from actors.session.crypto import Addition, at_once
from actors.session.effects import Effect, Event, Refused
from actors.session.membership.liveness import Rounds
from actors.session.membership.requests import PendingRequest
from actors.session.membership.tasks import Kind, Task
from identity.errors import ConfigError, CryptoError, SlimError

TASKS = 1024
"""Tasks that may queue; an operation beyond it fails at once."""


class Moderator(Conversation):
    """The initiator's core. Point to point it starts with one Add, whose outcome is that of `handle`."""

    def __init__(self, setting: Setting, destination: Name, handle: int | None, now: float) -> None:
        super().__init__(setting, destination)
        self._others: dict[Key, Name] = {}
        self._connections: dict[Name, int | None] = {}
        self._present: set[Name] = set()
        """Members that acknowledged their welcome."""
        self._tasks: deque[Task] = deque()
        self._task: Task | None = None
        self._steps: set[int] = set()
        """Requests of the current step that are not fully answered."""
        self._key_package: bytes | None = None
        self._founded = False
        self._commit_id = 0
        self._channel_bound = not self.group
        self._rounds = Rounds(setting.settings.ping_interval, now)
        self._opening = handle
        self._closing: list[int] = []
        self._last_task: Task | None = None
        """Close, once it was asked for."""
        self._ping_id = 0

    def start(self, now: float) -> list[Effect]:
        """The first effects: call it once. A group stands at once; a peer must be found first."""
        out: list[Effect] = []
        if self.group:
            self._answer(self._opening, None, None)
        else:
            self._tasks.append(Task(Kind.ADD, self.destination, self._opening))
            self._next_task(now, out)
        self._settle(out)
        return out

    @property
    def members(self) -> tuple[Name, ...]:
        return (self.local, *self._others.values())

    # Operations.

    def _operate(self, event: Event, now: float, out: list[Effect]) -> None:
        if isinstance(event, Invite | RemoveMember):
            kind = Kind.ADD if isinstance(event, Invite) else Kind.REMOVE
            error = self._objection(event)
            if error is not None:
                self._answer(event.handle, event.inbox, error)
                return
            self._tasks.append(Task(kind, event.name, event.handle, event.inbox))
        elif isinstance(event, CloseSession):
            if event.handle is not None:
                self._closing.append(event.handle)
            if not self.group and not self._others and not self._kept:
                # Nobody was found yet, and nothing waits for whoever it is.
                self._end(None)
            else:
                self._close(now + event.grace, None)
        elif isinstance(event, Bound):
            self._bound(event, now, out)

    def _close(self, deadline: float, order: SessionMessage | None) -> None:
        if not self._draining:
            self._draining = True
            self._last_task = Task(Kind.CLOSE, self.destination)
            self._last_task.deadline = deadline
            self._last_task.order = order
            self._tasks.append(self._last_task)

    def _objection(self, event: Invite | RemoveMember) -> SlimError | None:
        if not self.group:
            verb = "invite participant to" if isinstance(event, Invite) else "remove participant from"
            return NotModerator(f"cannot {verb} a point-to-point session", session_id=self.session_id)
        if self._draining:
            return SessionClosed("draining, no new operations", session_id=self.session_id)
        if len(self._tasks) >= TASKS:
            return QueueFull(f"operations of session {self.session_id}", TASKS)
        return None

    # The task queue.

    def _next_task(self, now: float, out: list[Effect]) -> None:
        while self._task is None and self._tasks and not self.ended:
            task = self._task = self._tasks.popleft()
            if task.kind is Kind.ADD:
                self._discover(task, now, out)
            elif task.kind is Kind.REMOVE:
                self._begin_remove(task, now, out)
            elif task.kind is Kind.DROP:
                self._begin_drop(task, now, out)
            else:
                self._begin_close(task, now, out)

    def _finish(self, error: SlimError | None, out: list[Effect]) -> None:
        task, self._task = self._task, None
        assert task is not None
        self._requests.cancel(*self._steps)
        self._steps.clear()
        self._key_package = None
        self._credential_waits = self._operation = None
        self._answer(task.handle, task.inbox, error)
        self._report(task.order, error)
        if error is not None and task.kind is Kind.ADD:
            if not self.group:
                self._end(error)
                return
            if task.member is not None and not task.welcomed and self._is_member(task.member):
                self._drop(task.member, "it never acknowledged its welcome", out, rolls_back=True)

    def _request(
        self,
        what: str,
        message: SessionMessage,
        awaiting: set[Name] | set[Key],
        now: float,
        out: list[Effect],
    ) -> None:
        self._steps.add(self._requests.start(what, message, awaiting, now, out))  # type: ignore[arg-type]

    def _stepped(self, request: PendingRequest) -> bool:
        """A request of the current step is answered. Returns whether the step is complete."""
        self._steps.discard(request.message.message_id)
        return not self._steps

    # Add.

    def _discover(self, task: Task, now: float, out: list[Effect]) -> None:
        if self.group and task.name.key in {self.local.key, *self._others}:
            self._finish(ParticipantExists(str(task.name), session_id=self.session_id), out)
            return
        message = self._message(MessageType.DISCOVERY_REQUEST, task.name, DiscoveryRequest())
        self._request("discovery", message, {task.name.key}, now, out)

    def _discovered(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        task = self._task
        assert task is not None
        task.member, task.connection = message.source, message.connection
        if message.connection is not None:
            out.append(Bind(message.source, message.connection))
            if not self._channel_bound:
                # Whoever is invited may publish as soon as it is welcome: we must receive by then.
                out.append(Bind(self.destination, message.connection, subscribe=True))
                return
        self._prepare(now, out)

    def _bound(self, event: Bound, now: float, out: list[Effect]) -> None:
        task = self._task
        if self._channel_bound or event.name != self.destination or task is None or task.member is None:
            return
        if event.error is not None:
            self._finish(self._failed_to_add(str(event.error)), out)
            return
        self._channel_bound = True
        self._prepare(now, out)

    def _prepare(self, now: float, out: list[Effect]) -> None:
        """Found the MLS group when there is a first member to be, then ask it to join."""
        if self._crypto is None or self._founded:
            self._invite(now, out)
        else:
            self._with_credential(out, self._found, now)

    def _found(self, now: float, out: list[Effect]) -> None:
        assert self._crypto is not None
        create = self._crypto.create
        self._compute(lambda: at_once(create), self._is_founded, self._add_refused, now, out)

    def _is_founded(self, _: None, now: float, out: list[Effect]) -> None:
        self._founded = True
        self._invite(now, out)

    def _add_refused(self, error: CryptoError, now: float, out: list[Effect]) -> None:
        self._finish(self._failed_to_add(str(error)), out)

    def _invite(self, now: float, out: list[Effect]) -> None:
        task, config = self._task, self.config
        assert task is not None
        assert task.member is not None
        timers = None
        if config.interval is not None and config.max_retries is not None:
            timers = TimerSettings(config.interval, config.max_retries)
        message = self._message(
            MessageType.JOIN_REQUEST,
            task.member,
            JoinRequest(self._crypto is not None, timers, self.destination if self.group else None),
            metadata=config.metadata,
            connection=task.connection,
        )
        self._request("join", message, {task.member}, now, out)

    def _joined(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        reply = message.content
        assert isinstance(reply, JoinReply)
        self._rounds.met(message.source, self._peer_generation(message.identity))
        if self._crypto is None:
            self._welcome(None, now, out)
        elif reply.key_package is None:
            self._finish(self._failed_to_add("it sent no key package"), out)
        else:
            self._key_package = reply.key_package
            self._with_credential(out, self._commit_add, now)

    def _commit_add(self, now: float, out: list[Effect]) -> None:
        crypto, key_package = self._crypto, self._key_package
        member = self._task.member if self._task is not None else None
        assert crypto is not None
        assert key_package is not None
        assert member is not None
        self._compute(
            lambda: crypto.add(member, key_package), self._committed_add, self._add_refused, now, out
        )

    def _committed_add(self, addition: Addition, now: float, out: list[Effect]) -> None:
        self._commit_id += 1
        self._welcome(addition, now, out)

    def _welcome(self, mls: Addition | None, now: float, out: list[Effect]) -> None:
        task = self._task
        assert task is not None
        member = task.member
        assert member is not None
        told = set(self._others.values())
        self._others[member.key] = member
        self._connections[member] = task.connection
        self._receiver.admit(member, from_start=True)
        commit = welcome = None
        if mls is not None:
            commit, welcome = (MlsPayload(self._commit_id, content) for content in mls)
        if told:
            message = self._message(
                MessageType.GROUP_ADD,
                self.destination,
                GroupAdd(member, self.members, commit),
                fanout=ALL,
            )
            self._request("commit", message, told, now, out)
        message = self._message(
            MessageType.GROUP_WELCOME,
            member,
            GroupWelcome(self.members, welcome),
            connection=task.connection,
        )
        self._request("welcome", message, {member}, now, out)
        self._epoch_changed(f"{member} added", out)

    def _welcomed(self, request: PendingRequest, now: float, out: list[Effect]) -> None:
        task = self._task
        assert task is not None
        assert task.member is not None
        task.welcomed = True
        if not self.group:
            self._sender.destination = task.member
        self._present.add(task.member)
        out.append(MemberJoined(self.session_id, task.member, self.members))
        self._open_up(task.member, now, out)
        if self._stepped(request):
            self._finish(task.error, out)

    def _failed_to_add(self, cause: str) -> HandshakeFailed:
        if not self.group:
            return HandshakeFailed(f"session handshake failed: {cause}", session_id=self.session_id)
        hint = ""
        if not self.config.reliable:
            hint = (
                "; members of SLIM's own implementation cannot join a group without timeout and max_retries"
            )
        name = self._task.name if self._task is not None else "?"
        return HandshakeFailed(
            f"failed to add a participant to the group: {name}: {cause}{hint}", session_id=self.session_id
        )

    # Remove and Drop.

    def _begin_remove(self, task: Task, now: float, out: list[Effect]) -> None:
        member = self._others.get(task.name.key)
        if member is None:
            self._finish(ParticipantNotFound(str(task.name), session_id=self.session_id), out)
            return
        task.member, task.cause = member, "removed"
        task.connection = self._connections.get(member)
        self._part(now, out)

    def _begin_drop(self, task: Task, now: float, out: list[Effect]) -> None:
        if not self._is_member(task.name):
            self._finish(None, out)
            return
        task.member = task.name
        alone = not self.group or len(self._others) == 1
        if alone and not task.rolls_back and not any(waits.kind is Kind.ADD for waits in self._tasks):
            self._leave_list(task.name, task.cause, out)
            self._end(ParticipantDisconnected(str(task.name), task.cause, session_id=self.session_id))
            return
        self._part(now, out)

    def _part(self, now: float, out: list[Effect]) -> None:
        if self._crypto is None:
            self._without(None, now, out)
        else:
            self._with_credential(out, self._commit_remove, now)

    def _commit_remove(self, now: float, out: list[Effect]) -> None:
        crypto, member = self._crypto, self._task.member if self._task is not None else None
        assert crypto is not None
        assert member is not None
        self._compute(lambda: crypto.remove(member), self._committed_remove, self._remove_refused, now, out)

    def _committed_remove(self, commit: bytes, now: float, out: list[Effect]) -> None:
        self._commit_id += 1
        self._without(commit, now, out)

    def _remove_refused(self, error: CryptoError, now: float, out: list[Effect]) -> None:
        self._finish(self._failed_to_remove(str(error)), out)

    def _without(self, commit: bytes | None, now: float, out: list[Effect]) -> None:
        """Take the member off the list and tell the others; the list they get still has it."""
        task = self._task
        assert task is not None
        member = task.member
        assert member is not None
        if not self._is_member(member):
            # It went while the session was closing, and the commit was on its way.
            self._finish(None, out)
            return
        before = self.members
        told = set(self._others.values())
        if task.kind is Kind.DROP:
            told.discard(member)
        self._leave_list(member, task.cause, out)
        self._epoch_changed(f"{member} {task.cause}", out)
        if self._others:
            mls = MlsPayload(self._commit_id, commit) if commit is not None else None
            message = self._message(
                MessageType.GROUP_REMOVE, self.destination, GroupRemove(member, before, mls), fanout=ALL
            )
            self._request("commit", message, told, now, out)
        else:
            self._parted(now, out)

    def _parted(self, now: float, out: list[Effect]) -> None:
        """Everybody knows: now the member itself may go."""
        task = self._task
        assert task is not None
        assert task.member is not None
        if task.kind is Kind.DROP:
            self._finish(None, out)
            return
        message = self._message(
            MessageType.LEAVE_REQUEST, task.member, LeaveRequest(), connection=task.connection
        )
        self._request("leave", message, {task.member}, now, out)

    def _leave_list(self, member: Name, cause: str, out: list[Effect]) -> None:
        del self._others[member.key]
        self._connections.pop(member, None)
        self._sender.forget(member)
        self._receiver.expel(member)
        self._clear_text.discard(member)
        self._rounds.left(member)
        out.append(Unbind(member))
        if member in self._present:
            self._present.discard(member)
            out.append(MemberLeft(self.session_id, member, self.members, cause))

    def _failed_to_remove(self, cause: str) -> SessionError:
        name = self._task.name if self._task is not None else "?"
        return SessionError(
            f"failed to remove participant from session: {name}: {cause}", session_id=self.session_id
        )

    def _drop(self, member: Name, cause: str, out: list[Effect], *, rolls_back: bool = False) -> None:
        """A member is gone without being asked to go: tell the application, and the others in turn."""
        if not self._is_member(member):
            return
        if any(task.kind is Kind.DROP and task.name == member for task in (self._task, *self._tasks) if task):
            return
        self._sender.forget(member)
        if not rolls_back:
            error = ParticipantDisconnected(str(member), cause, session_id=self.session_id)
            self._sender.errors.append(error)
        if self._draining:
            # GROUP_CLOSE is next; it need not wait for somebody who is gone, nor the others be told twice.
            self._leave_list(member, cause, out)
            return
        task = Task(Kind.DROP, member)
        task.cause, task.rolls_back = cause, rolls_back
        self._tasks.append(task)

    def _is_member(self, name: Name) -> bool:
        return self._others.get(name.key) == name

    # Close.

    def _begin_close(self, task: Task, now: float, out: list[Effect]) -> None:
        if self._sender.unacknowledged and now < task.deadline:
            return
        if not self._others:
            self._closed(None)
            return
        to = self.destination if self.group else next(iter(self._others.values()))
        message = self._message(MessageType.GROUP_CLOSE, to, GroupClose(self.members), fanout=ALL)
        self._request("close", message, set(self._others.values()), now, out)

    def _closed(self, error: SlimError | None) -> None:
        if self._last_task is not None:
            self._report(self._last_task.order, error)
        self._task = None
        for handle in self._closing:
            self._answer(handle, None, error)
        self._closing.clear()
        self._end(None)

    def _end(self, cause: SlimError | None) -> None:
        if self.ended:
            return
        super()._end(cause)
        closed = SessionClosed(str(cause) if cause else "", session_id=self.session_id)
        for task in (self._task, *self._tasks):
            if task is not None:
                self._answer(task.handle, task.inbox, closed)
        self._tasks.clear()
        self._task = None
        for handle in self._closing:
            self._answer(handle, None, None)
        self._closing.clear()

    # Messages and timers.

    def _control(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        kind, id, source = message.kind, message.message_id, message.source
        answered = self._requests.answered
        if kind is MessageType.DISCOVERY_REPLY:
            if (request := answered(id, source.key, "discovery")) is not None:
                self._stepped(request)
                self._discovered(message, now, out)
        elif kind is MessageType.JOIN_REPLY:
            if isinstance(message.content, JoinReply) and (request := answered(id, source, "join")):
                self._stepped(request)
                self._joined(message, now, out)
        elif kind is MessageType.GROUP_ACK:
            if (request := answered(id, source, "welcome", "commit", "close")) is not None:
                self._acknowledged(request, now, out)
        elif kind is MessageType.LEAVE_REPLY:
            if (request := answered(id, source, "leave")) is not None:
                self._stepped(request)
                self._finish(None, out)
        elif kind is MessageType.LEAVE_REQUEST:
            self._leaving(message, now, out)
        elif kind is MessageType.PING:
            self._rounds.answered(source, id)
            answered(id, source, "ping")
        elif kind is not MessageType.GROUP_NACK:
            out.append(Refused(f"{kind.name} from {source}: this side is the moderator"))

    def _report(self, order: SessionMessage | None, error: SlimError | None) -> None:
        """A task that a controller ordered is over (`controlled.py`)."""

    def _acknowledged(self, request: PendingRequest, now: float, out: list[Effect]) -> None:
        if request.what == "welcome":
            self._welcomed(request, now, out)
            return
        complete = self._stepped(request)
        if request.what == "close":
            self._closed(None)
        elif complete and self._task is not None:
            if self._task.kind is Kind.ADD:
                self._finish(self._task.error, out)
            else:
                self._parted(now, out)

    def _leaving(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        """A member leaves by itself. It is answered each time it asks (`session.md` 9.2)."""
        if not (message.metadata and LEAVING_SESSION in message.metadata):
            out.append(Refused(f"LEAVE_REQUEST from {message.source}: this side is the moderator"))
            return
        reply = self._reply(message, MessageType.LEAVE_REPLY, LeaveReply())
        out.append(reply)
        if not self._is_member(message.source):
            return
        self._farewells.append(reply)
        for request in self._requests.excuse(message.source):
            self._excused(request, now, out)
        self._drop(message.source, "left", out)

    def _excused(self, request: PendingRequest, now: float, out: list[Effect]) -> None:
        """The last one who was to answer is gone: a request that told others is complete without it."""
        if request.message.message_id not in self._steps:
            return
        if request.what in ("commit", "close"):
            self._acknowledged(request, now, out)
        else:
            self._failed(request, now, out, cause="it left")

    def _failed(self, request: PendingRequest, now: float, out: list[Effect], cause: str = "") -> None:
        """Nobody, or not everybody, answered in time."""
        if request.message.message_id not in self._steps or self._task is None:
            return
        if not cause:
            missing = ", ".join(sorted(map(_shown, request.awaiting)))
            cause = str(request.cause) if request.cause else f"no answer to {request.message.kind.name}"
            if missing and not request.cause:
                cause += f" from {missing}"
        if request.what == "close":
            error = SessionError(f"failed to close session: {cause}", session_id=self.session_id)
            self._closed(error)
            return
        task = self._task
        failed = self._failed_to_add if task.kind is Kind.ADD else self._failed_to_remove
        task.error = task.error or failed(cause)
        if self._stepped(request):
            # Not before: whoever has not answered yet must get the change all the same.
            self._finish(task.error, out)
        if request.what == "commit" and self._crypto is not None:
            # Without this commit no later one can be applied: they could read nothing any more.
            for name in request.awaiting:
                if isinstance(name, Name):
                    self._drop(name, "it missed a change of the group", out)

    def _no_credential(self, error: SlimError, now: float, out: list[Effect]) -> None:
        if self._task is None:
            return
        if isinstance(error, ConfigError):
            self._finish(error, out)
            return
        cause = f"no credential for MLS: {error}"
        failed = self._failed_to_add if self._task.kind is Kind.ADD else self._failed_to_remove
        self._finish(failed(cause), out)

    def _expire(self, now: float, out: list[Effect]) -> None:
        for request in self._requests.expire(now, out):  # type: ignore[arg-type]
            self._failed(request, now, out)
        if not self.ended and now >= self._rounds.next_deadline():
            self._ping(now, out)

    def _ping(self, now: float, out: list[Effect]) -> None:
        for member in self._rounds.close_round(now):
            for request in self._requests.excuse(member):
                self._excused(request, now, out)
            self._drop(member, "it stopped answering", out)
        self._requests.cancel(self._ping_id)
        if self.ended or not self._others:
            return
        to = self.destination if self.group else next(iter(self._others.values()))
        ping = self._message(MessageType.PING, to, Ping(), fanout=ALL if self.group else ONE)
        self._ping_id = ping.message_id
        again = self._rounds.open_round(ping.message_id, self._others.values())
        if again:
            self._requests.start("ping", ping, again, now, out)  # type: ignore[arg-type]
        else:
            out.append(ping)

    def _progress(self, now: float, out: list[Effect]) -> None:
        last = self._last_task
        if last is not None and self._task is not last and now >= last.deadline:
            self._skip_to_the_end(last, out)
        self._next_task(now, out)
        if self._task is last and last is not None and not self._steps and not self.ended:
            self._begin_close(last, now, out)

    def _skip_to_the_end(self, last: Task, out: list[Effect]) -> None:
        """The grace is over before everything that waits was worked off."""
        closed = SessionClosed("the session is closing", session_id=self.session_id)
        for task in self._tasks:
            self._answer(task.handle, task.inbox, closed)
        self._tasks.clear()
        if self._task is not None:
            self._finish(closed, out)
        self._tasks.append(last)

    def _deadlines(self) -> tuple[float | None, ...]:
        last = self._last_task
        waits = last is not None and not (self._task is last and self._steps)
        return (self._rounds.next_deadline(), last.deadline if waits and last is not None else None)


def _shown(awaited: object) -> str:
    return str(awaited) if isinstance(awaited, Name) else "any instance of that name"
