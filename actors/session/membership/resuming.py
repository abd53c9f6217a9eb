"""How a moderator of another process is kept, and gone on with.

    kept(...) ──► KeptModerator, in a KeptSession ──► Resuming ──► the open task goes on where it was

What was under way is sent again as it was. Some who got it before do not answer a copy: those of `kept.py`
say what their silence means then, and a PING sent behind the copy tells silence from absence.
"""

from __future__ import annotations

from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.membership.adding import Adding
from actors.session.membership.agenda import Agenda
from actors.session.membership.kept import (
    COPIES_UNANSWERED,
    FAREWELL_RETRIES,
    NOBODY_LEFT,
    KeptMember,
    KeptModerator,
    KeptRequest,
    KeptSession,
    elsewhere,
    generation_of,
)
from actors.session.membership.parting import Parting
from actors.session.membership.requests import PendingRequest
from actors.session.membership.tasks import (
    AddTask,
    BindingChannel,
    CloseTask,
    CommittingAdd,
    CommittingRemove,
    DropTask,
    Founding,
    Joining,
    Located,
    Queued,
    RemoveTask,
    Welcoming,
    open_requests,
)
from actors.session.retry import ResendPolicy
from actors.session.turn import Turn

CLOSE_AGAIN = 10.0
"""Seconds in which a group is closed that was closing when its moderator ended."""


def kept(conversation: Conversation, agenda: Agenda, adding: Adding) -> KeptModerator:
    """A moderator as it is between two turns."""
    members, rounds, requests = agenda.members, agenda.rounds, conversation.requests
    open_ids = [] if agenda.task is None else [each.message_id for each in open_requests(agenda.task.at)]
    return KeptModerator(
        agenda.commit_id,
        adding.founded,
        tuple(
            KeptMember(
                name,
                members.is_present(name),
                rounds.generation(name).value,
                conversation.data.sender.start_of(name),
            )
            for name in members.names
        ),
        agenda.task,
        tuple(agenda.queue),
        tuple(KeptRequest(id, tuple(sorted(requests.awaited(id), key=str))) for id in open_ids),
        conversation.data.draining,
    )


class Resuming:
    """One moderator that goes on, and what it still knows of copies it sent."""

    __slots__ = (
        "_adding",
        "_again",
        "_agenda",
        "_conversation",
        "_copies",
        "_farewells",
        "_kept",
        "_parting",
    )

    def __init__(
        self, conversation: Conversation, agenda: Agenda, adding: Adding, parting: Parting, kept: KeptSession
    ) -> None:
        self._conversation, self._agenda = conversation, agenda
        self._adding, self._parting = adding, parting
        self._kept = kept
        self._copies: set[int] = set()
        """Copies of commits; a member that has one is silent about it."""
        self._farewells: set[int] = set()
        """Copies of last words."""
        self._again = False
        """Whether the copies were sent a second time, and the round of pings behind them has begun."""

    def begin(self, turn: Turn) -> None:
        """Take up what was kept."""
        whole, conversation, agenda = self._kept, self._conversation, self._agenda
        kept, connection = whole.moderator, whole.connection
        agenda.resume(kept.commit_id)
        at = None if kept.task is None else kept.task.at
        # Without members, whoever is found first has the channel bound. A step behind that binds it anew.
        behind = bool(kept.members) or isinstance(at, Joining | CommittingAdd | Welcoming)
        bound = frozenset((connection,) if behind and connection is not None else ())
        self._adding.resume(founded=kept.founded, channel_bound=bound)
        if connection is not None and (behind or isinstance(at, BindingChannel)):
            turn.subscribe(conversation.destination, connection)
        for member in kept.members:
            agenda.rounds.met(member.name, generation_of(member.generation))
            agenda.members.resume(Located(member.name, connection), present=member.present, turn=turn)
            if member.start is not None:
                # It may not have heard anything yet, and what it hears first need not be the first.
                conversation.data.sender.begin(member.name, member.start)
            if (heard := whole.heard.get(member.name)) is not None:
                conversation.data.receiver.resume(member.name, heard.last, heard.direct)
        conversation.data.sender.resume(
            whole.next_id, ((each.message, each.handle, each.to) for each in whole.said), turn
        )
        if kept.closing:
            conversation.data.draining = True
        agenda.queue.extend(
            each._replace(deadline=turn.now + CLOSE_AGAIN) if isinstance(each, CloseTask) else each
            for each in kept.queue
        )
        if kept.task is not None:
            self._go_on(elsewhere(kept.task, connection), turn)
        agenda.rounds.hurry(turn.now)

    def _go_on(self, task: AddTask | RemoveTask | DropTask | CloseTask, turn: Turn) -> None:
        agenda, at = self._agenda, task.at
        if isinstance(task, CloseTask):
            task = task._replace(deadline=turn.now + CLOSE_AGAIN)
        if isinstance(task, AddTask) and isinstance(at, Founding):
            # Nothing of ours depends on what was found out: find it out again.
            agenda.queue.appendleft(task._replace(at=Queued()))
            return
        agenda.move(task)
        awaiting = {each.message_id: each.awaiting for each in self._kept.moderator.open}
        for request in open_requests(at):
            policy = self._conversation.requests.policy
            if request.kind in COPIES_UNANSWERED:
                self._copies.add(request.message_id)
            elif request.kind in NOBODY_LEFT:
                self._farewells.add(request.message_id)
                policy = ResendPolicy(policy.interval, min(policy.retries, FAREWELL_RETRIES))
            self._conversation.requests.start_again(
                request, awaiting.get(request.message_id, ()), policy, turn
            )
        if isinstance(task, AddTask) and isinstance(at, CommittingAdd):
            self._adding.commit_again(task, at, turn)
        elif isinstance(task, RemoveTask | DropTask) and isinstance(at, CommittingRemove):
            self._parting.commit_again(task, at, turn)

    def takes_for_answered(self, request: PendingRequest) -> bool:
        """Whether the silence about this request says that it was followed before our time."""
        return request.message.message_id in self._farewells

    def sent_again(self, turn: Turn) -> None:
        """Requests were looked through, and what was due is on its way again: ask behind it who is there."""
        requests = self._conversation.requests
        if not self._again and any(map(requests.repeated, self._copies)):
            self._again = True
            self._agenda.rounds.hurry(turn.now)

    def there(self, member: Name) -> list[PendingRequest]:
        """`member` answered a ping: what lay before it, it has. Returns the requests that this completes."""
        if not self._again:
            return []
        requests = self._conversation.requests
        found = [requests.excuse_from(id, member) for id in self._copies]
        return [request for request in found if request is not None]
