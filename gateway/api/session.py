"""Session: what an application does with one conversation (`api.md` 4)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from actors.errors import NotModerator, SessionClosed, SlimTimeout
from actors.messages.session import (
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
    Publish,
    RemoveMember,
    SessionAnnounced,
    SessionEnded,
    SessionOpened,
    SetTimers,
    Taken,
    Watch,
)
from actors.messages.wire import SessionMessage
from actors.names import Name
from gateway.api import observing
from gateway.api.completion import CompletionHandle, seconds
from gateway.api.message import REQUEST_KEY, MessageContext, ReceivedMessage
from gateway.api.name import settled
from gateway.api.session_config import SessionConfiguration, SessionType, of_record
from gateway.api.waiters import Waiters
from gateway.telemetry import Counts, counter
from identity.errors import ConfigError, SlimError

if TYPE_CHECKING:
    from actors.system import LoopSystem

_TAKEN_BATCH = 64
"""Consumed messages are reported to the session actor in batches of this many, or of half its inbox."""

_BYTES_UNDER_WAY = 1024 * 1024
"""Bytes of messages whose credit is not back yet, above which `publish` waits, beside the window."""
_EVENTS = 1024
"""Membership events kept for one reader of `Session.events`; later ones are dropped and counted."""


class EventCounts(Counts, part="session"):
    events_dropped: int = counter("Membership events that readers of Session.events did not get.")


Event = MemberJoined | MemberLeft | EpochChanged | IdentityRotated


class SessionInbox:
    """Where a session actor sends everything about one session; kept back until there is a Session."""

    def __init__(self, system: LoopSystem) -> None:
        self._system = system
        self._kept: list[Any] = []
        self._handler: Callable[[Any], None] | None = None
        self._first: asyncio.Future[Any] = system.loop.create_future()
        self.address = system.inbox(lambda message, _: self._take(message))

    async def first(self) -> Any:
        """The first message: SessionOpened, or why not."""
        return await self._first

    def open(self, handler: Callable[[Any], None]) -> None:
        """Hand what was kept, and what comes, to `handler`."""
        self._handler = handler
        kept, self._kept = self._kept, []
        for message in kept:
            handler(message)

    def close(self) -> None:
        """Nothing more is expected."""
        self._system.close_inbox(self.address)

    def _take(self, message: Any) -> None:
        if self._handler is not None:
            self._handler(message)
        elif not self._first.done():
            self._first.set_result(message)
        else:
            self._kept.append(message)


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
        self._actor = opened.address
        self._id = opened.session_id
        self._source = opened.source
        self._destination = opened.destination
        self._config = of_record(opened.config)
        self._initiator = isinstance(opened, SessionOpened)
        self.established = established
        """Completes when the session stands; fails when nobody answers."""
        self._credit = opened.credit
        self._unfinished = 0
        """Bytes of messages whose credit was not given back."""
        self._sizes: deque[int] = deque()
        """Of each of them, oldest first."""
        self._publishers = Waiters()
        self._handles: dict[int, CompletionHandle] = {}
        self._outgoing: list[Outgoing] = []
        self._flush_armed = False
        self._items: deque[SessionMessage | SlimError] = deque()
        self._receivers = Waiters()
        self._taken = 0
        # Half an inbox at most: what is not reported yet must never fill it.
        self._taken_batch = min(_TAKEN_BATCH, max(1, bound // 2))
        self._closing: CompletionHandle | None = None
        self._ended: SlimError | None = None
        self._over = False
        self._requests: dict[str, asyncio.Future[Message]] = {}
        self._events: list[asyncio.Queue[Event | None]] = []
        self._members: tuple[Name, ...] = ()
        self._epoch: int | None = None
        self._fingerprint = ""
        if isinstance(opened, SessionOpened):
            self._handles[opened.handle] = established
        self._inbox = inbox
        inbox.open(self._receive)
        system.tell_now(self._actor, Watch(inbox.address), inbox.address)

    # What it is

    @property
    def id(self) -> int:
        """The session's number, equal on all sides."""
        self._check_open()
        return self._id

    @property
    def src(self) -> Name:
        """The local end."""
        self._check_open()
        return self._source

    @property
    def dst(self) -> Name:
        """The other end: the destination as given, the initiator's full name, or the channel."""
        self._check_open()
        return self._destination

    @property
    def session_type(self) -> SessionType:
        self._check_open()
        return self._config.session_type

    @property
    def session_config(self) -> SessionConfiguration:
        self._check_open()
        return self._config

    @property
    def metadata(self) -> dict[str, str]:
        """What its creator sent along with the invitation."""
        self._check_open()
        return self._config.metadata

    @property
    def members(self) -> tuple[Name, ...]:
        """Who is in, the local end included, as far as this side knows."""
        self._check_open()
        return self._members

    @property
    def epoch(self) -> int | None:
        """The epoch of the MLS group; None without MLS."""
        self._check_open()
        return self._epoch

    @property
    def fingerprint(self) -> str:
        """A text equal for all members of the epoch, to be compared out of band; empty without MLS."""
        self._check_open()
        return self._fingerprint

    @property
    def number(self) -> int:
        """`id`, which can be read after the end too."""
        return self._id

    @property
    def unfinished(self) -> int:
        """Calls that wait for their outcome: handles, requests, and tasks that wait in `publish`."""
        return len(self._handles) + len(self._requests) + len(self._publishers)

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._over

    @property
    def closed(self) -> bool:
        """Whether the session has ended or is ending."""
        return self._over or self._closing is not None

    def set_session_config(self, config: SessionConfiguration) -> None:
        """Other timeout and retries for messages sent from now on; metadata changes here only.

        Raises ConfigError for another session type or MLS flag, and for making a best-effort session
        reliable; SessionClosed after the end.
        """
        self._check_open()
        for field in ("session_type", "mls_enabled"):
            if getattr(config, field) is not getattr(self._config, field):
                raise ConfigError(f"{field} of a running session cannot change", field=field)
        if config.reliable and not self._config.reliable:
            # The other end learned with its invitation that nothing is to be acknowledged.
            raise ConfigError(
                "a running best-effort session cannot become reliable; create another, with both values",
                field="timeout",
            )
        self._config = config
        record = config.record()
        self._tell(SetTimers(self._system.next_number(), record.interval, record.max_retries))

    # Sending

    async def publish(
        self,
        msg: bytes | bytearray | memoryview | Sequence[int],
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Send to the peer, or to all members. Waits while the window (512 messages, 1 MiB) is full.

        The handle completes when everybody who was there acknowledged (at once when best effort).
        Raises SessionClosed; QueueFull when nobody has joined yet and 512 messages wait already.
        """
        return await self._send(msg, payload_type, metadata, None)

    async def publish_to(
        self,
        message_ctx: MessageContext,
        msg: bytes | bytearray | memoryview | Sequence[int],
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Answer the sender of a message, over the connection it came from."""
        return await self._send(msg, payload_type, metadata, message_ctx)

    async def _send(
        self,
        msg: bytes | bytearray | memoryview | Sequence[int],
        payload_type: str | None,
        metadata: Mapping[str, str] | None,
        to: MessageContext | None,
    ) -> CompletionHandle:
        while (self._credit <= 0 or self._unfinished > _BYTES_UNDER_WAY) and not self.closed:
            await self._publishers.wait()
        self._check_open()
        blob = msg if type(msg) is bytes else bytes(msg)
        # Alone under way, it need not wait for others that might leave with it.
        lone = not self._handles and self._config.reliable
        self._credit -= 1
        self._unfinished += len(blob)
        self._sizes.append(len(blob))
        number = self._system.next_number()
        if observing.current is None:
            handle = CompletionHandle()
            marks = dict(metadata) if metadata else None
        else:
            target = self._destination if to is None else to.source_name
            handle, marks = observing.current.publishing(self._id, target, len(blob), metadata)
        self._handles[number] = handle
        if to is None:
            outgoing = Outgoing(blob, payload_type or "", marks, number)
        else:
            outgoing = Outgoing(blob, payload_type or "", marks, number, to.source_name, to.input_connection)
        if lone:
            self._system.tell_now(self._actor, Publish((outgoing,)), self._inbox.address)
            return handle
        self._outgoing.append(outgoing)
        if not self._flush_armed:
            self._flush_armed = True
            self._system.before_turn(self._flush)
        return handle

    def _flush(self) -> None:
        """What gathered before the turn leaves in one message."""
        self._flush_armed = False
        if self._outgoing:
            items, self._outgoing = tuple(self._outgoing), []
            self._tell(Publish(items))

    async def request(
        self,
        msg: bytes,
        timeout: timedelta | float | None = 10.0,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Message:
        """Publish and wait for the answer: what the peer sends by `message.reply`.

        A peer that does not know of requests answers with an ordinary message; point to point the next
        one counts. Raises SlimTimeout, SessionClosed, MessageUndelivered.
        """
        key = str(self._system.next_number())
        answer: asyncio.Future[Message] = self._system.loop.create_future()
        self._requests[key] = answer
        try:
            handle = await self.publish(msg, payload_type, {**(metadata or {}), REQUEST_KEY: key})
            failure = asyncio.ensure_future(handle.wait())
            try:
                # The acknowledgement may come first; only its failure ends the wait early.
                loop, limit = self._system.loop, seconds(timeout)
                deadline = None if limit is None else loop.time() + limit
                waits: set[asyncio.Future[Any]] = {answer, failure}
                await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done() and failure.done():
                    failure.result()
                    left = None if deadline is None else max(0.0, deadline - loop.time())
                    await asyncio.wait({answer}, timeout=left)
            finally:
                failure.cancel()
            if not answer.done():
                raise SlimTimeout(f"timed out waiting for the answer to request {key}", session_id=self._id)
            return answer.result()
        finally:
            self._requests.pop(key, None)

    # Receiving

    async def get_message(self, timeout: timedelta | float | None = None) -> Message:
        """The next message, as a pair `(context, payload)`.

        Raises SlimTimeout ("timeout waiting for message"), SessionClosed, and the errors that took a
        message's place: MessageLost, MessageUndelivered, ParticipantDisconnected.
        """
        if not self._items:
            await self._wait_for_message(seconds(timeout))
        item = self._items.popleft()
        self._taken += 1
        if self._taken >= self._taken_batch:
            self._tell(Taken(self._taken))
            self._taken = 0
        if isinstance(item, SlimError):
            if observing.current is not None:
                observing.current.failed(self._id, item)
            raise item
        return self._taken_message(item)

    def _taken_message(self, item: SessionMessage) -> Message:
        message = Message.of(item, self)
        if observing.current is not None:
            observing.current.received(self._id, item, len(message.payload))
        return message

    async def recv(self, timeout: timedelta | float | None = None) -> Message:
        """`get_message` under its name of 0.6."""
        return await self.get_message(timeout)

    async def _wait_for_message(self, timeout: float | None) -> None:
        """Return when something is there to receive."""
        loop = self._system.loop
        deadline = None if timeout is None else loop.time() + timeout
        while not self._items:
            if self._over:
                raise self._end_error("session channel closed")
            try:
                await self._receivers.wait(deadline)
            except TimeoutError as exc:
                raise SlimTimeout("timeout waiting for message (timed out)", session_id=self._id) from exc

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """The next message; the iteration ends with the session."""
        try:
            return await self.get_message()
        except SessionClosed as exc:
            raise StopAsyncIteration from exc

    # Members

    async def invite(self, name: Name) -> CompletionHandle:
        """Add an application to the group. Completes when it and all members know.

        Raises NotModerator, SessionClosed; the handle fails with HandshakeFailed or ParticipantExists.
        """
        self._check_moderator(f"cannot invite participant to {self._destination}")
        return self._operate(lambda number: Invite(number, settled(name)))

    async def remove(self, name: Name) -> CompletionHandle:
        """Take a member out of the group; an id in `name` is ignored.

        Raises NotModerator, SessionClosed; the handle fails with ParticipantNotFound.
        """
        self._check_moderator(f"cannot remove participant from {self._destination}")
        return self._operate(lambda number: RemoveMember(number, settled(name)))

    async def events(self) -> AsyncIterator[Event]:
        """Membership changes, MLS epochs, rotations of our identity: from now on, until the session ends."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_EVENTS)
        self._events.append(queue)
        try:
            while not self._over and (event := await queue.get()) is not None:
                yield event
        finally:
            self._events.remove(queue)

    # The end

    def close(self, grace: timedelta | float = 60.0) -> CompletionHandle:
        """Begin to close: no new messages, acknowledgements awaited for at most `grace` seconds.

        Returns at once; the handle completes when the session has ended. Raises SessionClosed when it has
        been closed before.
        """
        if self.closed:
            raise SessionClosed("Session already closed", session_id=self._id)
        self._flush()
        handle = self._operate(lambda number: CloseSession(number, seconds(grace) or 0.0))
        self._closing = handle
        return handle

    async def delete(self) -> CompletionHandle:
        """`close` under its name of 0.6."""
        return self.close()

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
        state = "closed" if self._over else "closing" if self._closing else "open"
        return f"<Session {self._id} {self._config.session_type.name} with {self._destination}, {state}>"

    # What the session actor tells

    def _receive(self, message: Any) -> None:
        match message:
            case Delivered():
                self._delivered(message.items)
            case Completed():
                self._completed(message)
            case Membership():
                self._members = message.members
                self._epoch, self._fingerprint = message.epoch, message.fingerprint
            case MemberJoined() | MemberLeft() | EpochChanged() | IdentityRotated():
                self._changed(message)
            case SessionEnded():
                self._end(message.cause)

    def _delivered(self, items: tuple[SessionMessage | SlimError, ...]) -> None:
        if self._requests:
            items = tuple(item for item in items if not self._answers(item))
        self._items.extend(items)
        self._receivers.wake(len(items))

    def _answers(self, item: SessionMessage | SlimError) -> bool:
        """Whether a message is the answer to a request; if so, it is handed to who asked."""
        if isinstance(item, SlimError) or not self._requests:
            return False
        mark = (item.metadata or {}).get(REQUEST_KEY)
        if mark is None and self._config.session_type is SessionType.PointToPoint:
            mark = "re:" + next(iter(self._requests))
        answer = self._requests.pop(mark.removeprefix("re:"), None) if mark and mark[:3] == "re:" else None
        if answer is None or answer.done():
            return False
        answer.set_result(self._taken_message(item))
        self._tell(Taken(1))
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
            self._credit += message.credit
            sizes = self._sizes
            for _ in range(min(message.credit, len(sizes))):
                self._unfinished -= sizes.popleft()
            self._publishers.wake(message.credit)

    def _changed(self, event: Event) -> None:
        if not isinstance(event, IdentityRotated):
            self._members = event.members
        if isinstance(event, EpochChanged):
            self._epoch, self._fingerprint = event.epoch, event.fingerprint
        for queue in self._events:
            if queue.qsize() < _EVENTS - 1:
                queue.put_nowait(event)
            else:
                self._system.telemetry.shared(EventCounts).events_dropped += 1

    def _end(self, cause: SlimError | None) -> None:
        if self._over:
            return
        self._ended = cause
        self._over = True
        error = self._end_error()
        for handle in self._handles.values():
            handle.finish(None if handle is self._closing else error)
        self._handles.clear()
        self._publishers.wake_all()
        self._receivers.wake_all()
        for answer in self._requests.values():
            if not answer.done():
                answer.set_exception(error)
        for queue in self._events:
            queue.put_nowait(None)
        self._inbox.close()

    def _end_error(self, what: str = "") -> SlimError:
        """Why nothing goes any more; the words `what` are those that callers look for."""
        cause = self._ended.cause if isinstance(self._ended, SessionClosed) else str(self._ended or "")
        return SessionClosed(": ".join(filter(None, (what, cause))), session_id=self._id)

    # Small things

    def _check_open(self) -> None:
        if self._over:
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
        self._tell(make(number))
        return handle

    def _tell(self, message: Any) -> None:
        self._system.tell(self._actor, message, self._inbox.address)
