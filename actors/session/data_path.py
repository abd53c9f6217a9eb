"""The data messages of a session, each way, and the credit of its application.

    Publish ──► draining? ──► members there? ── no ──► kept, in clear (at most WINDOW)
                                   │ yes                  │ the first member acknowledged its Welcome
                                   └──► encrypted, numbered, sent ◄──┘

Once members were there and all have gone, nothing is kept: it would go to whoever comes next. It fails.

Credit: at most WINDOW messages are kept or unacknowledged; one more fails with QueueFull. While a connection
is congested, credit that best-effort messages gave back is withheld.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.errors import ParticipantNotFound, QueueFull, SessionClosed
from actors.messages.session import AppSettings, Completed, Delivered, Outgoing, SessionConfig
from actors.messages.wire import SessionKind, SessionMessage
from actors.names import Name
from actors.session.counts import SessionCounts
from actors.session.encryption import Encryption
from actors.session.hints import Hints
from actors.session.receiver import DataReceiver, PayloadCipher
from actors.session.retry import ResendPolicy, data_policy
from actors.session.sender import WINDOW, DataSender
from actors.session.turn import Turn
from identity.errors import SlimError

_GROUP = SessionKind.MULTICAST


class DataPath:
    """Sender, receiver and credit of the session `session_id`. The sides say who takes part."""

    __slots__ = (
        "_encryption",
        "_group",
        "_kept",
        "_met",
        "_session_id",
        "_withheld",
        "congested",
        "draining",
        "receiver",
        "sender",
    )

    def __init__(
        self,
        local: Name,
        destination: Name,
        session_id: int,
        config: SessionConfig,
        settings: AppSettings,
        draw: Callable[[int], int],
        encryption: Encryption | None,
        counts: SessionCounts | None = None,
        hints: Hints | None = None,
    ) -> None:
        kind, policy = config.session_type, data_policy(config.interval, config.max_retries)
        cipher = PayloadCipher(encryption.decrypt, encryption.repeats) if encryption is not None else None
        self.sender = DataSender(
            local, destination, kind, session_id, draw, policy, self.say_outcomes, counts, hints
        )
        self.receiver = DataReceiver(
            local, kind, session_id, space=settings.inbox, policy=policy, cipher=cipher, counts=counts
        )
        self.draining = False
        """Whether the session is about to end and takes nothing new."""
        self._session_id = session_id
        self._group = kind is _GROUP
        self._encryption = encryption
        self._kept: deque[Outgoing] | None = None
        """There while messages wait for a first member."""
        self._met = False
        """Whether anybody was ever there."""
        self.congested = False
        """Whether a connection that this application sends to is congested."""
        self._withheld = 0

    # The application and its connections

    def publish(self, items: tuple[Outgoing, ...], turn: Turn) -> None:
        """Send what the application says, or keep it for a first member."""
        for item in items:
            self._publish(item, turn)

    def unroutable(self, message: SessionMessage, error: SlimError, turn: Turn) -> None:
        """A data message could not leave."""
        self.sender.unroutable(message, error, turn)

    def stranded(self, error: SlimError, turn: Turn) -> None:
        """Nothing leads to the peers any more."""
        self.sender.abandon(error, turn)
        turn.report(error)

    def congestion(self, *, congested: bool) -> None:
        """A connection that this application sends to is congested, or none is any more."""
        self.congested = congested

    def set_policy(self, policy: ResendPolicy | None) -> None:
        """For messages from now on; None: best effort."""
        self.sender.policy = self.receiver.policy = policy

    # Who takes part

    def admit(self, member: Name, *, from_start: bool) -> None:
        """Accept what `member` says: from its first message on, or wherever its sequence stands now."""
        self.receiver.admit(member, from_start=from_start)

    def open_up(self, member: Name, turn: Turn, *, new: bool = True) -> None:
        """`member` can receive from now on: what was kept for a first one leaves. `new`: it came to us."""
        self.sender.open(member, new=new)
        self._met = True
        while self._kept:
            self._transmit(self._kept.popleft(), turn)

    def expel(self, member: Name, turn: Turn) -> None:
        """`member` is gone: what came of it is delivered, and nothing is sent to it any more."""
        self.sender.forget(member)
        self.receiver.expel(member, turn)
        if self._encryption is not None:
            self._encryption.left(member)

    # Time, and the end of a turn and of the session

    def expire(self, turn: Turn) -> None:
        """Do what is due."""
        self.sender.expire(turn)
        self.receiver.expire(turn)

    def next_deadline(self) -> float | None:
        sending, receiving = self.sender.next_deadline(), self.receiver.next_deadline()
        if sending is None or receiving is None:
            return receiving if sending is None else sending
        return min(sending, receiving)

    def say_outcomes(self, turn: Turn) -> None:
        """What gathered for the application in this turn becomes effects."""
        if turn.errors:
            for error in turn.errors:
                self.receiver.report(error, turn)
            turn.errors.clear()
        if turn.items:
            turn.effects.append(Delivered(self._session_id, tuple(turn.items)))
            turn.items.clear()
        credit, turn.freed = turn.freed, 0
        if self.congested and self.sender.policy is None:
            self._withheld += credit
            credit = 0
        elif self._withheld:
            credit, self._withheld = credit + self._withheld, 0
        if credit or turn.done or turn.failed:
            turn.effects.append(Completed(self._session_id, tuple(turn.done), tuple(turn.failed), credit))
            turn.done.clear()
            turn.failed.clear()

    def abandon(self, error: SlimError, turn: Turn) -> None:
        """The session is over: what came is delivered, all that is under way or kept fails."""
        self.receiver.finish(turn)
        self.sender.abandon(error, turn)
        while self._kept:
            item = self._kept.popleft()
            if item.handle is not None:
                turn.answer(item.handle, error)

    @property
    def unacknowledged(self) -> int:
        return self.sender.unacknowledged

    @property
    def keeps(self) -> bool:
        """Whether messages wait for a first member."""
        return bool(self._kept)

    def figures(self) -> dict[str, int]:
        """Counts for people and tests."""
        return {
            "unacknowledged": self.sender.unacknowledged,
            "retransmissions": self.sender.retransmissions,
            "lag": self.sender.lag,
            "kept": len(self._kept or ()),
            "held": self.receiver.held,
            "inbound_bytes": self.receiver.bytes,
            "dropped": self.receiver.dropped,
            "undecryptable": self.receiver.undecryptable,
        }

    # Private

    def _publish(self, item: Outgoing, turn: Turn) -> None:
        sender = self.sender
        if self.draining:
            _fail(item, SessionClosed("draining, no new messages", session_id=self._session_id), turn)
        elif sender.unacknowledged + turn.freed + self._withheld + len(self._kept or ()) >= WINDOW:
            _fail(item, QueueFull(f"session {self._session_id}", WINDOW), turn)
        elif item.to is not None and self._group and item.to not in sender.endpoints:
            _fail(item, ParticipantNotFound(str(item.to), session_id=self._session_id), turn)
        elif sender.endpoints:
            self._transmit(item, turn)
        elif self._met:
            anybody = f"anybody in {sender.destination}"
            _fail(item, ParticipantNotFound(anybody, session_id=self._session_id), turn)
        else:
            if self._kept is None:
                self._kept = deque()
            self._kept.append(item)

    def _transmit(self, item: Outgoing, turn: Turn) -> None:
        blob = item.blob
        if self._encryption is not None:
            try:
                blob = self._encryption.encrypt(blob)
            except SlimError as error:
                _fail(item, error, turn)
                return
        self.sender.publish(item, blob, turn)


def _fail(item: Outgoing, error: SlimError, turn: Turn) -> None:
    turn.freed += 1
    if item.handle is not None:
        turn.answer(item.handle, error)
    else:
        turn.report(error)
