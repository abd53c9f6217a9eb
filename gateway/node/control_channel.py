"""One stream between this node and a controller, or a tool (`controller.md` 4): messages in, messages out.

What a message asks for is done by the node's `Command`s; here it is put into records and back, each request
as a task of its own. Requests in work are bounded: above that the other end is not read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.message import DecodeError

from actors.messages.controller import (
    Configure,
    GroupSeen,
    Held,
    ItemOutcome,
    NamesTold,
    Order,
    OrderDone,
)
from actors.messages.routing import RouteEntry
from actors.names import Name
from gateway.controller.records import (
    read_configure,
    read_order,
    write_group,
    write_name,
    write_outcomes,
)
from gateway.http2.errors import GrpcStatus
from gateway.links.stream import Stream, StreamStatus
from gateway.proto import controller_pb2 as pb
from identity.log import logger

T = TypeVar("T")

ORDERS = (
    "create_channel_request",
    "delete_channel_request",
    "add_participant_request",
    "delete_participant_request",
)
CHUNK = 100
"""Entries of one piece of a list."""
REPORT = 500
"""Names of one report."""
REGISTRATION = 15.0
"""Seconds in which a controller has to answer a registration."""
IN_WORK = 1024
"""Requests of one stream in work: above that it is not read."""
UNSENT = 16 * 1024 * 1024
"""Bytes that the other end may leave unread before its stream is ended."""


class ControlledPart(Protocol):
    """The node, as its controllers see it."""

    async def configure(self, command: Configure) -> tuple[Sequence[ItemOutcome], Sequence[ItemOutcome]]:
        """Open and close connections, set and withdraw routes: what became of each."""

    async def order(self, order: Order) -> OrderDone:
        """Have a moderator of ours do something."""

    async def table(self) -> Sequence[RouteEntry]:
        """Every name, and where it leads."""

    def connections(self) -> Sequence[tuple[int, bool, str]]:
        """Every connection: its index, whether it is an edge, and the endpoint that we dialled."""

    def follow(self, inbox: Callable[[NamesTold], None]) -> Callable[[], None]:
        """Tell `inbox` our own names and what changes; until what is returned is called."""

    def follow_groups(self, inbox: Callable[[Sequence[GroupSeen]], None]) -> Callable[[], None]:
        """Tell `inbox` which groups applications lead by themselves, at once and when that changes."""


class ControlChannel:
    """A tool's stream, which came to the node's own controller server: it need not register."""

    def __init__(self, node: ControlledPart, stream: Stream, closed: Callable[[str], None]) -> None:
        self._node = node
        self._stream = stream
        self._closed = closed
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._over = False
        self._ending = False

    def start(self) -> None:
        """Read, and answer."""
        self._stream.start(self, UNSENT // 4, self._ended)

    def end(self, cause: str) -> None:
        """Close the stream."""
        if not self._over:
            self._stream.close(StreamStatus.OK, cause)

    # What the stream tells (`gateway.links.stream.StreamHandler`)

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            if self._over:
                return
            try:
                message = pb.ControlMessage.FromString(data)
            except DecodeError:
                self._stream.close(StreamStatus.INTERNAL, "a message is not the protobuf of this protocol")
                return
            self._handle(message)
        if len(self._tasks) >= IN_WORK:
            self._stream.pause_reading()

    def stream_drained(self) -> None:
        """Nothing waits here."""

    def stream_closed(self, cause: str) -> None:
        self._over = True
        for task in self._tasks:
            task.cancel()
        self._closed(cause)

    def _ended(self) -> None:
        """The other end will ask nothing more: once everything is answered the stream ends."""
        self._ending = True
        if not self._tasks:
            self.end("everything is answered")

    # Requests

    def _handle(self, message: pb.ControlMessage) -> None:
        kind = message.WhichOneof("payload")
        if kind == "config_command":
            self._spawn(self._configure(message))
        elif kind == "subscription_list_request":
            self._spawn(self._list_subscriptions(message.message_id))
        elif kind == "connection_list_request":
            self._list_connections(message.message_id)
        elif kind in ORDERS:
            self._spawn(self._order(message))
        elif kind in ("ack", "config_command_ack", "register_node_response", "deregister_node_response"):
            self._answered(message)
        else:
            self._acknowledge(message.message_id, "UNIMPLEMENTED", f"a node does not answer {kind}")

    def _answered(self, message: pb.ControlMessage) -> None:
        """Something that was said to us, not asked: nobody waits for it here."""

    async def _configure(self, message: pb.ControlMessage) -> None:
        links, routes = await self._node.configure(read_configure(0, message.config_command))
        self._send(pb.ControlMessage(config_command_ack=write_outcomes(message.message_id, links, routes)))

    async def _order(self, message: pb.ControlMessage) -> None:
        done = await self._node.order(read_order(0, message))
        if done.status != "OK":
            logger.info("an order of a controller failed", status=done.status, cause=done.text)
        self._acknowledge(message.message_id, done.status, done.text)

    def _acknowledge(self, original: str, status: str, text: str) -> None:
        ack = pb.Ack(original_message_id=original, success=status == "OK", messages=[text] if text else [])
        if status != "OK":
            ack.code = int(GrpcStatus[status])
        self._send(pb.ControlMessage(ack=ack))

    async def _list_subscriptions(self, original: str) -> None:
        places: dict[Name, list[RouteEntry]] = {}
        for entry in await self._node.table():
            places.setdefault(entry.name, []).append(entry)
        endpoints = {index: endpoint for index, _, endpoint in self._node.connections()}
        entries = []
        for name, found in places.items():
            made = pb.SubscriptionEntry(
                component_0=name.strings[0], component_1=name.strings[1], component_2=name.strings[2]
            )
            if name.has_id:
                made.id.value = name.id
            for one in found:
                kind = made.local_connections if one.local else made.remote_connections
                kind.append(_connection(one.connection, one.local, endpoints.get(one.connection, "")))
            entries.append(made)
        for piece, last in _pieces(entries):
            response = pb.SubscriptionListResponse(original_message_id=original, entries=piece, done=last)
            self._send(pb.ControlMessage(subscription_list_response=response))

    def _list_connections(self, original: str) -> None:
        for piece, last in _pieces([_connection(*one) for one in self._node.connections()]):
            response = pb.ConnectionListResponse(original_message_id=original, entries=piece, done=last)
            self._send(pb.ControlMessage(connection_list_response=response))

    # Private

    def _send(self, message: pb.ControlMessage) -> None:
        if self._over:
            return
        self._numbers += 1
        message.message_id = f"node-{self._numbers}"
        self._stream.send([message.SerializeToString()])
        if self._stream.unsent > UNSENT:
            self._stream.abort("the controller reads nothing")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a controller's request failed", cause=type(task.exception()).__name__)
        if self._over:
            return
        if len(self._tasks) < IN_WORK:
            self._stream.resume_reading()
        if self._ending and not self._tasks:
            self.end("everything is answered")


class RegisteredChannel(ControlChannel):
    """The stream to a controller, that we dialled: the node registers, and reports its names."""

    def __init__(
        self,
        node: ControlledPart,
        stream: Stream,
        closed: Callable[[str], None],
        registration: pb.RegisterNodeRequest,
    ) -> None:
        super().__init__(node, stream, closed)
        self._registration = registration
        self._id: str | None = None
        """Of the registration, once it is sent: a controller greets with an ack of no message before."""
        self.registered = False
        """Whether the controller has taken the registration."""
        self.refused = ""
        """Why it has not."""
        self._unfollow: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Register: the first thing that a node says."""
        self._stream.start(self, UNSENT // 4)
        self._send(pb.ControlMessage(register_node_request=self._registration))
        self._id = f"node-{self._numbers}"
        self._timer = asyncio.get_running_loop().call_later(
            REGISTRATION, self._stream.abort, f"the registration was not answered within {REGISTRATION:g} s"
        )

    def stream_closed(self, cause: str) -> None:
        for unfollow in self._unfollow:
            unfollow()
        if self._timer is not None:
            self._timer.cancel()
        super().stream_closed(cause)

    def _answered(self, message: pb.ControlMessage) -> None:
        answer: pb.Ack | pb.RegisterNodeResponse
        kind = message.WhichOneof("payload")
        if kind == "ack":
            answer, text = message.ack, "; ".join(message.ack.messages)
        elif kind == "register_node_response":
            answer, text = message.register_node_response, ""
        else:
            return
        if answer.original_message_id != self._id or self.registered:
            return
        if self._timer is not None:
            self._timer.cancel()
        if answer.success:
            self.registered = True
            self._unfollow.append(self._node.follow(self._report))
            if message.ack.callboard_version:
                # To originals it would be a message without a payload.
                self._unfollow.append(self._node.follow_groups(self._report_groups))
        else:
            self.refused = text or "the controller gave no reason"
            self.end(self.refused)

    def _report(self, told: NamesTold) -> None:
        for some in _slices(told.gained, REPORT):
            command = pb.ConfigurationCommand(subscriptions_to_set=_names(some))
            self._send(pb.ControlMessage(config_command=command))
        for some in _slices(told.lost, REPORT):
            command = pb.ConfigurationCommand(subscriptions_to_delete=_names(some))
            self._send(pb.ControlMessage(config_command=command))

    def _report_groups(self, groups: Sequence[GroupSeen]) -> None:
        self._send(pb.ControlMessage(group_report=pb.GroupReport(groups=map(write_group, groups))))


def _slices(all: Sequence[T], size: int) -> list[Sequence[T]]:
    return [all[at : at + size] for at in range(0, len(all), size)]


def _names(held: Iterable[Held]) -> list[pb.Subscription]:
    return [write_name(one) for one in held]


def _connection(index: int, edge: bool, endpoint: str) -> pb.ConnectionEntry:
    """A connection. Of its configuration only the endpoint is told: the rest may hold secrets."""
    kind = pb.CONNECTION_TYPE_LOCAL if edge else pb.CONNECTION_TYPE_REMOTE
    config = json.dumps({"endpoint": endpoint}) if endpoint else "{}"
    return pb.ConnectionEntry(id=index, connection_type=kind, config_data=config)


def _pieces(entries: Sequence[T]) -> list[tuple[Sequence[T], bool]]:
    """The pieces of a list, and whether each is the last: an empty list is one empty piece."""
    pieces = _slices(entries, CHUNK) or [()]
    return [(piece, at == len(pieces) - 1) for at, piece in enumerate(pieces)]
