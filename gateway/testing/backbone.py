"""A stand-in for NATS in a World: a server on a host, and the client that a node's link uses there.

    NatsLink ── SimClient ── stream over a line ──► SimServer ── stream over a line ──► SimClient ── NatsLink

The stream is one of the World: it is delayed, stalls, is cut, and ends with either host. A message on it is a
line of words, and behind that the payload:

    SUB <number> <subject> [<queue>]     UNSUB <number>      PUB <subject> [<reply>]      PING
    MSG <number> <subject> [<reply>]     NONE <subject>      PONG

As at NATS, what is published comes to all who subscribed and to one of each queue, but not back to its
publisher; who gave a reply subject is told where nobody was there (NONE); nothing is kept. Of patterns it has
those of inboxes, whose last part is any.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gateway.config import ClientConfig
from gateway.links.stream import Stream

PORT = 4222
MAX_PAYLOAD = 1024 * 1024
"""Bytes of a message that the server takes."""

Callback = Callable[[Any], Awaitable[None]]
Dial = Callable[[ClientConfig], Callable[[], Awaitable[Stream]]]


def words(verb: str, *arguments: object, payload: bytes = b"") -> bytes:
    """A message of the stream."""
    return " ".join((verb, *map(str, arguments))).encode() + b"\n" + payload


def read(data: bytes) -> tuple[list[str], bytes]:
    """Its words, and its payload."""
    line, _, payload = data.partition(b"\n")
    return line.decode().split(), payload


def _inbox(subject: str) -> str:
    """The pattern of an inbox to which a subject belongs."""
    return f"{subject.rpartition('.')[0]}.*"


class SimServer:
    """What runs on the host of a backbone. `random` chooses who of a queue has a message."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._wanted: dict[str, dict[tuple[_Caller, str], str]] = {}
        """By subject: who wants it under which number, and the queue or nothing."""

    def accept(self, stream: Stream) -> None:
        """A client has come."""
        stream.start(_Caller(self, stream), 0)

    def subscribe(self, caller: _Caller, number: str, subject: str, queue: str = "") -> None:
        self._wanted.setdefault(subject, {})[caller, number] = queue

    def unsubscribe(self, caller: _Caller, number: str, subject: str) -> None:
        wanted = self._wanted.get(subject, {})
        wanted.pop((caller, number), None)
        if not wanted:
            self._wanted.pop(subject, None)

    def publish(self, caller: _Caller, payload: bytes, subject: str, reply: str = "") -> None:
        queues: dict[str, list[tuple[_Caller, str]]] = {}
        chosen = []
        wanted = self._wanted.get(subject, {}) | self._wanted.get(_inbox(subject), {})
        for place, queue in wanted.items():
            if place[0] is caller:
                continue
            if queue:
                queues.setdefault(queue, []).append(place)
            else:
                chosen.append(place)
        chosen += [self._random.choice(members) for members in queues.values()]
        for who, number in chosen:
            who.send(words("MSG", number, subject, reply, payload=payload))
        if not chosen and reply:
            caller.send(words("NONE", reply))


class _Caller:
    """A client, as the server sees it."""

    def __init__(self, server: SimServer, stream: Stream) -> None:
        self._server, self._stream = server, stream
        self._subjects: dict[str, str] = {}

    def send(self, data: bytes) -> None:
        self._stream.send([data])

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            (verb, *rest), payload = read(data)
            match verb:
                case "PUB":
                    self._server.publish(self, payload, *rest)
                case "SUB":
                    self._subjects[rest[0]] = rest[1]
                    self._server.subscribe(self, *rest)
                case "UNSUB":
                    self._server.unsubscribe(self, rest[0], self._subjects.pop(rest[0]))
                case "PING":
                    self.send(words("PONG"))

    def stream_drained(self) -> None:
        """It keeps nothing back."""

    def stream_closed(self, cause: str) -> None:
        for number, subject in self._subjects.items():
            self._server.unsubscribe(self, number, subject)
        self._subjects.clear()


