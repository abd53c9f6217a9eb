"""The service towards nodes: `ControllerService.OpenControlChannel` (`controller.md` 4).

A stream greets, waits for the registration, and from then on turns what the node says into records for the
controller's actor, and the actor's records into messages for the node. What it keeps of its own are the lists
under way and which message ids belong to which orders.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from actors.alarm import SourceAlarms
from actors.messages.controller import (
    AddParticipant,
    Configure,
    Configured,
    CreateChannel,
    DeleteChannel,
    DeleteParticipant,
    Direction,
    GroupsTold,
    Held,
    ItemOutcome,
    ListChannels,
    ListParticipants,
    NamesListed,
    NamesTold,
    NamesWanted,
    NodeForgotten,
    NodeGone,
    NodeRegistered,
    Order,
    OrderDone,
    Superseded,
)
from gateway.api.version import get_version
from gateway.controller.access import AccessPolicy, Principal
from gateway.controller.calls import CallError, RpcCaller
from gateway.controller.desk import Desk
from gateway.controller.records import (
    config_endpoint,
    instance,
    read_details,
    read_group,
    read_order,
    read_outcomes,
    triple,
    write_configure,
    write_order,
)
from gateway.controller.rivals import Rivals
from gateway.http2.errors import GrpcStatus
from gateway.links.stream import Stream, StreamStatus
from gateway.proto import controller_pb2 as pb
from gateway.security.door import host_of
from gateway.surroundings import current
from identity.errors import AuthError
from identity.log import logger

PATH = "/controller.proto.v1.ControllerService/OpenControlChannel"
REGISTRATION = 15.0
"""Seconds in which a node has to register."""
LIST_TIME = 5.0
"""Seconds that a node has for a list."""
POLL = 5.0
"""Seconds after which an original is asked for its names again."""
QUIET = 0.5
"""Seconds without a further piece after which a list of an original counts as whole."""
IN_WORK = 256
"""Questions and orders of a node that are in work at a time."""
CHUNK = 100
"""Entries of one piece of a list."""
ENTRIES = 200_000
"""Entries of a list, and names of a node, at most."""
COMPLAINTS = 256
"""Nodes of which it is remembered why they were not taken."""
UNSENT = 16 * 1024 * 1024
"""Bytes that a node may leave unread before its stream is ended."""
_ORDER_NUMBER = re.compile("[0-9]{1,18}")


class Southbound:
    """The streams of all nodes."""

    def __init__(self, desk: Desk, admission: AccessPolicy, owners: dict[str, str]) -> None:
        """`owners` says which subject a node's id belongs to; ids that it leaves out go to who comes
        first."""
        self.desk = desk
        self._admission = admission
        self._owners = owners
        self.streams: dict[str, NodeStream] = {}
        """By node, registered ones."""
        self._alarms = SourceAlarms()
        self.complaints: dict[str, str] = {}
        """By node, what people were told last of why it is not taken."""
        self._rivals = Rivals()

    async def open(self, caller: RpcCaller) -> Callable[[Stream], None]:
        """Admit a node's stream. Raises AuthError or CallError."""
        try:
            principal = await self._admission.principal(caller)
        except AuthError as error:
            if self._alarms.is_due(caller.peer.rpartition(":")[0], current().clock()):
                logger.info(f"a node was refused{self._alarms.told()}", peer=caller.peer, cause=str(error))
            raise
        return lambda stream: NodeStream(self, stream, caller, principal).start()

    def not_taken(self, node: str, peer: str, cause: str) -> None:
        """A node did not get in as it asks. It asks on and on, and people are told once."""
        if self.complaints.pop(node, None) != cause:
            logger.warning("a node is not taken", node=node, peer=peer, cause=cause)
        self.complaints[node] = cause
        if len(self.complaints) > COMPLAINTS:
            del self.complaints[next(iter(self.complaints))]

    def took_place(self, node: str, former: str, peer: str) -> None:
        """A stream took the place of one that had it, from `former` to `peer`."""
        if self._rivals.took(node, current().clock()):
            logger.warning(
                "nodes of one id take the place of one another: give each its own id",
                node=node,
                peer=peer,
                cause=f"{former} had it before",
            )

    def has_too_many(self, node: str) -> None:
        """A node tells more names than it may have: people hear of it now and then."""
        if self._alarms.is_due(node, current().clock()):
            logger.warning(
                f"a node has too many names: the rest is ignored{self._alarms.told()}",
                node=node,
                limit=ENTRIES,
            )

    def owner_allows(self, node: str, subject: str) -> bool:
        """Whether `subject` may register as `node`."""
        return self._owners.get(node, subject) == subject

    async def refresh(self) -> None:
        """Ask all nodes for their names again: originals of 1.4 do not report every change."""
        await asyncio.gather(*(stream.ask_names() for stream in list(self.streams.values())))

    async def entries(self, node: str, what: str) -> list[Any]:
        """The entries of a list of a node: `subscription` or `connection`. Raises CallError."""
        stream = self.streams.get(node)
        if stream is None:
            raise CallError("UNAVAILABLE", f"{node} is not connected")
        return await stream.entries(what)


