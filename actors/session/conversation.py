"""What both sides of a session have in common: data messages each way, credit, and the ending.

`Moderator` and `Participant` add the control messages. A session core is driven by two calls,
`handle(event, now)` and, when `next_deadline()` has come, `tick(now)`; both return effects. Times are
seconds of a monotonic clock, randomness is the function `draw(bound) -> 0 .. bound-1`.

    Publish ──► draining? ──► members there? ── no ──► kept, in clear (at most WINDOW)
                                   │ yes                  │ the first member acknowledged its Welcome
                                   └──► encrypted, numbered, sent ◄──┘

Room: at most WINDOW messages are kept or unacknowledged; one more fails with QueueFull. While a connection
is congested, credit that best-effort messages gave back is withheld.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from actors.errors import ParticipantNotFound, QueueFull, SessionClosed, SlimTimeout
from actors.messages.session import (
    AppSettings,
    Bound,
    Completed,
    Computed,
    Congestion,
    CredentialGranted,
    CredentialWanted,
    Delivered,
    EpochChanged,
    Failure,
    Outgoing,
    Publish,
    Received,
    SessionConfig,
    SessionEnded,
    SessionGone,
    SetTimers,
    Stranded,
    Taken,
    Unroutable,
    Verification,
    VerificationWanted,
)
from actors.messages.wire import (
    ONE,
    Command,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.crypto import ClearText, Computation, Computing, Crypto, KeysWanted, Place
from actors.session.effects import Answer, Compute, Effect, Event, Refused
from actors.session.farewells import Farewells
from actors.session.peers import PeerGeneration
from actors.session.receiver import DataReceiver, SessionCounts
from actors.session.requests import Requests
from actors.session.sender import RING, DataSender
from actors.system import Address
from identity.errors import CryptoError, SlimError

WINDOW = RING
"""Messages of one application that may be under way in one session: its credit at the start."""
MESSAGE_IDS = 2**32
CREDENTIAL_PATIENCE = 30.0
"""Seconds to wait for a token with claims, which may need I/O."""
KEYS_PATIENCE = 30.0
"""Seconds to wait for the keys that prove somebody's credential."""
ATTEMPTS = 3
"""How often one operation of MLS may ask for keys: those it lacks are asked for together."""

Draw = Callable[[int], int]
Judge = Callable[[str], PeerGeneration]
"""Tells a peer's generation by its (verified) token."""


class Setting(NamedTuple):
    """What a session core is made with."""

    local: Name
    """Our full name."""
    session_id: int
    config: SessionConfig
    settings: AppSettings
    draw: Draw
    peer_generation: Judge
    crypto: Crypto | None = None
    counts: SessionCounts | None = None
    """Numbers of all sessions; None: of this one alone."""


Step = Callable[[float, list[Effect]], None]
"""What is to be done next, at a time, with effects."""


class _Operation(NamedTuple):
    """An operation of MLS that goes on later, and what follows it."""

    computation: Computation
    then: Callable[[Any, float, list[Effect]], None]
    failed: Callable[[CryptoError, float, list[Effect]], None]
    keys_until: float | None = None
    """Until when it waits for keys; None: it computes."""


