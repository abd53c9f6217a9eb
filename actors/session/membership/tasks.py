"""The moderator's tasks: one change of the membership each, worked off one at a time (`session.md` 10).

A task is one record. What is known of it depends on the step it is at: `at` is a record of its own for each
step, and holds what later steps need, the requests that are not answered included, as they were sent. So a
task can be packed at any moment (`TASKS`) and says all that is to be known to go on with it.

This file does not send anything. It says what there is to know at each step and which step may follow;
`moderator.py` does what a step is about. The tables at the end are those of `session.md` 10 and of the steps
that we have in between.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeVar

from actors.messages import wire
from actors.messages.vocabulary import Vocabulary
from actors.messages.wire import MessageType, SessionMessage
from actors.names import Name
from actors.record import record
from actors.system import Address, address_from_text, address_to_text
from identity.errors import SlimError

# Who wants it


@record
class AskedByNobody(NamedTuple):
    """Nobody waits for the outcome."""


@record
class AskedByApplication(NamedTuple):
    """Our application waits for it, or a script."""

    handle: int
    inbox: Address | None = None
    """Where the outcome goes; None: with the session's others."""


@record
class AskedByController(NamedTuple):
    """A controller ordered it (`session.md` 6.6)."""

    order: SessionMessage


AskedBy = AskedByNobody | AskedByApplication | AskedByController

# What is known at each step


@record
class Located(NamedTuple):
    """Somebody, by full name, and the connection that leads there (None: by the node's routes)."""

    name: Name
    connection: int | None


@record
class Queued(NamedTuple):
    """Other tasks come first."""


@record
class Discovering(NamedTuple):
    """Somebody of that name is sought."""

    request: SessionMessage


@record
class BindingChannel(NamedTuple):
    """We must receive what is said in the channel before `member` may speak there."""

    member: Located


@record
class Founding(NamedTuple):
    """The MLS group is being founded, with us alone in it."""

    member: Located


@record
class Joining(NamedTuple):
    """`member` is asked to join."""

    member: Located
    request: SessionMessage


@record
class CommittingAdd(NamedTuple):
    """`member` sent its key package; the commit that adds it is being made."""

    member: Located
    key_package: bytes


@record
class Welcoming(NamedTuple):
    """`member` is on the list; the others and itself are being told."""

    member: Located
    requests: tuple[SessionMessage, ...]
    """GROUP_ADD and GROUP_WELCOME, as far as they are not answered; with MLS they have commit and Welcome."""
    welcomed: bool = False
    """Whether it has acknowledged its welcome."""
    failures: tuple[SlimError, ...] = ()
    """What went wrong while another request was still under way."""


@record
class CommittingRemove(NamedTuple):
    """The commit that takes `member` out is being made."""

    member: Located


@record
class Telling(NamedTuple):
    """`member` is off the list; those who were on it are being told."""

    member: Located
    request: SessionMessage
    """GROUP_REMOVE; that of a group with MLS has the commit."""


@record
class Dismissing(NamedTuple):
    """Everybody knows; `member` itself may go."""

    member: Located
    request: SessionMessage


@record
class Draining(NamedTuple):
    """What is under way is still to be acknowledged."""


@record
class TakingLeave(NamedTuple):
    """All are told that the session is over."""

    request: SessionMessage


AddState = Queued | Discovering | BindingChannel | Founding | Joining | CommittingAdd | Welcoming
RemoveState = Queued | CommittingRemove | Telling | Dismissing
DropState = Queued | CommittingRemove | Telling
CloseState = Queued | Draining | TakingLeave
State = AddState | RemoveState | CloseState

# The tasks


@record
class AddTask(NamedTuple):
    """Find somebody called `name`, let it join, tell the others and welcome it."""

    name: Name
    asked_by: AskedBy
    at: AddState = Queued()

    @property
    def step(self) -> AddStep:
        return ADD[type(self.at)].step

    def moved(self, at: AddState) -> AddTask:
        """The task at a later step. Raises ValueError for one that may not follow."""
        return AddTask(self.name, self.asked_by, _following(ADD, self.at, at))


@record
class RemoveTask(NamedTuple):
    """Take the member called `name` (whatever its id) out, tell the others, let it go."""

    name: Name
    asked_by: AskedBy
    at: RemoveState = Queued()

    @property
    def step(self) -> RemoveStep:
        return REMOVE[type(self.at)].step

    def moved(self, at: RemoveState) -> RemoveTask:
        """The task at a later step. Raises ValueError for one that may not follow."""
        return self._replace(at=_following(REMOVE, self.at, at))


@record
class DropTask(NamedTuple):
    """Take out `name`, a full name, who is gone without being asked to, and tell the others."""

    name: Name
    cause: str
    """For people."""
    rolls_back: bool = False
    """It was added and never took part."""
    at: DropState = Queued()

    @property
    def step(self) -> DropStep:
        return DROP[type(self.at)].step

    def moved(self, at: DropState) -> DropTask:
        """The task at a later step. Raises ValueError for one that may not follow."""
        return self._replace(at=_following(DROP, self.at, at))


