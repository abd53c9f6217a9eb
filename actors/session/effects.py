"""What the cores of a session ask their shell to do.

Most effects are the very records that the shell hands on: a SessionMessage is to be sent, Bind, Unbind and
SessionGone go to the App, Delivered, Completed and SessionEnded to the application's inbox, MemberJoined,
MemberLeft and EpochChanged to whoever watches. The few that are not messages stand here.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.session import (
    Adopt,
    AskPeer,
    BeginSession,
    Bind,
    Bound,
    CloseSession,
    Completed,
    Computed,
    Congestion,
    CredentialGranted,
    CredentialWanted,
    Delivered,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Moved,
    PeerAlive,
    Publish,
    Received,
    RemoveMember,
    SessionEnded,
    SessionGone,
    SetTimers,
    Stranded,
    Taken,
    Unbind,
    Unroutable,
    Verification,
    VerificationWanted,
)
from actors.messages.wire import Hint, SessionMessage
from actors.record import record
from actors.session.crypto import Computation
from actors.system import Address


@record
class Joined(NamedTuple):
    """We were invited and the session stands: announce it to the application."""


@record
class Answer(NamedTuple):
    """The outcome of an operation that named an inbox of its own."""

    inbox: Address
    completed: Completed


@record
class Refused(NamedTuple):
    """A peer's message was dropped; `reason` is for the log."""

    reason: str
    alarming: bool = False
    """Somebody should know even when nobody looks for a fault."""


@record
class PeerTold(NamedTuple):
    """Tell who is behind `connection` why we do not take it in."""

    hint: Hint
    connection: int


@record
class Compute(NamedTuple):
    """Let `computation` go on: in a thread if its place says so; then send Computed in any case."""

    computation: Computation


Event = (
    BeginSession
    | Received
    | Publish
    | Taken
    | Unroutable
    | Stranded
    | Moved
    | Bound
    | Congestion
    | Invite
    | RemoveMember
    | SetTimers
    | CloseSession
    | Adopt
    | CredentialGranted
    | Verification
    | Computed
    | PeerAlive
)

Effect = (
    SessionMessage
    | Bind
    | Unbind
    | SessionGone
    | Delivered
    | Completed
    | SessionEnded
    | MemberJoined
    | MemberLeft
    | EpochChanged
    | Joined
    | Answer
    | CredentialWanted
    | VerificationWanted
    | AskPeer
    | Compute
    | PeerTold
    | Refused
)
