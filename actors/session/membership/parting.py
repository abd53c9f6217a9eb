"""How somebody goes out of a session (`session.md` 6, 9):

    Remove  [credential, commit] ─► GROUP_REMOVE acks ─► leave reply
    Drop    as Remove, without asking the one who is gone

GROUP_REMOVE is skipped when there is nobody to tell.
"""

from __future__ import annotations

from actors.errors import ParticipantNotFound
from actors.messages.wire import GroupRemove, LeaveRequest, MessageType, MlsPayload
from actors.names import Name
from actors.session.encryption import Phase
from actors.session.membership.agenda import Agenda
from actors.session.membership.failures import disconnected, failed_to_remove, in_words, is_final
from actors.session.membership.tasks import (
    CommittingRemove,
    Dismissing,
    DropTask,
    Located,
    RemoveTask,
    Telling,
)
from actors.session.turn import Turn
from identity.errors import SlimError


class Parting:
    """What `RemoveTask`s and `DropTask`s do: the steps of `tasks.REMOVE` and `tasks.DROP`."""

    __slots__ = ("_agenda", "_conversation", "_members")

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._conversation = agenda.conversation
        self._members = agenda.members

    def begin_remove(self, task: RemoveTask, turn: Turn) -> None:
        """Take a member out, if there is one of that name."""
        member = self._members.find(task.name)
        if member is None:
            error = ParticipantNotFound(str(task.name), session_id=self._conversation.session_id)
            self._agenda.finish(task, error, turn)
            return
        at = CommittingRemove(member)
        task = self._agenda.move(task.moved(at))
        self._part(task, at, turn)

    def begin_drop(self, task: DropTask, turn: Turn) -> None:
        """Take out somebody who is gone; with the last one the session ends, unless others are to come."""
        member = self._members.find(task.name)
        if member is None or member.name != task.name:
            self._agenda.finish(task, None, turn)
            return
        alone = not self._conversation.group or len(self._members) == 1
        if alone and not task.rolls_back and not self._agenda.awaits_somebody:
            self._agenda.strike(task.name, task.cause, turn)
            self._agenda.end(disconnected(self._conversation, task.name, task.cause), turn)
            return
        at = CommittingRemove(member)
        task = self._agenda.move(task.moved(at))
        self._part(task, at, turn)

    def commit_again(self, task: RemoveTask | DropTask, at: CommittingRemove, turn: Turn) -> None:
        """It was begun before our time, and no commit left."""
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
        match self._agenda.task:
            case RemoveTask(at=CommittingRemove(member)) | DropTask(at=CommittingRemove(member)) as task:
                self._tell_without(task, member, MlsPayload(self._agenda.next_commit_id(), commit), turn)

    def _tell_without(
        self, task: RemoveTask | DropTask, member: Located, commit: MlsPayload | None, turn: Turn
    ) -> None:
        """Take the member off the list and tell the others; the list they get still has it."""
        if member.name not in self._members:
            # It went while the session was closing, and the commit was on its way.
            self._agenda.finish(task, None, turn)
            return
        before, told = self._members.all, self._told(member.name)
        cause = task.cause if isinstance(task, DropTask) else "removed"
        self._agenda.strike(member.name, cause, turn)
        self._members.tell_epoch(f"{member.name} {cause}", turn)
        if told - {member.name}:
            content = GroupRemove(member.name, before, commit)
            request = self._members.request(MessageType.GROUP_REMOVE, content)
            self._agenda.move(task.moved(Telling(member, request)))
            self._conversation.requests.start(request, told, turn)
        else:
            self.acknowledged(task, member, turn)

    def _told(self, member: Name) -> set[Name]:
        """Who is to know that `member` is out: itself too, if it is removed, and waits for that."""
        told = set(self._agenda.listening())
        if told - {member}:
            return told
        # All fell silent at once, perhaps because we stood still: they may hear it yet, and whoever leads the
        # group has the time of these attempts to ask them back.
        return told | (set(self._members.names) - {member})

    def acknowledged(self, task: RemoveTask | DropTask, member: Located, turn: Turn) -> None:
        """Everybody knows: now the member itself may go."""
        if isinstance(task, DropTask):
            self._agenda.finish(task, None, turn)
            return
        request = self._conversation.message(
            MessageType.LEAVE_REQUEST, member.name, LeaveRequest(), connection=member.connection
        )
        self._agenda.move(task.moved(Dismissing(member, request)))
        self._conversation.requests.start(request, {member.name}, turn)

    def failed(self, task: RemoveTask | DropTask, missing: set[Name], cause: str, turn: Turn) -> None:
        """A request of this task was not answered by those who are `missing`."""
        match task.at:
            case Telling(member) if member.name not in missing:
                # Who missed it is seen to; the member itself may go.
                self.acknowledged(task, member, turn)
            case _:
                self._agenda.finish(task, failed_to_remove(self._conversation, task, cause), turn)

    def _not_committed(self, phase: Phase, error: SlimError, turn: Turn) -> None:
        """The group could not be changed."""
        match self._agenda.task:
            case RemoveTask() | DropTask() as task:
                if not is_final(phase, error):
                    error = failed_to_remove(self._conversation, task, in_words(phase, error))
                self._agenda.finish(task, error, turn)
