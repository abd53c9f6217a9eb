"""How somebody comes into a session (`session.md` 4 to 6):

    discovery ─► [channel bound] ─► [group founded] ─► join ─► [credential, commit]
              ─► { GROUP_ADD acks, welcome ack }

GROUP_ADD is skipped when there is nobody to tell.
"""

from __future__ import annotations

import math

from actors.errors import ParticipantExists
from actors.messages.session import Bound, Moved
from actors.messages.wire import (
    DiscoveryRequest,
    GroupAdd,
    GroupWelcome,
    Hint,
    HintReason,
    JoinReply,
    JoinRequest,
    MessageType,
    MlsPayload,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name
from actors.session.crypto import Addition, at_once
from actors.session.effects import PeerTold
from actors.session.encryption import Phase
from actors.session.membership.agenda import MISSED_A_CHANGE, Agenda
from actors.session.membership.failures import failed_to_add, in_words, is_final
from actors.session.membership.requests import PendingRequest
from actors.session.membership.tasks import (
    AddTask,
    BindingChannel,
    CommittingAdd,
    Discovering,
    Founding,
    Joining,
    Located,
    Welcoming,
)
from actors.session.turn import Turn
from identity.errors import SlimError
from identity.mls import ValidationError

_DISCOVERY, _JOIN = MessageType.DISCOVERY_REQUEST, MessageType.JOIN_REQUEST
_WELCOME, _ADD = MessageType.GROUP_WELCOME, MessageType.GROUP_ADD
_NOWHERE: frozenset[int] = frozenset()


class Adding:
    """What `AddTask`s do: the steps of `tasks.ADD`."""

    __slots__ = ("_agenda", "_channel_bound", "_conversation", "_founded", "_members")

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._conversation = agenda.conversation
        self._members = agenda.members
        self._channel_bound = _NOWHERE
        """The connections on which we receive what is said in the channel."""
        self._founded = False

    @property
    def founded(self) -> bool:
        """Whether there is an MLS group."""
        return self._founded

    def resume(self, *, founded: bool, channel_bound: frozenset[int]) -> None:
        """What was done before our time, `channel_bound` on these connections."""
        self._founded, self._channel_bound = founded, channel_bound

    def commit_again(self, task: AddTask, at: CommittingAdd, turn: Turn) -> None:
        """A key package came before our time, and no commit left."""
        encryption = self._conversation.encryption
        assert encryption is not None
        crypto, member, key_package = encryption.crypto, at.member.name, at.key_package
        encryption.start_with_credential(
            lambda: crypto.add(member, key_package, None), self._committed_add, self._not_committed, turn
        )

    def begin(self, task: AddTask, turn: Turn) -> None:
        """Look for somebody of that name, unless it is in."""
        conversation = self._conversation
        taken = task.name.key == conversation.local.key or self._members.find(task.name) is not None
        if conversation.group and taken:
            error = ParticipantExists(str(task.name), session_id=conversation.session_id)
            self._agenda.finish(task, error, turn)
            return
        request = conversation.message(_DISCOVERY, task.name, DiscoveryRequest())
        self._agenda.move(task.moved(Discovering(request)))
        conversation.requests.start(request, {task.name.without_id()}, turn)

    def discovered(self, task: AddTask, reply: SessionMessage, turn: Turn) -> None:
        """`reply` tells who it is: bind the way there, and the channel before the first who is there."""
        member = Located(reply.source, reply.connection)
        self._conversation.senders.hints.forget(reply.source)
        if reply.connection is not None:
            turn.bind(reply.source, reply.connection)
            if self._conversation.group and reply.connection not in self._channel_bound:
                # Whoever is invited may publish as soon as it is welcome: we must receive by then.
                self._agenda.move(task.moved(BindingChannel(member)))
                turn.subscribe(self._conversation.destination, reply.connection)
                return
        self._found(task, member, turn)

    def bound(self, event: Bound, turn: Turn) -> None:
        """We receive what is said in the channel, or cannot."""
        if event.name != self._conversation.destination:
            return
        match self._agenda.task:
            case AddTask(at=BindingChannel(member)) as task:
                if event.error is not None:
                    self._agenda.finish(task, failed_to_add(self._conversation, task, str(event.error)), turn)
                    return
                if member.connection is not None:
                    self._channel_bound |= {member.connection}
                self._found(task, member, turn)

    def moved(self, event: Moved) -> None:
        """What we received in the channel on connections that are gone comes by another one."""
        if not self._channel_bound.isdisjoint(event.gone):
            self._channel_bound = self._channel_bound.difference(event.gone) | {event.connection}

    def _found(self, task: AddTask, member: Located, turn: Turn) -> None:
        """Found the MLS group when there is a first member to be, then ask it to join."""
        encryption = self._conversation.encryption
        if encryption is None or self._founded:
            self._ask_to_join(task, member, turn)
            return
        self._agenda.move(task.moved(Founding(member)))
        create = encryption.crypto.create
        encryption.start_with_credential(lambda: at_once(create), self._is_founded, self._not_committed, turn)

    def _is_founded(self, _: None, turn: Turn) -> None:
        self._founded = True
        match self._agenda.task:
            case AddTask(at=Founding(member)) as task:
                self._ask_to_join(task, member, turn)

    def _ask_to_join(self, task: AddTask, member: Located, turn: Turn) -> None:
        conversation = self._conversation
        config, encrypted = conversation.config, conversation.encryption is not None
        timers = None
        if config.interval is not None and config.max_retries is not None:
            timers = TimerSettings(config.interval, config.max_retries)
        request = conversation.message(
            _JOIN,
            member.name,
            JoinRequest(
                encrypted,
                timers,
                conversation.destination if conversation.group else None,
                math.ceil(conversation.settings.outage),
            ),
            metadata=config.metadata,
            connection=member.connection,
        )
        self._agenda.move(task.moved(Joining(member, request)))
        conversation.requests.start(request, {member.name}, turn)

    def joined(self, task: AddTask, member: Located, reply: SessionMessage, turn: Turn) -> None:
        """`member` agreed to join; with MLS it sent its key package."""
        content, encryption = reply.content, self._conversation.encryption
        self._conversation.introduced(reply)
        outage = content.outage if isinstance(content, JoinReply) else 0
        self._agenda.rounds.met(reply.source, self._conversation.peer_generation(reply.identity), outage)
        self._members.agreed(member.name, reply.identity)
        key_package = content.key_package if isinstance(content, JoinReply) else None
        if encryption is None:
            self._welcome(task, member, None, None, turn)
        elif key_package is None:
            self._agenda.finish(task, failed_to_add(self._conversation, task, "it sent no key package"), turn)
        else:
            crypto, subject = encryption.crypto, self._conversation.senders.subject(reply.identity)
            self._agenda.move(task.moved(CommittingAdd(member, key_package)))
            encryption.start_with_credential(
                lambda: crypto.add(member.name, key_package, subject),
                self._committed_add,
                self._not_committed,
                turn,
            )

    def _committed_add(self, addition: Addition, turn: Turn) -> None:
        commit_id = self._agenda.next_commit_id()
        commit, welcome = (MlsPayload(commit_id, content) for content in addition)
        match self._agenda.task:
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
        for late in self._agenda.behind.waiting_for_the_end_of(member.name.key):
            # They take it for the one who was there before, and would not hear it.
            self._agenda.drop(late, MISSED_A_CHANGE, turn)
        told = self._agenda.listening()
        self._members.put(member)
        awaited: list[tuple[SessionMessage, list[Name]]] = []
        if told:
            content = GroupAdd(member.name, self._members.all, commit)
            awaited.append((self._members.request(_ADD, content), told))
        request = conversation.message(
            _WELCOME,
            member.name,
            GroupWelcome(self._members.all, welcome),
            metadata=conversation.introduction,
            connection=member.connection,
        )
        awaited.append((request, [member.name]))
        self._agenda.move(task.moved(Welcoming(member, tuple(request for request, _ in awaited))))
        for request, names in awaited:
            conversation.requests.start(request, names, turn)
        if commit is not None:
            self._members.tell_epoch(f"{member.name} added", turn)

    def acknowledged(self, task: AddTask, at: Welcoming, request: PendingRequest, turn: Turn) -> None:
        """GROUP_ADD or GROUP_WELCOME is acknowledged by all it was for."""
        welcomed = request.message.kind is _WELCOME
        at = _without(at, request, welcomed=welcomed)
        if welcomed:
            self._members.joined(at.member.name, turn)
        self._go_on_welcoming(task, at, turn)

    def _go_on_welcoming(self, task: AddTask, at: Welcoming, turn: Turn) -> None:
        task = self._agenda.move(task.moved(at))
        if not at.requests:
            # Not before: whoever has not answered yet must get the change all the same.
            # Who is welcome is in, whoever else missed that.
            failure = at.failures[0] if at.failures and not at.welcomed else None
            self._agenda.finish(task, failure, turn)

    def failed(self, task: AddTask, request: PendingRequest, cause: str, turn: Turn) -> None:
        """A request of this task was not answered by all."""
        error = failed_to_add(self._conversation, task, cause)
        match task.at:
            case Welcoming() as at:
                failures = (*at.failures, error)
                self._go_on_welcoming(task, _without(at, request)._replace(failures=failures), turn)
            case _:
                self._agenda.finish(task, error, turn)

    def _not_committed(self, phase: Phase, error: SlimError, turn: Turn) -> None:
        """The group could not be founded or changed."""
        match self._agenda.task:
            case AddTask() as task:
                if isinstance(error, ValidationError) and error.rule == "key_package_parameters":
                    self._tell_of_the_suite(task, turn)
                if not is_final(phase, error):
                    error = failed_to_add(self._conversation, task, in_words(phase, error))
                self._agenda.finish(task, error, turn)

    def _tell_of_the_suite(self, task: AddTask, turn: Turn) -> None:
        """Who asked to join has MLS of another kind: it, and the nodes between us, may tell people."""
        match task.at:
            case CommittingAdd(Located(name, int(connection))):
                hint = Hint(HintReason.SUITE, self._conversation.local, name)
                turn.effects.append(PeerTold(hint, connection))


def _without(at: Welcoming, request: PendingRequest, *, welcomed: bool = False) -> Welcoming:
    """A request of this step needs no answers any more; `welcomed`: its answer was that to the welcome."""
    left = tuple(open for open in at.requests if open.message_id != request.message.message_id)
    return Welcoming(at.member, left, at.welcomed or welcomed, at.failures)
