"""A node and those who talk to it, over any transport: the stage of the links' scenarios.

Peer    bytes in, bytes out: a stream to the node, opened by hand
Local   an application of a data plane, without sessions: it subscribes, publishes, and keeps what it got
NodeStage   the node, its listener that can go down and come up again, and data planes dialled to it
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from actors.errors import ConnectionLost
from actors.messages.routing import (
    Attach,
    Congested,
    ConnectionGone,
    ConnectionState,
    Drained,
    Forward,
    Subscribing,
    TooLarge,
    Transmit,
    Undelivered,
)
from actors.messages.wire import (
    ALL,
    ONE,
    Frame,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    Subscription,
    SubscriptionAck,
)
from actors.names import Name
from actors.routing.budget import ByteBudget
from actors.routing.router import Router
from gateway.codec import WireCodec
from gateway.config import ClientConfig, ServerConfig
from gateway.http2.limits import Counters
from gateway.links.memory import pair
from gateway.links.stream import Stream
from gateway.links.transport import dialler
from gateway.node.data_plane import DataPlane
from gateway.proto import dataplane_pb2 as pb
from gateway.security.material import Side, TlsSource

TRANSPORTS = ["fast", "grpc", "memory"]
WAIT = 15.0
LINK_ID = "6a8f2c1e-0d3b-4f5a-9c7e-1b2d3e4f5a6b"
ALICE, BOB, CHANNEL = Name("org", "ns", "alice"), Name("org", "ns", "bob"), Name("org", "ns", "channel")

_codec = WireCodec()


class News:
    """Something that changes, and a way to wait until it is as wanted."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def changed(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT):
            while not (found := condition()):
                self._event.clear()
                await self._event.wait()
        return found


def message(destination: Name, blob: bytes, *, source: Name = ALICE, fanout: int = ONE) -> SessionMessage:
    """A data message of some session."""
    return SessionMessage(
        source,
        destination,
        SessionKind.POINT_TO_POINT,
        MessageType.MSG,
        7,
        1,
        Payload("msg", blob),
        fanout,
    )


