"""A proxy between applications and a node that records, drops, delays and repeats single messages.

    async with Proxy(node.endpoint, drop_first(TO_NODE, pb.SESSION_MESSAGE_TYPE_MSG, 3)) as proxy:
        async with OriginalApp("alice", proxy.endpoint) as alice: ...

Each downstream call of `OpenChannel` becomes one upstream call. Messages are passed on as the bytes that
came; a rule sees each one decoded and says what happens to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from enum import Enum
from types import TracebackType
from typing import NamedTuple, Self

import grpc
from grpc import aio

from gateway.proto import dataplane_pb2 as pb

SERVICE = "dataplane.proto.v1.DataPlaneService"
METHOD = f"/{SERVICE}/OpenChannel"
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Direction(Enum):
    """Which way a message goes."""

    TO_NODE = "to node"
    TO_APP = "to app"


TO_NODE, TO_APP = Direction.TO_NODE, Direction.TO_APP


class Passed(NamedTuple):
    """One message on its way: the number of its connection (from 0, in order of arrival) and what it is."""

    connection: int
    direction: Direction
    data: bytes
    message: pb.Message

    @property
    def kind(self) -> int:
        """The session message type (0 for what is not a Publish)."""
        return self.message.publish.session.session_message_type

    @property
    def id(self) -> int:
        """The message id of the session header."""
        return self.message.publish.session.message_id


class Fate(NamedTuple):
    """What happens to a message: how many copies go on, after how many seconds.

    A delayed message is overtaken by those behind it.
    """

    copies: int = 1
    delay: float = 0.0


PASS, DROP, TWICE = Fate(), Fate(copies=0), Fate(copies=2)
Rule = Callable[[Passed], Fate]


class Proxy:
    """A node's stand-in on a loopback port of its own. `recorded` holds every message with its fate."""

    def __init__(self, upstream: str, rule: Rule = lambda passed: PASS) -> None:
        self.rule = rule
        self.recorded: list[tuple[Passed, Fate]] = []
        self.port = 0
        self._upstream = upstream.removeprefix("http://")
        self._server: aio.Server | None = None
        self._connections = 0

    @property
    def endpoint(self) -> str:
        """What applications connect to."""
        return f"http://127.0.0.1:{self.port}"

    def count(self, direction: Direction, *kinds: int, dropped: bool = False) -> int:
        """How many messages of these session message types came by (or were dropped)."""
        return sum(
            passed.direction is direction and passed.kind in kinds and (fate.copies == 0 or not dropped)
            for passed, fate in self.recorded
        )

    async def __aenter__(self) -> Self:
        self._server = aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._open_channel)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"OpenChannel": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Cut all connections and accept no more."""
        assert self._server is not None
        await self._server.stop(None)

    async def _open_channel(
        self, below: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        number, self._connections = self._connections, self._connections + 1
        await context.send_initial_metadata(())
        async with aio.insecure_channel(self._upstream, options=OPTIONS) as channel:
            above = channel.stream_stream(METHOD)()
            # The two ways of a call may end independently; the first to end takes the call with it.
            ways = [
                asyncio.create_task(self._carry(number, TO_NODE, below, above.write)),
                asyncio.create_task(self._carry(number, TO_APP, above, context.write)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                above.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self,
        number: int,
        direction: Direction,
        source: AsyncIterator[bytes],
        write: Callable[[bytes], object],
    ) -> None:
        # gRPC allows one write at a time on a stream, and delayed messages come in between.
        writing, late = asyncio.Lock(), set[asyncio.Task[None]]()

        async def deliver(data: bytes, fate: Fate) -> None:
            await asyncio.sleep(fate.delay)
            async with writing:
                for _ in range(fate.copies):
                    await write(data)  # type: ignore[misc]

        with contextlib.suppress(aio.AioRpcError):
            try:
                async for data in source:
                    passed = Passed(number, direction, data, pb.Message.FromString(data))
                    fate = self.rule(passed)
                    self.recorded.append((passed, fate))
                    if fate.delay:
                        late.add(task := asyncio.create_task(deliver(data, fate)))
                        task.add_done_callback(late.discard)
                    elif fate.copies:
                        await deliver(data, fate)
            finally:
                for task in late:
                    task.cancel()


# Rules


def drop_first(direction: Direction, kind: int, count: int, *, fate: Fate = DROP) -> Rule:
    """The first `count` messages of one session message type get `fate`."""
    left = count

    def rule(passed: Passed) -> Fate:
        nonlocal left
        if left and passed.direction is direction and passed.kind == kind:
            left -= 1
            return fate
        return PASS

    return rule


def once_each(direction: Direction, kind: int, ids: set[int], *, fate: Fate = DROP) -> Rule:
    """The first message with each of these message ids gets `fate`; its repetitions pass."""
    left = set(ids)

    def rule(passed: Passed) -> Fate:
        if passed.direction is direction and passed.kind == kind and passed.id in left:
            left.discard(passed.id)
            return fate
        return PASS

    return rule


def every(direction: Direction, kind: int, nth: int, *, fate: Fate = DROP) -> Rule:
    """Every `nth` message of one session message type gets `fate`, repetitions included."""
    seen = 0

    def rule(passed: Passed) -> Fate:
        nonlocal seen
        if passed.direction is direction and passed.kind == kind:
            seen += 1
            return fate if seen % nth == 0 else PASS
        return PASS

    return rule


def in_turn(*rules: Rule) -> Rule:
    """The first rule that does not let a message pass decides; the rules behind it do not see it."""

    def rule(passed: Passed) -> Fate:
        return next((fate for each in rules if (fate := each(passed)) != PASS), PASS)

    return rule
