"""A service: a handler that answers what others say in the sessions that they open.

    listen_for_session ──► place? ──► task of the session ──► in work? ──► handler ──► answer
                            128                                1,024

Bounds: `sessions` open at a time, further ones wait to be taken up (`AppSettings.backlog`); `messages` in
the hands of the handler at a time, further ones stay with their sessions, whose peers then wait. Nothing is
dropped. What a handler raises ends its session and no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypedDict, TypeVar

from actors.errors import SessionClosed
from actors.names import Name
from gateway.api import observing
from gateway.api.arguments import grace_of, refused
from gateway.api.completion import CompletionHandle
from gateway.api.payloads import PayloadCodec
from gateway.api.session import Message, Session
from identity.errors import ConfigError, SlimError
from identity.text import harmless

T = TypeVar("T")

SESSIONS = 128
MESSAGES = 1024
DRAIN = 5.0
"""Seconds that what is in work may take when a service stops."""

log = logging.getLogger("callboard.serve")
"""Python's own: an error of the user's code is seen without asking for it."""


class Request(Generic[T]):
    """A message in the hands of a handler."""

    __slots__ = ("_codec", "message", "payload")

    def __init__(self, message: Message, payload: T, codec: PayloadCodec[T]) -> None:
        self.message = message
        """As it came."""
        self.payload = payload
        """What the codec read in it."""
        self._codec = codec

    @property
    def source(self) -> Name:
        """Who sent it."""
        return self.message.source

    @property
    def metadata(self) -> dict[str, str]:
        return self.message.metadata

    @property
    def session(self) -> Session:
        """The session it came in."""
        return self.message.session

    async def reply(self, value: Any) -> CompletionHandle:
        """Answer its sender; may be called often. What the handler returns is one answer more.

        Raises TypeError or ValueError for what the codec cannot write, and what `Session.publish_to` raises.
        """
        handle = await self.message.reply(self._codec.encode(value), self._codec.payload_type)
        handle.when_failed(self._not_delivered)
        return handle

    def _not_delivered(self, error: BaseException) -> None:
        log.warning("an answer was not delivered: %s", harmless(str(error)))

    def __repr__(self) -> str:
        return f"<Request {self.message!r}>"


Handler = Callable[[Request[T]], Awaitable[Any]]
"""What it returns is the answer; None: no answer."""


class Bounds(TypedDict, total=False):
    """What bounds a service; `Slim.serve` tells what each means."""

    sessions: int
    messages: int
    at_once: int
    drain: float


class Accepting(Protocol):
    """What a service needs of its application."""

    async def listen_for_session(self) -> Session:
        """The next session; SessionClosed when there will be none."""


class Service(Generic[T]):
    """`app.serve(handler)`: await it to serve until the application is closed, or enter it to serve
    meanwhile. When it stops it takes no new sessions, lets the handler finish what has come, and closes."""

    def __init__(
        self,
        app: Accepting,
        handler: Handler[T],
        codec: PayloadCodec[T],
        *,
        sessions: int = SESSIONS,
        messages: int = MESSAGES,
        at_once: int = 1,
        drain: float = DRAIN,
    ) -> None:
        if not callable(handler):
            raise refused("handler", "an async function of a Request", handler)
        reads_and_writes = all(callable(getattr(codec, verb, None)) for verb in ("encode", "decode"))
        if isinstance(codec, type) or not reads_and_writes:
            raise refused("codec", "BYTES, TEXT, JSON, Model(...) or another PayloadCodec", codec)
        for argument, number in (("sessions", sessions), ("messages", messages), ("at_once", at_once)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ConfigError(f"{argument}: expected a number from 1 on", field=argument)
        self._app = app
        self._handler = handler
        self._codec = codec
        self._at_once = at_once
        self._drain = grace_of(drain, "drain")
        self._bound = sessions
        self._places = asyncio.Semaphore(sessions)
        self._in_work = asyncio.Semaphore(messages)
        self._accepting: asyncio.Task[None] | None = None
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._stopped = False

    def __call__(self, request: Request[T]) -> Awaitable[Any]:
        """The handler itself."""
        return self._handler(request)

    def __await__(self) -> Generator[Any, None, None]:
        return self._serve().__await__()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def sessions(self) -> int:
        """How many sessions it serves now."""
        return len(self._sessions)

    async def stop(self, drain: float | None = None) -> None:
        """Take no new sessions, finish what has come within `drain` seconds, close. Idempotent."""
        self._stopped = True
        limit = self._drain if drain is None else grace_of(drain, "drain")
        if self._accepting is not None and not self._accepting.done():
            self._accepting.cancel()
            await asyncio.wait({self._accepting})
        for session in self._sessions.values():
            session.stop_receiving()
        # A handler may stop its own service: it does not wait for itself.
        tasks = self._sessions.keys() - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limit)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d handlers were cut off after %g s", len(late), limit)
                await asyncio.wait(late)

    async def _serve(self) -> None:
        accepting = self._start()
        try:
            await asyncio.wait({accepting})
            accepting.result()
        finally:
            await self.stop()

    def _start(self) -> asyncio.Task[None]:
        if self._stopped:
            raise SessionClosed("the service has stopped")
        if self._accepting is None:
            self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="callboard service")
        return self._accepting

    async def _accept(self) -> None:
        """A task per session, until the application is closed. Raises ConnectionLost."""
        told = False
        while True:
            if self._places.locked() and not told:
                told = True
                log.warning("%d sessions are open: further ones wait (sessions=)", self._bound)
            await self._places.acquire()
            try:
                session = await self._app.listen_for_session()
            except SessionClosed:
                return
            except BaseException:
                self._places.release()
                raise
            task = asyncio.get_running_loop().create_task(self._follow(session), name=f"session {session.id}")
            self._sessions[task] = session
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._sessions[task]
        self._places.release()

    async def _follow(self, session: Session) -> None:
        """Handle what comes in one session, in order or `at_once`, until it ends or the handler fails."""
        number = session.id
        try:
            if self._at_once == 1:
                async for message in session:
                    async with self._in_work:
                        await self._work(message)
            else:
                await self._follow_at_once(session)
        except SessionClosed as exc:
            log.debug("session %d ended before its answer: %s", number, exc)
        except Exception as exc:
            errors = exc.exceptions if isinstance(exc, ExceptionGroup) else (exc,)
            for error in errors:
                if not isinstance(error, SessionClosed):
                    log.error("the handler failed: session %d ends", number, exc_info=error)
        finally:
            if not session.closed:
                await self._close(session)

    async def _follow_at_once(self, session: Session) -> None:
        turns = asyncio.Semaphore(self._at_once)

        async def work(message: Message) -> None:
            try:
                await self._work(message)
            finally:
                self._in_work.release()
                turns.release()

        async with asyncio.TaskGroup() as group:
            async for message in session:
                await turns.acquire()
                await self._in_work.acquire()
                group.create_task(work(message))

    async def _work(self, message: Message) -> None:
        try:
            payload = self._codec.decode(message.payload)
        except ValueError as exc:
            # The peer's fault: neither the handler's nor the session's. The text may hold the payload.
            log.warning("a message that the codec cannot read: %s", type(exc).__name__)
            return
        request = Request(message, payload, self._codec)
        if observing.current is None:
            await self._answer(request)
        else:
            with observing.current.handling(message.context._seen):
                await self._answer(request)

    async def _answer(self, request: Request[T]) -> None:
        answering = self._handler(request)
        if not isawaitable(answering):
            raise refused("handler", "an async function (`async def`)", answering)
        answer = await answering
        if answer is not None:
            await request.reply(answer)

    async def _close(self, session: Session) -> None:
        handle = session.close(self._drain)
        if self._stopped:
            try:
                await handle.wait_for(self._drain)
            except SlimError as exc:
                log.debug("a session did not close in time: %s", exc)
