"""The link to the backbone: a connection to a NATS server that comes back after a loss (`backbone.md`).

    send ──► frames of this turn, by subject ──► queue ──► one task writes ──► nats-py
    want ──────────────────────────────────────► queue ──► subscribes
    nats-py ──► messages of this turn ──► FramesIn

The library keeps one stream; which server is dialled when, and what is subscribed again on the new stream, is
decided here, so that losses are told and nothing waits for a stream that is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.routing import (
    FramesIn,
    Inquired,
    LinkClosed,
    LinkDrained,
    LinkLost,
    LinkRestored,
    Unanswered,
)
from actors.messages.wire import ONE, ControlRecord, Frame, NodeInquiry
from actors.names import Name
from actors.routing.outbox import HIGH
from actors.routing.view import Instance
from actors.telemetry import Counts, counter
from gateway.codec import InboundParser, ends_of
from gateway.config import MAX_MESSAGE_SIZE, Backoff
from gateway.config.network import BackboneConfig
from gateway.links import nats_inquiries
from gateway.links.nats_inquiries import NatsInquiries
from gateway.links.nats_library import StreamEncryption, check_backbone, end, library
from gateway.links.nats_wire import (
    QUEUE,
    AskedOfNats,
    Batch,
    Batches,
    Origin,
    looks_encrypted,
    subject,
    unpack,
)
from gateway.security.material import Side, TlsSource
from gateway.surroundings import Surroundings
from identity.log import logger

if TYPE_CHECKING:
    from nats.aio.client import Client

CONNECT_TIME = 2
"""Seconds that a server has to take us, before the next one is asked."""
PING_INTERVAL = 2
"""Seconds between questions whether the server is there; two that it does not answer, and it is lost."""
CLOSE_TIME = 2
"""Seconds in which what was sent to us before we left is still taken."""
HELD_BOUND = 8 * 1024 * 1024
"""Bytes that have come and wait, while somebody here has no room for what comes."""
SERVERS_BOUND = 32
"""Servers of a cluster that are remembered beside those of the configuration."""
FLUSH_SIZE = 256 * 1024
"""Bytes that the library may keep before its writer has to wait."""

Notify = Callable[[Any], object]


class NatsCounts(Counts, part="nats"):
    bytes_in: int = counter("Bytes of messages that NATS brought.")
    bytes_out: int = counter("Bytes of messages given to NATS.")
    messages_in: int = counter("Messages of NATS that came; each holds one frame or more.")
    messages_out: int = counter("Messages given to NATS; each holds one frame or more.")
    malformed: int = counter("Messages of NATS, or frames in them, that were not ours to read.")
    echoes: int = counter("Messages of this node that came back to it, and were dropped.")
    oversized: int = counter("Messages over the limit of the backbone, which were not written.")
    unencrypted: int = counter("Messages kept off the backbone because their payload is in clear.")
    lost_while_down: int = counter("Messages dropped while there was no NATS server.")
    overrun: int = counter("Messages of NATS dropped because too much waited here.")
    refused: int = counter("What the NATS server does not let this node do.")


class NatsLink:
    """Implements `actors.routing.backbone.BackboneLink`.

    Messages over `max_message_size` bytes, or over what the server takes, are not written.
    """

    listener, certificate, subject = "", b"", ""
    # Slots: of a class with more than 30 attributes each look at one is slow.
    __slots__ = (
        "_above", "_around", "_arrived", "_backoff", "_batches", "_cause", "_client", "_closing", "_config",
        "_delivering", "_done", "_flushing", "_has_namesake", "_held", "_high", "_inbox", "_inquiries",
        "_jobs", "_keeper", "_limit", "_loop", "_lost", "_low", "_notify", "_origin", "_own_limit",
        "_parser", "_paused", "_questions", "_queued", "_source", "_subscribed", "_told", "_wake",
        "_wanted", "again", "asker", "counts", "index", "since", "tried",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        origin: Origin,
        surroundings: Surroundings,
        config: BackboneConfig,
        *,
        high: int = HIGH,
        max_message_size: int = MAX_MESSAGE_SIZE,
        backoff: Backoff | None = None,
    ) -> None:
        self.index = index
        self.asker: Any = None
        self.again = False
        self.counts = NatsCounts()
        self.tried = asyncio.Event()
        """The first attempts are over: a server took us, or each was asked."""
        self._config, self._origin = config, origin
        self._around = surroundings
        self._loop = self._around.running_loop()
        self.since = self._around.wall()
        self._backoff = backoff or Backoff()
        self._notify: Notify = lambda message: None
        self._parser = InboundParser(index)
        self._high, self._low = high, high // 4
        self._own_limit = self._limit = max_message_size
        self._source = TlsSource(config.tls, Side.CLIENT)
        self._wanted: dict[Instance, None] = {}
        self._client: Client | None = None
        self._subscribed: dict[Instance, list[Any]] = {}
        self._batches, self._questions = Batches(origin), AskedOfNats()
        self._inbox = f"_INBOX.slim.{self._around.random(12).hex()}"
        self._inquiries = NatsInquiries(self._inbox)
        self._jobs: deque[Batch | tuple[Instance, bool] | asyncio.Future[None]] = deque()
        """What the writer has yet to do."""
        self._wake = asyncio.Event()
        self._queued = 0
        """Bytes of messages among the jobs."""
        self._flushing = self._above = False
        self._arrived: list[bytes] = []
        self._held = 0
        self._paused = self._delivering = False
        self._lost = asyncio.Event()
        self._cause = ""
        self._keeper: asyncio.Task[None] | None = None
        self._closing: str | None = None
        self._told = 1
        self._has_namesake = False
        self._done = False

    def attach(self, notify: Notify) -> None:
        """Tell the Backbone actor things by `notify`. Called once, before anything else."""
        self._notify = notify

    # What a Connection asks (`actors.routing.link.Link`).

    @property
    def backlog(self) -> int:
        pending = self._client.pending_data_size if self._client is not None else 0
        return self._batches.size + self._queued + pending

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def peer(self) -> str:
        return ", ".join(self._config.urls)

    def ends_at(self) -> str:
        url = self._client.connected_url if self._client is not None else None
        return url.netloc.rpartition("@")[2] if url is not None else ""

    def start(self) -> None:
        if self._keeper is None and self._closing is None:
            self._keeper = self._loop.create_task(self._keep())

    def send(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        if self._client is None:
            self.counts.lost_while_down += len(frames)
            self._unanswered([frame for frame in frames if frame.fanout == ONE], self.asker, self.again)
            return ()
        if self._config.require_mls:
            frames = self._encrypted(frames)
        refused = self._batches.put(frames, (self.asker, self.again), limit=self._limit)
        self.counts.oversized += len(refused)
        if self.backlog >= self._high:
            self._above = True
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        return refused

    def transmit(self, records: Sequence[ControlRecord]) -> None:
        """Nothing: what is wanted is told by `want`."""

    def want(self, changes: Mapping[Instance, bool]) -> None:
        for wanted, present in changes.items():
            if present:
                self._wanted[wanted] = None
            else:
                self._wanted.pop(wanted, None)
        if self._client is not None:
            self._jobs.extend(changes.items())
            self._wake.set()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._deliver_soon()

    def reset(self, cause: str) -> None:
        self._lose(cause)

    def close(self, cause: str) -> None:
        if self._closing is None:
            self._closing = cause
            self._flush()
            self._loop.create_task(self._leave(cause))

    def abort(self, cause: str) -> None:
        """End at once. LinkClosed follows."""
        self.close(cause)
        if self._keeper is not None:
            self._keeper.cancel()

    def asked(self, frame: Frame) -> tuple[Name, Name] | None:
        """Nobody: whether a name is there, the node that was asked says itself."""
        return None

    def ends(self, frame: Frame) -> tuple[Name, Name] | None:
        return ends_of(frame)

    def figures(self) -> dict[str, int]:
        return {
            **self.counts.figures(),
            "limit": self._limit,
            "names": len(self._wanted),
            "subscriptions": sum(map(len, self._subscribed.values())),
            "ignored": self._parser.ignored,
        }

    # Writing

    def _encrypted(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Without those that show their payload; people are told, less and less often."""
        passing = [frame for frame in frames if looks_encrypted(frame)]
        self.counts.unencrypted += len(frames) - len(passing)
        if self.counts.unencrypted >= self._told:
            self._told = 10 * self.counts.unencrypted
            logger.warning(
                "messages were kept off the backbone",
                conn=self.index,
                count=self.counts.unencrypted,
                cause="they are not encrypted from end to end (require_mls)",
            )
        return passing

    def _flush(self) -> None:
        """The turn is over: what it sent goes to the writer."""
        self._flushing = False
        batches = self._batches.take()
        self._queued += sum(len(batch.payload) for batch in batches)
        self._jobs.extend(batches)
        self._wake.set()

    async def _write(self, client: Client) -> None:
        """Do what there is to do, in order."""
        counts = self.counts
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                job = self._jobs.popleft()
                if isinstance(job, Batch):
                    reply = f"{self._inbox}.{self._questions.ask(job)}" if job.frames else ""
                    await client.publish(job.subject, job.payload, reply)
                    counts.messages_out += 1
                    counts.bytes_out += len(job.payload)
                    self._queued -= len(job.payload)
                elif isinstance(job, asyncio.Future):
                    job.set_result(None)
                else:
                    await self._subscribe(client, *job)
            if self._above and self.backlog < self._low:
                self._above = False
                self._notify(LinkDrained())

    async def _subscribe(self, client: Client, wanted: Instance, present: bool) -> None:
        known = self._subscribed.pop(wanted, None)
        if not present:
            for subscription in known or ():
                await subscription.unsubscribe()
        elif known is not None:
            self._subscribed[wanted] = known
        else:
            self._subscribed[wanted] = [
                await client.subscribe(subject(wanted, one=True), QUEUE, cb=self._on_message),
                await client.subscribe(subject(wanted, one=False), cb=self._on_message),
            ]

    # Reading

    async def _on_message(self, message: Any) -> None:
        data: bytes = message.data
        self.counts.messages_in += 1
        self.counts.bytes_in += len(data)
        if data[:1] == nats_inquiries.FORMAT:
            self._take_question(data, message.reply)
            return
        if self._held + len(data) > HELD_BOUND:
            self.counts.overrun += 1
            return
        self._held += len(data)
        self._arrived.append(data)
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._arrived and not (self._delivering or self._paused):
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hand on what this turn brought."""
        self._delivering = False
        if self._paused:
            return
        arrived, self._arrived, self._held = self._arrived, [], 0
        frames: list[Frame] = []
        for data in arrived:
            try:
                origin, messages = unpack(data)
            except ProtocolError as exc:
                self._malformed(exc.what)
                continue
            if origin.node_id == self._origin.node_id:
                if origin == self._origin:
                    self.counts.echoes += 1
                    continue
                self._namesake()
            for message in messages:
                frame = self._parse(message)
                if frame is not None:
                    frames.append(frame)
        if frames:
            self._notify(FramesIn(tuple(frames)))

    def _namesake(self) -> None:
        """Nothing here hangs on ids, but people go by them in figures and traces: they are told once."""
        if not self._has_namesake:
            self._has_namesake = True
            cause = f"{self._origin.node_id!r} is there twice: give each node an id of its own"
            logger.warning(
                "another node on the backbone has our id", conn=self.index, peer=self.peer, cause=cause
            )

    def _parse(self, data: bytes) -> Frame | None:
        try:
            record = self._parser.parse(data)
        except ProtocolError as exc:
            self._malformed(exc.what)
        except DecodeError:
            self._malformed("not the protobuf of this protocol")
        else:
            if isinstance(record, Frame):
                return record
            self._malformed("no message of a session")
        return None

    def _malformed(self, cause: str) -> None:
        self.counts.malformed += 1
        logger.debug("message dropped", conn=self.index, cause=cause)

    async def _on_answer(self, message: Any) -> None:
        """The server says that nobody wants what was sent, or a node tells what it was asked."""
        number = message.subject.rpartition(".")[2]
        if number.startswith(nats_inquiries.MARK):
            if message.data:
                self._take_answer(number, message.data)
            return
        if (message.headers or {}).get("Status") != "503" or not number.isdigit():
            return
        batch = self._questions.unanswered(int(number))
        if batch is not None:
            self._unanswered(batch.frames, *batch.asker)

    def _unanswered(self, frames: Sequence[Frame], asker: Any, again: bool) -> None:
        if frames:
            self._notify(Unanswered(tuple(frames), asker, again))

    # What nodes ask about names

    async def inquire(self, whom: Name, inquiry: NodeInquiry, wait: float) -> list[bytes]:
        """What the nodes tell within `wait` seconds that have the name `whom`; unread."""
        client = self._client
        return [] if client is None else await self._inquiries.ask(client, whom, inquiry, wait)

    async def answer(self, inquiry: NodeInquiry) -> None:
        """Answer the question of that number."""
        if self._client is not None:
            await self._inquiries.answer(self._client, inquiry.number, inquiry)

    def _take_question(self, data: bytes, reply: str) -> None:
        try:
            inquiry = self._inquiries.asked(data, reply)
        except ProtocolError as exc:
            self._malformed(exc.what)
        else:
            self._notify(Inquired(self.index, inquiry))

    def _take_answer(self, mark: str, data: bytes) -> None:
        try:
            self._inquiries.answered(mark, data)
        except ProtocolError as exc:
            self._malformed(exc.what)

    # The stream

    async def open(self) -> None:
        """Look for the library, and at keys and certificates.

        Raises ConfigError, and AuthError when an agent has nothing for us.
        """
        check_backbone(self._config, self._around)
        await self._source.start()

    async def _keep(self) -> None:
        """Be connected, for as long as it takes."""
        servers, attempt, complaint = list(self._config.urls), 0, ""
        while self._closing is None:
            try:
                client = await self._connect(servers[0])
            except Exception as error:
                # Of whatever kind the library's are: the next one is asked.
                cause = str(error) or type(error).__name__
                log, complaint = logger.debug if cause == complaint else logger.warning, cause
                log("a NATS server does not take us", conn=self.index, peer=servers[0], cause=cause)
            else:
                self._note_servers(client, servers)
                attempt, complaint = 0, ""
                await self._serve(client)
            servers.append(servers.pop(0))
            attempt += 1
            # Each is asked at once; then after growing delays.
            if attempt % len(servers) == 0:
                self.tried.set()
                rounds = attempt // len(servers) - 1
                await asyncio.sleep(self._backoff.delay(rounds, self._around.fraction()))

    async def _connect(self, url: str) -> Client:
        """A stream on which all that is wanted is subscribed."""
        client, config, encrypted = library(self._around), self._config, StreamEncryption()
        self._lost, self._cause = asyncio.Event(), ""
        lost = self._lost

        async def on_error(error: Exception) -> None:
            cause = str(error) or type(error).__name__
            if "permissions violation" in cause.lower():
                self.counts.refused += 1
                logger.warning("the NATS server refuses", conn=self.index, cause=cause)
            else:
                self._cause = cause

        async def on_closed() -> None:
            lost.set()

        wants_tls = url.startswith("tls:") or config.tls.names_material
        options: dict[str, Any] = {
            "user": config.username and encrypted.guard(config.username, wants_tls),
            "password": config.password and encrypted.guard(config.password, wants_tls),
            "token": config.token and encrypted.guard(config.token, wants_tls),
            "user_credentials": config.credentials,
            "nkeys_seed": config.nkey,
        }
        if wants_tls:
            from gateway.security.contexts import client_context

            options["tls"] = encrypted.noting(client_context(config.tls, self._source))
        try:
            async with asyncio.timeout(CONNECT_TIME + 3.0):
                await client.connect(
                    [url],
                    name=f"callboard {self._origin.node_id}",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIME,
                    ping_interval=PING_INTERVAL,
                    max_outstanding_pings=2,
                    no_echo=True,
                    drain_timeout=CLOSE_TIME,
                    pending_size=FLUSH_SIZE,
                    inbox_prefix=self._inbox,
                    error_cb=on_error,
                    closed_cb=on_closed,
                    **{key: value for key, value in options.items() if value},
                )
                encrypted.check(wants_tls)
                self._subscribed = {}
                await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
                while missing := [wanted for wanted in self._wanted if wanted not in self._subscribed]:
                    for wanted in missing:
                        await self._subscribe(client, wanted, True)
                await client.flush()
        except BaseException as error:
            await end(client)
            if type(error).__name__ == "NoServersError" and self._cause:
                raise OSError(self._cause) from error
            raise
        return client

    def _note_servers(self, client: Client, servers: list[str]) -> None:
        """Remember the other servers of the cluster, behind those of the configuration."""
        scheme = servers[0].partition("://")[0]
        for found in client.discovered_servers:
            url = f"{scheme}://{found.netloc}"
            if url not in servers and len(servers) < SERVERS_BOUND:
                servers.append(url)

    async def _serve(self, client: Client) -> None:
        """The stream stands: write, until it is lost."""
        self._begin(client)
        writer = self._loop.create_task(self._write(client))
        lost = self._loop.create_task(self._lost.wait())
        try:
            await asyncio.wait((writer, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._client = None
            for task in (writer, lost):
                task.cancel()
            await asyncio.gather(writer, lost, return_exceptions=True)
        if self._closing is None:
            failed = None if writer.cancelled() else writer.exception()
            await end(client)
            self._forget()
            self._notify(
                LinkLost(self._cause or (str(failed) if failed else "") or "the server ended the stream")
            )

    def _begin(self, client: Client) -> None:
        # What changed while the last answers of the server were on their way.
        self._jobs.extend((wanted, True) for wanted in self._wanted if wanted not in self._subscribed)
        self._jobs.extend((wanted, False) for wanted in self._subscribed if wanted not in self._wanted)
        self._wake.set()
        limit = min(self._own_limit, client.max_payload - self._batches.overhead)
        if limit < self._own_limit and limit != self._limit:
            logger.warning(
                "the NATS server takes smaller messages (max_payload): larger ones are refused",
                conn=self.index,
                limit=client.max_payload,
                own_limit=self._own_limit,
            )
        self._limit = limit
        self._client = client
        self.tried.set()
        self._notify(LinkRestored())

    def _forget(self) -> None:
        """What waited for a stream that is gone is lost: sessions send it again."""
        jobs = [*self._jobs, *self._batches.take()]
        self.counts.lost_while_down += sum(max(1, len(job.frames)) for job in jobs if isinstance(job, Batch))
        self._jobs.clear()
        self._questions.forget()
        self._subscribed = {}
        self._queued, self._above = 0, False

    def _lose(self, cause: str) -> None:
        """End the stream; the next one is dialled."""
        self._cause = cause
        self._lost.set()

    async def in_step(self) -> None:
        """Return when the server knows all that was wanted before, if there is one."""
        client = self._client
        if client is not None:
            await self._jobs_done()
            await client.flush()

    async def _jobs_done(self) -> None:
        """Return when what waits to be written is, or after CLOSE_TIME."""
        written = self._loop.create_future()
        self._jobs.append(written)
        self._wake.set()
        await asyncio.wait((written,), timeout=CLOSE_TIME)

    async def _leave(self, cause: str) -> None:
        """Write out, want nothing more, take what is on its way, and go."""
        client = self._client
        try:
            if client is not None:
                async with asyncio.timeout(2 * CLOSE_TIME):
                    await self._jobs_done()
                    await client.drain()
        except Exception as error:
            # Whatever the library has to say of it, the stream is over.
            logger.debug(
                "left the backbone untidily", conn=self.index, cause=str(error) or type(error).__name__
            )
        finally:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.gather(self._keeper, return_exceptions=True)
            await self._source.close()
            self._over(cause)

    def _over(self, cause: str) -> None:
        self.tried.set()
        if not self._done:
            self._done = True
            self._notify(LinkClosed(cause))
