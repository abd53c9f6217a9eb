"""Slim: an application with a name, from which sessions are made (`api.md` 3)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, Unpack, overload
from weakref import WeakSet, WeakValueDictionary

from actors.errors import ConnectionLost, NotConnected, SessionClosed
from actors.messages.routing import ConnectionState, Status, StatusReport
from actors.messages.session import (
    Adopt,
    AppSettings,
    CloseApp,
    CloseSession,
    Completed,
    Failure,
    OpenSession,
    RemoveRoute,
    Require,
    SessionAnnounced,
    SessionOpened,
    SetRoute,
    SubscribeName,
    UnsubscribeName,
)
from actors.moderation import Script
from actors.names import Name, instance_id
from actors.system import Address
from gateway.api import observing
from gateway.api.accepting import Arrivals
from gateway.api.arguments import (
    grace_of,
    instance_of,
    mapping_of,
    name_of,
    names_of,
    number_of,
    refused,
    seconds,
    settings_of,
)
from gateway.api.completion import CompletionHandle
from gateway.api.life import AppState, Life
from gateway.api.opening import Opening
from gateway.api.payloads import BYTES, PayloadCodec
from gateway.api.serving import Bounds, Handler, Service
from gateway.api.session import Session, SessionNotFound
from gateway.api.session_config import SessionConfiguration, of_record
from gateway.api.session_inbox import SessionInbox
from gateway.config import ClientConfig, ServerConfig
from gateway.moderation.moderating import How, Moderation
from gateway.node.data_plane import DataPlane
from gateway.node.identity_use import identity_id
from gateway.node.peer_policy import peer_configs
from gateway.surroundings import current
from gateway.telemetry import Counts, counter
from identity.errors import ConfigError
from identity.log import logger
from identity.protocols import Provider, Verifier

T = TypeVar("T")

DEFAULT_INTERVAL = 1.0
DEFAULT_RETRIES = 10
"""Timers of sessions made by the short spelling, `Slim.session` and `Slim.group`."""
_STATES = 1024
"""Changes of connections kept for one reader of `Slim.connection_states`; the oldest make way, counted."""


class StateCounts(Counts, part="app"):
    connection_states_dropped: int = counter(
        "Changes of connections that readers of Slim.connection_states did not get."
    )


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

    _session_kind: ClassVar[type[Session]] = Session

    def __init__(
        self,
        name: Name | str,
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
        if data_plane is not None:
            instance_of(data_plane, DataPlane, "data_plane")
        self._settings = settings_of(settings, "settings")
        self._name = name_of(name, "name").with_id(instance_id(identity_id(provider)))
        self._life = Life(
            self,
            self._name,
            (provider, verifier),
            self._settings,
            self._receive,
            alone=local_service,
            plane=data_plane,
        )
        self._handles: dict[int, asyncio.Future[Any]] = {}
        self._arrivals = Arrivals(self._adopt, self._turn_away)
        self._sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
        """By id: those that somebody still holds."""
        self._services: WeakSet[Service[Any]] = WeakSet()
        self._lost: ConnectionLost | None = None
        """The latest of our connections that was lost for good."""
        self._connections: dict[str, int] = {}
        self._kept_routes: list[Name] = []
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._life.placed()

    @classmethod
    async def new(
        cls, name: Name | str, provider: Provider, verifier: Verifier, local_service: bool = False
    ) -> Self:
        """`Slim(...)` in the spelling before 0.7: identity is initialized when it returns."""
        identities = current().identities
        await identities.acquire(provider, verifier)
        try:
            made = cls(name, provider, verifier, local_service)
            await made._ready()
        finally:
            await identities.release(provider, verifier)
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
        return self._life.placed().plane

    @property
    def actor(self) -> Address:
        """The address of its App actor. Scripted moderators open their groups there (`OpenSession`)."""
        return self._life.placed().actor

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._life.state is AppState.CLOSED

    @property
    def unfinished(self) -> int:
        """Calls of this application (not of its sessions) that wait for their outcome."""
        return len(self._handles)

    def open_sessions(self) -> list[Session]:
        """The sessions that the application has and that are not over, by their numbers."""
        return sorted(
            (each for each in self._sessions.values() if not each.over), key=lambda each: each.number
        )

    # Connections

    async def connect(self, client_config: Mapping[str, Any], *, subscribe: bool = True) -> int:
        """Dial a node and, if `subscribe`, receive for this application's name there.

        Returns the connection's id. Raises ConfigError, AlreadyConnected, ConnectionLost.
        """
        config = ClientConfig.read(mapping_of(client_config, "client_config"))
        plane = await self._ready()
        if not client_config.get("link_id"):
            config = dataclasses.replace(config, link_id=plane.surroundings.uuid4())
        plane.unobserve(self._connection_changed)
        plane.observe(self._connection_changed)
        await plane.connect(config)
        return await self.join(config.endpoint, subscribe=subscribe)

    async def join(self, endpoint: str, *, subscribe: bool = True) -> int:
        """Use a connection that another application of the data plane has made. Returns its id."""
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
        if not isinstance(endpoint, str | int):
            raise refused("endpoint", "an endpoint, or a connection's id", endpoint)
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
                    self._arrivals.wake_all()

    async def connection_states(self) -> AsyncIterator[ConnectionState]:
        """What happens to dialled connections, from now on: attached, lost, restored, closed."""
        plane = await self._ready()
        queue: asyncio.Queue[ConnectionState] = asyncio.Queue(_STATES)

        def note(state: ConnectionState) -> None:
            if queue.full():
                queue.get_nowait()
                plane.telemetry.shared(StateCounts).connection_states_dropped += 1
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
        config = ServerConfig.read(mapping_of(server_config, "server_config"))
        return await (await self._ready()).serve(config)

    async def stop_server(self, endpoint: str) -> None:
        """Stop serving at `endpoint`.

        Raises NotConnected ("server not found") when servers run here and none of them is there; where
        none was ever run it only says so in the log, so that a program may end with it in any case.
        """
        instance_of(endpoint, str, "endpoint", "an endpoint")
        plane = await self._ready()
        if plane.never_served:
            logger.warning("server not found", endpoint=endpoint, cause="no server was run here")
            return
        await plane.stop_server(endpoint)

    # Names and routes

    async def subscribe(self, name: Name | str, connection: int | None = None) -> None:
        """Receive for `name` too; its id is replaced by this application's own.

        It is announced on `connection`, or else on the connection made last, if there is one.
        """
        ours = name_of(name, "name").with_id(self._name.id)
        number_of(connection, "connection")
        await self._ready()
        await self._operate(SubscribeName, ours, self._chosen(connection))

    async def unsubscribe(self, name: Name | str, connection: int | None = None) -> None:
        """Undo `subscribe`."""
        ours = name_of(name, "name").with_id(self._name.id)
        number_of(connection, "connection")
        await self._ready()
        await self._operate(UnsubscribeName, ours, self._chosen(connection))

    async def set_route(self, name: Name | str, connection: int | None = None) -> None:
        """Messages for `name` leave by `connection`, or else by the connection made last.

        Without any, an application of the process-wide data plane keeps the route for its first
        connection; others raise NotConnected.
        """
        peer = name_of(name, "name")
        number_of(connection, "connection")
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(SetRoute, peer, connection)
        elif self._life.alone:
            raise NotConnected
        else:
            self._kept_routes.append(peer)

    async def remove_route(self, name: Name | str, connection: int | None = None) -> None:
        """Undo `set_route`."""
        peer = name_of(name, "name")
        number_of(connection, "connection")
        await self._ready()
        connection = self._chosen(connection)
        if connection is not None:
            await self._operate(RemoveRoute, peer, connection)
        elif peer in self._kept_routes:
            self._kept_routes.remove(peer)
        elif self._life.alone:
            raise NotConnected

    def _chosen(self, connection: int | None) -> int | None:
        """`connection`, or else the one made last: by this application, or in its process."""
        if connection is not None:
            return connection
        mine = list(self._connections.values())
        if mine:
            return mine[-1]
        place = self._life.place
        if place is None or self._life.alone:
            return None
        dialled = list(place.plane.dialled().values())
        return dialled[-1] if dialled else None

    # Sessions

    async def create_session(
        self,
        destination: Name | str | SessionConfiguration | None = None,
        session_config: SessionConfiguration | None = None,
        *,
        dest_name: Name | str | None = None,
    ) -> Session:
        """Begin a session with `destination` (or `dest_name`): a peer's name, or the channel of a group.

        Returns at once. The result is the session, and also the pair `(session, established)`. Raises
        ConfigError.
        """
        if isinstance(destination, SessionConfiguration):
            # One that names its peer, and has warned of it (`gateway/compat/configuration.py`).
            destination, session_config = getattr(destination, "destination", None), destination
        if session_config is None:
            raise ConfigError("session_config: which kind of session?", field="session_config")
        instance_of(session_config, SessionConfiguration, "session_config")
        if session_config.mls_enabled:
            self._life.check_mls()
        target = destination if dest_name is None else dest_name
        if target is None:
            raise ConfigError("destination: with whom? Give a Name", field="destination")
        peer = name_of(target, "destination" if dest_name is None else "dest_name")
        place = await self._life.ready()
        system = place.plane.system
        inbox = SessionInbox(system)
        # Now: its first request leaves without a round of the event loop.
        system.tell_now(
            place.actor,
            OpenSession(system.next_number(), inbox.address, peer, session_config.record()),
            inbox.address,
        )
        opened = await inbox.first()
        if isinstance(opened, SessionOpened):
            if observing.current is None:
                established = CompletionHandle()
            else:
                kind = session_config.session_type.name
                established = observing.current.opening(opened.session_id, kind, opened.destination)
            session = self._session_kind(system, inbox, opened, established, self._settings.inbox)
            self._sessions[session.id] = session
            return session
        inbox.close()
        raise opened.failed[0].error if isinstance(opened, Completed) else opened.error

    def session(
        self,
        peer: Name | str,
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
        destination = name_of(peer, "peer")
        return Opening(lambda: self.create_session(destination, config))

    def group(
        self,
        channel: Name | str,
        invite: Iterable[Name | str] = (),
        *,
        all_or_nothing: bool = False,
        timeout: timedelta | float | None = DEFAULT_INTERVAL,
        max_retries: int | None = DEFAULT_RETRIES,
        mls: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> Opening:
        """A group on `channel`, led by this application; `async with` or `await` it.

        Entering waits until everybody in `invite` has joined or does not come: `Session.invited` tells,
        and with `all_or_nothing` the first who does not come raises. Leaving closes the group for all.
        """
        config = SessionConfiguration.Group(timeout, max_retries, mls, metadata)
        destination, guests = name_of(channel, "channel"), names_of(invite, "invite")
        return Opening(
            lambda: self.create_session(destination, config), guests, all_or_nothing=all_or_nothing
        )

    async def listen_for_session(self, timeout: timedelta | float | None = None) -> Session:
        """The next session that somebody opened with us.

        Raises SlimTimeout ("timed out"); SessionClosed when the application is closed meanwhile, and
        ConnectionLost when its last connection is lost for good.
        """
        limit = seconds(timeout)
        loop = (await self._ready()).system.loop
        lost_before = self._lost

        def check() -> None:
            self._life.check()
            if self._lost is not None and self._lost is not lost_before and not self._connections:
                raise ConnectionLost(self._lost.endpoint, self._lost.cause)

        return await self._arrivals.next(None if limit is None else loop.time() + limit, check)

    def _turn_away(self, announced: SessionAnnounced) -> None:
        place = self._life.placed()
        for message in (Adopt(place.inbox), CloseSession(None, 0.0)):
            place.plane.system.tell(announced.address, message, place.inbox)

    def _adopt(self, announced: SessionAnnounced) -> Session:
        system = self.data_plane.system
        inbox = SessionInbox(system)
        if observing.current is not None:
            kind = of_record(announced.config).session_type.name
            observing.current.accepted(announced.session_id, kind, announced.destination)
        completed = CompletionHandle.completed()
        session = self._session_kind(system, inbox, announced, completed, self._settings.inbox)
        self._sessions[session.id] = session
        return session

    async def sessions(self) -> AsyncIterator[Session]:
        """Sessions that others open with us, as they come, until the application is closed."""
        while self._life.state is not AppState.CLOSED:
            try:
                session = await self.listen_for_session()
            except SessionClosed:
                return
            yield session

    def set_session_config(
        self, session: Session | int, session_config: SessionConfiguration
    ) -> CompletionHandle:
        """`Session.set_session_config`, by the session or its id; the result may be awaited or not.

        Raises SessionNotFound ("session not found") for an id that is not known.
        """
        if isinstance(session, int):
            found = self._sessions.get(session)
            if found is None:
                raise SessionNotFound(f"session not found: {session}", session_id=session)
            session = found
        instance_of(session, Session, "session").set_session_config(session_config)
        return CompletionHandle.completed()

    def moderate(self, channel: Name | str, script: type[Script], **how: Unpack[How]) -> Moderation:
        """A group on `channel` that `script` leads; with `process=True` that runs in a process of its own."""
        where = name_of(channel, "channel")
        return Moderation(self._life.ready, lambda: self._chosen(None), where, script, **how)

    def require(self, *, mls: bool) -> None:
        """Accept encrypted sessions only, from now on; with `mls=False` the others too.

        An invitation to a session without MLS is refused. What is running goes on.
        """
        self._arrivals.mls_required = instance_of(mls, bool, "mls")
        place = self._life.placed()
        place.plane.system.tell(place.actor, Require(mls), place.inbox)

    @overload
    def serve(self, handler: Handler[bytes], **bounds: Unpack[Bounds]) -> Service[bytes]: ...

    @overload
    def serve(
        self, handler: Handler[T], *, codec: PayloadCodec[T], **bounds: Unpack[Bounds]
    ) -> Service[T]: ...

    @overload
    def serve(
        self, handler: None = None, *, codec: PayloadCodec[T], **bounds: Unpack[Bounds]
    ) -> Callable[[Handler[T]], Service[T]]: ...

    @overload
    def serve(
        self, handler: None = None, **bounds: Unpack[Bounds]
    ) -> Callable[[Handler[bytes]], Service[bytes]]: ...

    def serve(self, handler: Any = None, *, codec: Any = BYTES, **bounds: Unpack[Bounds]) -> Any:
        """Answer what others say in the sessions that they open: `handler(request)` returns the answer.

        The result is awaited, to serve until the application is closed, or entered, to serve meanwhile.
        Without `handler` it is a decorator. Each session has a task of its own; what the handler raises is
        logged and ends that session only. `codec` reads and writes payloads (`gateway.api.payloads`).

        Bounds: `sessions` (128) open at a time, `messages` (1,024) in the handler's hands at a time,
        `at_once` (1) of these of one session; above 1 their order is lost. `drain` (5.0) is how many seconds
        the end waits for what is in work.
        """

        def made(handler: Any) -> Service[Any]:
            service = Service(self, handler, codec, **bounds)
            self._services.add(service)
            return service

        return made if handler is None else made(handler)

    async def delete_session(self, session: Session) -> CompletionHandle:
        """Begin to close a session; await the handle for its end. Raises SessionClosed the second time."""
        return instance_of(session, Session, "session").close()

    async def status(self) -> dict[str, Any]:
        """Figures of this application (`application`), and those of its data plane (`DataPlane.status`).

        `sessions`, `announced` (not adopted yet), `awaited` (subscriptions without an answer), `bound` (names
        that sessions bound) and `congested` (connections) are of now: after the last session all of them are
        0.
        """
        plane = await self._ready()
        report: StatusReport = await plane.system.ask(self.actor, Status(), 5.0)
        return {"application": report.figures, **await plane.status()}

    # The end

    async def close(self, grace: timedelta | float = 5.0) -> None:
        """Close all sessions gracefully, leave the data plane, give provider and verifier up. Idempotent."""
        limit = grace_of(grace)
        place = self._life.end()
        if place is None:
            return
        plane = place.plane
        plane.unobserve(self._connection_changed)
        self._arrivals.wake_all()
        await asyncio.gather(*(service.stop(limit) for service in list(self._services)))
        if not plane.closed:
            try:
                await asyncio.wait_for(self._operate(CloseApp, limit), limit + 1.0)
            except (TimeoutError, SessionClosed):
                logger.warning("application cut off", name=str(self._name), cause="it did not close in time")
        plane.system.close_inbox(place.inbox)
        if self._life.alone:
            await plane.close(limit)
        await self._life.release()

    async def __aenter__(self) -> Self:
        try:
            await self._ready()
        except BaseException:
            # Who does not enter does not leave either: nothing of this application may stay behind.
            await self.close(0.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Slim {self._name}>"

    # Between it and its actor

    async def _ready(self) -> DataPlane:
        return (await self._life.ready()).plane

    async def _operate(self, kind: Any, *arguments: Any) -> None:
        """Have the App actor do something and wait for its outcome."""
        place = self._life.placed()
        system = place.plane.system
        number = system.next_number()
        outcome: asyncio.Future[Any] = system.loop.create_future()
        self._handles[number] = outcome
        system.tell(place.actor, kind(number, *arguments), place.inbox)
        try:
            await outcome
        finally:
            self._handles.pop(number, None)

    def _receive(self, message: Any) -> None:
        match message:
            case SessionAnnounced():
                self._arrivals.add(message)
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
