"""Session: what an application does with one conversation (`api.md` 4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from thespian.actors import ActorAddress

from actors.errors import DeliveryError, MessageLost, NotModerator, SessionClosed, SessionError, SlimTimeout
from actors.messages.session import (
    Adopt,
    CloseSession,
    Completed,
    Delivered,
    EpochChanged,
    IdentityRotated,
    Invite,
    MemberJoined,
    MemberLeft,
    Membership,
    Outgoing,
    RemoveMember,
    SessionAnnounced,
    SessionEnded,
    SessionOpened,
    SetTimers,
    Taken,
    Watch,
)
from actors.messages.wire import REQUEST_KEY, SessionMessage
from actors.names import Name
from gateway.api import observing
from gateway.api.arguments import (
    Blob,
    grace_of,
    instance_of,
    name_of,
    payload_of,
    seconds,
    text_of,
    texts_of,
)
from gateway.api.completion import CompletionHandle
from gateway.api.events import EventReader, Events
from gateway.api.incoming import Incoming
from gateway.api.message import MessageContext, ReceivedMessage, answering
from gateway.api.publishing import Publishing
from gateway.api.renamed import renamed
from gateway.api.requests import OpenRequests
from gateway.api.session_config import SessionConfiguration, SessionType, check_change, of_record
from gateway.api.session_inbox import SessionInbox
from gateway.api.session_line import SessionLine
from identity.errors import ConfigError, SlimError

if TYPE_CHECKING:
    from actors.system import LoopSystem

Gaps = Literal["events", "items"]

_TIMEOUTS = frozenset((float, timedelta))
"""What a timeout mostly is, and then need not be looked at where there is no wait."""
_GROUP = SessionType.Group
_COMINGS_AND_GOINGS = (MemberJoined, MemberLeft)
INTRODUCTION = 1.0
"""Seconds to wait for a session's actor, which answers in its next turn."""


class SessionNotFound(SessionError, ValueError):
    """No session is known under this id."""


class Message(ReceivedMessage["Session"]):
    """A received message: unpacks as `context, payload`, and can be answered.

    async for message in session:
        await message.reply(b"echo: " + message.payload)
    """