class NodeStream:
    """One stream, as its handler."""

    def __init__(self, hub: Southbound, stream: Stream, caller: RpcCaller, principal: Principal) -> None:
        self._hub = hub
        self._desk = hub.desk
        self._stream = stream
        self._caller = caller
        self._principal = principal
        self._inbox = hub.desk.system.inbox(lambda record, _: self._take(record))
        self._node = ""
        self._ours = False
        self._registered = False
        self._held_back: list[Any] = []
        """Records of the actor that came before the registration was acknowledged."""
        self._early: list[pb.ControlMessage] = []
        """Messages of the node that came before it."""
        self._numbers = itertools.count(1)
        self._lists: dict[str, _List] = {}
        self._commands: dict[str, Configure] = {}
        self._orders: dict[int, tuple[str, str]] = {}
        """Verb and channel of each order under way."""
        self._mute: set[str] = set()
        """Channels whose moderators do not report."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._names: set[Held] = set()
        self._since: dict[Held, bool] | None = None
        """While the names are asked for, what was reported since: the list may be older."""
        self._over = False
        self._timer = asyncio.get_running_loop().call_later(
            REGISTRATION, self._end, f"no registration within {REGISTRATION:g} s"
        )

    @property
    def peer(self) -> str:
        """Where it comes from."""
        return self._caller.peer

    def start(self) -> None:
        """Greet, and read."""
        self._stream.start(self, UNSENT // 4)
        self._send(pb.ControlMessage(ack=pb.Ack(success=True)))

    # What the stream tells (`gateway.links.stream.StreamHandler`)

    def stream_messages(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            if self._over:
                return
            try:
                message = pb.ControlMessage.FromString(data)
            except DecodeError:
                self._end("a message is not the protobuf of this protocol", StreamStatus.INTERNAL)
                return
            if self._registered:
                self._handle(message)
            elif self._node:
                if len(self._early) < CHUNK:
                    self._early.append(message)
            elif message.WhichOneof("payload") == "register_node_request":
                self._register(message)
            else:
                self._reply(message, False, "register first", GrpcStatus.FAILED_PRECONDITION)
                self._end("the first message was no registration")

    def stream_drained(self) -> None:
        """Nothing waits here."""

    def stream_closed(self, cause: str) -> None:
        self._over = True
        self._timer.cancel()
        for waiting in self._lists.values():
            waiting.fail(f"{self._node} was lost: {cause}")
        for task in self._tasks:
            task.cancel()
        if self._hub.streams.get(self._node) is self:
            del self._hub.streams[self._node]
        if self._registered:
            self._tell(NodeGone(self._node, self._inbox, cause))
            logger.info("a node is gone", node=self._node, cause=cause)
        self._desk.system.close_inbox(self._inbox)

    # Registration

    def _register(self, message: pb.ControlMessage) -> None:
        request = message.register_node_request
        group = request.group_name or ""
        self._node = f"{group}/{request.node_id}" if group else request.node_id
        self._ours = bool(request.callboard_version)
        self._spawn(self._registering(message))

    async def _registering(self, message: pb.ControlMessage) -> None:
        request = message.register_node_request
        addresses = tuple(read_details(one) for one in request.connection_details)
        group = request.group_name or next((one.group for one in addresses if one.group), "")
        subject = self._principal.subject
        former = self._hub.streams.get(self._node)
        try:
            if not request.node_id:
                raise CallError("INVALID_ARGUMENT", "node_id: required")
            if not self._hub.owner_allows(self._node, subject):
                raise CallError("PERMISSION_DENIED", f"{self._node} belongs to another identity")
            await self._desk.ask(
                NodeRegistered(
                    self._node,
                    addresses,
                    group,
                    self._inbox,
                    _in_endpoints(host_of(self._caller.peer)),
                    request.callboard_version,
                    request.backbone,
                    subject,
                    request.boot,
                )
            )
        except CallError as error:
            self._hub.not_taken(self._node, self._caller.peer, error.text)
            self._reply(message, False, error.text, GrpcStatus[error.status])
            self._end(error.text)
            return
        if self._over:
            return
        self._timer.cancel()
        self._hub.complaints.pop(self._node, None)
        if former is not None:
            self._hub.took_place(self._node, former.peer, self.peer)
        self._hub.streams[self._node] = self
        version = get_version() if self._ours else ""
        self._reply(message, True, f"Node registered {self._node}", version=version)
        self._registered = True
        logger.info("a node has registered", node=self._node, peer=self._caller.peer)
        held, self._held_back = self._held_back, []
        for record in held:
            self._take(record)
        early, self._early = self._early, []
        for one in early:
            self._handle(one)

    # From the node

    def _handle(self, message: pb.ControlMessage) -> None:
        match message.WhichOneof("payload"):
            case "config_command":
                self._names_told(message.config_command)
            case "config_command_ack":
                self._configured(message.config_command_ack)
            case "ack":
                self._acknowledged(message.ack)
            case "subscription_list_response":
                self._piece(message.subscription_list_response)
            case "connection_list_response":
                self._piece(message.connection_list_response)
            case "group_report":
                groups = tuple(read_group(one) for one in message.group_report.groups)
                self._tell(GroupsTold(self._node, groups))
            case "deregister_node_request":
                # The answer leaves before the stream ends, not on a stream that is gone.
                response = pb.DeregisterNodeResponse(original_message_id=message.message_id, success=True)
                self._send(pb.ControlMessage(deregister_node_response=response))
                self._desk.audit.line(
                    {
                        "who": self._principal.subject,
                        "from": self._caller.peer,
                        "what": "Deregister",
                        "node": self._node,
                    }
                )
                self._tell(NodeForgotten(self._node, self._inbox))
            case "register_node_request":
                self._reply(message, False, "registered already", GrpcStatus.ALREADY_EXISTS)
            case (
                "create_channel_request"
                | "delete_channel_request"
                | "add_participant_request"
                | "delete_participant_request"
                | "list_channel_request"
                | "list_participants_request"
            ):
                if len(self._tasks) < IN_WORK:
                    self._spawn(self._asked(message))
                else:
                    text = f"{IN_WORK} requests of this node are in work"
                    self._reply(message, False, text, GrpcStatus.RESOURCE_EXHAUSTED)
            case "subscription_list_request" | "connection_list_request":
                self._reply(message, False, "lists are of nodes", GrpcStatus.UNIMPLEMENTED)

    def _names_told(self, command: pb.ConfigurationCommand) -> None:
        gained = {Held(triple(one), instance(one)) for one in command.subscriptions_to_set}
        lost = {Held(triple(one), instance(one)) for one in command.subscriptions_to_delete}
        gained = {one for one in gained if all(one.name)}
        since = {} if self._since is None else self._since
        if len(self._names | gained) > ENTRIES or len(since.keys() | gained | lost) > 2 * ENTRIES:
            self._hub.has_too_many(self._node)
            return
        self._names = (self._names | gained) - lost
        since.update(dict.fromkeys(gained, True) | dict.fromkeys(lost, False))
        self._tell(NamesTold(self._node, tuple(gained), tuple(lost)))

    def _configured(self, ack: pb.ConfigurationCommandAck) -> None:
        command = self._commands.pop(ack.original_message_id, None)
        if command is None:
            return
        links, routes = read_outcomes(ack)
        # An original closes no connection for us, and answers nothing to it.
        closed = {str(one.item) for one in links}
        links += tuple(ItemOutcome(one) for one in command.closed if one not in closed)
        self._tell(Configured(self._node, command.command, links, routes))

    def _acknowledged(self, ack: pb.Ack) -> None:
        kind, _, number = ack.original_message_id.partition("-")
        if kind != "order" or _ORDER_NUMBER.fullmatch(number) is None:
            return
        text = "; ".join(ack.messages)[:512]
        if text == ack.original_message_id or text.isdigit():
            text = ""  # originals give an id here, no reason
        verb, channel = self._orders.pop(int(number), ("", ""))
        if not (ack.success or text or self._ours):
            # An original node gives no reason: the only one it knows is that nobody reported in time.
            # Moderators of 0.7 never do: one that did not for its creation is taken for such.
            if verb == "create":
                self._mute.add(channel)
            if verb in ("create", "delete") or channel in self._mute:
                text = "handed over; this moderator does not report"
                self._tell(OrderDone(self._node, int(number), "OK", text))
                return
        status = "OK" if ack.success else _status(ack.code) if ack.HasField("code") else "ABORTED"
        if not ack.success and not text:
            text = f"no report of the moderator at {self._node}"
        self._tell(OrderDone(self._node, int(number), status, text))

    async def _asked(self, message: pb.ControlMessage) -> None:
        """A node asks on its own behalf: as a program would."""
        try:
            match message.WhichOneof("payload"):
                case "list_channel_request":
                    channels = await self._desk.ask(ListChannels())
                    reply = pb.ListChannelsResponse(
                        original_message_id=message.message_id,
                        channel_name=[one.channel for one in channels if not one.read_only],
                    )
                    self._send(pb.ControlMessage(list_channel_response=reply))
                    return
                case "list_participants_request":
                    channel = message.list_participants_request.channel_name
                    who = await self._desk.ask(ListParticipants(channel))
                    self._send(
                        pb.ControlMessage(
                            list_participants_response=pb.ListParticipantsResponse(
                                original_message_id=message.message_id, participant_name=who
                            )
                        )
                    )
                    return
            order = read_order(0, message)
            question: Any
            match order.verb:
                case "create":
                    question = CreateChannel(order.moderators, order.channel)
                case "delete":
                    question = DeleteChannel(order.channel)
                case "add":
                    question = AddParticipant(order.channel, order.participant)
                case _:
                    question = DeleteParticipant(order.channel, order.participant)
            text = await self._desk.change(f"node {self._node}", self._caller.peer, question)
            self._reply(message, True, str(text or ""))
        except CallError as error:
            self._reply(message, False, error.text, GrpcStatus[error.status])

    # To the node

    def _take(self, record: Any) -> None:
        """A record of the actor."""
        if isinstance(record, Superseded):
            self._hub.streams.pop(self._node, None)
            self._registered = False
            self._end(record.cause)
            return
        if self._over:
            return
        if not self._registered:
            self._held_back.append(record)
            return
        match record:
            case Configure():
                id = f"config-{record.command}"
                # One is under way at a time; an older one is not awaited any more.
                self._commands = {id: record}
                command = write_configure(record)
                if not self._ours:
                    command.ClearField("connections_to_close")
                self._send(pb.ControlMessage(message_id=id, config_command=command))
            case Order():
                message = pb.ControlMessage(message_id=f"order-{record.order}")
                self._orders[record.order] = (record.verb, record.channel)
                write_order(record, message)
                self._send(message)
            case NamesWanted():
                self._spawn(self.ask_names() if self._ours else self._polling())

    async def _polling(self) -> None:
        """Ask for the names again and again: originals of 1.4 do not report every change."""
        while True:
            await self.ask_names()
            await asyncio.sleep(POLL)

    async def ask_names(self) -> None:
        """Have the node list its names, and tell the actor."""
        since: dict[Held, bool] = {}
        self._since = since
        try:
            entries = await self.entries("subscription")
        except CallError as error:
            logger.warning("a node does not tell its names", node=self._node, cause=error.text)
            return
        finally:
            if self._since is since:
                self._since = None
        own = [Held(triple(one), instance(one)) for one in entries if one.local_connections]
        self._names = {one for one in own if all(one.name)}
        self._names |= {one for one, there in since.items() if there}
        self._names -= {one for one, there in since.items() if not there}
        remote = [
            Direction(triple(one), instance(one), endpoint)
            for one in entries
            for connection in one.remote_connections
            if (endpoint := config_endpoint(connection.config_data))
        ]
        self._tell(NamesListed(self._node, tuple(self._names), tuple(remote)))

    async def entries(self, what: str) -> list[Any]:
        """All pieces of a list. Raises CallError."""
        id = f"list-{next(self._numbers)}"
        # Awaited before it is asked for: a quick answer must find somebody.
        waiting = self._lists[id] = _List(self._node)
        message = pb.ControlMessage(message_id=id)
        if what == "subscription":
            message.subscription_list_request.SetInParent()
        else:
            message.connection_list_request.SetInParent()
        try:
            self._send(message)
            async with asyncio.timeout(LIST_TIME):
                return await waiting.whole
        except TimeoutError:
            raise CallError(
                "DEADLINE_EXCEEDED", f"{self._node} did not answer within {LIST_TIME:g} s"
            ) from None
        finally:
            waiting.cancel()
            del self._lists[id]

    def _piece(self, response: pb.SubscriptionListResponse | pb.ConnectionListResponse) -> None:
        waiting = self._lists.get(response.original_message_id)
        if waiting is not None:
            waiting.add(response.entries, last=response.done)

    def _reply(
        self,
        message: pb.ControlMessage,
        success: bool,
        text: str,
        status: GrpcStatus = GrpcStatus.OK,
        *,
        version: str = "",
    ) -> None:
        ack = pb.Ack(original_message_id=message.message_id, success=success, messages=[text])
        ack.callboard_version = version
        if not success:
            ack.code = int(status)
        self._send(pb.ControlMessage(ack=ack))

    def _send(self, message: pb.ControlMessage) -> None:
        if self._over:
            return
        self._stream.send([message.SerializeToString()])
        if self._stream.unsent > UNSENT:
            self._stream.abort("the node reads nothing")

    def _end(self, cause: str, status: StreamStatus = StreamStatus.OK) -> None:
        self._timer.cancel()
        if not self._over:
            self._over = True
            self._stream.close(status, cause)

    def _tell(self, record: Any) -> None:
        self._desk.system.tell(self._desk.controller, record)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _List:
    """A list under way, piece by piece."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._entries: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self.whole: asyncio.Future[list[Any]] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entries: Sequence[Any], *, last: bool) -> None:
        """One piece. Originals do not say which is the last: it is not full, or nothing follows."""
        self._entries.extend(entries)
        self.cancel()
        if len(self._entries) > ENTRIES:
            self.fail(f"the list of {self._node} has more than {ENTRIES} entries")
        elif last or len(entries) < CHUNK:
            self._finish()
        else:
            self._timer = self._loop.call_later(QUIET, self._finish)

    def fail(self, text: str) -> None:
        """There will be no list."""
        if not self.whole.done():
            self.whole.set_exception(CallError("UNAVAILABLE", text))

    def cancel(self) -> None:
        """Await no further piece."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self) -> None:
        if not self.whole.done():
            self.whole.set_result(self._entries)


def _status(code: int) -> str:
    """The name of a gRPC status that a node gave."""
    return GrpcStatus(code).name if 0 < code <= max(GrpcStatus) else "UNKNOWN"


def _in_endpoints(host: str) -> str:
    """A host as it stands in an endpoint: an address of version 6 in brackets."""
    return f"[{host}]" if ":" in host else host
