"""What the cores of an application ask it to do. A SessionMessage is to be put out, Refused to be logged."""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.codec import Unread
from actors.messages.session import SessionConfig
from actors.messages.wire import Hint, SessionMessage
from actors.names import Name
from actors.record import record
from actors.session.effects import Refused
from actors.system import Address
from identity.errors import SlimError


@record
class Invitation(NamedTuple):
    """Effect: make a Participant for this JOIN_REQUEST."""

    message: SessionMessage
    config: SessionConfig
    destination: Name
    """The channel, or the initiator point to point."""
    leads: bool = False
    """A controller makes us the group's moderator (6.6): make a ControlledModerator."""
    instead_of: int | None = None
    """The session that is given up for it: an invitation that nobody went on with."""


@record
class Awaited(NamedTuple):
    """A subscription without an answer yet."""

    deadline: float
    name: Name
    handle: int | None
    """The application's operation; None: a channel that a session binds."""
    asker: Address
    """Where the outcome goes."""


@record
class Dropped(NamedTuple):
    """A message whose sender `source` is not believed was dropped; `reason` is for the log."""

    source: Name
    reason: str
    alarming: bool


Arrival = SessionMessage | Unread
"""What came in: large commands are read when their sender is known."""


@record
class VerificationNeeded(NamedTuple):
    """Whoever sent this can be verified only by waiting; TokenVerified says how it went."""

    message: Arrival


@record
class Released(NamedTuple):
    """A message that was parked may be handled now."""

    message: Arrival


@record
class Subscribed(NamedTuple):
    """The outcome of a subscription."""

    awaited: Awaited
    error: SlimError | None


@record
class Alive(NamedTuple):
    """`peer` answered that it is there, which these sessions want to know."""

    peer: Name
    session_ids: tuple[int, ...]


@record
class Hinted(NamedTuple):
    """Somebody who came over `connection` is to be told why it is refused, if it can be told."""

    hint: Hint
    connection: int


AppEffect = (
    SessionMessage
    | Hinted
    | Invitation
    | Refused
    | Dropped
    | VerificationNeeded
    | Released
    | Subscribed
    | Alive
)
