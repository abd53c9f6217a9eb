"""What the cores of a session ask their shell to do.

Most effects are the very records that the shell hands on: a SessionMessage is to be sent, Bind, Unbind and
SessionGone go to the App, Delivered, Completed and SessionEnded to the application's port, MemberJoined,
MemberLeft and EpochChanged to whoever watches. The few that are not messages stand here, and the one event
that is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.messages.session import (
    Adopt,
    Bind,
    Bound,
    CloseSession,
    Completed,
    Congestion,
    Delivered,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Publish,
    Received,
    Remove,
    SessionEnded,
    SessionGone,
    SetTimers,
    Taken,
    Unbind,
    Unroutable,
)
from actors.messages.wire import SessionMessage
from identity.errors import SlimError


class Joined(NamedTuple):
    """We were invited and the session stands: announce it to the application."""


class Answer(NamedTuple):
    """The outcome of an operation that named a port of its own."""

    port: Any
    completed: Completed


class CredentialWanted(NamedTuple):
    """Obtain a token that carries `claims`; the answer is the event Credential."""

    claims: dict[str, Any]


class Refused(NamedTuple):
    """A peer's message was dropped; `reason` is for the log."""

    reason: str


class Credential(NamedTuple):
    """Event: the token that CredentialWanted asked for, or why there is none."""

    token: str = ""
    error: SlimError | None = None

    def __repr__(self) -> str:
        return f"Credential(token of {len(self.token)} characters, error={self.error!r})"


Event = (
    Received
    | Publish
    | Taken
    | Unroutable
    | Bound
    | Congestion
    | Invite
    | Remove
    | SetTimers
    | CloseSession
    | Adopt
    | Credential
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
    | Refused
)
