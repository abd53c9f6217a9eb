"""The same tests on real time and real sockets: what a World says must hold there too.

Hosts are data planes of one process that reach one another through ports of 127.0.0.1; `sim://NAME` is
dialled where that host listens. Nodes and programs may be killed, loudly, and restarted; other faults of
hosts and lines cannot be had here: a test that asks for one is skipped by the plugin.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

from actors.messages.session import AppSettings
from actors.names import Name
from actors.routing.budget import ByteBudget
from actors.routing.outbox import HIGH
from gateway.api.slim import Slim
from gateway.config import ClientConfig, ServerConfig
from gateway.http2.limits import Counters
from gateway.links.stream import Stream
from gateway.links.transport import Server, dialler, listener
from gateway.node.data_plane import DataPlane
from gateway.security.material import Side, TlsSource
from gateway.surroundings import Surroundings, enter
from gateway.testing.errors import Leftovers, NotInWorld
from gateway.testing.host import SimHost, check_coroutine, coroutine_of, name_of
from gateway.testing.looking import unseen_end
from gateway.testing.places import described
from gateway.testing.world import World
from identity.provider import IdentityProvider, IdentityVerifier

T = TypeVar("T")
SECRET = "the secret of a world on real sockets"  # noqa: S105 (of tests)
_ELSEWHERE = "play this test on virtual time"
PATIENCE = 30.0
"""Seconds in which a World of this kind has to be quiet."""


class Ports:
    """Where the hosts listen: the scheme `sim` on real sockets."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def listener(self, config: ServerConfig, accept: Callable[[Stream], None]) -> Server:
        """See `Scheme.listener`."""
        name = urlsplit(config.endpoint).hostname or ""
        address = self._addresses.get(name, "127.0.0.1:0")
        given = ServerConfig.read({"endpoint": address, "tls": {"insecure": True}})
        source = TlsSource(given.tls, Side.SERVER)
        server = listener(given, accept, None, source, HIGH, ByteBudget(), Counters())
        return _Port(self._addresses, name, server)

    def dialler(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """See `Scheme.dialler`."""
        name = urlsplit(config.endpoint).hostname or ""
        address = self._addresses.get(name, "127.0.0.1:1")
        given = ClientConfig.read({"endpoint": f"http://{address}", "link_id": config.link_id})
        source = TlsSource(given.tls, Side.CLIENT)
        return dialler(given, None, source, HIGH, ByteBudget(), Counters())


class _Port:
    """A listener that notes where it listens."""

    def __init__(self, addresses: dict[str, str], name: str, server: Server) -> None:
        self._addresses, self._name, self._server = addresses, name, server

    async def start(self) -> str:
        self._addresses[self._name] = address = await self._server.start()
        return address

    async def stop(self, grace: float) -> None:
        await self._server.stop(grace)


class RealHost:
    """A data plane with applications and programs."""

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        ports: Ports,
        strict: bool,
        identity: Callable[[str], Any],
    ) -> None:
        self.name = name
        self._loop = loop
        self._ports, self._strict = ports, strict
        self._identity = identity
        self._served: list[dict[str, Any]] = []
        self._programs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._ending: asyncio.Task[None] | None = None
        self._boot()

    def _boot(self) -> None:
        self.up = True
        surroundings = Surroundings(schemes={"sim": self._ports}, loop=self._loop)
        self._context = contextvars.copy_context()
        self._context.run(enter, surroundings)
        self.plane = DataPlane(strict=self._strict, surroundings=surroundings)
        self.applications: list[Slim] = []
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def serves(self) -> bool:
        """See `SimHost.serves`."""
        return bool(self._served)

    async def serve(self, **config: Any) -> str:
        """Listen; the endpoint to dial."""
        given = {"endpoint": f"sim://{self.name}", **config}
        await self.plane.serve(ServerConfig.read(given))
        if given not in self._served:
            self._served.append(given)
        return f"sim://{self.name}"

    async def application(
        self,
        name: str | Name,
        *nodes: RealHost | str,
        settings: AppSettings | None = None,
        identity: tuple[Any, Any] | None = None,
    ) -> Slim:
        """See `SimHost.application`."""
        full = Name.parse(name) if isinstance(name, str) else name
        provider, verifier = identity or self._identity(str(full))
        app = Slim(full, provider, verifier, data_plane=self.plane, settings=settings)
        self.applications.append(app)
        for node in nodes:
            endpoint = node if isinstance(node, str) else f"sim://{node.name}"
            await app.connect({"endpoint": endpoint})
        return app

    def run(self, program: Callable[..., Any], *arguments: Any) -> asyncio.Task[Any]:
        """See `SimHost.run`."""
        task = self._begin(program, arguments)
        self._programs.append((program, arguments))
        return task

    def _begin(self, program: Callable[..., Any], arguments: tuple[Any, ...]) -> asyncio.Task[Any]:
        return self.call(coroutine_of(program, arguments), name_of(program))

    def call(self, coroutine: Any, name: str = "call") -> asyncio.Task[Any]:
        """See `SimHost.call`."""
        check_coroutine(coroutine)
        context = self._context.copy()
        task = self._loop.create_task(coroutine, name=f"{self.name}: {name}", context=context)
        self.tasks.append(task)
        return task

    def kill(self, *, loudly: bool = True) -> None:
        """End what runs here, which closes its streams. Raises NotInWorld where more is asked."""
        if not self.up:
            raise NotInWorld(f"anything on {self.name}", "it was killed; restart it")
        if not loudly:
            raise NotInWorld("silence of a host on real sockets", _ELSEWHERE)
        if self.applications:
            raise NotInWorld("the death of an application that the test made", _ELSEWHERE)
        self.up = False
        self._ending = self._loop.create_task(self._end(0.0))

    async def restart(self) -> None:
        """See `SimHost.restart`."""
        if self.up:
            self.kill()
        if self._ending is not None:
            await self._ending
        self._boot()
        for config in self._served:
            await self.serve(**config)
        for program, arguments in self._programs:
            self._begin(program, arguments)

    async def stop(self) -> None:
        """End what runs here in good order."""
        if self._ending is not None:
            await self._ending
        if self.up:
            await self._end(2.0)

    async def _end(self, grace: float) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for app in self.applications:
            await app.close(grace)
        await self.plane.close(grace)

    def __getattr__(self, verb: str) -> Any:
        if hasattr(SimHost, verb):
            raise NotInWorld(f"{verb} of a host on real sockets", _ELSEWHERE)
        raise AttributeError(verb)


