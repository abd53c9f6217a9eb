"""The network of a World: who listens, who is connected to whom, and which lines there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from urllib.parse import urlsplit

from actors.errors import CannotConnect
from gateway.config import ClientConfig, ServerConfig
from gateway.config.transport import Keepalive
from gateway.links.stream import Stream
from gateway.testing.line import Line
from gateway.testing.loop import Site, VirtualLoop
from gateway.testing.stream import SimStream
from gateway.testing.trace import Trace

PORT = 46357
"""Where a node listens that names no port."""
_HERE = ("", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104


class Network:
    """All lines, listeners and streams."""

    def __init__(self, loop: VirtualLoop, random: Random, trace: Trace) -> None:
        self.loop = loop
        self.trace = trace
        self.running: dict[str, Site | None] = {}
        """What runs on each host now."""
        self._random = random
        self._began = loop.time()
        self._lines: dict[tuple[str, str], Line] = {}
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._streams: dict[SimStream, None] = {}
        """Ends that are not over."""
        self._refused: dict[tuple[str, str], str] = {}
        """Why the last dial failed, by host and endpoint."""
        self.weather: Callable[[Line], None] = lambda line: None
        """Shapes new lines."""

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.loop.time() - self._began

    def note(self, who: str, what: str, data: bytes | None = None) -> None:
        """Write it into the trace."""
        self.trace.note(self.loop.time() - self._began, who, what, data)

    def line(self, one: str, two: str) -> Line:
        """The line between two hosts."""
        key = (one, two) if one <= two else (two, one)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(*key, Random(f"{self._random.random()}{key}"), self._changed)
            if one != two:
                self.weather(line)
        return line

    def lines(self) -> Iterable[Line]:
        """All lines that were ever used."""
        return list(self._lines.values())

    def streams(self, host: str) -> list[SimStream]:
        """The ends on this host that are not over."""
        return [stream for stream in self._streams if stream.host == host]

    # Listening and dialling

    def listener(self, site: Site, config: ServerConfig, accept: Callable[[Stream], None]) -> Listener:
        """See `Scheme.listener`."""
        parts = urlsplit(config.endpoint if "://" in config.endpoint else f"//{config.endpoint}")
        return Listener(self, site, parts.port or 0, accept, _patience(config.keepalive))

    def dialler(self, site: Site, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """See `Scheme.dialler`."""
        return lambda: self._dial(site, config)

    async def _dial(self, site: Site, config: ClientConfig) -> Stream:
        dial = (site.name, config.endpoint)
        try:
            stream = await self._reach(site, config)
        except CannotConnect as error:
            if self._refused.get(dial) != error.cause:
                # Those who dial again and again say it once.
                self._refused[dial] = error.cause
                self.note(site.name, str(error))
            raise
        self._refused.pop(dial, None)
        return stream

    async def _reach(self, site: Site, config: ClientConfig) -> Stream:
        parts = urlsplit(config.endpoint if "://" in config.endpoint else f"//{config.endpoint}")
        name, endpoint = parts.hostname or "", config.endpoint
        itself = name in _HERE
        hint = f"; {name or endpoint} is {site.name!r} itself, a node is at sim://NAME" if itself else ""
        name = site.name if itself else name
        if name not in self.running:
            raise CannotConnect(endpoint, f"there is no host {name!r} in this World")
        answered: asyncio.Future[Stream | str] = self.loop.create_future()
        line = self.line(site.name, name)
        if not line.whole:
            await asyncio.sleep(line.delay())
            raise CannotConnect(endpoint, "the line is cut")
        if line.passes(site.name) and line.passes(name):
            self.loop.call_later(
                line.delay(),
                self._knock,
                site,
                name,
                parts.port or PORT,
                _patience(config.keepalive),
                answered,
                context=site.context,
            )
        try:
            async with asyncio.timeout(config.dial_timeout):
                answer = await answered
                await asyncio.sleep(line.delay())
        except TimeoutError as exc:
            raise CannotConnect(endpoint, "no answer in time") from exc
        if isinstance(answer, str):
            raise CannotConnect(endpoint, answer + hint)
        return answer

    def _knock(
        self, site: Site, name: str, port: int, patience: float, answered: asyncio.Future[Stream | str]
    ) -> None:
        """A connection arrives at the host it is for."""
        there = self.running[name]
        if there is None:
            # A host that is off says nothing; one whose process has ended refuses.
            return
        listener = self._listeners.get((name, port))
        if there.gone or listener is None or listener.site is not there or listener.accept is None:
            if not answered.done():
                answered.set_result("connection refused")
            return
        accept = listener.accept

        def take() -> None:
            if answered.done():
                return
            line = self.line(site.name, name)
            near = SimStream(self, line, site, name, patience)
            far = SimStream(self, line, there, site.name, listener.patience)
            near.other, far.other = far, near
            self._streams[near] = self._streams[far] = None
            self.note(f"{site.name} → {name}", "connected")
            answered.set_result(near)
            accept(far)

        self.loop.call_soon(take, context=there.context)

    # What changes

    def forget(self, stream: SimStream) -> None:
        """This end is over."""
        self._streams.pop(stream, None)

    def vanish(self, site: Site, *, loudly: bool) -> None:
        """A process is gone. Loudly: its peers see their streams end; else only silence tells them."""
        for stream in self.streams(site.name):
            if stream.site is not site:
                continue
            self.forget(stream)
            if loudly:
                stream.other.reset("connection reset by peer")
        if not loudly:
            self.watch_silence()

    def come_back(self, site: Site) -> None:
        """A host runs again: what still reaches for its streams of old is told that they are gone."""
        for stream in list(self._streams):
            if stream.other.site.gone and stream.other.host == site.name:
                stream.reset("connection reset by peer")

    def _changed(self, line: Line) -> None:
        self.note(" - ".join(line.ends), repr(line).split(", ", 1)[1].rstrip(">"))
        for stream in list(self._streams):
            if stream.line is not line:
                continue
            if not line.whole:
                stream.break_now("the line was cut")
            else:
                stream.arm()
        self.watch_silence()

    def watch_silence(self) -> None:
        """Count the silence of ends to which nothing comes back from now on."""
        now = self.loop.time()
        for stream in self._streams:
            if not stream.silent():
                stream.silent_since = None
            elif stream.silent_since is None:
                stream.silent_since = now
                if stream.patience:
                    self.loop.call_at(now + stream.patience, self._look_at, stream)

    def _look_at(self, stream: SimStream) -> None:
        """Its keepalive breaks it, if there was silence all the time. The other end hears of it as it can."""
        since = stream.silent_since
        if stream.closed or since is None or self.loop.time() < since + stream.patience:
            return
        cause = "keepalive: no answer"
        stream.break_now(cause)
        if not stream.other.site.gone:
            stream.other.reset(cause)


def _patience(keepalive: Keepalive) -> float:
    """Seconds of silence after which an end is broken; 0: never."""
    return keepalive.ping + keepalive.timeout if keepalive.ping else 0.0


class Listener:
    """A listening port of a host. Implements `gateway.links.transport.Server`."""

    def __init__(
        self, network: Network, site: Site, port: int, accept: Callable[[Stream], None], patience: float
    ) -> None:
        self.site = site
        self.patience = patience
        self.accept: Callable[[Stream], None] | None = accept
        self._network = network
        self._port = port

    async def start(self) -> str:
        """Listen at the port asked for, or at a free one. Raises OSError when it is taken."""
        listeners, host = self._network._listeners, self.site.name
        if not self._port:
            self._port = PORT
            while self._taken(self._port):
                self._port += 1
        elif self._taken(self._port):
            raise OSError(f"port {self._port} of {host} is taken")
        listeners[host, self._port] = self
        return f"{host}:{self._port}"

    def _taken(self, port: int) -> bool:
        known = self._network._listeners.get((self.site.name, port))
        return known is not None and not known.site.gone and known.accept is not None

    async def stop(self, grace: float) -> None:
        """Accept nothing more. Open streams are their users' to end."""
        self.accept = None
