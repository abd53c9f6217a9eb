"""What both sides of a session work with: who talks, the parts, and how it ends.

    Conversation ──┬── DataPath      data messages each way, credit
                   ├── Encryption    the MLS group and what it waits for; none without MLS
                   ├── Requests      control messages that await answers
                   └── Ending        whether it is over, why, and who waits for that

`Moderator` and `Participant` (`membership/`) decide with it who is in; `SessionCore` brings them the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actors.errors import SessionClosed
from actors.messages.session import AppSettings, EpochChanged, SessionConfig, SetTimers
from actors.messages.wire import (
    MARKS_ANSWERS,
    ONE,
    TRUE,
    Command,
    GroupAck,
    MessageType,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.record import record
from actors.session.counts import SessionCounts
from actors.session.crypto import Crypto
from actors.session.data_path import DataPath
from actors.session.encryption import Encryption
from actors.session.farewells import Farewells
from actors.session.membership.requests import Requests
from actors.session.peers import PeerGeneration
from actors.session.retry import control_policy, data_policy
from actors.session.senders import Senders
from actors.session.turn import Turn
from identity.errors import SlimError

MESSAGE_IDS = 2**32

_GROUP, _GROUP_ACK = SessionKind.MULTICAST, MessageType.GROUP_ACK

Draw = Callable[[int], int]
Judge = Callable[[str], PeerGeneration]
"""Tells a peer's generation by its (verified) token."""


@record
class Setting(NamedTuple):
    """What a session core is made with."""

    local: Name
    """Our full name."""
    session_id: int
    config: SessionConfig
    settings: AppSettings
    draw: Draw
    """Randomness: `draw(bound)` is 0 .. bound-1."""
    peer_generation: Judge
    crypto: Crypto | None = None
    counts: SessionCounts | None = None
    """Numbers of all sessions; None: of this one alone."""
    senders: Senders | None = None
    """What is known of the senders of tokens; None: nothing yet."""


class Ending:
    """Whether a session is over, and what is still to be said about that."""

    __slots__ = ("_waiting", "cause", "ended", "farewells")

    def __init__(self, counts: SessionCounts) -> None:
        self.ended = False
        self.cause: SlimError | None = None
        """None: our application closed it."""
        self.farewells = Farewells(counts)
        """Last answers, for peers that ask again."""
        self._waiting: tuple[int, ...] = ()

    def await_by(self, handle: int) -> None:
        """An operation of the application is over when the session is."""
        self._waiting = (*self._waiting, handle)

    def answer(self, error: SlimError | None, turn: Turn) -> None:
        """Tell those who wait for the end how it went."""
        for handle in self._waiting:
            turn.answer(handle, error)
        self._waiting = ()


class Conversation:
    """One session, seen from one of its members. `destination` is the peer or the channel."""

    __slots__ = (
        "_draw",
        "config",
        "data",
        "destination",
        "encryption",
        "ending",
        "group",
        "local",
        "marks_answers",
        "peer_generation",
        "requests",
        "senders",
        "session_id",
        "settings",
    )

    def __init__(self, setting: Setting, destination: Name) -> None:
        config = setting.config
        self.local = setting.local
        self.session_id = setting.session_id
        self.config = config
        self.settings = setting.settings
        self.peer_generation = setting.peer_generation
        self.destination = destination
        self.group = config.session_type is _GROUP
        self.marks_answers = False
        """Point to point: whether the peer marks its answers to requests."""
        self.senders = setting.senders or Senders()
        self.encryption = Encryption(setting.crypto, self.senders) if setting.crypto is not None else None
        counts = setting.counts or SessionCounts()
        self.data = DataPath(
            self.local,
            destination,
            self.session_id,
            config,
            setting.settings,
            setting.draw,
            self.encryption,
            counts,
            self.senders.hints,
        )
        self.requests = Requests(control_policy(config.interval, config.max_retries))
        self.ending = Ending(counts)
        self._draw = setting.draw

    @property
    def ended(self) -> bool:
        return self.ending.ended

    def set_timers(self, event: SetTimers, turn: Turn) -> None:
        """Other timer values for what is sent from now on."""
        interval, retries = event.interval, event.max_retries
        self.config = self.config._replace(interval=interval, max_retries=retries)
        self.data.set_policy(data_policy(interval, retries))
        self.requests.policy = control_policy(interval, retries)
        turn.answer(event.handle)

    # Control messages

    def message(
        self,
        kind: MessageType,
        destination: Name,
        content: Command,
        *,
        id: int | None = None,
        fanout: int = ONE,
        metadata: dict[str, str] | None = None,
        connection: int | None = None,
    ) -> SessionMessage:
        """A control message of ours; without `id` it is a request under a fresh one."""
        return SessionMessage(
            self.local,
            destination,
            self.config.session_type,
            kind,
            self.session_id,
            self._draw(MESSAGE_IDS) if id is None else id,
            content,
            fanout,
            metadata,
            connection=connection,
        )

    def reply(
        self,
        request: SessionMessage,
        kind: MessageType,
        content: Command,
        metadata: dict[str, str] | None = None,
    ) -> SessionMessage:
        """The answer to `request`: its id, back over the connection it came by."""
        id, back = request.message_id, request.connection
        return self.message(kind, request.source, content, id=id, metadata=metadata, connection=back)

    @property
    def introduction(self) -> dict[str, str] | None:
        """Metadata of our first message to a peer: point to point it tells what it can expect of us."""
        return None if self.group else {MARKS_ANSWERS: TRUE}

    def introduced(self, message: SessionMessage) -> None:
        """The peer's first message may tell what we can expect of it."""
        self.marks_answers = bool(message.metadata and MARKS_ANSWERS in message.metadata)

    def acknowledge(self, request: SessionMessage, turn: Turn) -> None:
        """Done: GROUP_ACK."""
        turn.send(self.reply(request, _GROUP_ACK, GroupAck()))

    def tell_epoch(self, members: tuple[Name, ...], cause: str, turn: Turn) -> None:
        """The group is in a new epoch, if it has epochs."""
        if self.encryption is not None and (epoch := self.encryption.crypto.epoch) is not None:
            fingerprint = self.encryption.crypto.fingerprint
            turn.tell(EpochChanged(self.session_id, epoch, members, cause, fingerprint))

    # The end

    def end(self, cause: SlimError | None, turn: Turn) -> None:
        """The session is over: all that waits fails. `cause` None: our application closed it."""
        ending = self.ending
        if ending.ended:
            return
        ending.ended, ending.cause = True, cause
        self.data.abandon(cause if isinstance(cause, SessionClosed) else self.closed(cause), turn)
        self.requests.cancel_all()
        if self.encryption is not None:
            self.encryption.close()
        ending.answer(None, turn)

    def closed(self, cause: SlimError | None) -> SessionClosed:
        """What operations fail with that the end overtook."""
        return SessionClosed(str(cause) if cause is not None else "", session_id=self.session_id)