class Conversation:
    """The part of a session core that is equal on both sides. Abstract: `Moderator` and `Participant`."""

    def __init__(self, setting: Setting, destination: Name) -> None:
        config = setting.config
        self.local = setting.local
        self.session_id = setting.session_id
        self.config = config
        self.destination = destination
        self.group = config.session_type is SessionKind.MULTICAST
        self.ended = False
        self._cause: SlimError | None = None
        self._crypto = setting.crypto
        self._draw = setting.draw
        self._peer_generation = setting.peer_generation
        self._settings = setting.settings
        counts = setting.counts or SessionCounts()
        self._sender = DataSender(
            self.local,
            destination,
            config.session_type,
            self.session_id,
            setting.draw,
            interval=config.interval,
            max_retries=config.max_retries,
        )
        self._receiver = DataReceiver(
            self.local,
            config.session_type,
            self.session_id,
            space=setting.settings.inbox,
            interval=config.interval,
            max_retries=config.max_retries,
            open=self._decrypt if setting.crypto is not None else None,
            counts=counts,
        )
        self._requests = Requests(config.interval, config.max_retries)
        self._kept: deque[Outgoing] = deque()
        self._draining = False
        self._congested = False
        self._withheld = 0
        self._farewells = Farewells(counts)
        self._answers: list[Effect] = []
        """Outcomes that go elsewhere than to the application, gathered until the turn ends."""
        self._credential_waits: Step | None = None
        self._credential_deadline = 0.0
        self._operation: _Operation | None = None
        self._clear_text: set[Name] = set()
        """Present members whose clear text was complained of."""
        self._complaints: list[Refused] = []

    # What a shell calls.

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in and say what is to be done about it."""
        out: list[Effect] = []
        if self.ended:
            self._after_the_end(event, out)
            return out
        if isinstance(event, Received):
            self._received(event.messages, now, out)
        elif isinstance(event, Publish):
            for item in event.items:
                self._publish(item, now, out)
        elif isinstance(event, Taken):
            self._receiver.taken(event.items, out)  # type: ignore[arg-type]
        elif isinstance(event, Unroutable):
            for message in event.messages:
                if message.kind is MessageType.MSG:
                    self._sender.unroutable(message, event.error)
                else:
                    self._requests.unroutable(message, event.error)
        elif isinstance(event, Stranded):
            self._sender.abandon(event.error)
            self._sender.errors.append(event.error)
        elif isinstance(event, Congestion):
            self._congested = event.congested
        elif isinstance(event, SetTimers):
            self._set_timers(event)
        elif isinstance(event, CredentialGranted):
            self._credential(event, now, out)
        elif isinstance(event, Computed):
            self._computed(now, out)
        elif isinstance(event, Verification):
            self._keys_came(now, out)
        else:
            self._operate(event, now, out)
        if not self.ended:
            self._progress(now, out)
        self._settle(out)
        return out

    def tick(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        out: list[Effect] = []
        if not self.ended:
            # Control first: data may need the commit that goes with it to be decrypted.
            self._expire(now, out)
            self._sender.expire(now, out)  # type: ignore[arg-type]
            self._receiver.expire(now, out)  # type: ignore[arg-type]
            if self._credential_waits is not None and now >= self._credential_deadline:
                error = SlimTimeout("no token with the claims of MLS came in time")
                self._credential(CredentialGranted(error=error), now, out)
            if (
                (operation := self._operation) is not None
                and (until := operation.keys_until)
                and now >= until
            ):
                self._keys_came(now, out)
            if not self.ended:
                self._progress(now, out)
            self._settle(out)
        return out

    def next_deadline(self) -> float | None:
        """When `tick` is to be called next; None: not before another event."""
        if self.ended:
            return None
        deadlines = (
            self._sender.next_deadline(),
            self._receiver.next_deadline(),
            self._requests.next_deadline(),
            self._credential_deadline if self._credential_waits is not None else None,
            self._operation.keys_until if self._operation is not None else None,
            *self._deadlines(),
        )
        # A plain loop: this is asked after every event.
        earliest = None
        for deadline in deadlines:
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    @property
    def members(self) -> tuple[Name, ...]:
        """Everybody who is in, full names, ourselves included."""
        raise NotImplementedError

    @property
    def epoch(self) -> int | None:
        """The MLS epoch; None without MLS."""
        return self._crypto.epoch if self._crypto is not None else None

    @property
    def fingerprint(self) -> str:
        """Equal for all members of the MLS epoch; empty without MLS."""
        return self._crypto.fingerprint if self._crypto is not None else ""

    def figures(self) -> dict[str, int]:
        """Counts for people and tests."""
        return {
            "unacknowledged": self._sender.unacknowledged,
            "kept": len(self._kept),
            "held": self._receiver.held,
            "inbound_bytes": self._receiver.bytes,
            "dropped": self._receiver.dropped,
            "undecryptable": self._receiver.undecryptable,
        }

    # What a side of the session adds.

    def _operate(self, event: Event, now: float, out: list[Effect]) -> None:
        """An operation of the application other than publishing, or a Bound."""
        raise NotImplementedError

    def _control(self, message: SessionMessage, now: float, out: list[Effect]) -> None:
        """A control message arrived."""
        raise NotImplementedError

    def _expire(self, now: float, out: list[Effect]) -> None:
        """Timers other than those of data messages."""
        raise NotImplementedError

    def _progress(self, now: float, out: list[Effect]) -> None:
        """Whatever happened may have cleared the way for something that waits."""
        raise NotImplementedError

    def _deadlines(self) -> tuple[float | None, ...]:
        raise NotImplementedError

    # Data messages.

    def _received(self, messages: tuple[SessionMessage, ...], now: float, out: list[Effect]) -> None:
        receiver, sender = self._receiver, self._sender
        sends: list[SessionMessage] = out  # type: ignore[assignment]
        for message in messages:
            kind = message.kind
            if kind is MessageType.MSG:
                if isinstance(message.content, Payload):
                    receiver.message(message, now, sends)
            elif kind is MessageType.MSG_ACK:
                sender.acknowledged(message.source, message.message_id)
            elif kind is MessageType.RTX_REQUEST:
                if message.source in sender.endpoints:
                    sender.retransmit(message, sends)
            elif kind is MessageType.RTX_REPLY:
                if isinstance(message.content, Payload):
                    receiver.reply(message, now, sends)
            elif isinstance(message.content, Payload):
                out.append(Refused(f"a {kind.name} of {message.source} carries no command"))
            elif not self.ended:
                self._control(message, now, out)

    def _publish(self, item: Outgoing, now: float, out: list[Effect]) -> None:
        sender = self._sender
        if self._draining:
            self._refuse(item, SessionClosed("draining, no new messages", session_id=self.session_id))
        elif sender.unacknowledged + sender.freed + self._withheld + len(self._kept) >= WINDOW:
            self._refuse(item, QueueFull(f"session {self.session_id}", WINDOW))
        elif item.to is not None and self.group and item.to not in sender.endpoints:
            self._refuse(item, ParticipantNotFound(str(item.to), session_id=self.session_id))
        elif sender.endpoints:
            self._transmit(item, now, out)
        else:
            self._kept.append(item)

    def _transmit(self, item: Outgoing, now: float, out: list[Effect]) -> None:
        blob = item.blob
        if self._crypto is not None:
            try:
                blob = self._crypto.encrypt(blob)
            except SlimError as error:
                self._refuse(item, error)
                return
        self._sender.publish(item, blob, now, out)  # type: ignore[arg-type]

    def _refuse(self, item: Outgoing, error: SlimError) -> None:
        self._sender.freed += 1
        if item.handle is not None:
            self._sender.failed.append(Failure(item.handle, error))
        else:
            self._sender.errors.append(error)

    def _open_up(self, member: Name, now: float, out: list[Effect]) -> None:
        """`member` can receive from now on: what was kept for a first one leaves."""
        self._sender.endpoints.add(member)
        while self._kept:
            self._transmit(self._kept.popleft(), now, out)

    def _decrypt(self, message: SessionMessage) -> Payload:
        assert self._crypto is not None
        assert isinstance(message.content, Payload)
        kind, blob = message.content
        try:
            return Payload(kind, self._crypto.decrypt(message.source, blob))
        except ClearText as error:
            if message.source not in self._clear_text:
                self._clear_text.add(message.source)
                self._complaints.append(Refused(str(error), alarming=True))
            raise

    def _set_timers(self, event: SetTimers) -> None:
        self.config = self.config._replace(interval=event.interval, max_retries=event.max_retries)
        self._sender.set_timers(event.interval, event.max_retries)
        self._receiver.set_timers(event.interval, event.max_retries)
        self._requests.set_timers(event.interval, event.max_retries)
        self._sender.done.append(event.handle)

    # Control messages.

    def _message(
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

    def _reply(self, request: SessionMessage, kind: MessageType, content: Command) -> SessionMessage:
        """The answer to `request`: its id, back over the connection it came by."""
        return self._message(
            kind, request.source, content, id=request.message_id, connection=request.connection
        )

    # Cryptography that takes its time.

    def _with_credential(self, out: list[Effect], then: Step, now: float) -> None:
        """Go on with `then` once our leaf has a valid credential: at once, or when one was obtained."""
        assert self._crypto is not None
        if self._crypto.wants_credential():
            self._credential_waits = then
            self._credential_deadline = now + CREDENTIAL_PATIENCE
            out.append(CredentialWanted(self._crypto.claims()))
        else:
            then(now, out)

    def _credential(self, event: CredentialGranted, now: float, out: list[Effect]) -> None:
        then, self._credential_waits = self._credential_waits, None
        if then is None or self._crypto is None:
            return
        error = event.error
        if error is None:
            try:
                self._crypto.credential(event.token)
            except SlimError as refused:
                error = refused
        if error is not None and self._crypto.has_credential():
            out.append(Refused(f"no new credential for MLS, the old one must do: {error}", alarming=True))
            error = None
        if error is None:
            then(now, out)
        else:
            self._no_credential(error, now, out)

    def _compute(
        self,
        begin: Callable[[], Computing[Any]],
        then: Callable[[Any, float, list[Effect]], None],
        failed: Callable[[CryptoError, float, list[Effect]], None],
        now: float,
        out: list[Effect],
    ) -> None:
        """Do an operation of MLS and go on with `then` and its result: at once, unless it takes long or needs
        keys that must be fetched. One at a time: the sides of a session see to that."""
        computation = Computation(begin)
        computation.begin()
        self._go_on(_Operation(computation, then, failed), now, out)

    def _computed(self, now: float, out: list[Effect]) -> None:
        operation = self._operation
        if operation is None or operation.keys_until is not None:
            return
        if operation.computation.place is Place.LOOP:
            operation.computation.advance()
        self._go_on(operation, now, out)

    def _keys_came(self, now: float, out: list[Effect]) -> None:
        operation = self._operation
        if operation is not None and operation.keys_until is not None:
            operation.computation.begin()
            self._go_on(operation._replace(keys_until=None), now, out)

    def _go_on(self, operation: _Operation, now: float, out: list[Effect]) -> None:
        computation = operation.computation
        error = computation.error
        self._operation = None
        if computation.place is not None:
            self._operation = operation
            out.append(Compute(computation))
        elif isinstance(error, KeysWanted) and computation.attempts < ATTEMPTS:
            self._operation = operation._replace(keys_until=now + KEYS_PATIENCE)
            out.append(VerificationWanted(error.tokens))
        elif error is not None:
            operation.failed(error, now, out)
        else:
            operation.then(computation.result, now, out)

    def _no_credential(self, error: SlimError, now: float, out: list[Effect]) -> None:
        raise NotImplementedError

    def _epoch_changed(self, cause: str, out: list[Effect]) -> None:
        if self._crypto is not None and (epoch := self._crypto.epoch) is not None:
            out.append(EpochChanged(self.session_id, epoch, self.members, cause, self._crypto.fingerprint))

    # Outcomes and the end.

    def _answer(self, handle: int | None, inbox: Address | None, error: SlimError | None) -> None:
        """The outcome of an operation, to its own inbox or with the session's others. None: nobody asked."""
        if handle is None:
            return
        failed = () if error is None else (Failure(handle, error),)
        done = (handle,) if error is None else ()
        if inbox is not None:
            self._answers.append(Answer(inbox, Completed(self.session_id, done, failed)))
        else:
            self._sender.done.extend(done)
            self._sender.failed.extend(failed)

    def _settle(self, out: list[Effect]) -> None:
        """At the end of a turn: what gathered in sender and receiver becomes effects."""
        sender, receiver = self._sender, self._receiver
        if self._answers:
            out.extend(self._answers)
            self._answers.clear()
        if self._complaints:
            out.extend(self._complaints)
            self._complaints.clear()
        if sender.errors:
            for error in sender.errors:
                receiver.report(error)
            sender.errors.clear()
        if receiver.items:
            out.append(Delivered(self.session_id, tuple(receiver.items)))
            receiver.items.clear()
        credit, sender.freed = sender.freed, 0
        if self._congested and not sender.reliable:
            self._withheld += credit
            credit = 0
        elif self._withheld:
            credit, self._withheld = credit + self._withheld, 0
        if credit or sender.done or sender.failed:
            out.append(Completed(self.session_id, tuple(sender.done), tuple(sender.failed), credit))
            sender.done.clear()
            sender.failed.clear()
        if self.ended:
            # The ending was noted when it happened; its last words come after everything else.
            out.append(SessionEnded(self.session_id, self._cause))
            out.append(SessionGone(self.session_id, tuple(self._farewells)))

    def _end(self, cause: SlimError | None) -> None:
        """The session is over: all that waits fails. `cause` None: our application closed it."""
        if self.ended:
            return
        self.ended, self._cause = True, cause
        why = (
            cause
            if isinstance(cause, SessionClosed)
            else SessionClosed(str(cause) if cause is not None else "", session_id=self.session_id)
        )
        self._sender.abandon(why)
        while self._kept:
            item = self._kept.popleft()
            if item.handle is not None:
                self._sender.failed.append(Failure(item.handle, why))
        self._requests.cancel_all()
        self._credential_waits = self._operation = None
        if self._crypto is not None:
            self._crypto.close()

    def _after_the_end(self, event: Event, out: list[Effect]) -> None:
        """Nobody waits forever on a session that is over."""
        error = SessionClosed(session_id=self.session_id)
        if isinstance(event, Publish):
            failed = tuple(Failure(item.handle, error) for item in event.items if item.handle is not None)
            out.append(Completed(self.session_id, (), failed, len(event.items)))
        elif not isinstance(event, _UNANSWERED):
            handle = getattr(event, "handle", None)
            if handle is not None:
                completed = Completed(self.session_id, (), (Failure(handle, error),))
                inbox = getattr(event, "inbox", None)
                out.append(completed if inbox is None else Answer(inbox, completed))


_UNANSWERED = (Received, Taken, Unroutable, Bound, Congestion, CredentialGranted, Computed, Verification)
"""Events that nobody awaits the outcome of."""
