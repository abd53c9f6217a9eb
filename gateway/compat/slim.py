"""`Slim` for programs of every generation from 0.3.6 to 0.7 (`api.md` 7).

0.6 and 0.7 hand out sessions; `gateway.Slim` does all of that. Before, a program held a `PySessionInfo` and
passed it, or its id, to the application:

                        ┌──────── accept ◄──── sessions that others open
    receive() ◄── new ──┤
                        └─► OlderSession(id) ◄── reader ◄── Session, Session ...
    receive(session=id) ◄───── queue

The first message of a new session comes twice: from `receive()`, and first of all from
`receive(session=id)`. Programs of these generations rely on it: they throw the first away.

Bounds: a conversation holds `queue_size` messages (else QUEUE), further ones stay with the session, whose own
bound applies; at most BACKLOG new sessions wait for `receive()`; of ended ones ENDED are remembered.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Coroutine, Generator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Self

from actors.errors import MessageUndelivered, SessionClosed, SessionError, SlimTimeout
from actors.messages.session import AppSettings
from actors.names import Name
from gateway.api.arguments import Blob, instance_of, name_of, refused, seconds
from gateway.api.completion import CompletionHandle
from gateway.api.name import settled
from gateway.api.session import Message, Session, SessionNotFound
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.api.slim import Slim as CurrentSlim
from gateway.compat.configuration import destination_of
from gateway.compat.names import FireAndForget, PySessionDirection, Streaming
from gateway.node.data_plane import DataPlane
from identity.errors import ConfigError, SlimError
from identity.protocols import Provider, Verifier

QUEUE = 1024
BACKLOG = 128
ENDED = 1024

_provisional_ids = itertools.count(2**32)
"""Ids of sessions that have no destination yet; above all that go over the wire."""


class PySession(Session):
    """`gateway.Session`, and the names that its methods had in 0.6."""

    async def recv(self, timeout: timedelta | float | None = None) -> Message:
        """`get_message`."""
        return await self.get_message(timeout)

    async def delete(self) -> CompletionHandle:
        """`close`."""
        return self.close()


class PySessionInfo:
    """A session, and the message just received in it."""

    def __init__(
        self, session_id: int, message: Message | None = None, conversation: OlderSession | None = None
    ) -> None:
        self._id = session_id
        self._message = message
        self._conversation = conversation

    @property
    def id(self) -> int:
        """Equal on both ends; that of a FireAndForget session from its first publish on."""
        return self._id if self._conversation is None else self._conversation.id

    @property
    def source_name(self) -> Name:
        return self._received.context.source_name

    @property
    def destination_name(self) -> Name:
        return self._received.context.destination_name

    @property
    def payload_type(self) -> str:
        return self._received.context.payload_type

    @property
    def metadata(self) -> dict[str, str]:
        return self._received.metadata

    @property
    def _received(self) -> Message:
        if self._message is None:
            raise SessionError("nothing was received in this session yet", session_id=self.id)
        return self._message

    def __repr__(self) -> str:
        return f"<PySessionInfo {self.id}>"


_Item = tuple[PySessionInfo, bytes]


class OlderSession:
    """What one id of an older program stands for: a configuration, and the sessions made under it."""

    def __init__(self, id: int, config: SessionConfiguration, size: int = 0, *, new: bool = False) -> None:
        self.id = id
        self.config = config
        self.new = new
        """Others opened it, and `receive()` has not told of it yet."""
        self.sessions: list[tuple[Name, Session]] = []
        """By peer. Several only for FireAndForget, whose publishes name their destinations."""
        self.queue: asyncio.Queue[_Item | SlimError] = asyncio.Queue()
        self.room = asyncio.Semaphore(size or QUEUE)

    @property
    def over(self) -> bool:
        """Whether all its sessions have ended, and what they brought was received."""
        return bool(self.sessions) and all(s.over for _, s in self.sessions) and self.queue.empty()

    def open_session(self, peer: Name) -> Session | None:
        """The session with `peer`; for a channel, the only one."""
        for name, session in self.sessions:
            same = name.equal_without_id(peer) and (name.id == peer.id or not name.has_id or not peer.has_id)
            if not session.closed and (same or self.config.session_type is SessionType.Group):
                return session
        return None


class AllOf(CompletionHandle):
    """Completes when all of several handles did; fails with the first that failed."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[CompletionHandle]) -> None:
        super().__init__()
        self._parts = parts

    def done(self) -> bool:
        return all(part.done() for part in self._parts)

    def __await__(self) -> Generator[object, None, None]:
        for part in self._parts:
            yield from part.__await__()


