"""A peer that says exactly what a test wants, over the gRPC library.

async with RawPeer(address) as peer:
    await peer.send(message)
    await peer.settled()
    assert peer.received == [...]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from types import TracebackType
from typing import Self

import grpc
from grpc import aio

from gateway.links.stream import METHOD_PATH
from gateway.proto import dataplane_pb2 as pb

OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A connection of its own for each peer, as separate processes have.
    ("grpc.use_local_subchannel_pool", 1),
]
_MARKS = itertools.count(2**63)


class RawPeer:
    """One call of `OpenChannel` to the node at `address` (host:port). `received` is what came, as bytes."""

    def __init__(self, address: str, *, listening: bool = True) -> None:
        self.received: list[bytes] = []
        self.over = asyncio.Event()
        self.code: grpc.StatusCode | None = None
        self._address = address
        self._listening = listening
        self._marks: dict[int, asyncio.Future[None]] = {}

    async def __aenter__(self) -> Self:
        self._channel = aio.insecure_channel(self._address, options=OPTIONS)
        self._call = self._channel.stream_stream(METHOD_PATH)()
        async with asyncio.timeout(10.0):
            await self._call.initial_metadata()
        self._reader = asyncio.create_task(self._read()) if self._listening else None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._call.cancel()
        await self._channel.close()

    async def send(self, message: bytes | pb.Message) -> None:
        """Write one message. Raises AioRpcError or InvalidStateError when the call is over."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        async with asyncio.timeout(10.0):
            await self._call.write(data)

    async def subscribe(self, name: pb.Name, subscription_id: int = 0) -> None:
        """Ask for what is sent to `name`."""
        header = pb.SLIMHeader(source=name, destination=name, fanout=1)
        await self.send(pb.Message(subscribe=pb.Subscribe(header=header, subscription_id=subscription_id)))

    async def settled(self) -> None:
        """Wait until the node has dealt with all that was sent: it answers in order.

        What is sent for it is an Unsubscribe of what was never subscribed, which changes nothing.
        """
        mark = next(_MARKS)
        seen = self._marks[mark] = asyncio.get_running_loop().create_future()
        header = pb.SLIMHeader(source=name_of("raw", 1), destination=name_of("nothing", mark), fanout=1)
        await self.send(pb.Message(unsubscribe=pb.Unsubscribe(header=header, subscription_id=mark)))
        async with asyncio.timeout(10.0):
            await seen

    async def heard(self, count: int, timeout: float = 10.0) -> None:
        """Wait until at least `count` messages have come."""
        async with asyncio.timeout(timeout):
            while len(self.received) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def _read(self) -> None:
        try:
            async for data in self._call:
                message = pb.Message.FromString(data)
                mark = self._marks.pop(message.subscription_ack.subscription_id, None)
                if mark is not None:
                    mark.set_result(None)
                else:
                    self.received.append(data)
        except aio.AioRpcError:
            pass
        with contextlib.suppress(asyncio.CancelledError):
            self.code = await self._call.code()
        self.over.set()


def name_of(app: str, id: int = 2**64 - 1) -> pb.Name:
    """`org/raw/<app>`; its hashes are stand-ins, which a node never recomputes."""
    strings = pb.StringName(str_component_0="org", str_component_1="raw", str_component_2=app)
    key = int.from_bytes(app.encode()[:8].ljust(8, b"\0"), "big")
    return pb.Name(
        name=pb.EncodedName(component_0=1, component_1=2, component_2=key, component_3=id), str_name=strings
    )


def publication(
    source: pb.Name, destination: pb.Name, payload: bytes = b"", *, number: int = 1, fanout: int = 1
) -> pb.Message:
    """A data message."""
    return pb.Message(
        publish=pb.Publish(
            header=pb.SLIMHeader(source=source, destination=destination, fanout=fanout, identity="nobody"),
            session=pb.SessionHeader(
                session_type=pb.SESSION_TYPE_POINT_TO_POINT,
                session_message_type=pb.SESSION_MESSAGE_TYPE_MSG,
                session_id=7,
                message_id=number,
            ),
            msg=pb.Content(app_payload=pb.ApplicationPayload(payload_type="msg", blob=payload)),
        )
    )
