"""The links that actors see: an accepted stream, and a dialled one that comes back after a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.routing import FramesIn, LinkClosed, LinkDrained, LinkLost, LinkMoved, LinkRestored
from actors.messages.wire import (
    ControlRecord,
    Frame,
    Inbound,
    MessageType,
)
from actors.names import Name
from actors.routing.outbox import HIGH
from actors.telemetry import Counts, counter
from gateway.codec import InboundParser, WireCodec, encode_record, ends_of, frames_bytes
from gateway.config import MAX_MESSAGE_SIZE, Backoff
from gateway.config.auth import Proof
from gateway.http2.messages import SHARED_SIZE, Message, SharedMessage
from gateway.http2.turns import call_after_others
from gateway.links.stream import Forewarned, Stream, StreamStatus
from gateway.surroundings import Surroundings, current
from identity.errors import SlimError
from identity.log import logger

CLOSE_TIME = 5.0
"""Seconds that a stream which is being closed has to write out what was accepted, and its peer to end it."""

STEADY = 60.0
"""Seconds that a dialled stream has to last for those before it to be forgotten which ended by a fault."""

MOVED_TIME = 1.0
"""Seconds for which a stream that was left for another one is still read: what is on its way comes by it."""

BLOCK = 64
"""Messages that are taken in one go ..."""
TURN_MESSAGES = 16 * BLOCK
"""... again and again up to so many before the others wait until other connections had their turn, ..."""
TURN_READ = 64
"""... unless so many had to be read in full: those of subscriptions, and whatever was not seen before. Each
costs some 15 us with what it makes the route table do."""
LITTLE_ROOM = TURN_READ // 2
"""With room for fewer left the rest of the turn is for others: a socket may be read several times in one."""

_CODEC = WireCodec()

Notify = Callable[[Any], object]


class LinkCounts(Counts, part="link"):
    messages_in: int = counter("Messages that came in, those of the protocol itself too.")
    messages_out: int = counter("Messages given to streams.")
    bytes_in: int = counter("Bytes of messages that came in.")
    bytes_out: int = counter("Bytes of messages given to streams.")
    malformed: int = counter("Messages that were not of this protocol.")
    oversized: int = counter("Messages over the limit of a link, which were not written.")
    postponed: int = counter("How often a stream brought more than a turn has room for; the rest waited.")
    lost_while_down: int = counter("Messages dropped while the stream of a dialled link was down.")


class AcceptedLink:
    """A stream that a peer opened; `DialledLink` adds dialling. Implements `actors.routing.link.Link`.

    Messages over `max_message_size` bytes are not written: the peer would end the stream for them.
    `listener` is the endpoint of ours at which the peer called, `proof` what is proved there. A stream that
    is being closed is cut after `close_time` seconds.
    """

    __slots__ = (
        "_above", "_around", "_broken", "_close_time", "_closing", "_cut", "_done", "_ended", "_faulty",
        "_high", "_limit", "_low", "_notify", "_parser", "_paused", "_rest", "_rest_due", "_stream",
        "counts", "index", "listener", "proof", "since",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        stream: Stream | None,
        *,
        listener: str = "",
        proof: Proof = Proof.SUBJECT,
        high: int = HIGH,
        max_message_size: int = MAX_MESSAGE_SIZE,
        close_time: float = CLOSE_TIME,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.index = index
        self.proof = proof
        """What its subject is."""
        self._around = surroundings or current()
        self.listener = listener
        self._stream = stream
        self._parser = InboundParser(index)
        self._notify: Notify = lambda message: None
        self._high = high
        self._low = high // 4
        self._limit = max_message_size
        self._close_time = close_time
        self._above = False
        """Whether `backlog` was above the high-water mark and has not drained since."""
        self._broken = False
        """Whether the stream is being ended for bytes that are not of this protocol."""
        self._faulty = False
        """Whether it is being ended for them, or for what else does not work with it."""
        self._rest: list[bytes] = []
        """What was received and waits for its turn; bounded by the stream's window."""
        self._rest_due = False
        """Whether that turn is on its way."""
        self._paused = False
        """Whether the Connection does not want to read on."""
        self._ended: str | None = None
        """Why the stream is gone, while some of what it brought waits."""
        self._closing: str | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._done = False
        self.counts = LinkCounts()
        self.since = self._around.wall()
        """When it was made, in Unix seconds."""

    def attach(self, notify: Notify) -> None:
        """Tell the Connection actor things by `notify`. Called once, before anything else."""
        self._notify = notify

    # What a Connection asks (`actors.routing.link.Link`).

    @property
    def backlog(self) -> int:
        return self._stream.unsent if self._stream is not None else 0

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def peer(self) -> str:
        return self._stream.peer if self._stream is not None else "not connected"

    @property
    def certificate(self) -> bytes:
        """What the other end showed; empty without TLS on its side."""
        return self._stream.certificate if self._stream is not None else b""

    @property
    def subject(self) -> str:
        """Who called, as its authentication proved; empty where none was asked for."""
        return self._stream.subject if self._stream is not None else ""

    def start(self) -> None:
        if self._stream is not None:
            self._stream.start(self, self._low)

    def send(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        stream = self._stream
        if stream is None:
            self.counts.lost_while_down += len(frames)
            return ()
        data: list[Message] = frames_bytes(frames, SHARED_SIZE, SharedMessage)
        size = sum(map(len, data))
        refused: Sequence[Frame] = ()
        if size > self._limit:
            refused = [frame for frame, one in zip(frames, data, strict=True) if len(one) > self._limit]
            data = [one for one in data if len(one) <= self._limit]
            size = sum(map(len, data))
            self.counts.oversized += len(refused)
        self._write(stream, data, size)
        return refused

    def transmit(self, records: Sequence[ControlRecord]) -> None:
        if self._stream is None:
            self.counts.lost_while_down += len(records)
            return
        data: list[Message] = [encode_record(record) for record in records]
        self._write(self._stream, data, sum(map(len, data)))

    def pause(self) -> None:
        self._paused = True
        if self._stream is not None:
            self._stream.pause_reading()

    def resume(self) -> None:
        self._paused = False
        if self._rest:
            self._take_rest_soon()
        elif self._stream is not None:
            self._stream.resume_reading()

    def close(self, cause: str) -> None:
        if self._closing is not None:
            return
        self._closing = cause
        if self._stream is None:
            self._over(cause)
        else:
            self._end(self._stream, StreamStatus.OK, cause)

    def reset(self, cause: str) -> None:
        if self._stream is not None:
            self._faulty = True
            self._stream.abort(cause)

    def abort(self, cause: str) -> None:
        """End the stream at once, written out or not. LinkClosed follows."""
        self.close(cause)
        if self._stream is not None:
            self._stream.abort(cause)

    def asked(self, frame: Frame) -> tuple[Name, Name] | None:
        try:
            message = _CODEC.decode(frame)
        except ProtocolError:
            return None
        asks = message.kind is MessageType.DISCOVERY_REQUEST
        return (message.source, message.destination) if asks else None

    def ends(self, frame: Frame) -> tuple[Name, Name] | None:
        return ends_of(frame)

    def figures(self) -> dict[str, int]:
        return {**self.counts.figures(), "ignored": self._parser.ignored}

    # What the stream tells (`gateway.links.stream.StreamHandler`).

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        if self._broken:
            return
        counts = self.counts
        counts.messages_in += len(messages)
        counts.bytes_in += sum(map(len, messages))
        if self._rest:
            self._rest += messages
        else:
            self._take(messages)

    def stream_drained(self) -> None:
        if self._above:
            self._above = False
            self._notify(LinkDrained())

    def stream_closed(self, cause: str) -> None:
        if self._rest:
            # What it brought comes before its end.
            self._ended = cause
            self._take_rest_soon()
        else:
            self._stream_gone(cause)

    # Private.

    def _take(self, messages: Sequence[bytes]) -> None:
        """Hand on what a turn has room for; the others wait for the next one."""
        count = len(messages)
        parser = self._parser
        parse, enough = parser.parse, parser.read + TURN_READ
        records: list[Inbound] = []
        taken = 0
        while True:
            block = messages if count <= BLOCK else messages[taken : taken + BLOCK]
            taken += BLOCK
            for data in block:
                try:
                    record = parse(data)
                except ProtocolError as exc:
                    self.counts.malformed += 1
                    logger.debug("message dropped", conn=self.index, cause=exc.what)
                except DecodeError:
                    self.counts.malformed += 1
                    self._broken = True
                    break
                else:
                    if record is not None:
                        records.append(record)
            if taken >= count or taken >= TURN_MESSAGES or parser.read >= enough or self._broken:
                break
        if taken < count and not self._broken:
            self._rest = list(messages[taken:])
        if records:
            self._notify(FramesIn(tuple(records)))
        if self._broken and self._stream is not None:
            self._faulty = True
            self._end(self._stream, StreamStatus.INTERNAL, "a message is not the protobuf of this protocol")
        if self._rest or enough - parser.read < LITTLE_ROOM:
            self.counts.postponed += bool(self._rest)
            if self._stream is not None:
                self._stream.pause_reading()
            self._take_rest_soon()

    def _take_rest_soon(self) -> None:
        if not self._rest_due:
            self._rest_due = True
            call_after_others(self._around.running_loop(), self._take_rest)

    def _take_rest(self) -> None:
        """The next turn of what waits, unless the Connection wants to hear nothing for now."""
        self._rest_due = False
        if self._paused and self._ended is None:
            return
        if self._rest:
            rest, self._rest = self._rest, []
            self._take(rest)
        if self._rest_due:
            return
        if self._ended is not None:
            cause, self._ended = self._ended, None
            self._stream_gone(cause)
        elif self._stream is not None and not self._paused:
            self._stream.resume_reading()

    def _stream_gone(self, cause: str) -> None:
        self._forget()
        self._over(cause if self._closing is None else self._closing)

    def _write(self, stream: Stream, data: list[Message], size: int) -> None:
        counts = self.counts
        counts.messages_out += len(data)
        counts.bytes_out += size
        stream.send(data)
        if stream.unsent >= self._high:
            self._above = True

    def _end(self, stream: Stream, status: StreamStatus, cause: str) -> None:
        """Close the stream, and cut it when that takes too long."""
        if self._cut is None:
            self._cut = self._around.running_loop().call_later(self._close_time, stream.abort, cause)
        stream.close(status, cause)

    def _forget(self) -> None:
        """The stream is gone."""
        self._stream = None
        self._above = self._broken = self._paused = self._faulty = False
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def _over(self, cause: str) -> None:
        if not self._done:
            self._done = True
            self._notify(LinkClosed(cause))


class _Reading:
    """The handler of one stream of a dialled link, which has two for a moment when it moves."""

    __slots__ = ("_link", "_stream", "stream_messages")

    def __init__(self, link: DialledLink, stream: Stream) -> None:
        self._link = link
        self._stream: Stream | None = stream
        self.stream_messages = link.stream_messages

    def stream_drained(self) -> None:
        if self._stream is not None and self._link.is_on(self._stream):
            self._link.stream_drained()

    def stream_closed(self, cause: str) -> None:
        # Forgotten with it: the stream knows us too, and nothing may wait for the collector.
        stream, self._stream = self._stream, None
        if stream is not None and self._link.is_on(stream):
            self._link.stream_closed(cause)

    def going_away(self) -> None:
        if self._stream is not None:
            self._link.going_away(self._stream)


class DialledLink(AcceptedLink):
    """A stream that we open by `dial()` and open again when it breaks, after growing, jittered delays.

    It gives up after `backoff.max_attempts` attempts in a row (0: never), or when `close` is called. `where`
    tells which of several addresses it is at. A stream that ended by a fault, whoever's it was, counts as one
    more attempt that failed. With `moves` it obeys an other end that says that it will take its leave: it
    opens the next stream while that one still works, and changes over.
    """

    def __init__(
        self,
        index: int,
        dial: Callable[[], Awaitable[Stream]],
        backoff: Backoff,
        *,
        endpoint: str,
        where: Callable[[], str] | None = None,
        moves: bool = False,
        high: int = HIGH,
        max_message_size: int = MAX_MESSAGE_SIZE,
        close_time: float = CLOSE_TIME,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(
            index,
            None,
            high=high,
            max_message_size=max_message_size,
            close_time=close_time,
            surroundings=surroundings,
        )
        self._dial = dial
        self._backoff = backoff
        self._endpoint = endpoint
        self._where = where
        self._moves = moves
        self._redial: asyncio.Task[None] | None = None
        self._faults = 0
        """How many streams ended by a fault, none of which lasted."""
        self._since = 0.0
        """When this one began."""

    @property
    def peer(self) -> str:
        return self._where() if self._where is not None else self._endpoint

    def is_on(self, stream: Stream) -> bool:
        """Whether `stream` is the one that it writes to."""
        return self._stream is stream

    def start(self) -> None:
        if self._stream is not None:
            self._begin(self._stream)

    def _begin(self, stream: Stream) -> None:
        self._since = self._around.running_loop().time()
        reading = _Reading(self, stream)
        stream.start(reading, self._low)
        if self._paused or self._rest:
            stream.pause_reading()
        if self._moves and isinstance(stream, Forewarned):
            stream.when_going_away(reading.going_away)

    async def connect(self) -> None:
        """Open the first stream. Raises LinkError after the configured attempts (one, when unlimited)."""
        attempts = max(1, self._backoff.max_attempts)
        for attempt in range(attempts):
            try:
                self._stream = await self._dial()
                return
            except SlimError:
                if attempt + 1 == attempts:
                    raise
                await self._pause_before(attempt)

    def close(self, cause: str) -> None:
        if self._redial is not None:
            self._redial.cancel()
            self._redial = None
        super().close(cause)

    def _stream_gone(self, cause: str) -> None:
        if self._closing is not None:
            super()._stream_gone(cause)
            return
        if self._around.running_loop().time() - self._since > STEADY:
            self._faults = 0
        self._faults += self._faulty
        self._forget()
        self._notify(LinkLost(cause))
        if self._redial is None:
            self._redial = self._around.running_loop().create_task(self._dial_again())

    def going_away(self, stream: Stream) -> None:
        """The other end will take its leave: look for another while this one still works."""
        if self._stream is stream and self._closing is None and self._redial is None:
            self._redial = self._around.running_loop().create_task(self._dial_again())

    async def _dial_again(self) -> None:
        attempt = 0
        stream = None
        while stream is None:
            if attempt or self._stream is None:
                await self._pause_before(self._faults + attempt)
            attempt += 1
            try:
                stream = await self._dial()
            except SlimError as exc:
                logger.debug("dialling failed", conn=self.index, endpoint=self._endpoint, cause=str(exc))
                if attempt == self._backoff.max_attempts:
                    self._give_up(f"gave up after {attempt} attempts: {exc}")
                    return
            except Exception as exc:
                # Whatever it is, nobody may wait for this link for ever. Its text may quote anything.
                logger.warning(
                    "dialling failed", conn=self.index, endpoint=self._endpoint, cause=type(exc).__name__
                )
                self._give_up(f"dialling failed: {type(exc).__name__}")
                return
        self._redial = None
        old, self._stream = self._stream, stream
        # Announced before anything is read, so that the Connection hears of the stream before of its frames.
        if old is None:
            self._notify(LinkRestored())
        else:
            self._leave(old)
            self._notify(LinkMoved())
        self._begin(stream)

    def _leave(self, old: Stream) -> None:
        """Another stream stands in the place of one that still works: that is read to its end."""
        self._broken, self._cut = False, None
        if self._above:
            self._above = False
            self._notify(LinkDrained())
        loop = self._around.running_loop()
        loop.call_later(MOVED_TIME, old.close)
        loop.call_later(MOVED_TIME + self._close_time, old.abort, "another stream stands in its place")

    def _give_up(self, cause: str) -> None:
        self._redial = None
        # While a stream is up nothing is lost yet.
        if self._stream is None:
            self._over(cause)

    async def _pause_before(self, attempt: int) -> None:
        await asyncio.sleep(self._backoff.delay(attempt, self._around.fraction()))