@record
class CloseTask(NamedTuple):
    """End the session: at `deadline`, or earlier if everything was acknowledged."""

    deadline: float
    asked_by: AskedBy
    at: CloseState = Queued()

    @property
    def step(self) -> CloseStep:
        return CLOSE[type(self.at)].step

    def moved(self, at: CloseState) -> CloseTask:
        """The task at a later step. Raises ValueError for one that may not follow."""
        return self._replace(at=_following(CLOSE, self.at, at))


Task = AddTask | RemoveTask | DropTask | CloseTask


def open_requests(at: State) -> tuple[SessionMessage, ...]:
    """The requests of a step that are not fully answered."""
    match at:
        case Welcoming():
            return at.requests
        case Discovering() | Joining() | Telling() | Dismissing() | TakingLeave():
            return (at.request,)
        case _:
            return ()


# The tables


class AddStep(IntEnum):
    """The steps of an AddTask."""

    QUEUED = 0
    DISCOVERY = 1
    CHANNEL = 2
    FOUNDING = 3
    JOIN = 4
    COMMIT = 5
    WELCOME = 6


class RemoveStep(IntEnum):
    """The steps of a RemoveTask."""

    QUEUED = 0
    COMMIT = 1
    TELLING = 2
    LEAVE = 3


class DropStep(IntEnum):
    """The steps of a DropTask."""

    QUEUED = 0
    COMMIT = 1
    TELLING = 2


class CloseStep(IntEnum):
    """The steps of a CloseTask."""

    QUEUED = 0
    WINDOW = 1
    GOODBYE = 2


S = TypeVar("S", bound=IntEnum)


@record
class StepRow(NamedTuple, Generic[S]):
    """One step."""

    step: S
    sends: tuple[MessageType, ...]
    """Requests that must be answered before it goes on. None: something of our own."""
    then: tuple[type, ...]
    """What may follow; a step without anything to do is left out. None: the task is over, as it may be at any
    step when it failed or the session ended."""


_K = MessageType

ADD: Mapping[type, StepRow[AddStep]] = {
    #                   step               requests               what may follow
    Queued:         StepRow(AddStep.QUEUED,    (),                    (Discovering,)),
    Discovering:    StepRow(AddStep.DISCOVERY, (_K.DISCOVERY_REQUEST,), (BindingChannel, Founding, Joining)),
    BindingChannel: StepRow(AddStep.CHANNEL,   (),                    (Founding, Joining)),
    Founding:       StepRow(AddStep.FOUNDING,  (),                    (Joining,)),
    Joining:        StepRow(AddStep.JOIN,      (_K.JOIN_REQUEST,),    (CommittingAdd, Welcoming)),
    CommittingAdd:  StepRow(AddStep.COMMIT,    (),                    (Welcoming,)),
    Welcoming:      StepRow(AddStep.WELCOME,   (_K.GROUP_ADD, _K.GROUP_WELCOME), (Welcoming,)),
}  # fmt: skip

REMOVE: Mapping[type, StepRow[RemoveStep]] = {
    Queued:           StepRow(RemoveStep.QUEUED,  (),                  (CommittingRemove,)),
    CommittingRemove: StepRow(RemoveStep.COMMIT,  (),                  (Telling, Dismissing)),
    Telling:          StepRow(RemoveStep.TELLING, (_K.GROUP_REMOVE,),  (Dismissing,)),
    Dismissing:       StepRow(RemoveStep.LEAVE,   (_K.LEAVE_REQUEST,), ()),
}  # fmt: skip

DROP: Mapping[type, StepRow[DropStep]] = {
    Queued:           StepRow(DropStep.QUEUED,  (),                 (CommittingRemove,)),
    CommittingRemove: StepRow(DropStep.COMMIT,  (),                 (Telling,)),
    Telling:          StepRow(DropStep.TELLING, (_K.GROUP_REMOVE,), ()),
}  # fmt: skip

CLOSE: Mapping[type, StepRow[CloseStep]] = {
    Queued:      StepRow(CloseStep.QUEUED,  (),                (Draining,)),
    Draining:    StepRow(CloseStep.WINDOW,  (),                (TakingLeave,)),
    TakingLeave: StepRow(CloseStep.GOODBYE, (_K.GROUP_CLOSE,), ()),
}  # fmt: skip


def _following(table: Mapping[type, StepRow[Any]], before: State, after: Any) -> Any:
    """`after`, if the table has it follow `before`."""
    if type(after) not in table[type(before)].then:
        raise ValueError(f"{type(after).__name__} does not follow {type(before).__name__}")
    return after


TASKS = Vocabulary.of(wire, sys.modules[__name__])
"""Packs and unpacks tasks."""
TASKS.extend(
    Address,
    lambda address: address_to_text(address).encode(),
    lambda data: address_from_text(data.decode()),
)
