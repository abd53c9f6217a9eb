"""Slim: an application with a name, from which sessions are made (`api.md` 3)."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, Unpack, overload
from weakref import WeakSet, WeakValueDictionary

from actors.errors import ConnectionLost, SessionClosed
from actors.messages.routing import Status, StatusReport
from actors.messages.session import (
    Adopt,
    AppSettings,
    CloseApp,
    CloseSession,
    Completed,
    Failure,
    OpenSession,
    Require,
    SessionAnnounced,
    SessionOpened,
)
from actors.moderation import Script
from actors.names import Name, instance_id
from actors.system import Address
from gateway.api import observing
from gateway.api.accepting import Arrivals
from gateway.api.arguments import (
    endpoints_of,
    grace_of,
    instance_of,
    name_of,
    names_of,
    seconds,
    settings_of,
)
from gateway.api.completion import CompletionHandle
from gateway.api.connecting import WAIT, Connecting, Endpoints
from gateway.api.life import AppState, Life
from gateway.api.opening import Opening
from gateway.api.payloads import BYTES, PayloadCodec
from gateway.api.serving import Bounds, Handler, Service
from gateway.api.session import Session, SessionNotFound
from gateway.api.session_config import SessionConfiguration, of_record
from gateway.api.session_inbox import SessionInbox
from gateway.moderation.moderating import How, Moderation
from gateway.node.data_plane import DataPlane
from gateway.node.identity_use import identity_id
from gateway.surroundings import current
from identity.errors import ConfigError
from identity.log import logger
from identity.protocols import Provider, Verifier

T = TypeVar("T")

DEFAULT_INTERVAL = 1.0
DEFAULT_RETRIES = 10
"""Timers of sessions made by the short spelling, `Slim.session` and `Slim.group`."""


class Slim(Connecting):
    """`Slim(name, provider, verifier)`: an application.

    All applications of a process that do not ask for `local_service` share one data plane: they reach each
    other with no server and no `connect`. `local_service=True` gives this one its own. `data_plane` puts it
    into a given one, `settings` changes bounds and times (`AppSettings`).

        async with Slim(name, provider, verifier, connect="http://127.0.0.1:46357") as app:
            async with app.session(peer) as session:
                await session.publish(b"hello")

    `connect` is dialled when the application is entered: a client configuration, an endpoint, or several of
    the same service, of which one is used at a time. For up to `wait` seconds (60) it is tried again.
    Sessions survive `outage` seconds (30) without a sign of life of the peer; of two of ours the longer one
    counts. With `controllers` only those may order it to lead groups whose tokens are of one of these
    subjects; without, all whose tokens are believed.

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
        connect: Endpoints | None = None,
        wait: timedelta | float = WAIT,
        outage: timedelta | float | None = None,
        controllers: Iterable[str] | None = None,
    ) -> None:
        for role, value, kind in (("provider", provider, Provider), ("verifier", verifier, Verifier)):
            if not isinstance(value, kind):
                raise ConfigError(
                    f"{role}: expected an Identity{role.capitalize()}, got {type(value).__name__}", field=role
                )
        if data_plane is not None:
            instance_of(data_plane, DataPlane, "data_plane")
        self._settings = settings_of(settings, "settings", outage, controllers)
        self._first = None if connect is None else endpoints_of(connect, "connect")
        self._wait = grace_of(wait, "wait")
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
        self._begin_connecting()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._life.placed()

    @classmethod
    async def new(
        cls,
        name: Name | str,
        provider: Provider,
        verifier: Verifier,
        local_service: bool = False,
        **options: Any,
    ) -> Self:
        """`Slim(...)` in the spelling before 0.7: identity is initialized when it returns."""
        identities = current().identities
        await identities.acquire(provider, verifier)
        try:
            made = cls(name, provider, verifier, local_service, **options)
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

    # Sessions

    async def create_session(
        self,
        destination: Name | str | SessionConfiguration | None = None,
        session_config: SessionConfiguration | None = None,
        *,
        dest_name: Name | str | None = None,
        config: SessionConfiguration | None = None,
    ) -> Session:
        """Begin a session with `destination` (or `dest_name`): a peer's name, or the channel of a group.

        Returns at once. The result is the session, and also the pair `(session, established)`. Raises
        ConfigError.
        """
        if isinstance(destination, SessionConfiguration):
            # One that names its peer, and has warned of it (`gateway/compat/configuration.py`).
            destination, session_config = getattr(destination, "destination", None), destination
        if config is not None:
            # Deprecated since 0.2; to go with 0.4.
            warnings.warn(
                "create_session: config is called session_config now", DeprecationWarning, stacklevel=2
            )
            session_config = session_config or config
        if session_config is None:
            raise ConfigError(
                "session_config: which kind of session? Give SessionConfiguration.PointToPoint() or .Group()",
                field="session_config",
            )
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
        asked, established = session_config.record(), CompletionHandle()
        observer = observing.current
        if observer is not None:
            kind = session_config.session_type.name
            established, marks = observer.opening(kind, peer, asked.metadata)
            asked = asked._replace(metadata=marks)
        # Now: its first request leaves without a round of the event loop.
        system.tell_now(
            place.actor,
            OpenSession(system.next_number(), inbox.address, peer, asked),
            inbox.address,
        )
        opened = await inbox.first()
        if isinstance(opened, SessionOpened):
            if observer is not None:
                observer.opened(established, opened.session_id)
            session = self._session_kind(system, inbox, opened, established, self._settings.inbox)
            self._sessions[session.id] = session
            return session
        inbox.close()
        error = opened.failed[0].error if isinstance(opened, Completed) else opened.error
        established.finish(error)
        raise error

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
            kind, marks = of_record(announced.config).session_type.name, announced.config.metadata
            observing.current.accepted(announced.session_id, kind, announced.destination, marks)
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
        await self._disconnect_first(plane)
        if self._life.alone:
            await plane.close(limit)
        await self._life.release()

    async def __aenter__(self) -> Self:
        try:
            await self._ready()
            if self._first is not None:
                await self._connect_first(self._first, self._wait)
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
