from google.protobuf import wrappers_pb2 as _wrappers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION_TYPE_LOCAL: _ClassVar[ConnectionType]
    CONNECTION_TYPE_REMOTE: _ClassVar[ConnectionType]
CONNECTION_TYPE_LOCAL: ConnectionType
CONNECTION_TYPE_REMOTE: ConnectionType

class ControlMessage(_message.Message):
    __slots__ = ("message_id", "config_command", "ack", "subscription_list_request", "subscription_list_response", "connection_list_request", "connection_list_response", "register_node_request", "register_node_response", "deregister_node_request", "deregister_node_response", "create_channel_request", "delete_channel_request", "add_participant_request", "delete_participant_request", "list_channel_request", "list_channel_response", "list_participants_request", "list_participants_response", "config_command_ack", "group_report")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_COMMAND_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_LIST_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_LIST_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_LIST_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_LIST_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REGISTER_NODE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REGISTER_NODE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    DEREGISTER_NODE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DEREGISTER_NODE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    CREATE_CHANNEL_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DELETE_CHANNEL_REQUEST_FIELD_NUMBER: _ClassVar[int]
    ADD_PARTICIPANT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DELETE_PARTICIPANT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LIST_CHANNEL_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LIST_CHANNEL_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    LIST_PARTICIPANTS_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LIST_PARTICIPANTS_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_COMMAND_ACK_FIELD_NUMBER: _ClassVar[int]
    GROUP_REPORT_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    config_command: ConfigurationCommand
    ack: Ack
    subscription_list_request: SubscriptionListRequest
    subscription_list_response: SubscriptionListResponse
    connection_list_request: ConnectionListRequest
    connection_list_response: ConnectionListResponse
    register_node_request: RegisterNodeRequest
    register_node_response: RegisterNodeResponse
    deregister_node_request: DeregisterNodeRequest
    deregister_node_response: DeregisterNodeResponse
    create_channel_request: CreateChannelRequest
    delete_channel_request: DeleteChannelRequest
    add_participant_request: AddParticipantRequest
    delete_participant_request: DeleteParticipantRequest
    list_channel_request: ListChannelsRequest
    list_channel_response: ListChannelsResponse
    list_participants_request: ListParticipantsRequest
    list_participants_response: ListParticipantsResponse
    config_command_ack: ConfigurationCommandAck
    group_report: GroupReport
    def __init__(self, message_id: _Optional[str] = ..., config_command: _Optional[_Union[ConfigurationCommand, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., subscription_list_request: _Optional[_Union[SubscriptionListRequest, _Mapping]] = ..., subscription_list_response: _Optional[_Union[SubscriptionListResponse, _Mapping]] = ..., connection_list_request: _Optional[_Union[ConnectionListRequest, _Mapping]] = ..., connection_list_response: _Optional[_Union[ConnectionListResponse, _Mapping]] = ..., register_node_request: _Optional[_Union[RegisterNodeRequest, _Mapping]] = ..., register_node_response: _Optional[_Union[RegisterNodeResponse, _Mapping]] = ..., deregister_node_request: _Optional[_Union[DeregisterNodeRequest, _Mapping]] = ..., deregister_node_response: _Optional[_Union[DeregisterNodeResponse, _Mapping]] = ..., create_channel_request: _Optional[_Union[CreateChannelRequest, _Mapping]] = ..., delete_channel_request: _Optional[_Union[DeleteChannelRequest, _Mapping]] = ..., add_participant_request: _Optional[_Union[AddParticipantRequest, _Mapping]] = ..., delete_participant_request: _Optional[_Union[DeleteParticipantRequest, _Mapping]] = ..., list_channel_request: _Optional[_Union[ListChannelsRequest, _Mapping]] = ..., list_channel_response: _Optional[_Union[ListChannelsResponse, _Mapping]] = ..., list_participants_request: _Optional[_Union[ListParticipantsRequest, _Mapping]] = ..., list_participants_response: _Optional[_Union[ListParticipantsResponse, _Mapping]] = ..., config_command_ack: _Optional[_Union[ConfigurationCommandAck, _Mapping]] = ..., group_report: _Optional[_Union[GroupReport, _Mapping]] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("connection_id", "config_data")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DATA_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    config_data: str
    def __init__(self, connection_id: _Optional[str] = ..., config_data: _Optional[str] = ...) -> None: ...

class ConnectionAck(_message.Message):
    __slots__ = ("connection_id", "success", "errorMsg")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERRORMSG_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    success: bool
    errorMsg: str
    def __init__(self, connection_id: _Optional[str] = ..., success: _Optional[bool] = ..., errorMsg: _Optional[str] = ...) -> None: ...

class Subscription(_message.Message):
    __slots__ = ("component_0", "component_1", "component_2", "id", "connection_id", "node_id", "link_id")
    COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LINK_ID_FIELD_NUMBER: _ClassVar[int]
    component_0: str
    component_1: str
    component_2: str
    id: _wrappers_pb2.UInt64Value
    connection_id: str
    node_id: str
    link_id: str
    def __init__(self, component_0: _Optional[str] = ..., component_1: _Optional[str] = ..., component_2: _Optional[str] = ..., id: _Optional[_Union[_wrappers_pb2.UInt64Value, _Mapping]] = ..., connection_id: _Optional[str] = ..., node_id: _Optional[str] = ..., link_id: _Optional[str] = ...) -> None: ...

class SubscriptionAck(_message.Message):
    __slots__ = ("subscription", "success", "errorMsg")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERRORMSG_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    success: bool
    errorMsg: str
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ..., success: _Optional[bool] = ..., errorMsg: _Optional[str] = ...) -> None: ...

class ConfigurationCommand(_message.Message):
    __slots__ = ("connections_to_create", "subscriptions_to_set", "subscriptions_to_delete", "connections_to_close")
    CONNECTIONS_TO_CREATE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_TO_SET_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_TO_DELETE_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_TO_CLOSE_FIELD_NUMBER: _ClassVar[int]
    connections_to_create: _containers.RepeatedCompositeFieldContainer[Connection]
    subscriptions_to_set: _containers.RepeatedCompositeFieldContainer[Subscription]
    subscriptions_to_delete: _containers.RepeatedCompositeFieldContainer[Subscription]
    connections_to_close: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, connections_to_create: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., subscriptions_to_set: _Optional[_Iterable[_Union[Subscription, _Mapping]]] = ..., subscriptions_to_delete: _Optional[_Iterable[_Union[Subscription, _Mapping]]] = ..., connections_to_close: _Optional[_Iterable[str]] = ...) -> None: ...

class ConfigurationCommandAck(_message.Message):
    __slots__ = ("original_message_id", "connections_status", "subscriptions_status")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_STATUS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_STATUS_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    connections_status: _containers.RepeatedCompositeFieldContainer[ConnectionAck]
    subscriptions_status: _containers.RepeatedCompositeFieldContainer[SubscriptionAck]
    def __init__(self, original_message_id: _Optional[str] = ..., connections_status: _Optional[_Iterable[_Union[ConnectionAck, _Mapping]]] = ..., subscriptions_status: _Optional[_Iterable[_Union[SubscriptionAck, _Mapping]]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("original_message_id", "success", "messages", "code", "callboard_version")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CALLBOARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    success: bool
    messages: _containers.RepeatedScalarFieldContainer[str]
    code: int
    callboard_version: str
    def __init__(self, original_message_id: _Optional[str] = ..., success: _Optional[bool] = ..., messages: _Optional[_Iterable[str]] = ..., code: _Optional[int] = ..., callboard_version: _Optional[str] = ...) -> None: ...

class SubscriptionListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubscriptionListResponse(_message.Message):
    __slots__ = ("original_message_id", "entries", "done")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    entries: _containers.RepeatedCompositeFieldContainer[SubscriptionEntry]
    done: bool
    def __init__(self, original_message_id: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[SubscriptionEntry, _Mapping]]] = ..., done: _Optional[bool] = ...) -> None: ...

class SubscriptionEntry(_message.Message):
    __slots__ = ("component_0", "component_1", "component_2", "id", "local_connections", "remote_connections")
    COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    component_0: str
    component_1: str
    component_2: str
    id: _wrappers_pb2.UInt64Value
    local_connections: _containers.RepeatedCompositeFieldContainer[ConnectionEntry]
    remote_connections: _containers.RepeatedCompositeFieldContainer[ConnectionEntry]
    def __init__(self, component_0: _Optional[str] = ..., component_1: _Optional[str] = ..., component_2: _Optional[str] = ..., id: _Optional[_Union[_wrappers_pb2.UInt64Value, _Mapping]] = ..., local_connections: _Optional[_Iterable[_Union[ConnectionEntry, _Mapping]]] = ..., remote_connections: _Optional[_Iterable[_Union[ConnectionEntry, _Mapping]]] = ...) -> None: ...

class ConnectionEntry(_message.Message):
    __slots__ = ("id", "connection_type", "config_data")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DATA_FIELD_NUMBER: _ClassVar[int]
    id: int
    connection_type: ConnectionType
    config_data: str
    def __init__(self, id: _Optional[int] = ..., connection_type: _Optional[_Union[ConnectionType, str]] = ..., config_data: _Optional[str] = ...) -> None: ...

class ConnectionListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConnectionListResponse(_message.Message):
    __slots__ = ("original_message_id", "entries", "done")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    entries: _containers.RepeatedCompositeFieldContainer[ConnectionEntry]
    done: bool
    def __init__(self, original_message_id: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[ConnectionEntry, _Mapping]]] = ..., done: _Optional[bool] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ConnectionDetails(_message.Message):
    __slots__ = ("endpoint", "mtls_required", "local_endpoint", "external_endpoint", "group_name")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MTLS_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    mtls_required: bool
    local_endpoint: bytes
    external_endpoint: bytes
    group_name: bytes
    def __init__(self, endpoint: _Optional[str] = ..., mtls_required: _Optional[bool] = ..., local_endpoint: _Optional[bytes] = ..., external_endpoint: _Optional[bytes] = ..., group_name: _Optional[bytes] = ...) -> None: ...

