"""The service towards programs: `ControlPlaneService` (`controller.md` 2.1, 2.4).

A method reads its request, asks the controller's actor, and writes the reply. Names of fields in refusals are
those of the request.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from actors.controller.names import shown
from actors.messages.controller import (
    AddParticipant,
    AddRoute,
    CreateChannel,
    CreateConnection,
    CreateSubscription,
    DeleteChannel,
    DeleteParticipant,
    DeleteRoute,
    DeleteSubscription,
    DeregisterNode,
    DrawnLink,
    ListChannels,
    ListNodes,
    ListParticipants,
    ListRoutes,
)
from actors.record import record
from gateway.controller.access import AccessPolicy, AccessRole
from gateway.controller.calls import CallError, RpcCaller, Unary
from gateway.controller.desk import Desk
from gateway.controller.records import instance, read_direction, triple, write_details
from gateway.controller.southbound import Southbound
from gateway.proto import controller_pb2 as pb
from gateway.proto import controlplane_pb2 as cp
from identity.errors import AuthError

SERVICE = "/controlplane.proto.v1.ControlPlaneService/"
SECRETS = ("password", "token", "secret", "key", "data", "headers", "authorization", "credentials")
"""Keys of a client configuration whose values are shown to nobody."""

_READER, _OPERATOR, _ADMIN = AccessRole.READER, AccessRole.OPERATOR, AccessRole.ADMIN


@record
class _Call(NamedTuple):
    """One call under way."""

    caller: RpcCaller
    subject: str
    desk: Desk

    async def change(self, question: Any) -> Any:
        """Ask for a change."""
        return await self.desk.change(self.subject, self.caller.peer, question, self.caller.remaining)

    async def ask(self, question: Any) -> Any:
        """Ask for what is known."""
        return await self.desk.ask(question, self.caller.remaining)


_Handler = Callable[[Any, _Call], Awaitable[Message]]


class Northbound:
    """The methods, by path."""

    def __init__(self, desk: Desk, southbound: Southbound, admission: AccessPolicy) -> None:
        self._desk = desk
        self._southbound = southbound
        self._admission = admission

    def methods(self) -> dict[str, Unary]:
        """What a listener is to serve."""
        return {SERVICE + name: self._method(name, *parts) for name, parts in self._table().items()}

    def _table(
        self,
    ) -> dict[str, tuple[AccessRole, type[Message], Callable[[Any, _Call], Awaitable[Message]]]]:
        return {
            "AddRoute": (_OPERATOR, cp.AddRouteRequest, self._add_route),
            "DeleteRoute": (_OPERATOR, cp.DeleteRouteRequest, self._delete_route),
            "ListSubscriptions": (_READER, cp.Node, self._list_subscriptions),
            "ListConnections": (_READER, cp.Node, self._list_connections),
            "ListNodes": (_READER, cp.NodeListRequest, self._list_nodes),
            "ListRoutes": (_READER, cp.RouteListRequest, self._list_routes),
            "CreateChannel": (_OPERATOR, cp.CreateChannelRequest, self._create_channel),
            "DeleteChannel": (_OPERATOR, pb.DeleteChannelRequest, self._delete_channel),
            "AddParticipant": (_OPERATOR, pb.AddParticipantRequest, self._add_participant),
            "DeleteParticipant": (_OPERATOR, pb.DeleteParticipantRequest, self._delete_participant),
            "ListChannels": (_READER, pb.ListChannelsRequest, self._list_channels),
            "ListParticipants": (_READER, pb.ListParticipantsRequest, self._list_participants),
            "CreateConnection": (_ADMIN, cp.CreateConnectionRequest, self._create_connection),
            "CreateSubscription": (_OPERATOR, cp.CreateSubscriptionRequest, self._create_subscription),
            "DeleteSubscription": (_OPERATOR, cp.DeleteSubscriptionRequest, self._delete_subscription),
            "DeregisterNode": (_ADMIN, cp.Node, self._deregister_node),
        }

    def _method(
        self,
        name: str,
        role: AccessRole,
        kind: type[Message],
        method: _Handler,
    ) -> Unary:
        async def call(data: bytes, caller: RpcCaller) -> bytes:
            try:
                principal = await self._admission.principal(caller)
                if principal.role < role:
                    raise CallError(
                        "PERMISSION_DENIED",
                        f"{name} needs the role {role.name.lower()}; {principal.subject} is "
                        f"{principal.role.name.lower()}",
                    )
            except (AuthError, CallError) as error:
                self._desk.audit.line(
                    {"who": "refused", "from": caller.peer, "what": name, "result": str(error)}
                )
                raise
            try:
                request = kind.FromString(data)
            except DecodeError:
                raise CallError("INVALID_ARGUMENT", f"this is no {kind.__name__}") from None
            reply = await method(request, _Call(caller, principal.subject, self._desk))
            return reply.SerializeToString()

        return call

    # Routes

    async def _add_route(self, request: cp.AddRouteRequest, call: _Call) -> Message:
        _required(request, "subscription")
        connection = None
        if request.HasField("connection"):
            connection = DrawnLink(request.connection.connection_id, request.connection.config_data)
        subscription = request.subscription
        id = await call.change(
            AddRoute(
                request.nodeId,
                triple(subscription),
                instance(subscription),
                request.destNodeId,
                connection,
            )
        )
        return cp.AddRouteResponse(success=True, routeId=id)

    async def _delete_route(self, request: cp.DeleteRouteRequest, call: _Call) -> Message:
        _required(request, "subscription")
        subscription = request.subscription
        await call.change(
            DeleteRoute(
                request.nodeId,
                triple(subscription),
                instance(subscription),
                request.destNodeId,
                subscription.connection_id,
            )
        )
        return cp.DeleteRouteResponse(success=True)

    async def _list_routes(self, request: cp.RouteListRequest, call: _Call) -> Message:
        routes = await call.ask(ListRoutes(request.srcNodeId, request.destNodeId))
        return cp.RouteListResponse(
            routes=[one.id for one in routes if one.name],
            entries=[
                cp.RouteEntry(
                    id=one.id,
                    source=one.source,
                    dest=one.destination,
                    endpoint=one.endpoint,
                    name=one.name,
                    status=one.status,
                    reason=one.reason,
                    attempts=one.attempts,
                    automatic=one.automatic,
                )
                for one in routes
            ],
        )

    async def _create_connection(self, request: cp.CreateConnectionRequest, call: _Call) -> Message:
        _required(request, "connection")
        connection = DrawnLink(request.connection.connection_id, request.connection.config_data)
        await call.change(CreateConnection(request.node_id, connection))
        return cp.CreateConnectionResponse(success=True, connection_id=connection.connection_id)

    async def _create_subscription(self, request: cp.CreateSubscriptionRequest, call: _Call) -> Message:
        _required(request, "subscription")
        route = read_direction(request.subscription)
        await call.change(CreateSubscription(request.node_id, route))
        id = f"{shown(route.name, route.id)}@{route.connection_id}"
        return cp.CreateSubscriptionResponse(success=True, subscription_id=id)

    async def _delete_subscription(self, request: cp.DeleteSubscriptionRequest, call: _Call) -> Message:
        await call.change(DeleteSubscription(request.node_id, request.subscription_id))
        return cp.DeleteSubscriptionResponse(success=True)

    # Nodes

    async def _list_nodes(self, _: cp.NodeListRequest, call: _Call) -> Message:
        return cp.NodeListResponse(
            entries=[
                cp.NodeEntry(
                    id=one.id,
                    connections=[write_details(address) for address in one.addresses],
                    status=cp.NODE_STATUS_CONNECTED if one.connected else cp.NODE_STATUS_NOT_CONNECTED,
                    detail=one.detail,
                )
                for one in await call.ask(ListNodes())
            ]
        )

    async def _deregister_node(self, request: cp.Node, call: _Call) -> Message:
        await call.change(DeregisterNode(request.id))
        return cp.DeregisterNodeResponse(success=True)

    async def _list_subscriptions(self, request: cp.Node, call: _Call) -> Message:
        entries = await self._entries(request.id, "subscription", call)
        for entry in entries:
            for connection in (*entry.local_connections, *entry.remote_connections):
                connection.config_data = without_secrets(connection.config_data)
        return pb.SubscriptionListResponse(entries=entries, done=True)

    async def _list_connections(self, request: cp.Node, call: _Call) -> Message:
        entries = await self._entries(request.id, "connection", call)
        for entry in entries:
            entry.config_data = without_secrets(entry.config_data)
        return pb.ConnectionListResponse(entries=entries, done=True)

    async def _entries(self, node: str, what: str, call: _Call) -> list[Any]:
        known = {one.id for one in await call.ask(ListNodes())}
        if node not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise CallError("NOT_FOUND", f"there is no node {node!r}; known: {listed}")
        return await self._southbound.entries(node, what)

    # Channels

    async def _order(self, question: Any, call: _Call) -> Any:
        """A change of a channel; where nobody is known to be its moderator, the nodes are asked once more."""
        try:
            return await call.change(question)
        except CallError as error:
            if error.status != "UNAVAILABLE" or "no connected node" not in error.text:
                raise
        await self._southbound.refresh()
        return await call.change(question)

    async def _create_channel(self, request: cp.CreateChannelRequest, call: _Call) -> Message:
        name = await self._order(CreateChannel(tuple(request.moderators), request.channel_name), call)
        return cp.CreateChannelResponse(channel_name=name, channel_id=name)

    async def _delete_channel(self, request: pb.DeleteChannelRequest, call: _Call) -> Message:
        return _ack(await self._order(DeleteChannel(request.channel_name), call))

    async def _add_participant(self, request: pb.AddParticipantRequest, call: _Call) -> Message:
        return _ack(await self._order(AddParticipant(request.channel_name, request.participant_name), call))

    async def _delete_participant(self, request: pb.DeleteParticipantRequest, call: _Call) -> Message:
        return _ack(
            await self._order(DeleteParticipant(request.channel_name, request.participant_name), call)
        )

    async def _list_channels(self, _: pb.ListChannelsRequest, call: _Call) -> Message:
        channels = await call.ask(ListChannels())
        return pb.ListChannelsResponse(
            channel_name=[one.channel for one in channels if not one.read_only],
            groups=[
                pb.Group(
                    channel_name=one.channel,
                    moderators=one.moderators,
                    members=one.members,
                    epoch=one.epoch,
                    read_only=one.read_only,
                    node_id=one.node,
                )
                for one in channels
            ],
        )

    async def _list_participants(self, request: pb.ListParticipantsRequest, call: _Call) -> Message:
        return pb.ListParticipantsResponse(
            participant_name=await call.ask(ListParticipants(request.channel_name))
        )


def _required(request: Message, field: str) -> None:
    if not request.HasField(field):
        raise CallError("INVALID_ARGUMENT", f"{field}: required")


def _ack(text: Any) -> pb.Ack:
    return pb.Ack(success=True, messages=[str(text)] if text else [])


def without_secrets(config: str) -> str:
    """A client configuration's JSON with what may be a secret left out; `{}` for what is no JSON."""
    try:
        return json.dumps(_cleaned(json.loads(config))) if config else config
    except (ValueError, RecursionError):
        return "{}"


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "***" if key in SECRETS and one else _cleaned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    return value