class _Arrived:
    """A message, in the form of the library's."""

    def __init__(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.subject, self.data, self.reply, self.headers = subject, data, reply, headers


class _Subscription:
    def __init__(self, client: SimClient, number: str, callback: Callback) -> None:
        self._client, self._number = client, number
        self.callback = callback

    async def unsubscribe(self) -> None:
        await self._client.unsubscribe(self._number)


class SimClient:
    """What `gateway.links.nats` asks of a client of nats-py; `dial` is the host's."""

    max_payload = MAX_PAYLOAD
    discovered_servers: Sequence[SplitResult] = ()

    def __init__(self, dial: Dial, running_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._dial = dial
        self._running_loop = running_loop
        self._stream: Stream | None = None
        self._subscriptions: dict[str, _Subscription] = {}
        self._last = 0
        self._inbox = ""
        self._arrived: deque[tuple[Callback, _Arrived]] = deque()
        self._news = asyncio.Event()
        self._pings: deque[asyncio.Future[None]] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._on_closed: Callable[[], Awaitable[None]] | None = None
        self.connected_url: SplitResult | None = None

    @property
    def pending_data_size(self) -> int:
        """Bytes that the server has not taken."""
        return self._stream.unsent if self._stream is not None else 0

    async def connect(self, servers: Sequence[str], **options: Any) -> None:
        """Raises LinkError when the server cannot be had."""
        url = urlsplit(servers[0])
        silence = options["ping_interval"] * options["max_outstanding_pings"]
        config = ClientConfig.read(
            {
                "endpoint": f"sim://{url.hostname}:{url.port or PORT}",
                "connect_timeout": f"{options['connect_timeout']}s",
                "keepalive": {"http2_keepalive": f"{silence}s", "timeout": f"{options['ping_interval']}s"},
            }
        )
        self._on_closed = options["closed_cb"]
        self._stream = await self._dial(config)()
        self.connected_url = url
        self._reader = self._running_loop().create_task(self._read())
        self._stream.start(self, 0)

    async def subscribe(self, subject: str, queue: str = "", *, cb: Callback) -> _Subscription:
        self._last += 1
        number = str(self._last)
        made = self._subscriptions[number] = _Subscription(self, number, cb)
        if subject.endswith(".*"):
            self._inbox = number
        self._write(words("SUB", number, subject, queue))
        return made

    async def unsubscribe(self, number: str) -> None:
        if self._subscriptions.pop(number, None) is not None:
            self._write(words("UNSUB", number))

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        self._write(words("PUB", subject, reply, payload=payload))

    async def flush(self) -> None:
        """Return when the server has read all that was written."""
        answer: asyncio.Future[None] = self._running_loop().create_future()
        self._pings.append(answer)
        self._write(words("PING"))
        await answer

    async def drain(self) -> None:
        """Want nothing more, take what is on its way, and end."""
        for number in list(self._subscriptions):
            self._write(words("UNSUB", number))
        await self.flush()
        await self._deliver()
        await self.close()

    async def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._over("closed")
        if self._reader is not None:
            self._reader.cancel()

    def _write(self, data: bytes) -> None:
        if self._stream is None:
            raise ConnectionError("the stream to the backbone is over")
        self._stream.send([data])

    async def _read(self) -> None:
        """Call who wants what has arrived, one after the other."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._deliver()

    async def _deliver(self) -> None:
        while self._arrived:
            callback, message = self._arrived.popleft()
            await callback(message)

    # The stream's handler

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            (verb, *rest), payload = read(data)
            if verb == "PONG":
                answer = self._pings.popleft()
                if not answer.done():
                    answer.set_result(None)
                continue
            if verb == "NONE":
                number, message = self._inbox, _Arrived(rest[0], payload, headers={"Status": "503"})
            else:
                number, message = rest[0], _Arrived(rest[1], payload, "".join(rest[2:]))
            wanted = self._subscriptions.get(number)
            if wanted is not None:
                self._arrived.append((wanted.callback, message))
                self._news.set()

    def stream_drained(self) -> None:
        """Who writes looks at `pending_data_size`."""

    def stream_closed(self, cause: str) -> None:
        self._over(cause)

    def _over(self, cause: str) -> None:
        if self._stream is None:
            return
        self._stream = None
        for answer in self._pings:
            if not answer.done():
                answer.set_exception(ConnectionError(cause))
                answer.exception()
        self._pings.clear()
        if self._on_closed is not None:
            self._running_loop().create_task(self._told(self._on_closed))

    async def _told(self, on_closed: Callable[[], Awaitable[None]]) -> None:
        await on_closed()
