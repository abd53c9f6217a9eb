"""Control messages and the records of `actors/messages/controller.py`, both ways (`controller.md` 2.2).

Nothing here decides: what a message says becomes a record, whoever sent it, and the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from actors.messages.controller import (
    Configure,
    Direction,
    DrawnLink,
    GroupSeen,
    Held,
    ItemOutcome,
    NodeAddress,
    Order,
    Triple,
)
from gateway.proto import controller_pb2 as pb

OWN = "n/a"
"""The connection id with which a node reports a name of its own applications."""


def read_details(details: pb.ConnectionDetails) -> NodeAddress:
    """A node's listener, as 0.7 or as 1.4 tells it (`controller.md` 10)."""
    third = bytes(details.local_endpoint)
    metadata = _struct(third)
    if metadata is not None:
        return NodeAddress(
            details.endpoint,
            details.mtls_required,
            _text(metadata, "local_endpoint"),
            _text(metadata, "external_endpoint"),
            _text(metadata, "group_name"),
        )
    texts = [
        bytes(one).decode(errors="replace") for one in (third, details.external_endpoint, details.group_name)
    ]
    return NodeAddress(details.endpoint, details.mtls_required, *texts)


def write_details(address: NodeAddress) -> pb.ConnectionDetails:
    """The 0.7 form."""
    made = pb.ConnectionDetails(endpoint=address.endpoint, mtls_required=address.tls)
    if address.local:
        made.local_endpoint = address.local.encode()
    if address.external:
        made.external_endpoint = address.external.encode()
    if address.group:
        made.group_name = address.group.encode()
    return made


def _struct(data: bytes) -> Struct | None:
    # A host never begins with the tag of a Struct's field, which is a line feed.
    if not data.startswith(b"\n"):
        return None
    try:
        return Struct.FromString(data)
    except DecodeError:
        return None


def _text(metadata: Struct, key: str) -> str:
    value = metadata.fields.get(key)
    return value.string_value if value is not None else ""


def triple(message: pb.Subscription | pb.SubscriptionEntry) -> Triple:
    """The three components, as they came."""
    return (message.component_0, message.component_1, message.component_2)


def instance(message: pb.Subscription | pb.SubscriptionEntry) -> int | None:
    """The instance id, None when it is unset."""
    return message.id.value if message.HasField("id") else None


def read_direction(subscription: pb.Subscription) -> Direction:
    """A route."""
    return Direction(triple(subscription), instance(subscription), subscription.connection_id)


def write_direction(direction: Direction) -> pb.Subscription:
    """The same for the wire."""
    made = write_name(Held(direction.name, direction.id))
    made.connection_id = direction.connection_id
    return made


def write_name(held: Held) -> pb.Subscription:
    """A name of a node's own applications."""
    made = pb.Subscription(
        component_0=held.name[0], component_1=held.name[1], component_2=held.name[2], connection_id=OWN
    )
    if held.id is not None:
        made.id.value = held.id
    return made


def write_configure(message: Configure) -> pb.ConfigurationCommand:
    """What a node is to do."""
    return pb.ConfigurationCommand(
        connections_to_create=[
            pb.Connection(connection_id=one.connection_id, config_data=one.config) for one in message.links
        ],
        subscriptions_to_set=[write_direction(one) for one in message.routes],
        subscriptions_to_delete=[write_direction(one) for one in message.withdrawn],
        connections_to_close=message.closed,
    )


def read_configure(command: int, message: pb.ConfigurationCommand) -> Configure:
    """The same at the node."""
    return Configure(
        command,
        tuple(DrawnLink(one.connection_id, one.config_data) for one in message.connections_to_create),
        tuple(read_direction(one) for one in message.subscriptions_to_set),
        tuple(read_direction(one) for one in message.subscriptions_to_delete),
        tuple(message.connections_to_close),
    )


def read_outcomes(
    message: pb.ConfigurationCommandAck,
) -> tuple[tuple[ItemOutcome, ...], tuple[ItemOutcome, ...]]:
    """What became of links and of routes. A failure without a reason gets one."""
    links = tuple(
        ItemOutcome(one.connection_id, _error(one.success, one.errorMsg))
        for one in message.connections_status
    )
    routes = tuple(
        ItemOutcome(read_direction(one.subscription), _error(one.success, one.errorMsg))
        for one in message.subscriptions_status
    )
    return links, routes


def write_outcomes(
    original: str, links: Iterable[ItemOutcome], routes: Iterable[ItemOutcome]
) -> pb.ConfigurationCommandAck:
    """The same at the node."""
    made = pb.ConfigurationCommandAck(original_message_id=original)
    for one in links:
        made.connections_status.add(connection_id=str(one.item), success=not one.error, errorMsg=one.error)
    for one in routes:
        assert isinstance(one.item, Direction)
        made.subscriptions_status.add(
            subscription=write_direction(one.item), success=not one.error, errorMsg=one.error
        )
    return made


def _error(success: bool, text: str) -> str:
    return "" if success else text or "the node gave no reason"


def write_order(order: Order, message: pb.ControlMessage) -> None:
    """Put an order into a control message."""
    match order.verb:
        case "create":
            message.create_channel_request.channel_name = order.channel
            message.create_channel_request.moderators.extend(order.moderators)
        case "delete":
            message.delete_channel_request.channel_name = order.channel
            message.delete_channel_request.moderators.extend(order.moderators)
        case "add":
            message.add_participant_request.channel_name = order.channel
            message.add_participant_request.participant_name = order.participant
            message.add_participant_request.moderators.extend(order.moderators)
        case _:
            message.delete_participant_request.channel_name = order.channel
            message.delete_participant_request.participant_name = order.participant
            message.delete_participant_request.moderators.extend(order.moderators)


def read_order(number: int, message: pb.ControlMessage) -> Order:
    """The order in a control message that holds one."""
    match message.WhichOneof("payload"):
        case "create_channel_request":
            create = message.create_channel_request
            return Order(number, "create", create.channel_name, tuple(create.moderators))
        case "delete_channel_request":
            delete = message.delete_channel_request
            return Order(number, "delete", delete.channel_name, tuple(delete.moderators))
        case "add_participant_request":
            add = message.add_participant_request
            return Order(number, "add", add.channel_name, tuple(add.moderators), add.participant_name)
        case _:
            remove = message.delete_participant_request
            return Order(
                number, "remove", remove.channel_name, tuple(remove.moderators), remove.participant_name
            )


def read_group(group: pb.Group) -> GroupSeen:
    """A group that its own application leads."""
    return GroupSeen(group.channel_name, tuple(group.moderators), tuple(group.members), group.epoch)


def write_group(group: GroupSeen) -> pb.Group:
    """The same at the node."""
    return pb.Group(
        channel_name=group.channel,
        moderators=group.moderators,
        members=group.members,
        epoch=group.epoch,
        read_only=True,
    )


def config_endpoint(config: str) -> str:
    """The endpoint inside the JSON of a client configuration; empty when there is none."""
    try:
        found = json.loads(config)
    except ValueError:
        return ""
    endpoint = found.get("endpoint") if isinstance(found, dict) else None
    return endpoint if isinstance(endpoint, str) else ""
