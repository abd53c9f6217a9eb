from gateway.proto import controller_pb2 as _controller_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATUS_UNSPECIFIED: _ClassVar[NodeStatus]
    NODE_STATUS_CONNECTED: _ClassVar[NodeStatus]
    NODE_STATUS_NOT_CONNECTED: _ClassVar[NodeStatus]
    CONNECTED: _ClassVar[NodeStatus]
    NOT_CONNECTED: _ClassVar[NodeStatus]
NODE_STATUS_UNSPECIFIED: NodeStatus
NODE_STATUS_CONNECTED: NodeStatus
NODE_STATUS_NOT_CONNECTED: NodeStatus
CONNECTED: NodeStatus
NOT_CONNECTED: NodeStatus

class Node(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class NodeListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeEntry(_message.Message):
    __slots__ = ("id", "connections", "status", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    connections: _containers.RepeatedCompositeFieldContainer[_controller_pb2.ConnectionDetails]
    status: NodeStatus
    detail: str
    def __init__(self, id: _Optional[str] = ..., connections: _Optional[_Iterable[_Union[_controller_pb2.ConnectionDetails, _Mapping]]] = ..., status: _Optional[_Union[NodeStatus, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class NodeListResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[NodeEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[NodeEntry, _Mapping]]] = ...) -> None: ...

class AddRouteRequest(_message.Message):
    __slots__ = ("connection", "subscription", "nodeId", "destNodeId")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    NODEID_FIELD_NUMBER: _ClassVar[int]
    DESTNODEID_FIELD_NUMBER: _ClassVar[int]
    connection: _controller_pb2.Connection
    subscription: _controller_pb2.Subscription
    nodeId: str
    destNodeId: str
    def __init__(self, connection: _Optional[_Union[_controller_pb2.Connection, _Mapping]] = ..., subscription: _Optional[_Union[_controller_pb2.Subscription, _Mapping]] = ..., nodeId: _Optional[str] = ..., destNodeId: _Optional[str] = ...) -> None: ...

class AddRouteResponse(_message.Message):
    __slots__ = ("success", "routeId")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ROUTEID_FIELD_NUMBER: _ClassVar[int]
    success: bool
    routeId: str
    def __init__(self, success: _Optional[bool] = ..., routeId: _Optional[str] = ...) -> None: ...

class DeleteRouteRequest(_message.Message):
    __slots__ = ("subscription", "nodeId", "destNodeId")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    NODEID_FIELD_NUMBER: _ClassVar[int]
    DESTNODEID_FIELD_NUMBER: _ClassVar[int]
    subscription: _controller_pb2.Subscription
    nodeId: str
    destNodeId: str
    def __init__(self, subscription: _Optional[_Union[_controller_pb2.Subscription, _Mapping]] = ..., nodeId: _Optional[str] = ..., destNodeId: _Optional[str] = ...) -> None: ...

class DeleteRouteResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: _Optional[bool] = ...) -> None: ...

class CreateChannelRequest(_message.Message):
    __slots__ = ("moderators", "channel_name")
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    moderators: _containers.RepeatedScalarFieldContainer[str]
    channel_name: str
    def __init__(self, moderators: _Optional[_Iterable[str]] = ..., channel_name: _Optional[str] = ...) -> None: ...

class CreateChannelResponse(_message.Message):
    __slots__ = ("channel_name", "channel_id")
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    channel_id: str
    def __init__(self, channel_name: _Optional[str] = ..., channel_id: _Optional[str] = ...) -> None: ...

class RouteListRequest(_message.Message):
    __slots__ = ("srcNodeId", "destNodeId")
    SRCNODEID_FIELD_NUMBER: _ClassVar[int]
    DESTNODEID_FIELD_NUMBER: _ClassVar[int]
    srcNodeId: str
    destNodeId: str
    def __init__(self, srcNodeId: _Optional[str] = ..., destNodeId: _Optional[str] = ...) -> None: ...

class RouteListResponse(_message.Message):
    __slots__ = ("routes", "entries")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedScalarFieldContainer[str]
    entries: _containers.RepeatedCompositeFieldContainer[RouteEntry]
    def __init__(self, routes: _Optional[_Iterable[str]] = ..., entries: _Optional[_Iterable[_Union[RouteEntry, _Mapping]]] = ...) -> None: ...

class RouteEntry(_message.Message):
    __slots__ = ("id", "source", "dest", "endpoint", "name", "status", "reason", "attempts", "automatic")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DEST_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    dest: str
    endpoint: str
    name: str
    status: str
    reason: str
    attempts: int
    automatic: bool
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., dest: _Optional[str] = ..., endpoint: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., attempts: _Optional[int] = ..., automatic: _Optional[bool] = ...) -> None: ...

class ConfigurationCommand(_message.Message):
    __slots__ = ("configuration_command", "nodeId")
    CONFIGURATION_COMMAND_FIELD_NUMBER: _ClassVar[int]
    NODEID_FIELD_NUMBER: _ClassVar[int]
    configuration_command: _controller_pb2.ConfigurationCommand
    nodeId: str
    def __init__(self, configuration_command: _Optional[_Union[_controller_pb2.ConfigurationCommand, _Mapping]] = ..., nodeId: _Optional[str] = ...) -> None: ...

class CreateConnectionRequest(_message.Message):
    __slots__ = ("connection", "node_id")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    connection: _controller_pb2.Connection
    node_id: str
    def __init__(self, connection: _Optional[_Union[_controller_pb2.Connection, _Mapping]] = ..., node_id: _Optional[str] = ...) -> None: ...

class CreateConnectionResponse(_message.Message):
    __slots__ = ("success", "connection_id")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    success: bool
    connection_id: str
    def __init__(self, success: _Optional[bool] = ..., connection_id: _Optional[str] = ...) -> None: ...

class CreateSubscriptionRequest(_message.Message):
    __slots__ = ("subscription", "node_id")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    subscription: _controller_pb2.Subscription
    node_id: str
    def __init__(self, subscription: _Optional[_Union[_controller_pb2.Subscription, _Mapping]] = ..., node_id: _Optional[str] = ...) -> None: ...

class CreateSubscriptionResponse(_message.Message):
    __slots__ = ("success", "subscription_id")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    success: bool
    subscription_id: str
    def __init__(self, success: _Optional[bool] = ..., subscription_id: _Optional[str] = ...) -> None: ...

class DeleteSubscriptionRequest(_message.Message):
    __slots__ = ("subscription_id", "node_id")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    node_id: str
    def __init__(self, subscription_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class DeleteSubscriptionResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: _Optional[bool] = ...) -> None: ...

class DeregisterNodeResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: _Optional[bool] = ...) -> None: ...

class AddParticipantRequest(_message.Message):
    __slots__ = ("channel_id", "participant_id")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    participant_id: str
    def __init__(self, channel_id: _Optional[str] = ..., participant_id: _Optional[str] = ...) -> None: ...

class DeleteParticipantRequest(_message.Message):
    __slots__ = ("channel_id", "participant_id")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    participant_id: str
    def __init__(self, channel_id: _Optional[str] = ..., participant_id: _Optional[str] = ...) -> None: ...

class DeleteChannelRequest(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    def __init__(self, channel_id: _Optional[str] = ...) -> None: ...

class ListChannelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListParticipantsRequest(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    def __init__(self, channel_id: _Optional[str] = ...) -> None: ...