class RegisterNodeRequest(_message.Message):
    __slots__ = ("node_id", "connection_details", "group_name", "callboard_version", "backbone", "boot")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_DETAILS_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    CALLBOARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    connection_details: _containers.RepeatedCompositeFieldContainer[ConnectionDetails]
    group_name: str
    callboard_version: str
    backbone: str
    boot: int
    def __init__(self, node_id: _Optional[str] = ..., connection_details: _Optional[_Iterable[_Union[ConnectionDetails, _Mapping]]] = ..., group_name: _Optional[str] = ..., callboard_version: _Optional[str] = ..., backbone: _Optional[str] = ..., boot: _Optional[int] = ...) -> None: ...

class RegisterNodeResponse(_message.Message):
    __slots__ = ("original_message_id", "success")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    success: bool
    def __init__(self, original_message_id: _Optional[str] = ..., success: _Optional[bool] = ...) -> None: ...

class DeregisterNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class DeregisterNodeResponse(_message.Message):
    __slots__ = ("original_message_id", "success")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    success: bool
    def __init__(self, original_message_id: _Optional[str] = ..., success: _Optional[bool] = ...) -> None: ...

class CreateChannelRequest(_message.Message):
    __slots__ = ("moderators", "channel_name")
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    moderators: _containers.RepeatedScalarFieldContainer[str]
    channel_name: str
    def __init__(self, moderators: _Optional[_Iterable[str]] = ..., channel_name: _Optional[str] = ...) -> None: ...

