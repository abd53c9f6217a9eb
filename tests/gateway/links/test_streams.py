"""What every transport owes a link: the contract of `gateway.links.stream.Stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from actors.errors import ConnectionLost
from actors.routing.budget import ByteBudget
from gateway.config import ClientConfig, ServerConfig
from gateway.http2.limits import Counters
from gateway.links.memory import pair
from gateway.links.stream import Stream, StreamStatus
from gateway.links.transport import Server, dialler, listener
from gateway.security.material import Side, TlsSource
from identity.errors import InvalidToken
from tests.gateway.stage import TRANSPORTS, News

HIGH = 256 * 1024


class End(News):
    """One end of a stream."""

    def __init__(self, stream: Stream, *, start: bool = True) -> None:
        super().__init__()
        self.stream = stream
        self.got: list[bytes] = []
        self.drained = 0
        self.closed: str | None = None
        if start:
            self.start()

    def start(self) -> None:
        self.stream.start(self, HIGH // 4)

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        assert self.closed is None
        self.got += messages
        self.changed()

    def stream_drained(self) -> None:
        self.drained += 1
        self.changed()

    def stream_closed(self, cause: str) -> None:
        assert self.closed is None
        self.closed = cause
        self.changed()

    async def ended(self) -> str:
        cause: str = await self.until(lambda: self.closed is not None and (self.closed or "no cause"))
        return cause


class Stage:
    """Streams between a listener and those who dial it."""

    def __init__(self, transport: str, **server: Any) -> None:
        self.transport = transport
        self.accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self.server: Server | None = None
        self._options = server
        self.endpoint = ""
        self.refuse = False
        self.headers: dict[str, str] = {}
        """Of the latest call."""

    async def open(self) -> None:
        if self.transport == "memory":
            return
        config = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}, "transport": self.transport}
        config |= self._options
        source = TlsSource(ServerConfig.read(config).tls, Side.SERVER)
        self.server = listener(
            ServerConfig.read(config), self.accepted.put_nowait, self, source, HIGH, ByteBudget(), Counters()
        )
        self.endpoint = "http://" + await self.server.start()

    async def start(self) -> None:
        """Authentication at connect has nothing to open here, ..."""

    async def close(self) -> None:
        """... and nothing to close."""

    async def check(self, headers: dict[str, str]) -> str:
        """Refuse when told so."""
        self.headers = headers
        if self.refuse:
            raise InvalidToken("not you", rule="test")
        return "somebody"

    def dialler(self, **options: Any) -> Callable[[], Awaitable[Stream]]:
        config = ClientConfig.read({"endpoint": self.endpoint, "transport": self.transport, **options})
        return dialler(config, None, TlsSource(config.tls, Side.CLIENT), HIGH, ByteBudget(), Counters())

    async def streams(self, **options: Any) -> tuple[Stream, Stream]:
        """The dialling and the accepting end of a stream, neither started."""
        if self.transport == "memory":
            return pair(asyncio.get_running_loop())
        dialling = asyncio.ensure_future(self.dialler(**options)())
        accepting = await self.accepted.get()
        if self.transport == "fast":
            # Its response headers leave with the start, so `dial` waits for it: start and stand still.
            self.held = End(accepting)
            return await dialling, accepting
        return await dialling, accepting

    async def ends(self, **options: Any) -> tuple[End, End]:
        dialling, accepting = await self.streams(**options)
        mine = self.held if self.transport == "fast" else End(accepting)
        return End(dialling), mine


@pytest.fixture(params=TRANSPORTS)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    made = Stage(request.param)
    await made.open()
    yield made
    if made.server is not None:
        await made.server.stop(0.0)


@pytest.fixture(params=["fast", "grpc"])
async def real(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A transport with sockets, which takes messages of 64 KiB at most."""
    made = Stage(request.param, max_message_size=64 * 1024)
    await made.open()
    yield made
    assert made.server is not None
    await made.server.stop(0.0)


