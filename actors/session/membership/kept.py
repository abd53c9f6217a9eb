"""What is kept of a group by its moderator, so that another process can go on with it.

Everything is a record that packs (`tasks.TASKS` has the tasks). Connections are of one process only: they are
left out, and whoever goes on names the one that leads to the members now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from actors.messages.wire import MessageType, SessionMessage
from actors.names import Name
from actors.record import record
from actors.session.crypto import KeptGroup
from actors.session.membership.tasks import Located, Task, Welcoming
from actors.session.peers import PeerGeneration

T = TypeVar("T")

COPIES_UNANSWERED = (MessageType.GROUP_ADD, MessageType.GROUP_REMOVE)
"""Commits: SLIM's own implementation drops a copy of one that it has without a word (`session.md` 14,
point 3)."""
NOBODY_LEFT = (MessageType.LEAVE_REQUEST, MessageType.GROUP_CLOSE)
"""Who has followed one has forgotten the session, and does not answer a copy (`session.md` 9.4)."""
FAREWELL_RETRIES = 3
"""How often a copy of these is sent again before its silence counts as an answer."""


@record
class KeptMember(NamedTuple):
    """One of the list."""

    name: Name
    present: bool
    """Whether it acknowledged its welcome."""
    generation: str
    """The value of its PeerGeneration."""
    start: int | None = None
    """The id of the first message to all that is for it too, if it came in while others were talking."""


@record
class KeptRequest(NamedTuple):
    """Who still had to answer an open request."""

    message_id: int
    awaiting: tuple[Name, ...]


@record
class KeptModerator(NamedTuple):
    """A moderator between two turns."""

    commit_id: int
    founded: bool
    members: tuple[KeptMember, ...]
    task: Task | None
    queue: tuple[Task, ...]
    open: tuple[KeptRequest, ...]
    closing: bool

    @property
    def handles(self) -> frozenset[int]:
        """Of the application's operations that are not over."""
        asked = (getattr(task, "asked_by", None) for task in (self.task, *self.queue))
        handles = (getattr(each, "handle", None) for each in asked)
        return frozenset(handle for handle in handles if handle is not None)


@record
class SaidMessage(NamedTuple):
    """A data message as it left, or is about to."""

    message: SessionMessage
    handle: int | None
    epoch: int
    generation: int
    """With which it was encrypted; 0 without MLS."""
    to: tuple[Name, ...] = ()
    """Who is to acknowledge it."""


@record
class Heard(NamedTuple):
    """How far one member was heard, and the latest ids of what it said to us alone."""

    last: int
    direct: tuple[int, ...]


@record
class KeptSession(NamedTuple):
    """All that a session goes on with."""

    moderator: KeptModerator
    group: KeptGroup | None
    generation: int
    """The first of ours that was never used in the group's epoch."""
    next_id: int
    """The first id of a message to all that was never used."""
    said: tuple[SaidMessage, ...]
    heard: Mapping[Name, Heard]
    connection: int | None
    """Which leads to the members now."""


def generation_of(text: str) -> PeerGeneration:
    """A PeerGeneration by its value."""
    return PeerGeneration(text)


def elsewhere(value: T, connection: int | None) -> T:
    """A task or step with another connection in all that it locates and has sent."""
    moved: T = _elsewhere(value, connection)
    return moved


def _elsewhere(value: Any, connection: int | None) -> Any:
    if isinstance(value, Located | SessionMessage):
        return value if value.connection is None else value._replace(connection=connection)
    if isinstance(value, Welcoming):
        requests = tuple(_elsewhere(request, connection) for request in value.requests)
        return value._replace(member=_elsewhere(value.member, connection), requests=requests)
    fields = {
        name: _elsewhere(getattr(value, name), connection)
        for name in ("member", "request", "at")
        if hasattr(value, name)
    }
    return value._replace(**fields) if fields else value
