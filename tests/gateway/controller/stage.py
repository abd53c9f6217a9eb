"""A controller on free ports, nodes that are only their end of the stream, and clients from the stubs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

import gateway
from gateway.controller.config import ControllerConfig
from gateway.controller.process import ControllerProcess
from gateway.proto import controller_pb2 as pb

STUBS = Path(gateway.__file__).parent / "stubs"
if str(STUBS) not in sys.path:
    sys.path.append(str(STUBS))

PATIENCE = 10.0
"""Seconds that anything in these tests may take."""


def config(transport: str = "fast", **more: Any) -> dict[str, Any]:
    """A configuration on free ports, with its state in memory; `more` is merged in, by section."""
    made: dict[str, Any] = {
        "northbound": {"httpPort": 0, "transport": transport},
        "southbound": {"httpPort": 0, "transport": transport},
        "database": {"filePath": ":memory:"},
    }
    for section, values in more.items():
        made.setdefault(section, {}).update(values)
    return made


@asynccontextmanager
async def controller(transport: str = "fast", **more: Any) -> AsyncIterator[ControllerProcess]:
    """A controller, started."""
    process = ControllerProcess(ControllerConfig.read(config(transport, **more), {}), strict=True)
    await process.start()
    try:
        yield process
    finally:
        await process.close()


@asynccontextmanager
async def client(address: str, **headers: str) -> AsyncIterator[Any]:
    """A northbound stub whose calls carry `headers` and a deadline."""
    from controlplane.v1 import controlplane_pb2_grpc

    async with grpc.aio.insecure_channel(address) as channel:
        yield _Patient(controlplane_pb2_grpc.ControlPlaneServiceStub(channel), tuple(headers.items()))


class _Patient:
    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub, self._metadata = stub, metadata

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)

        async def call(request: Any, timeout: float = PATIENCE) -> Any:
            return await method(request, timeout=timeout, metadata=self._metadata)

        return call


class FakeNode:
    """A node's end of the stream. It answers as it is told to, by default like a good one."""

    def __init__(self, address: str, id: str = "slim/0", *, ours: bool = True, **register: Any) -> None:
        self._address = address
        self.id = id
        self.register = pb.RegisterNodeRequest(node_id=id, **register)
        if ours:
            self.register.callboard_version = "0.1.0"
        if not self.register.connection_details:
            port = 46357 + len(id) * 100 + sum(map(ord, id)) % 100
            self.register.connection_details.add(endpoint=f"0.0.0.0:{port}")
        self.commands: asyncio.Queue[pb.ConfigurationCommand] = asyncio.Queue()
        self.orders: asyncio.Queue[pb.ControlMessage] = asyncio.Queue()
        self.others: asyncio.Queue[pb.ControlMessage] = asyncio.Queue()
        self.subscriptions: list[pb.SubscriptionEntry] = []
        self.connections: list[pb.ConnectionEntry] = []
        self.failures: dict[str, str] = {}
        """Connection ids, or names as texts, that it cannot do, and why."""
        self.silent = False
        """Whether it acknowledges nothing."""
        self.obedient = True
        """Whether it carries out orders at once."""
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.ended = asyncio.Event()
        self.channel: Any = None

    async def __aenter__(self) -> FakeNode:
        self.channel = grpc.aio.insecure_channel(self._address)
        self.call = self.channel.stream_stream(
            "/controller.proto.v1.ControllerService/OpenControlChannel",
            request_serializer=pb.ControlMessage.SerializeToString,
            response_deserializer=pb.ControlMessage.FromString,
        )(metadata=self.metadata)
        self._task = asyncio.create_task(self._reading())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.channel.close()

    async def registered(self) -> FakeNode:
        """Register, and wait until that is acknowledged and the names were asked for."""
        greeting = await self.other()
        assert greeting.ack.success
        await self.send(pb.ControlMessage(message_id="r1", register_node_request=self.register))
        answer = await self.other()
        assert answer.ack.original_message_id == "r1"
        assert answer.ack.success, answer
        async with asyncio.timeout(PATIENCE):
            await self.listed.wait()
        return self

    listed: asyncio.Event

    async def send(self, message: pb.ControlMessage) -> None:
        await self.call.write(message)

    async def other(self) -> pb.ControlMessage:
        """The next message that is no command, order or list request."""
        async with asyncio.timeout(PATIENCE):
            return await self.others.get()

    async def command(self) -> pb.ConfigurationCommand:
        async with asyncio.timeout(PATIENCE):
            return await self.commands.get()

    async def order(self) -> pb.ControlMessage:
        async with asyncio.timeout(PATIENCE):
            return await self.orders.get()

    async def report(self, *names: str, lost: bool = False) -> None:
        """Tell that local applications have (or lost) these names, `org/ns/app[/id]`."""
        command = pb.ConfigurationCommand()
        for name in names:
            parts = name.split("/")
            added = (command.subscriptions_to_delete if lost else command.subscriptions_to_set).add(
                component_0=parts[0], component_1=parts[1], component_2=parts[2], connection_id="n/a"
            )
            if len(parts) == 4:
                added.id.value = int(parts[3])
            if not lost:
                entry = pb.SubscriptionEntry(component_0=parts[0], component_1=parts[1], component_2=parts[2])
                entry.local_connections.add(id=1)
                if len(parts) == 4:
                    entry.id.value = int(parts[3])
                self.subscriptions.append(entry)
        await self.send(pb.ControlMessage(message_id="c", config_command=command))

    async def acknowledge(self, order: pb.ControlMessage, success: bool = True, text: str = "") -> None:
        await self.send(
            pb.ControlMessage(
                ack=pb.Ack(original_message_id=order.message_id, success=success, messages=[text])
            )
        )

    async def _reading(self) -> None:
        self.listed = asyncio.Event()
        try:
            while (message := await self.call.read()) is not grpc.aio.EOF:
                await self._handle(message)
        except grpc.RpcError:
            pass
        self.ended.set()

    async def _handle(self, message: pb.ControlMessage) -> None:
        kind = message.WhichOneof("payload")
        if kind == "config_command":
            self.commands.put_nowait(message.config_command)
            if not self.silent:
                await self._configured(message)
        elif kind == "subscription_list_request":
            for at in range(0, len(self.subscriptions) + 1, 100):
                piece = pb.SubscriptionListResponse(
                    original_message_id=message.message_id, entries=self.subscriptions[at : at + 100]
                )
                await self.send(pb.ControlMessage(subscription_list_response=piece))
            self.listed.set()
        elif kind == "connection_list_request":
            for at in range(0, len(self.connections), 100):
                piece = pb.ConnectionListResponse(
                    original_message_id=message.message_id, entries=self.connections[at : at + 100]
                )
                await self.send(pb.ControlMessage(connection_list_response=piece))
        elif kind in (
            "create_channel_request",
            "delete_channel_request",
            "add_participant_request",
            "delete_participant_request",
        ):
            self.orders.put_nowait(message)
            if self.obedient:
                await self.acknowledge(message)
        else:
            self.others.put_nowait(message)

    async def _configured(self, message: pb.ControlMessage) -> None:
        ack = pb.ConfigurationCommandAck(original_message_id=message.message_id)
        for one in message.config_command.connections_to_create:
            error = self.failures.get(one.connection_id, "")
            ack.connections_status.add(connection_id=one.connection_id, success=not error, errorMsg=error)
        for one in (
            *message.config_command.subscriptions_to_set,
            *message.config_command.subscriptions_to_delete,
        ):
            name = f"{one.component_0}/{one.component_1}/{one.component_2}"
            error = self.failures.get(name, self.failures.get(one.connection_id, ""))
            ack.subscriptions_status.add(subscription=one, success=not error, errorMsg=error)
        await self.send(pb.ControlMessage(config_command_ack=ack))