class DeleteChannelRequest(_message.Message):
    __slots__ = ("channel_name", "moderators")
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    moderators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, channel_name: _Optional[str] = ..., moderators: _Optional[_Iterable[str]] = ...) -> None: ...

class AddParticipantRequest(_message.Message):
    __slots__ = ("channel_name", "participant_name", "moderators")
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_NAME_FIELD_NUMBER: _ClassVar[int]
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    participant_name: str
    moderators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, channel_name: _Optional[str] = ..., participant_name: _Optional[str] = ..., moderators: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteParticipantRequest(_message.Message):
    __slots__ = ("channel_name", "participant_name", "moderators")
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_NAME_FIELD_NUMBER: _ClassVar[int]
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    participant_name: str
    moderators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, channel_name: _Optional[str] = ..., participant_name: _Optional[str] = ..., moderators: _Optional[_Iterable[str]] = ...) -> None: ...

class ListChannelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListChannelsResponse(_message.Message):
    __slots__ = ("original_message_id", "channel_name", "groups")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    channel_name: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, original_message_id: _Optional[str] = ..., channel_name: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...

class ListParticipantsRequest(_message.Message):
    __slots__ = ("channel_name",)
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    def __init__(self, channel_name: _Optional[str] = ...) -> None: ...

class ListParticipantsResponse(_message.Message):
    __slots__ = ("original_message_id", "participant_name")
    ORIGINAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_NAME_FIELD_NUMBER: _ClassVar[int]
    original_message_id: str
    participant_name: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, original_message_id: _Optional[str] = ..., participant_name: _Optional[_Iterable[str]] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("channel_name", "moderators", "members", "epoch", "read_only", "node_id")
    CHANNEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODERATORS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    channel_name: str
    moderators: _containers.RepeatedScalarFieldContainer[str]
    members: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    read_only: bool
    node_id: str
    def __init__(self, channel_name: _Optional[str] = ..., moderators: _Optional[_Iterable[str]] = ..., members: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., read_only: _Optional[bool] = ..., node_id: _Optional[str] = ...) -> None: ...

class GroupReport(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...
