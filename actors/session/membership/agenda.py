"""What a moderator has to do: one task at a time, others queue (`session.md` 10)."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from actors.errors import SessionClosed
from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.membership.behind import Behind
from actors.session.membership.failures import disconnected
from actors.session.membership.liveness import Rounds
from actors.session.membership.member_list import MemberList
from actors.session.membership.orders import Orders
from actors.session.membership.tasks import (
    AddTask,
    AskedBy,
    AskedByApplication,
    AskedByController,
    AskedByNobody,
    CloseTask,
    DropTask,
    TakingLeave,
    Task,
    Welcoming,
    open_requests,
)
from actors.session.turn import Turn
from identity.errors import SlimError

TASKS_QUEUED = 1024
"""Tasks that may queue; an operation beyond it fails at once."""
MISSED_A_CHANGE = "it missed a change of the group"

T = TypeVar("T", bound=Task)


class Agenda:
    """The tasks of one session's moderator, and what they all work with."""

    __slots__ = ("_commit_id", "behind", "conversation", "members", "orders", "queue", "rounds", "task")

    def __init__(self, conversation: Conversation, now: float) -> None:
        self.conversation = conversation
        self.members = MemberList(conversation)
        self.rounds = Rounds(
            conversation.settings.ping_interval,
            now,
            conversation.data.receiver.progress,
            conversation.settings.outage,
        )
        self.behind = Behind(conversation, self.members)
        self.orders = Orders(conversation)
        self.queue: deque[Task] = deque()
        self.task: Task | None = None
        """The one under way."""
        self._commit_id = 0

    # Tasks

    @property
    def full(self) -> bool:
        """Whether no further task may queue."""
        return len(self.queue) >= TASKS_QUEUED

    @property
    def awaits_somebody(self) -> bool:
        """Whether somebody is still to be added."""
        return any(isinstance(task, AddTask) for task in self.queue)

    @property
    def closing(self) -> CloseTask | None:
        """The task that ends the session, if it is asked for and waits still: none comes after it."""
        last = self.queue[-1] if self.queue else self.task
        return last if isinstance(last, CloseTask) and not isinstance(last.at, TakingLeave) else None

    def close(self, deadline: float, asked_by: AskedBy) -> None:
        """End the session when what queues is done, at `deadline` at the latest."""
        if not self.conversation.data.draining:
            self.conversation.data.draining = True
            self.queue.append(CloseTask(deadline, asked_by))

    def move(self, task: T) -> T:
        """The task under way is at its next step."""
        self.task = task
        return task

    def finish(self, task: Task, error: SlimError | None, turn: Turn) -> None:
        """The task under way is over."""
        conversation = self.conversation
        self.task = None
        for request in open_requests(task.at):
            conversation.requests.cancel(request.message_id)
        if conversation.encryption is not None:
            conversation.encryption.cancel()
        self.answer(task, error, turn)
        if error is None or not isinstance(task, AddTask):
            return
        if not conversation.group:
            self.end(error, turn)
        elif isinstance(task.at, Welcoming) and not task.at.welcomed:
            self.drop(task.at.member.name, "it never acknowledged its welcome", turn, rolls_back=True)

    def skip_to(self, close: CloseTask, turn: Turn) -> None:
        """The grace is over before everything that waits was worked off."""
        closed = SessionClosed("the session is closing", session_id=self.conversation.session_id)
        self.queue.pop()
        under_way, waiting = self.task, list(self.queue)
        for task in waiting:
            self.answer(task, closed, turn)
        self.queue.clear()
        if under_way is not None:
            self.finish(under_way, closed, turn)
        for each in (under_way, *waiting):
            if isinstance(each, DropTask) and each.name in self.members:
                # Nobody waits for its word on the end.
                self.strike(each.name, each.cause, turn)
        self.queue.append(close)

    def answer(self, task: Task, error: SlimError | None, turn: Turn) -> None:
        """Tell who asked for it how it went."""
        if not isinstance(task, DropTask):
            self.tell(task.asked_by, error, turn)

    def tell(self, asked_by: AskedBy, error: SlimError | None, turn: Turn) -> None:
        """Tell the one who waits for an outcome."""
        match asked_by:
            case AskedByApplication():
                turn.answer(asked_by.handle, error, asked_by.inbox)
            case AskedByController():
                self.orders.report(asked_by.order, error, turn)
            case AskedByNobody():
                pass

    def next_commit_id(self) -> int:
        """The running number of the commit that was just made (`session.md` 11.4)."""
        self._commit_id += 1
        return self._commit_id

    @property
    def commit_id(self) -> int:
        """That of the last commit."""
        return self._commit_id

    def resume(self, commit_id: int) -> None:
        """The last commit before our time had this number."""
        self._commit_id = commit_id

    # Members who are gone, and the end

    def listening(self) -> list[Name]:
        """The members without those who are gone and wait to be struck off: they acknowledge nothing."""
        going = {task.name for task in (self.task, *self.queue) if isinstance(task, DropTask)}
        return [name for name in self.members.names if name not in going]

    def drop(self, member: Name, cause: str, turn: Turn, *, rolls_back: bool = False) -> None:
        """A member is gone without being asked to go: tell the application, and the others in turn."""
        if member not in self.members:
            return
        if any(isinstance(task, DropTask) and task.name == member for task in (self.task, *self.queue)):
            return
        self.conversation.data.sender.forget(member)
        if not rolls_back:
            turn.report(disconnected(self.conversation, member, cause))
        if self.conversation.data.draining:
            # GROUP_CLOSE is next; it need not wait for somebody who is gone, nor the others be told twice.
            self.strike(member, cause, turn)
            return
        self.members.gone(member, cause, turn)
        # Before what waits: whoever is to be told of that would include somebody who never answers.
        self.queue.appendleft(DropTask(member, cause, rolls_back))

    def missed(self, member: Name, change: SessionMessage, turn: Turn) -> None:
        """A member did not acknowledge a change of the group: it is told again, or goes."""
        if member not in self.members:
            return
        # Without this commit no later one can be applied: it could read nothing any more.
        if self.conversation.encryption is not None or not self.behind.missed(member, change, turn):
            self.drop(member, MISSED_A_CHANGE, turn)

    def strike(self, member: Name, cause: str, turn: Turn) -> None:
        """Take a member off the list."""
        self.rounds.left(member)
        self.behind.left(member)
        self.members.strike(member, cause, turn)

    def end(self, cause: SlimError | None, turn: Turn) -> None:
        """The session is over, whatever was still to be done."""
        if self.conversation.ended:
            return
        self.conversation.end(cause, turn)
        closed = self.conversation.closed(cause)
        for task in (self.task, *self.queue):
            if task is not None:
                self.answer(task, closed, turn)
        self.queue.clear()
        self.task = None
