"""A peer that says any session message in any name, with any token, to the node at an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from actors.messages.wire import Frame, GroupWelcome, JoinRequest, MessageType, SessionKind, SessionMessage
from actors.names import Name
from gateway.codec import InboundParser, WireCodec, frame_bytes
from gateway.proto import dataplane_pb2 as pb
from tests.interop.raw import RawPeer

P2P = SessionKind.POINT_TO_POINT


class Forger(RawPeer):
    """Receives for `name`; `heard_messages` is what came, decoded."""

    def __init__(self, address: str, name: Name, token: Callable[[], str]) -> None:
        super().__init__(address)
        self.name = name
        self.token = token
        self._codec = WireCodec()
        self._parser = InboundParser(1)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        message: pb.Name = pb.Name.FromString(_encoded(self.name))
        await self.subscribe(message, 1)
        await self.settled()
        return self

    def says(self, to: Name, kind: MessageType, content: Any, **fields: Any) -> SessionMessage:
        """A message of ours; `fields` change it."""
        made = SessionMessage(self.name, to, P2P, kind, 5, 1, content)
        return made._replace(**fields)

    async def say(self, *messages: SessionMessage, token: str | None = None) -> None:
        for message in messages:
            await self.send(frame_bytes(self._codec.encode(message, token or self.token())))

    @property
    def heard_messages(self) -> list[SessionMessage]:
        parsed = [self._parser.parse(data) for data in self.received]
        return [self._codec.decode(record) for record in parsed if isinstance(record, Frame)]

    def of_kind(self, kind: MessageType) -> list[SessionMessage]:
        return [message for message in self.heard_messages if message.kind is kind]

    async def until(self, kind: MessageType, count: int = 1, timeout: float = 10.0) -> SessionMessage:
        """The latest message of that kind, once there are `count`."""
        async with asyncio.timeout(timeout):
            while len(found := self.of_kind(kind)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found[-1]

    async def join(self, to: Name, request: JoinRequest, session_id: int = 5) -> None:
        """Invite `to`, and welcome it when it has answered."""
        await self.say(self.says(to, MessageType.JOIN_REQUEST, request, session_id=session_id, message_id=11))
        reply = await self.until(MessageType.JOIN_REPLY)
        members = (self.name, reply.source)
        await self.say(
            self.says(
                reply.source,
                MessageType.GROUP_WELCOME,
                GroupWelcome(members),
                session_id=session_id,
                message_id=12,
            )
        )
        await self.until(MessageType.GROUP_ACK)


def _encoded(name: Name) -> bytes:
    frame = WireCodec().encode(
        SessionMessage(name, name, P2P, MessageType.PING, 1, 1, JoinRequest()), "nobody"
    )
    message: pb.Message = pb.Message.FromString(frame_bytes(frame))
    return message.publish.header.source.SerializeToString()
