"""Slim: an application with a name, from which sessions are made (`api.md` 3)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from loguru import logger

from actors.errors import ConnectionLost, NotConnected, SessionClosed, SlimTimeout
from actors.messages.routing import ConnectionState
from actors.messages.session import (
    Adopt,
    AppSettings,
    CloseApp,
    Completed,
    Failure,
    Listen,
    OpenSession,
    RemoveRoute,
    SessionAnnounced,
    SessionOpened,
    SetRoute,
    SubscribeName,
    UnsubscribeName,
)
from actors.names import Name, instance_id
from actors.system import Address
from gateway.api import observing
from gateway.api.completion import CompletionHandle, next_handle, seconds
from gateway.api.name import settled
from gateway.api.session import Session, SessionInbox
from gateway.api.session_config import SessionConfiguration, of_record
from gateway.api.waiters import Waiters
from gateway.codec import WireCodec
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.node.identity_use import acquire, identity_id, release
from gateway.node.peer_policy import peer_configs
from gateway.node.shared import Keeper, keeper
from identity.errors import ConfigError
from identity.protocols import Provider, Verifier

DEFAULT_INTERVAL = 1.0
DEFAULT_RETRIES = 10
"""Timers of sessions made by the short spelling, `Slim.session` and `Slim.group`."""
_STATES = 1024
"""Changes of connections kept for one reader of `Slim.connection_states`; the oldest make way."""


class Slim:
    """`Slim(name, provider, verifier)`: an application.

    All applications of a process that do not ask for `local_service` share one data plane: they reach each
    other with no server and no `connect`. `local_service=True` gives this one its own. `data_plane` puts it
    into a given one, `settings` changes bounds and times (`AppSettings`).

        async with Slim(name, provider, verifier) as app:
            await app.connect({"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": True}})
            async with app.session(peer) as session:
                await session.publish(b"hello")

    It is made inside a running loop, or starts in the first one it is used in. A provider whose id comes with
    its first token (Spire, cloud) is asked for it here, which blocks; `await Slim.new(...)` does not. Raises
    ConfigError and AuthError when provider or verifier cannot work.

    Provider and verifier are closed by the last application that uses them.
    """

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
        for role, value, kind in (("provider", provider, Provider), ("verifier", verifier, Verifier)):
            if not isinstance(value, kind):
                raise ConfigError(
                    f"{role}: expected an Identity{role.capitalize()}, got {type(value).__name__}", field=role
                )
        self._provider, self._verifier = provider, verifier
        self._name = name.with_id(instance_id(identity_id(provider)))
        self._own_plane = local_service and data_plane is None
        self._given_plane = data_plane
        self._settings = settings or AppSettings()
        self._handles: dict[int, asyncio.Future[Any]] = {}
        self._announced: deque[SessionAnnounced] = deque()
        self._listeners = Waiters()
        self._lost: ConnectionLost | None = None
        """The latest of our connections that was lost for good."""
        self._connections: dict[str, int] = {}
        self._kept_routes: list[Name] = []
        self._started: asyncio.Future[None] | None = None
        self._plane: DataPlane | None = None
        self._keeper: Keeper | None = None
        self._actor: Address | None = None
        self._inbox: Any = None
        self._closed = False
        self._holds_identity = False
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._spawn()

    @classmethod
    async def new(
        cls, name: Name, provider: Provider, verifier: Verifier, local_service: bool = False
    ) -> Self:
        """`Slim(...)` in the spelling before 0.7: identity is initialized when it returns."""
        await acquire(provider, verifier)
        try:
            made = cls(name, provider, verifier, local_service)
            await made._ready()
        finally:
            await release(provider, verifier)
        return made

    # Who it is

    @property
    def id(self) -> int:
        """The instance id."""
        return self._name.id

    @property
    def id_str(self) -> str:
        """`org/ns/app/<id in decimal>`."""
        return f"{'/'.join(self._name.strings)}/{self._name.id}"

    @property
    def local_name(self) -> Name:
        """The name with the instance id."""
        return self._name

    @property
    def data_plane(self) -> DataPlane:
        """The data plane it lives in."""
        self._spawn()
        assert self._plane is not None
        return self._plane

    @property
    def actor(self) -> Address:
        """The address of its App actor. Scripted moderators open their groups there (`OpenSession`)."""
        self._spawn()
        assert self._actor is not None
        return self._actor

    # Connections

    async def connect(self, client_config: Mapping[str, Any], *, subscribe: bool = True) -> int:
        """Dial a node and, if `subscribe`, receive for this application's name there.

        Returns the connection's id. Raises ConfigError, AlreadyConnected, ConnectionLost.
        """
        plane = await self._ready()
        config = ClientConfig.read(client_config)
        plane.unobserve(self._connection_changed)
        plane.observe(self._connection_changed)
        await plane.connect(config)
        return await self._join(config.endpoint, subscribe=subscribe)

    async def _join(self, endpoint: str, *, subscribe: bool) -> int:
        """Use a connection of the data plane. Returns its id."""
        connection = self.data_plane.dialled()[endpoint]
        self._connections[endpoint] = connection
        if subscribe:
            await self._operate(SubscribeName, self._name, connection)
        kept, self._kept_routes = self._kept_routes, []
        for name in kept:
            await self.set_route(name)
        return connection

    async def _leave(self, endpoint: str) -> None:
        """Use a connection of the data plane no longer."""
        await self._operate(UnsubscribeName, self._name, self._connections.pop(endpoint))

    async def peer(self, endpoints: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
        """Let this process's data plane be a node among others: a peer of those at `endpoints`.

        Each is a client configuration, or an endpoint such as http://127.0.0.1:46357. Returns when each has
        joined, or could not be reached for now: it is tried on and on, and so is a peer that is lost. Run a
        server (`run_server`) to be called by them too. Raises ConfigError, AlreadyConnected.
        """
        plane = await self._ready()
        await plane.peer(peer_configs(endpoints))

    async def disconnect(self, endpoint: str | int) -> None:
        """Close the connection to `endpoint` (or with that id). Raises NotConnected."""
        plane = await self._ready()
        if isinstance(endpoint, int):
            found = [known for known, index in plane.dialled().items() if index == endpoint]
            if not found:
                raise NotConnected(f"no connection with id {endpoint}")
            endpoint = found[0]
        self._connections.pop(endpoint, None)
        await plane.disconnect(endpoint)

    def _connection_changed(self, state: ConnectionState) -> None:
        """With the last connection that is lost for good, nobody can open a session with us any more."""
        for endpoint, index in list(self._connections.items()):
            if index == state.connection and state.state == "closed":
                del self._connections[endpoint]
                self._lost = ConnectionLost(endpoint, state.detail)
                if not self._connections:
                    self._listeners.wake_all()

    async def connection_states(self) -> AsyncIterator[ConnectionState]:
        """What happens to dialled connections, from now on: attached, lost, restored, closed."""
        plane = await self._ready()
        queue: asyncio.Queue[ConnectionState] = asyncio.Queue(_STATES)

        def note(state: ConnectionState) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(state)

        plane.observe(note)
        try:
            while True:
                yield await queue.get()
        finally:
            plane.unobserve(note)

    async def run_server(self, server_config: Mapping[str, Any]) -> str:
        """Serve this process's data plane. Returns the address in use.

        Raises ConfigError, and OSError when the address cannot be had.
        """
        plane = await self._ready()
        return await plane.serve(ServerConfig.read(server_config))

    async def stop_server(self, endpoint: str) -> None:
        """Stop serving at `endpoint`.

        Raises NotConnected ("server not found") when servers run here and none of them is there; where
        none was ever run it only says so in the log, so that a program may end with it in any case.
        """
        plane = await self._ready()
        if plane.never_served:
            logger.warning("server not found: {}; no server was run here", endpoint)
            return
        await plane.stop_server(endpoint)

    # Names and routes

    async def subscribe(self, name: Name, connection: int | None = None) -> None:
        """Receive for `name` too; its id is replaced by this application's own.

        It is announced on `connection`, or else on the connection made last, if there is one.
        """
        await self._ready()
        await self._operate(SubscribeName, name.with_id(self._name.id), self._chosen(connection))

    async def unsubscribe(self, name: Name, connection: int | None = None) -> None:
        """Undo `subscribe`."""
        await self._ready()
        await self._operate(UnsubscribeName, name.with_id(self._name.id), self._chosen(connection))

    async def set_route(self, name: Name, connection: int | None = None) -> None:
        """Messages for `name` leave by `connection`, or else by the connection made last.

        Without any, an application of the process-wide data plane keeps the route for its first
        connection; others raise NotConnected.
        """
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(SetRoute, settled(name), connection)
        elif self._own_plane:
            raise NotConnected
        else:
            self._kept_routes.append(settled(name))

    async def remove_route(self, name: Name, connection: int | None = None) -> None:
        """Undo `set_route`."""
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(RemoveRoute, settled(name), connection)
        elif name in self._kept_routes:
            self._kept_routes.remove(name)
        elif self._own_plane:
            raise NotConnected

    def _chosen(self, connection: int | None) -> int | None:
        return self._default_connection() if connection is None else connection

    def _default_connection(self) -> int | None:
        """The connection made last: by this application, or in its process."""
        mine = list(self._connections.values())
        if mine:
            return mine[-1]
        if self._plane is None or self._own_plane:
            return None
        dialled = list(self._plane.dialled().values())
        return dialled[-1] if dialled else None

    # Sessions

    async def create_session(
        self,
        destination: Name | SessionConfiguration | None = None,
        session_config: SessionConfiguration | None = None,
        *,
        dest_name: Name | None = None,
        config: SessionConfiguration | None = None,
    ) -> Session:
        """Begin a session with `destination`: a peer's name, or the channel of a group.

        Returns at once. The result is the session, and also the pair `(session, established)`. A
        configuration alone brings its own name (`peer_name`, `channel_name`). Raises ConfigError.
        """
        await self._ready()
        if isinstance(destination, SessionConfiguration):
            destination, session_config = None, destination
        chosen = session_config or config
        if chosen is None:
            raise ConfigError("session_config: which kind of session?", field="session_config")
        target = destination or dest_name or chosen.destination
        if target is None:
            raise ConfigError("destination: with whom? Give a Name", field="destination")
        system = self.data_plane.system
        inbox = SessionInbox(system)
        # Now: its first request leaves without a round of the event loop.
        opening = OpenSession(next_handle(), inbox.address, settled(target), chosen.record())
        system.tell_now(self._actor, opening, inbox.address)
        opened = await inbox.first()
        if isinstance(opened, SessionOpened):
            if observing.current is None:
                established = CompletionHandle()
            else:
                kind = chosen.session_type.name
                established = observing.current.opening(opened.session_id, kind, opened.destination)
            return Session(system, inbox, opened, established, self._settings.inbox)
        inbox.close()
        raise opened.failed[0].error if isinstance(opened, Completed) else opened.error

    def session(
        self,
        peer: Name,
        *,
        timeout: timedelta | float | None = DEFAULT_INTERVAL,
        max_retries: int | None = DEFAULT_RETRIES,
        mls: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> Opening:
        """A reliable session with one instance of `peer`; `async with` or `await` it.

        Entering waits until it stands, leaving closes it. With `timeout=None` it is best effort.
        """
        config = SessionConfiguration.PointToPoint(timeout, max_retries, mls, metadata)
        return Opening(self, peer, config, ())

    def group(
        self,
        channel: Name,
        invite: Iterable[Name] = (),
        *,
        timeout: timedelta | float | None = DEFAULT_INTERVAL,
        max_retries: int | None = DEFAULT_RETRIES,
        mls: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> Opening:
        """A group on `channel`, led by this application; `async with` or `await` it.

        Entering waits until everybody in `invite` has joined, leaving closes the group for all.
        """
        config = SessionConfiguration.Group(timeout, max_retries, mls, metadata)
        return Opening(self, channel, config, tuple(invite))

    async def listen_for_session(self, timeout: timedelta | float | None = None) -> Session:
        """The next session that somebody opened with us.

        Raises SlimTimeout ("timed out"); SessionClosed when the application is closed meanwhile, and
        ConnectionLost when its last connection is lost for good.
        """
        plane = await self._ready()
        loop = plane.system.loop
        deadline = None if timeout is None else loop.time() + (seconds(timeout) or 0.0)
        lost_before = self._lost
        while not self._announced:
            self._check_open()
            if self._lost is not None and self._lost is not lost_before and not self._connections:
                raise ConnectionLost(self._lost.endpoint, self._lost.cause)
            try:
                await self._listeners.wait(deadline)
            except TimeoutError as exc:
                raise SlimTimeout("listen_for_session timed out") from exc
        return self._adopt(self._announced.popleft())

    def _adopt(self, announced: SessionAnnounced) -> Session:
        system = self.data_plane.system
        inbox = SessionInbox(system)
        if observing.current is not None:
            kind = of_record(announced.config).session_type.name
            observing.current.accepted(announced.session_id, kind, announced.destination)
        completed = CompletionHandle.completed()
        session = Session(system, inbox, announced, completed, self._settings.inbox)
        # Behind its making: what was kept for us comes at once.
        system.tell_now(announced.address, Adopt(inbox.address), inbox.address)
        return session

    async def sessions(self) -> AsyncIterator[Session]:
        """Sessions that others open with us, as they come, until the application is closed."""
        while not self._closed:
            try:
                session = await self.listen_for_session()
            except SessionClosed:
                return
            yield session

    async def delete_session(self, session: Session) -> CompletionHandle:
        """Begin to close a session; await the handle for its end. Raises SessionClosed the second time."""
        return session.close()

    # The end

    async def close(self, grace: timedelta | float = 5.0) -> None:
        """Close all sessions gracefully, leave the data plane, give provider and verifier up. Idempotent."""
        if self._closed or self._plane is None:
            self._closed = True
            return
        self._closed = True
        self._plane.unobserve(self._connection_changed)
        self._listeners.wake_all()
        if self._keeper is not None:
            self._keeper.discard(self)
        limit = seconds(grace) or 0.0
        if not self._plane.closed:
            try:
                await asyncio.wait_for(self._operate(CloseApp, limit), limit + 1.0)
            except (TimeoutError, SessionClosed):
                logger.warning("the application was cut off: it did not close in time", name=str(self._name))
        self._plane.system.close_inbox(self._inbox)
        if self._own_plane:
            await self._plane.close(limit)
        if self._started is not None:
            self._started.cancel()
            await asyncio.gather(self._started, return_exceptions=True)
            if self._holds_identity:
                self._holds_identity = False
                await release(self._provider, self._verifier)

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Slim {self._name}>"

    # Between it and its actor

    def _spawn(self) -> None:
        """Start in the running loop, once."""
        if self._plane is not None:
            return
        plane = self._given_plane
        if plane is None:
            self._keeper = keeper()
            self._keeper.add(self)
            plane = self._keeper.own() if self._own_plane else self._keeper.shared()
        self._plane = plane
        self._inbox = plane.system.inbox(lambda message, _: self._receive(message))
        self._actor = plane.spawn_app(self._name, self._provider, self._verifier, WireCodec(), self._settings)
        plane.system.tell(self._actor, Listen(self._inbox), self._inbox)

    async def _ready(self) -> DataPlane:
        """The data plane, with identity initialized. Raises SessionClosed."""
        self._check_open()
        self._spawn()
        assert self._plane is not None
        failed = self._started is not None and self._started.done() and not self._holds_identity
        if self._started is None or failed:
            self._started = asyncio.ensure_future(self._initialize())
        await asyncio.shield(self._started)
        return self._plane

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the application is closed")
        if self._plane is not None and self._plane.closed:
            raise SessionClosed("the data plane of the application is closed")

    async def _initialize(self) -> None:
        await acquire(self._provider, self._verifier)
        self._holds_identity = True

    async def _operate(self, kind: Any, *arguments: Any) -> None:
        """Have the App actor do something and wait for its outcome."""
        assert self._plane is not None
        number = next_handle()
        outcome: asyncio.Future[Any] = self._plane.system.loop.create_future()
        self._handles[number] = outcome
        self._plane.system.tell(self._actor, kind(number, *arguments), self._inbox)
        try:
            await outcome
        finally:
            self._handles.pop(number, None)

    def _receive(self, message: Any) -> None:
        match message:
            case SessionAnnounced():
                self._announced.append(message)
                self._listeners.wake(1)
            case Completed():
                for number in message.done:
                    self._finish(number, None)
                for failure in message.failed:
                    self._finish(failure.handle, failure)

    def _finish(self, number: int, failure: Failure | None) -> None:
        outcome = self._handles.get(number)
        if outcome is None or outcome.done():
            return
        if failure is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(failure.error)


class Opening(Awaitable[Session]):
    """A session being opened by the short spelling: await it, or enter it."""

    def __init__(
        self, app: Slim, destination: Name, config: SessionConfiguration, invite: tuple[Name, ...]
    ) -> None:
        self._app, self._destination, self._config, self._invite = app, destination, config, invite
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, Any, Session]:
        return self._open().__await__()

    async def _open(self) -> Session:
        session = await self._app.create_session(self._destination, self._config)
        try:
            await session.established
            for handle in [await session.invite(name) for name in self._invite]:
                await handle
        except BaseException:
            if not session.closed:
                session.close()
            raise
        return session

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.__aexit__(kind, error, trace)