class Session:
    """One conversation. `Slim.create_session` and `Slim.listen_for_session` make it.

        await session.publish(b"hello")
        context, payload = await session.get_message()
        async for message in session: ...

    Also a pair, `session, established = await slim.create_session(...)`, for code that unpacks it, and an
    asynchronous context manager that closes the session when the block is left.
    """

    def __init__(
        self,
        system: LoopSystem,
        inbox: SessionInbox,
        opened: SessionOpened | SessionAnnounced,
        established: CompletionHandle,
        bound: int,
    ) -> None:
        """`bound` is how many messages the session actor keeps on their way to us (`AppSettings`)."""
        self._system = system
        self._id = opened.session_id
        self._source = opened.source
        self._destination = opened.destination
        self._config = of_record(opened.config)
        self._initiator = isinstance(opened, SessionOpened)
        self.established = established
        """Completes when the session stands; fails when nobody answers."""
        self._handles: dict[int, CompletionHandle] = {}
        self._line = line = SessionLine(system, opened.address, inbox.address)
        self._publishing = Publishing(opened.credit, line)
        self._incoming = Incoming(line, bound)
        self._events = Events(system.telemetry)
        self._closing: CompletionHandle | None = None
        self._ended: SlimError | None = None
        self._requests: OpenRequests[Message] = OpenRequests(
            system.next_number, marked=self._config.session_type is _GROUP
        )
        self.invited: dict[Name, SlimError | None] = {}
        """What became of those who were invited by `Slim.group`: None, or why one is not in."""
        self._members: tuple[Name, ...] = ()
        self._epoch: int | None = None
        self._fingerprint = ""
        if isinstance(opened, SessionOpened):
            self._handles[opened.handle] = established
        self._introduced: asyncio.Future[None] | None = None
        """There while somebody waits for it."""
        self._known = False
        """Whether its actor told where it stands."""
        self._inbox = inbox
        inbox.open(self._receive)
        if isinstance(opened, SessionAnnounced) and not line.tell_now(Adopt(inbox.address)):
            self._end(SessionClosed("it ended before it was taken up", session_id=self._id))
        line.tell_now(Watch(inbox.address))

    # What it is

    @property
    def id(self) -> int:
        """The session's number, equal on all sides."""
        self._check_not_closed_here()
        return self._id

    @property
    def src(self) -> Name:
        """The local end."""
        self._check_not_closed_here()
        return self._source

    @property
    def dst(self) -> Name:
        """The other end: the destination as given, the initiator's full name, or the channel."""
        self._check_not_closed_here()
        return self._destination

    @property
    def session_type(self) -> SessionType:
        """Point to point, or a group."""
        self._check_not_closed_here()
        return self._config.session_type

    @property
    def session_config(self) -> SessionConfiguration:
        """How it behaves."""
        self._check_not_closed_here()
        return self._config

    @property
    def metadata(self) -> dict[str, str]:
        """What its creator sent along with the invitation."""
        self._check_not_closed_here()
        return self._config.metadata

    @property
    def members(self) -> tuple[Name, ...]:
        """Who is in, the local end included, as far as this side knows."""
        self._check_not_closed_here()
        return self._members

    @property
    def epoch(self) -> int | None:
        """The epoch of the MLS group; None without MLS."""
        self._check_not_closed_here()
        return self._epoch

    @property
    def fingerprint(self) -> str:
        """A text equal for all members of the epoch, to be compared out of band; empty without MLS."""
        self._check_not_closed_here()
        return self._fingerprint

    @property
    def number(self) -> int:
        """`id`, which can be read after the end too."""
        return self._id

    @property
    def unfinished(self) -> int:
        """Calls that wait for their outcome: handles, requests, and tasks that wait in `publish`."""
        return len(self._handles) + len(self._requests) + self._publishing.waiting

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._incoming.over

    @property
    def closed(self) -> bool:
        """Whether the session has ended or is ending."""
        return self._incoming.over or self._closing is not None

    @property
    def closed_because(self) -> SlimError | None:
        """Why the session ended: SessionClosed, ParticipantDisconnected, ConnectionLost ...; None before."""
        if not self.over:
            return None
        return self._ended or SessionClosed("closed by this side", session_id=self._id)

    def set_session_config(self, config: SessionConfiguration) -> None:
        """Other timeout and retries for messages sent from now on; metadata changes here only.

        Raises ConfigError for another session type or MLS flag, and for making a best-effort session
        reliable; SessionClosed after the end.
        """
        instance_of(config, SessionConfiguration, "config")
        self._check_open()
        check_change(self._config, config)
        self._config = config
        record = config.record()
        self._line.tell(SetTimers(self._system.next_number(), record.interval, record.max_retries))

    # Sending

    async def publish(
        self,
        msg: Blob,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Send to the peer, or to all members. Waits while the window (512 messages, 1 MiB) is full.

        The handle completes when everybody who was there acknowledged (at once when best effort). It fails
        with MessageUndelivered, which names who did not, and of these who went (`gone`); SessionClosed;
        ParticipantNotFound when all members have gone. What is said before anybody came waits for the first;
        QueueFull when 512 messages do.
        Raises SessionClosed.
        """
        return await self._send(msg, payload_type, metadata, None)

    async def publish_to(
        self,
        message_ctx: MessageContext,
        msg: Blob,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Answer the sender of a message, over the connection it came from."""
        instance_of(message_ctx, MessageContext, "message_ctx")
        return await self._send(msg, payload_type, answering(message_ctx, metadata), message_ctx)

    async def _send(
        self,
        msg: Blob,
        payload_type: str | None,
        metadata: Mapping[str, str] | None,
        to: MessageContext | None,
    ) -> CompletionHandle:
        blob = msg if type(msg) is bytes else payload_of(msg, "msg")
        kind = "" if payload_type is None else text_of(payload_type, "payload_type")
        marks: dict[str, str] | None = texts_of(metadata, "metadata") if metadata is not None else None
        publishing = self._publishing
        if not publishing.free:
            await publishing.turn()
            self._check_open()
        # Alone under way, it need not wait for others that might leave with it.
        lone = not self._handles and self._config.reliable
        number = self._system.next_number()
        if observing.current is None:
            handle = CompletionHandle()
        else:
            target = self._destination if to is None else to.source_name
            seen = None if to is None else to._seen
            handle, marks = observing.current.publishing(self._id, target, len(blob), marks, seen)
        self._handles[number] = handle
        if to is None:
            outgoing = Outgoing(blob, kind, marks or None, number)
        else:
            outgoing = Outgoing(blob, kind, marks or None, number, to.source_name, to.input_connection)
        publishing.put(outgoing, lone)
        return handle

    async def request(
        self,
        msg: Blob,
        timeout: timedelta | float | None = 10.0,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Message:
        """Publish and wait for the answer: what the peer sends by `message.reply`.

        A peer that does not know of requests answers with an ordinary message: point to point the next one
        counts that comes after its acknowledgement. Raises SlimTimeout, SessionClosed, MessageUndelivered.
        """
        if observing.current is None:
            return await self._request(msg, timeout, payload_type, metadata)
        with observing.current.requesting(self._id, self._destination):
            return await self._request(msg, timeout, payload_type, metadata)

    async def _request(
        self,
        msg: Blob,
        timeout: timedelta | float | None,
        payload_type: str | None,
        metadata: Mapping[str, str] | None,
    ) -> Message:
        async def send(mark: str) -> CompletionHandle:
            marks = {**texts_of(metadata, "metadata"), REQUEST_KEY: mark}
            return await self.publish(msg, payload_type, marks)

        return await self._requests.ask(send, seconds(timeout), self._id)

    # Receiving

    async def get_message(self, timeout: timedelta | float | None = None) -> Message:
        """The next message, as a pair `(context, payload)`.

        Raises SlimTimeout ("timeout waiting for message"), SessionClosed once the session is over and all
        that was delivered is received, and the errors that took a message's place: MessageLost,
        MessageUndelivered, ParticipantDisconnected. The receive loop, `async for message in session`, goes
        on over these.
        """
        incoming = self._incoming
        items = incoming.items
        if not items or type(timeout) not in _TIMEOUTS:
            limit = seconds(timeout)
        if not items:
            deadline = None if limit is None else self._system.loop.time() + limit
            try:
                if not await incoming.wait(deadline):
                    raise self._end_error("session channel closed")
            except TimeoutError as exc:
                raise SlimTimeout("timeout waiting for message (timed out)", session_id=self._id) from exc
        item = items.popleft()
        incoming.taken += 1
        if incoming.taken >= incoming.batch:
            incoming.report()
        if isinstance(item, SlimError):
            self._saw(item)
            raise item
        return self._taken_message(item)

    def _taken_message(self, item: SessionMessage) -> Message:
        message = Message.of(item, self)
        if observing.current is not None:
            message.context._seen = observing.current.received(self._id, item, len(message.payload))
        return message

    def _saw(self, error: SlimError) -> None:
        if observing.current is not None:
            observing.current.failed(self._id, error)

    recv = renamed("recv", get_message)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """The next message. The iteration ends with the session, and with nothing else.

        What became of a message of ours its handle tells; what became of a member, and a gap in what was
        received, `events` tells; why the session ended, `closed_because`.
        """
        incoming = self._incoming
        while await incoming.wait(None):
            item = incoming.take()
            if not isinstance(item, SlimError):
                return self._taken_message(item)
            self._pass_over(item)
        raise StopAsyncIteration

    def messages(self, *, gaps: Gaps = "events") -> AsyncIterator[Message | MessageLost]:
        """The receive loop; with `gaps="items"` each gap comes in its place, as MessageLost."""
        if gaps not in ("events", "items"):
            raise ConfigError(f'gaps: "events" or "items", got {gaps!r}', field="gaps")
        return self._messages(gaps)

    async def _messages(self, gaps: Gaps) -> AsyncIterator[Message | MessageLost]:
        while await self._incoming.wait(None):
            item = self._incoming.take()
            if not isinstance(item, SlimError):
                yield self._taken_message(item)
            elif isinstance(item, MessageLost) and gaps == "items":
                self._saw(item)
                yield item
            else:
                self._pass_over(item)

    def stop_receiving(self) -> None:
        """Let receive loops end when they have what was delivered so far; sending goes on."""
        self._incoming.stop()

    def _pass_over(self, error: SlimError) -> None:
        """The receive loop met an error: a gap it tells as an event; the others are told elsewhere.

        A member that is gone has its MemberLeft, a reliable message its handle, the end `closed_because`;
        what became of a best-effort message of ours was an event when it became known.
        """
        self._saw(error)
        told = self._events.read or self._config.reliable
        if isinstance(error, MessageLost) or (isinstance(error, DeliveryError) and not told):
            self._events.lost(self._id, error)

    # Members

    async def invite(self, name: Name | str) -> CompletionHandle:
        """Add an application to the group. Completes when it and all members know.

        Raises NotModerator, SessionClosed; the handle fails with HandshakeFailed or ParticipantExists.
        """
        guest = name_of(name, "name")
        self._check_moderator(f"cannot invite participant to {self._destination}")
        return self._operate(lambda number: Invite(number, guest))

    async def remove(self, name: Name | str) -> CompletionHandle:
        """Take a member out of the group; an id in `name` is ignored.

        Raises NotModerator, SessionClosed; the handle fails with ParticipantNotFound.
        """
        member = name_of(name, "name")
        self._check_moderator(f"cannot remove participant from {self._destination}")
        return self._operate(lambda number: RemoveMember(number, member))

    def events(self) -> EventReader:
        """Members that come and go, MLS epochs, rotations of our identity, gaps: from now on, until the
        session ends.

        A gap (MessageLost) is told when the receive loop comes to it; a best-effort message of ours that
        could not leave (MessageTooLarge, NoRoute) when that is known.
        """
        return self._events.reader()

    # The end

    def close(self, grace: timedelta | float = 60.0) -> CompletionHandle:
        """Begin to close: no new messages, acknowledgements awaited for at most `grace` seconds.

        Returns at once; the handle completes when the session has ended. Raises SessionClosed when it has
        been closed before.
        """
        limit = grace_of(grace)
        if self.closed:
            raise SessionClosed("Session already closed", session_id=self._id)
        self._publishing.flush()
        handle = self._operate(lambda number: CloseSession(number, limit))
        self._closing = handle
        self._publishing.end()
        return handle

    async def _delete(self) -> CompletionHandle:
        return self.close()

    delete = renamed("delete", _delete, "close")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.closed:
            self.close()
        if self._closing is not None:
            try:
                await self._closing
            except SlimError:
                if error is None:
                    raise

    def __iter__(self) -> Iterator[Any]:
        """The pair that 0.7 returned: `session, handle = await slim.create_session(...)`."""
        return iter((self, self.established))

    def __repr__(self) -> str:
        state = "closed" if self.over else "closing" if self._closing else "open"
        return f"<Session {self._id} {self._config.session_type.name} with {self._destination}, {state}>"

    # What the session actor tells

    def _receive(self, message: Any, _: ActorAddress) -> None:
        match message:
            case Delivered():
                self._delivered(message.items)
            case Completed():
                self._completed(message)
            case Membership():
                # Behind what was kept for us: now we know where the session stands.
                self._introduce()
                self._members = message.members
                self._epoch, self._fingerprint = message.epoch, message.fingerprint
                self._requests.marked |= message.marks_answers
            case MemberJoined() | MemberLeft() | EpochChanged() | IdentityRotated():
                self._changed(message)
            case SessionEnded():
                self._end(message.cause)

    def _delivered(self, items: tuple[SessionMessage | SlimError, ...]) -> None:
        if self._requests:
            items = tuple(item for item in items if not self._answers(item))
        self._incoming.add(items, len(items))
        if self._events.read and not self._config.reliable:
            # No handle tells it, and who only publishes has no receive loop that would come to it.
            for item in items:
                if isinstance(item, DeliveryError) and not isinstance(item, MessageLost):
                    self._events.tell(item)

    def _answers(self, item: SessionMessage | SlimError) -> bool:
        """Whether a message is the answer to a request; if so, it is handed to who asked."""
        answer = self._requests.answered(item)
        if answer is None or isinstance(item, SlimError):
            return False
        answer.set_result(self._taken_message(item))
        self._line.tell(Taken(1))
        return True

    def _completed(self, message: Completed) -> None:
        handles = self._handles
        for number in message.done:
            handle = handles.pop(number, None)
            if handle is not None:
                handle.finish()
        for failure in message.failed:
            handle = handles.pop(failure.handle, None)
            if handle is not None:
                handle.finish(failure.error)
        if message.credit:
            self._publishing.release(message.credit)

    def _changed(self, event: MemberJoined | MemberLeft | EpochChanged | IdentityRotated) -> None:
        if isinstance(event, _COMINGS_AND_GOINGS):
            self._members = event.members
        if isinstance(event, MemberJoined):
            self._requests.marked |= event.marks_answers
        elif isinstance(event, EpochChanged):
            # Its members are those who have its keys, and may not have come in yet.
            self._epoch, self._fingerprint = event.epoch, event.fingerprint
        self._events.tell(event)

    def _end(self, cause: SlimError | None) -> None:
        if self.over:
            return
        self._ended = cause
        self._introduce()
        self._incoming.end()
        error = self._end_error()
        for handle in self._handles.values():
            handle.finish(None if handle is self._closing else error)
        self._handles.clear()
        self._publishing.end()
        self._requests.end(error)
        self._events.end()
        self._inbox.close()

    def _end_error(self, what: str = "") -> SlimError:
        """Why nothing goes any more; the words `what` are those that callers look for."""
        cause = self._ended.cause if isinstance(self._ended, SessionClosed) else str(self._ended or "")
        return SessionClosed(": ".join(filter(None, (what, cause))), session_id=self._id)

    # Small things

    async def introduced(self) -> Self:
        """Wait until it is known where a session stands that others opened."""
        if not self._known:
            if self._introduced is None:
                self._introduced = self._system.loop.create_future()
            await asyncio.wait({self._introduced}, timeout=INTRODUCTION)
        return self

    def _introduce(self) -> None:
        self._known = True
        if self._introduced is not None and not self._introduced.done():
            self._introduced.set_result(None)

    @property
    def spent(self) -> bool:
        """Whether it is over, with nothing left to receive."""
        return self._incoming.over and not self._incoming.items

    def _check_not_closed_here(self) -> None:
        """Of a session that this side closed nothing can be read, as in the original (`api.md` 4.2)."""
        if self._closing is not None:
            self._check_open()

    def _check_open(self) -> None:
        if self.over:
            raise self._end_error()
        if self._closing is not None:
            raise SessionClosed("it is draining", session_id=self._id)

    def _check_moderator(self, text: str) -> None:
        self._check_open()
        if not self._initiator or self._config.session_type is not SessionType.Group:
            raise NotModerator(text, session_id=self._id)

    def _operate(self, make: Any) -> CompletionHandle:
        number = self._system.next_number()
        handle = CompletionHandle()
        self._handles[number] = handle
        self._line.tell(make(number))
        return handle