async def test_messages_arrive_whole_and_in_order_both_ways(stage: Stage) -> None:
    one, two = await stage.ends()
    messages = [b"", b"x", b"y" * 100_000, *(b"%d" % number for number in range(100))]
    one.stream.send(messages)
    two.stream.send(messages[::-1])
    await two.until(lambda: len(two.got) == len(messages))
    await one.until(lambda: len(one.got) == len(messages))
    assert two.got == messages
    assert one.got == messages[::-1]


async def test_a_reader_that_pauses_lets_the_writer_wait_and_hear_when_it_drains(stage: Stage) -> None:
    one, two = await stage.ends()
    two.stream.pause_reading()
    sent = 0
    while one.stream.unsent <= 2 * HIGH:
        one.stream.send([b"x" * 50_000])
        sent += 1
        await asyncio.sleep(0)
    before = len(two.got)
    two.stream.resume_reading()
    await two.until(lambda: len(two.got) == sent)
    await one.until(lambda: one.drained)
    assert before < sent
    assert one.stream.unsent <= HIGH // 4


@pytest.mark.parametrize("who", [0, 1])
async def test_closing_delivers_what_was_sent_and_both_hear_of_it(stage: Stage, who: int) -> None:
    ends = await stage.ends()
    closing, other = ends[who], ends[1 - who]
    messages = [b"%d" % number for number in range(500)]
    closing.stream.send(messages)
    closing.stream.close(StreamStatus.OK, "enough")
    closing.stream.close(StreamStatus.OK, "twice")
    closing.stream.send([b"too late"])
    await other.ended()
    assert await closing.ended() == "enough"
    assert other.got == messages


@pytest.mark.parametrize("who", [0, 1])
async def test_an_abort_ends_both_at_once_though_nobody_reads(stage: Stage, who: int) -> None:
    ends = await stage.ends()
    cutting, other = ends[who], ends[1 - who]
    other.stream.pause_reading()
    while cutting.stream.unsent <= HIGH:
        cutting.stream.send([b"x" * 50_000])
        await asyncio.sleep(0)
    cutting.stream.abort("cut")
    assert await cutting.ended() == "cut"
    # The gRPC library lets a peer that does not read wait for the end, too.
    other.stream.resume_reading()
    await other.ended()
    cutting.stream.abort("again")
    cutting.stream.close()


async def test_a_server_that_stops_ends_its_streams(real: Stage) -> None:
    one, two = await real.ends()
    assert real.server is not None
    await real.server.stop(0.0)
    await one.ended()
    await two.ended()
    with pytest.raises(ConnectionLost):
        await real.dialler(connect_timeout=5)()


async def test_a_refused_dial_says_why(real: Stage) -> None:
    real.refuse = True
    with pytest.raises(ConnectionLost, match=r"UNAUTHENTICATED|401"):
        await real.dialler()()


async def test_headers_and_authority_are_as_configured(real: Stage) -> None:
    await real.ends(headers={"X-Team": "a"}, origin="node.example")
    assert real.headers["x-team"] == "a"
    # The gRPC library does not show a server the authority.
    assert real.headers.get(":authority", "node.example") == "node.example"


async def test_too_large_a_message_ends_the_stream(real: Stage) -> None:
    one, two = await real.ends()
    one.stream.send([b"x" * (64 * 1024)])
    await two.until(lambda: two.got)
    one.stream.send([b"x" * (64 * 1024 + 1)])
    assert "RESOURCE_EXHAUSTED" in await one.ended()
    await two.ended()


async def test_a_dial_that_is_cancelled_leaves_nothing_behind(real: Stage) -> None:
    dialling = asyncio.ensure_future(real.dialler()())
    accepted = await real.accepted.get()
    if not dialling.cancel():
        (await dialling).abort("too late to cancel")
    await asyncio.gather(dialling, return_exceptions=True)
    end = End(accepted)
    await end.ended()


async def test_a_silent_server_is_given_up_in_time(real: Stage) -> None:
    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    real.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(ConnectionLost):
            await real.dialler(connect_timeout=0.2)()
    finally:
        server.close()