class Slim(CurrentSlim):
    """`gateway.Slim`, and the older spellings. Port a program by its import alone:

        from gateway import compat as slim_bindings

    `async with slim:` starts and stops receiving as it did up to 0.5; leaving the block does not close the
    application (`close` does, and so does the end of the loop). Without it `receive` waits.
    """

    _session_kind: ClassVar[type[Session]] = PySession

    def __init__(
        self,
        name: Name,
        provider: Provider,
        verifier: Verifier,
        local_service: bool = False,
        *,
        data_plane: DataPlane | None = None,
        settings: AppSettings | None = None,
    ) -> None:
        super().__init__(name, provider, verifier, local_service, data_plane=data_plane, settings=settings)
        self._conversations: dict[int, OlderSession] = {}
        self._new: asyncio.Queue[_Item] = asyncio.Queue()
        self._backlog = asyncio.Semaphore(BACKLOG)
        self._over: deque[OlderSession] = deque()
        self._defaults: dict[SessionType, SessionConfiguration] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._receiving = False

    def get_id(self) -> int:
        """`id` up to 0.5."""
        return self.id

    # The receive loop

    async def __aenter__(self) -> Self:
        await self._ready()
        self._receiving = True
        self._start(self._accept())
        for conversation in set(self._conversations.values()):
            for _, session in conversation.sessions:
                self._start(self._read(conversation, session))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._receiving = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"receive loop of {self.local_name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        """Take over what others open, as far as `receive()` keeps up."""
        while True:
            await self._backlog.acquire()
            try:
                session = await self.listen_for_session()
            except BaseException:
                self._backlog.release()
                raise
            conversation = OlderSession(session.id, session.session_config, new=True)
            self._conversations[session.id] = conversation
            self._add(conversation, session.dst, session)

    def _add(self, conversation: OlderSession, peer: Name, session: Session) -> None:
        conversation.sessions = [entry for entry in conversation.sessions if not entry[1].over]
        conversation.sessions.append((settled(peer), session))
        if self._receiving:
            self._start(self._read(conversation, session))

    async def _read(self, conversation: OlderSession, session: Session) -> None:
        while True:
            await conversation.room.acquire()
            try:
                item: _Item | SlimError = self._item(conversation, await session.get_message())
            except SlimError as error:
                item = older(error)
            except BaseException:
                conversation.room.release()
                raise
            conversation.queue.put_nowait(item)
            if conversation.new and isinstance(item, tuple):
                conversation.new = False
                self._new.put_nowait(item)
            if session.over and isinstance(item, SessionClosed):
                self._ended(conversation)
                return

    def _item(self, conversation: OlderSession, message: Message) -> _Item:
        return PySessionInfo(conversation.id, message, conversation), message.payload

    def _ended(self, conversation: OlderSession) -> None:
        if conversation.new:
            # It brought nothing, and nobody knows of it.
            self._backlog.release()
            self._forget(conversation)
            return
        self._over.append(conversation)
        if len(self._over) > ENDED:
            oldest = self._over.popleft()
            if all(session.over for _, session in oldest.sessions):
                self._forget(oldest)

    def _forget(self, conversation: OlderSession) -> None:
        for id in [id for id, known in self._conversations.items() if known is conversation]:
            del self._conversations[id]

    async def receive(self, session: int | None = None) -> tuple[PySessionInfo, bytes]:
        """The first message of a new session, or with `session` the next message in that one.

        Raises SessionNotFound ("Session ID not found"), SessionClosed, and the errors that took a message's
        place; SLIMTimeoutError for a message of ours that nobody acknowledged.
        """
        if session is None:
            first = await self._new.get()
            self._backlog.release()
            return first
        conversation = self._conversations.get(session)
        if conversation is None:
            raise SessionNotFound(f"Session ID not found: {session}", session_id=session)
        if conversation.over:
            self._forget(conversation)
            raise SessionClosed(session_id=session)
        item = await conversation.queue.get()
        conversation.room.release()
        if isinstance(item, SlimError):
            raise item
        return item

    # Sessions

    async def create_session(
        self,
        destination: Name | str | SessionConfiguration | None = None,
        session_config: SessionConfiguration | int | None = None,
        *,
        dest_name: Name | str | None = None,
        config: SessionConfiguration | None = None,
        queue_size: int = 0,
    ) -> Any:
        """A Session (0.6, 0.7), or with FireAndForget or Streaming a PySessionInfo (0.3.6 to 0.5)."""
        if isinstance(session_config, int):
            queue_size, session_config = session_config, None
        if isinstance(destination, SessionConfiguration):
            destination, session_config = None, destination
        chosen = session_config or config
        target = destination if dest_name is None else dest_name
        if isinstance(chosen, FireAndForget) and target is None:
            return self._begin(OlderSession(next(_provisional_ids), chosen, queue_size))
        if isinstance(chosen, Streaming):
            chosen.check()
            session = await super().create_session(chosen.topic, chosen)
            conversation = OlderSession(session.id, chosen, queue_size)
            self._add(conversation, chosen.topic, session)
            return self._begin(conversation)
        if target is None and chosen is not None:
            target = destination_of(chosen)
        return await super().create_session(target, chosen)

    def _begin(self, conversation: OlderSession) -> PySessionInfo:
        self._conversations[conversation.id] = conversation
        return PySessionInfo(conversation.id, None, conversation)

    async def delete_session(self, session: Session | PySessionInfo | int) -> CompletionHandle:
        """Begin to close a session. Raises SessionNotFound for an id that is not known."""
        if isinstance(session, Session):
            return await super().delete_session(session)
        conversation = self._known(session)
        self._forget(conversation)
        return AllOf([s.close() for _, s in conversation.sessions if not s.closed])

    def set_session_config(
        self,
        session: Session | PySessionInfo | int | None = None,
        session_config: SessionConfiguration | None = None,
        *,
        session_id: int | None = None,
    ) -> CompletionHandle:
        """As `gateway.Slim`; for what `receive` told of, too. `session_id` is `session` as before 0.6."""
        which = session if session_id is None else session_id
        if not isinstance(which, Session | PySessionInfo | int):
            raise refused("session", "a Session or its id", which)
        config = instance_of(session_config, SessionConfiguration, "session_config")
        if isinstance(which, Session):
            return super().set_session_config(which, config)
        if isinstance(which, int) and which not in self._conversations and which in self._sessions:
            return super().set_session_config(which, config)
        conversation = self._known(which)
        for _, made in conversation.sessions:
            if not made.closed:
                made.set_session_config(config)
        conversation.config = config
        return CompletionHandle.completed()

    async def get_session_config(self, session_id: int) -> SessionConfiguration:
        """Raises SessionNotFound."""
        return self._known(session_id).config

    def set_default_session_config(self, session_config: SessionConfiguration) -> CompletionHandle:
        """Remember a configuration for `get_default_session_config`; it may be awaited (up to 0.5) or not.

        Sessions that others open bring their own configuration: it is not applied to them.
        Raises ConfigError for a Streaming session in which only this side sends.
        """
        direction = getattr(session_config, "session_direction", None)
        if direction is PySessionDirection.SENDER:
            raise ConfigError(
                "cannot change session direction: others open the sessions this is for",
                field="session_direction",
            )
        self._defaults[session_config.session_type] = session_config
        return CompletionHandle.completed()

    async def get_default_session_config(self, session_type: SessionType) -> SessionConfiguration:
        """The configuration set for this type, or its plain form."""
        plain = FireAndForget() if session_type is SessionType.PointToPoint else SessionConfiguration.Group()
        return self._defaults.get(session_type, plain)

    def _known(self, session: PySessionInfo | int) -> OlderSession:
        id = session if isinstance(session, int) else session.id
        conversation = self._conversations.get(id)
        if conversation is None:
            raise SessionNotFound(f"session not found: {id}", session_id=id)
        return conversation

    # Messages and members

    async def publish(
        self,
        session: PySessionInfo,
        msg: Blob,
        dest: Name | str,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Send to `dest`; in a channel, to all members. Raises SessionNotFound, SessionClosed."""
        peer = name_of(dest, "dest")
        conversation = self._known(session)
        found = conversation.open_session(peer) or await self._session_with(conversation, peer)
        return await found.publish(msg, payload_type, metadata)

    async def _session_with(self, conversation: OlderSession, peer: Name) -> Session:
        """One more session of a FireAndForget conversation; the first gives it its id."""
        if conversation.config.session_type is SessionType.Group:
            raise SessionClosed(session_id=conversation.id)
        made = await super().create_session(peer, conversation.config)
        if not conversation.sessions:
            conversation.id = made.id
            self._conversations[made.id] = conversation
        self._add(conversation, peer, made)
        return made

    async def publish_to(
        self,
        session: PySessionInfo,
        msg: Blob,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Answer the message that `session` came with. Raises SessionNotFound, SessionClosed."""
        self._known(session)
        return await session._received.session.publish_to(
            session._received.context, msg, payload_type, metadata
        )

    async def request_reply(
        self, session: PySessionInfo, msg: Blob, dest: Name | str, timeout: timedelta | float | None = None
    ) -> tuple[PySessionInfo, bytes]:
        """Publish, and the next message of the session. Raises SlimTimeout."""
        await self.publish(session, msg, dest)
        try:
            async with asyncio.timeout(seconds(timeout)) as limit:
                return await self.receive(session.id)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise SlimTimeout("timed out waiting for the reply", session_id=session.id) from exc

    async def invite(self, session: PySessionInfo, name: Name | str) -> None:
        """Add `name` to a channel of ours; returns when everybody knows. Raises what the handle raises."""
        await (await self._channel(session).invite(name))

    async def remove(self, session: PySessionInfo, name: Name | str) -> None:
        """Take `name` out of a channel of ours."""
        await (await self._channel(session).remove(name))

    def _channel(self, session: PySessionInfo) -> Session:
        conversation = self._known(session)
        if conversation.config.session_type is not SessionType.Group:
            raise SessionError("only a channel has members", session_id=session.id)
        return conversation.sessions[0][1]


def older(error: SlimError) -> SlimError:
    """An error as these generations raised it."""
    if isinstance(error, MessageUndelivered):
        return SlimTimeout(str(error), message_id=error.message_id, original_exception=error)
    return error