def wire(destination: Name, blob: bytes, *, source: Name = ALICE, fanout: int = ONE) -> pb.Message:
    """The same as it stands on the wire."""
    frame = _codec.encode(message(destination, blob, source=source, fanout=fanout), "")
    data = b"\x1a" + _varint(len(frame.header) + frame.inner) + frame.header + frame.body
    return pb.Message.FromString(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def subscription(name: Name, id: int = 0, *, subscribe: bool = True) -> pb.Message:
    """A Subscribe or Unsubscribe on the wire."""
    made = pb.Message()
    said = made.subscribe if subscribe else made.unsubscribe
    said.header.CopyFrom(wire(name, b"", source=name).publish.header)
    said.subscription_id = id
    return made


def negotiation(link_id: str = LINK_ID, version: str = "1.4.0", *, reply: bool = False) -> pb.Message:
    """A link negotiation on the wire."""
    made = pb.Message()
    said = made.link.link_negotiation
    said.link_id, said.slim_version, said.is_reply = link_id, version, reply
    return made


class Peer(News):
    """The other end of one stream to the node."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.got: list[pb.Message] = []
        self.closed: str | None = None
        stream.start(self, 0)

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        self.got += map(pb.Message.FromString, messages)
        self.changed()

    def stream_drained(self) -> None:
        self.changed()

    def stream_closed(self, cause: str) -> None:
        self.closed = cause
        self.changed()

    def send(self, *messages: pb.Message | bytes) -> None:
        self.stream.send([one if isinstance(one, bytes) else one.SerializeToString() for one in messages])

    def blobs(self) -> list[bytes]:
        """The payloads of what was published to it."""
        return [one.publish.msg.app_payload.blob for one in self.got if one.HasField("publish")]

    def acks(self) -> dict[int, bool]:
        """Acknowledged subscriptions, and whether they succeeded."""
        found = [one.subscription_ack for one in self.got if one.HasField("subscription_ack")]
        return {ack.subscription_id: ack.success for ack in found}

    async def subscribed(self, *names: Name) -> Peer:
        """Subscribe to `names`, acknowledged."""
        first = 1000 + len(self.got)
        ids = dict(zip(itertools.count(first), names, strict=False))
        self.send(*(subscription(name, id) for id, name in ids.items()))
        await self.until(lambda: ids.keys() <= self.acks().keys())
        assert all(self.acks()[id] for id in ids)
        return self

    async def heard(self, *blobs: bytes) -> None:
        """Wait for these payloads; nothing else may have come."""
        await self.until(lambda: len(self.blobs()) >= len(blobs))
        assert self.blobs() == list(blobs)

    async def heard_last(self, blob: bytes) -> None:
        await self.until(lambda: self.blobs()[-1:] == [blob])

    async def is_in_step(self) -> None:
        """All that was sent to the node before has been handled, and all it had to say is here."""
        id = 900_000 + len(self.got)
        self.send(subscription(Name("nobody", "wants", "this"), id, subscribe=False))
        await self.until(lambda: id in self.acks())

    async def ended(self) -> str:
        cause: str = await self.until(lambda: self.closed)
        return cause


class Local(News):
    """An application of a data plane."""

    def __init__(self, plane: DataPlane) -> None:
        super().__init__()
        self.plane = plane
        self.index = plane.next_index()
        self.got: list[SessionMessage] = []
        self.acks: dict[int, SubscriptionAck] = {}
        self.told: list[TooLarge | ConnectionGone] = []
        self.undelivered: list[Frame] = []
        self.congested: set[int] = set()
        self.pauses = 0
        self._ids = itertools.count(1)
        self._subscribed: dict[Name, int] = {}
        self.router = Router(self.index, plane.routes)
        self.port = plane.system.inbox(lambda message, _: self._take(message))
        plane.system.tell(plane.route_table, Attach(self.index, self.port, local=True))

    def _take(self, message: Any) -> None:
        match message:
            case Forward():
                self.got += [
                    _codec.decode(frame) if isinstance(frame, Frame) else frame for frame in message.frames
                ]
            case Transmit():
                self.acks |= {
                    one.subscription_id: one for one in message.records if isinstance(one, SubscriptionAck)
                }
            case Congested():
                self.congested.add(message.connection)
                self.pauses += 1
            case Drained():
                self.congested.discard(message.connection)
            case TooLarge() | ConnectionGone():
                self.told.append(message)
            case Undelivered():
                self.undelivered += message.frames
        self.changed()

    async def table(self, holds: Callable[[], bool]) -> None:
        """Wait until the route table is as `holds` wants it; each look comes after what is in its mailbox."""
        async with asyncio.timeout(15):
            while not holds():
                await self.plane.status()

    def blobs(self) -> list[bytes]:
        return [one.content.blob for one in self.got if isinstance(one.content, Payload)]

    async def order(self, name: Name, *, subscribe: bool = True, **ways: Any) -> SubscriptionAck:
        """A subscription with `forward_to` or `recv_from`, or its end; its acknowledgement."""
        id = next(self._ids) if subscribe else self._subscribed.pop(name, next(self._ids))
        self.acks.pop(id, None)
        if subscribe:
            self._subscribed[name] = id
        asked = Subscription(subscribe, name, name, subscription_id=id, **ways)
        self.plane.system.tell(self.plane.route_table, Subscribing(self.index, asked))
        await self.until(lambda: id in self.acks)
        return self.acks[id]

    async def subscribed(self, name: Name, connection: int) -> Local:
        """Receive for `name` here and at the node behind `connection`."""
        ack = await self.order(name, forward_to=connection)
        assert ack.success, ack.error
        return self

    async def routed(self, name: Name, connection: int) -> Local:
        """What goes to `name` leaves by `connection`."""
        ack = await self.order(name, recv_from=connection)
        assert ack.success, ack.error
        await self.table(lambda: bool(self.router.route(name.key, name.instance, ALL)))
        return self

    def publish(self, destination: Name, *blobs: bytes, fanout: int = ONE) -> None:
        frames = tuple(_codec.encode(message(destination, blob, fanout=fanout), "") for blob in blobs)
        for target in self.router.route(destination.key, destination.instance, fanout):
            forward = Forward(frames, self.index, self.port)
            self.plane.system.tell(self.router.addresses.get(target), forward)

    async def heard(self, *blobs: bytes) -> None:
        await self.until(lambda: len(self.blobs()) >= len(blobs))
        assert self.blobs() == list(blobs)


class NodeStage:
    """See above. `node_options` and `server` shape the node, `client` every dialled data plane's config."""

    def __init__(self, transport: str, **node_options: Any) -> None:
        self.transport = transport
        self.now = 1000.0
        """What the node's clock says."""
        self.node = DataPlane(strict=True, clock=lambda: self.now, **node_options)
        self.planes = [self.node]
        self.server: dict[str, Any] = {}
        self.up = False
        self._endpoint = self._served = "127.0.0.1:0"
        """Where applications find the node, and as what it knows its server."""
        self._sources: list[TlsSource] = []
        self._streams: list[Stream] = []

    async def open(self) -> None:
        """The node listens."""
        self.up = True
        if self.transport != "memory":
            config = self._server_config()
            self._served, self._endpoint = config.endpoint, await self.node.serve(config)

    async def shut(self) -> None:
        """The node stops listening and its streams end."""
        self.up = False
        if self.transport != "memory":
            await self.node.stop_server(self._served)
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    def _server_config(self) -> ServerConfig:
        config = {"endpoint": self._endpoint, "tls": {"insecure": True}, "transport": self.transport}
        return ServerConfig.read(config | self.server)

    def config(self, **options: Any) -> ClientConfig:
        transport = {} if self.transport == "memory" else {"transport": self.transport}
        fast = {"backoff": {"type": "fixed", "interval": 0.02}}
        return ClientConfig.read({"endpoint": f"http://{self._endpoint}", **transport, **fast, **options})

    def dial(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        if self.transport != "memory":
            return dialler(
                config, None, TlsSource(config.tls, Side.CLIENT), 1024 * 1024, ByteBudget(), Counters()
            )

        async def in_memory() -> Stream:
            if not self.up:
                raise ConnectionLost(config.endpoint, "nobody listens")
            theirs, ours = pair(asyncio.get_running_loop())
            self.node.accept(ours, max_message_size=config.max_message_size)
            self._streams.append(ours)
            return theirs

        return in_memory

    async def peer(self, **options: Any) -> Peer:
        """A stream to the node."""
        return Peer(await self.dial(self.config(**options))())

    async def plane(self, **options: Any) -> tuple[DataPlane, int]:
        """A data plane that is connected to the node, and its connection's index."""
        made = DataPlane(strict=True)
        self.planes.append(made)
        config = self.config(**options)
        return made, await made.connect(config, dial=self.dial(config))

    async def figures(self, index: int) -> dict[str, Any]:
        """What the node says of one connection."""
        figures: dict[str, Any] = (await self.node.status())["connections"][str(index)]
        return figures

    async def close(self) -> None:
        await asyncio.gather(*(plane.close(1.0) for plane in self.planes))


class States(News):
    """The states of a data plane's dialled connections."""

    def __init__(self, plane: DataPlane) -> None:
        super().__init__()
        self.seen: list[ConnectionState] = []
        plane.observe(self._take)

    def _take(self, state: ConnectionState) -> None:
        self.seen.append(state)
        self.changed()

    async def reached(self, state: str) -> ConnectionState:
        """The latest state, once it is this one."""
        await self.until(lambda: self.seen and self.seen[-1].state == state)
        return self.seen[-1]
