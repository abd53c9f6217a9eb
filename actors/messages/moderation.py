"""What a scripted moderator and its stage say to one another.

The *stage* stands beside the application's actor and leads the group (`actors/moderation/stage.py`); the
*script* decides (`actors/moderation/script.py`) and may live in another process. The stage tells one event at
a time, a record of the session (MemberJoined, MemberLeft, EpochChanged, SessionMessage, SessionEnded) or one
of these, and waits for Decided. No address travels: a script answers whoever sent it LeadGroup.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.session import CloseSession, Invite, Outgoing, RemoveMember
from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.record import record
from identity.errors import SlimError


@record
class LeadGroup(NamedTuple):
    """To a script, first of all: which group it leads, and what it knew when it last ran."""

    channel: Name
    local: Name
    """Who leads it: the application's full name."""
    members: tuple[Name, ...] = ()
    """The others that the script was told of."""
    state: bytes | None = None
    """`Script.state` as it was packed; None: it had none yet."""


@record
class Curtain(NamedTuple):
    """The group is open, for the first time: `on_start`."""


@record
class GroupLost(NamedTuple):
    """The group was away for too long, and is open anew without `members`: `on_lost`."""

    members: tuple[Name, ...]


@record
class InviteFailed(NamedTuple):
    """Somebody did not come: `on_invite_failed`."""

    name: Name
    error: SlimError


@record
class Knocked(NamedTuple):
    """Somebody who is not in the group said something to its moderator alone: `on_knock`."""

    message: SessionMessage


@record
class TimerDue(NamedTuple):
    """The time of a Schedule is over: `on_timer`."""

    name: str


@record
class Schedule(NamedTuple):
    """A wish: TimerDue with `name` after `seconds`. A later one of the same name takes its place."""

    name: str
    seconds: float


@record
class CodeOver(NamedTuple):
    """A script to itself: the coroutine of a hook is over; `failed` says why, if it failed."""

    failed: str = ""


@record
class EngageScript(NamedTuple):
    """To who has a script made in another process: which one, and where modules are found."""

    target: str
    """MODULE:CLASS or FILE.py:CLASS."""
    path: tuple[str, ...]


@record
class PlayerThere(NamedTuple):
    """To a stage: a script was made, or made again."""


@record
class PlayerGone(NamedTuple):
    """To a stage: the script died, and is made again."""


@record
class LeaveStage(NamedTuple):
    """To a stage, and from it to its session: leave the group as it is to a successor, and end at once."""


Wish = Invite | RemoveMember | Outgoing | CloseSession | Schedule


@record
class Decided(NamedTuple):
    """From a script: the event is dealt with, and this is what it wants, in order."""

    wishes: tuple[Wish, ...] = ()
    state: bytes | None = None
    """What the state is now; None: as it was."""
    failed: str = ""
    """Why the hook failed, if it did: nothing is wanted then, and the state is as it was."""