class RealWorld:
    """The verbs of a World that real time and real sockets have."""

    def __init__(self, seed: int, *, strict: bool = True) -> None:
        self.seed, self.strict = seed, strict
        self.random = Random(seed)
        self.secret = SECRET
        self._ports = Ports()
        self._hosts: dict[str, RealHost] = {}
        self._rest = contextlib.AsyncExitStack()
        self._runner = asyncio.Runner()
        self._closed = False
        self._began = self._runner.get_loop().time()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._runner.get_loop().time() - self._began

    @property
    def hosts(self) -> list[RealHost]:
        """All hosts, oldest first."""
        return list(self._hosts.values())

    def note(self, what: str, who: str = "test") -> None:
        """There is no trace here."""

    def host(self, name: str, **_: Any) -> RealHost:
        """See `World.host`."""
        if name not in self._hosts:
            loop = self._runner.get_loop()
            self._hosts[name] = RealHost(name, loop, self._ports, self.strict, self.identity)
        return self._hosts[name]

    async def node(self, name: str = "node", **_: Any) -> RealHost:
        """See `World.node`."""
        host = self.host(name)
        if not host.up:
            raise NotInWorld(f"anything on {name}", "it was killed; restart it")
        if not host.serves:
            await host.serve()
        return host

    async def application(
        self,
        name: str,
        *nodes: RealHost,
        host: str | None = None,
        settings: AppSettings | None = None,
        identity: tuple[Any, Any] | None = None,
    ) -> Slim:
        """See `World.application`."""
        there = self.host(host or name.rpartition("/")[2])
        return await there.application(name, *nodes, settings=settings, identity=identity)

    def identity(self, name: str | Name, host: object = None, *, lifetime: float | None = None) -> Any:
        """See `World.identity`."""
        window: dict[str, Any] = {} if lifetime is None else {"validity_window": lifetime}
        provider = IdentityProvider.SharedSecret(str(name), self.secret, **window)
        return provider, IdentityVerifier.SharedSecret(str(name), self.secret, **window)

    async def settle(self) -> None:
        """Wait until no call is unfinished. Raises Leftovers."""
        async with asyncio.timeout(PATIENCE):
            while self._unfinished():  # noqa: ASYNC110 (nobody tells when the last of them ends)
                await asyncio.sleep(0.02)
        found = self._failed()
        if found:
            raise Leftovers(found)

    def _failed(self) -> list[str]:
        """Sentences about programs that failed where nobody waited for them."""
        tasks = [task for host in self.hosts for task in host.tasks]
        return [
            f"{task.get_name()} failed: {described(error)}" for task in tasks if (error := unseen_end(task))
        ]

    def _unfinished(self) -> int:
        apps = [app for host in self.hosts for app in host.applications]
        return sum(app.unfinished + sum(each.unfinished for each in app.open_sessions()) for app in apps)

    def run(self, test: Callable[[Any], Awaitable[T]]) -> T:
        """Play a test on a loop of its own."""
        __tracebackhide__ = True

        async def play() -> T:
            __tracebackhide__ = True
            try:
                async with self._rest:
                    result: T = await test(self)
                await self.settle()
            except BaseException as error:
                if not isinstance(error, Leftovers) and (failed := self._failed()):
                    error.add_note("\n".join(failed))
                raise
            finally:
                await self._stop()
            return result

        try:
            return self._runner.run(play())
        finally:
            self._close()

    def play(self, part: Coroutine[Any, Any, T]) -> T:
        """See `World.play`."""
        __tracebackhide__ = True
        return self._runner.run(part)

    def afterwards(self, part: Callable[[], Awaitable[None]]) -> None:
        """See `World.afterwards`."""
        self._rest.push_async_callback(part)

    def clear(self) -> None:
        """See `World.clear`."""
        if self._closed:
            return
        try:
            self._runner.run(self._rest.aclose())
            self._runner.run(self._stop())
        finally:
            self._close()

    async def _stop(self) -> None:
        await asyncio.gather(*(host.stop() for host in self.hosts))

    def _close(self) -> None:
        self._closed = True
        self._runner.close()

    def __getattr__(self, verb: str) -> Any:
        if hasattr(World, verb) or verb in ("trace", "network", "loop"):
            raise NotInWorld(f"{verb} of a World on real sockets", _ELSEWHERE)
        raise AttributeError(verb)
