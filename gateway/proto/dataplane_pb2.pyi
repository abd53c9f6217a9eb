from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_TYPE_UNSPECIFIED: _ClassVar[SessionType]
    SESSION_TYPE_POINT_TO_POINT: _ClassVar[SessionType]
    SESSION_TYPE_MULTICAST: _ClassVar[SessionType]

class SessionMessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_MESSAGE_TYPE_UNSPECIFIED: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_MSG: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_MSG_ACK: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_RTX_REQUEST: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_RTX_REPLY: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_DISCOVERY_REQUEST: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_DISCOVERY_REPLY: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_JOIN_REQUEST: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_JOIN_REPLY: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_LEAVE_REQUEST: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_LEAVE_REPLY: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_ADD: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_REMOVE: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_WELCOME: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_CLOSE: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_PROPOSAL: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_ACK: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_GROUP_NACK: _ClassVar[SessionMessageType]
    SESSION_MESSAGE_TYPE_PING: _ClassVar[SessionMessageType]
SESSION_TYPE_UNSPECIFIED: SessionType
SESSION_TYPE_POINT_TO_POINT: SessionType
SESSION_TYPE_MULTICAST: SessionType
SESSION_MESSAGE_TYPE_UNSPECIFIED: SessionMessageType
SESSION_MESSAGE_TYPE_MSG: SessionMessageType
SESSION_MESSAGE_TYPE_MSG_ACK: SessionMessageType
SESSION_MESSAGE_TYPE_RTX_REQUEST: SessionMessageType
SESSION_MESSAGE_TYPE_RTX_REPLY: SessionMessageType
SESSION_MESSAGE_TYPE_DISCOVERY_REQUEST: SessionMessageType
SESSION_MESSAGE_TYPE_DISCOVERY_REPLY: SessionMessageType
SESSION_MESSAGE_TYPE_JOIN_REQUEST: SessionMessageType
SESSION_MESSAGE_TYPE_JOIN_REPLY: SessionMessageType
SESSION_MESSAGE_TYPE_LEAVE_REQUEST: SessionMessageType
SESSION_MESSAGE_TYPE_LEAVE_REPLY: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_ADD: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_REMOVE: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_WELCOME: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_CLOSE: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_PROPOSAL: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_ACK: SessionMessageType
SESSION_MESSAGE_TYPE_GROUP_NACK: SessionMessageType
SESSION_MESSAGE_TYPE_PING: SessionMessageType

class Message(_message.Message):
    __slots__ = ("subscribe", "unsubscribe", "publish", "link", "subscription_ack", "metadata", "hops", "hint", "group_led", "node_inquiry")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ACK_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    GROUP_LED_FIELD_NUMBER: _ClassVar[int]
    NODE_INQUIRY_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    publish: Publish
    link: Link
    subscription_ack: SubscriptionAck
    metadata: _containers.ScalarMap[str, str]
    hops: int
    hint: Hint
    group_led: GroupLed
    node_inquiry: NodeInquiry
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., link: _Optional[_Union[Link, _Mapping]] = ..., subscription_ack: _Optional[_Union[SubscriptionAck, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., hops: _Optional[int] = ..., hint: _Optional[_Union[Hint, _Mapping]] = ..., group_led: _Optional[_Union[GroupLed, _Mapping]] = ..., node_inquiry: _Optional[_Union[NodeInquiry, _Mapping]] = ...) -> None: ...

class Hint(_message.Message):
    __slots__ = ("reason", "about", "destination")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    reason: int
    about: Name
    destination: Name
    def __init__(self, reason: _Optional[int] = ..., about: _Optional[_Union[Name, _Mapping]] = ..., destination: _Optional[_Union[Name, _Mapping]] = ...) -> None: ...

class GroupLed(_message.Message):
    __slots__ = ("number", "channel", "moderator", "members", "epoch", "over", "figures")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    MODERATOR_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    number: int
    channel: Name
    moderator: Name
    members: _containers.RepeatedCompositeFieldContainer[Name]
    epoch: int
    over: bool
    figures: GroupFigures
    def __init__(self, number: _Optional[int] = ..., channel: _Optional[_Union[Name, _Mapping]] = ..., moderator: _Optional[_Union[Name, _Mapping]] = ..., members: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., epoch: _Optional[int] = ..., over: _Optional[bool] = ..., figures: _Optional[_Union[GroupFigures, _Mapping]] = ...) -> None: ...

class GroupFigures(_message.Message):
    __slots__ = ("unacknowledged", "retransmissions", "lag")
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    RETRANSMISSIONS_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    unacknowledged: int
    retransmissions: int
    lag: int
    def __init__(self, unacknowledged: _Optional[int] = ..., retransmissions: _Optional[int] = ..., lag: _Optional[int] = ...) -> None: ...

class NodeInquiry(_message.Message):
    __slots__ = ("number", "source", "target", "node", "facts")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    source: Name
    target: Name
    node: str
    facts: bytes
    def __init__(self, number: _Optional[int] = ..., source: _Optional[_Union[Name, _Mapping]] = ..., target: _Optional[_Union[Name, _Mapping]] = ..., node: _Optional[str] = ..., facts: _Optional[bytes] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("header", "subscription_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    header: SLIMHeader
    subscription_id: int
    def __init__(self, header: _Optional[_Union[SLIMHeader, _Mapping]] = ..., subscription_id: _Optional[int] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("header", "subscription_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    header: SLIMHeader
    subscription_id: int
    def __init__(self, header: _Optional[_Union[SLIMHeader, _Mapping]] = ..., subscription_id: _Optional[int] = ...) -> None: ...

class Publish(_message.Message):
    __slots__ = ("header", "session", "msg")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MSG_FIELD_NUMBER: _ClassVar[int]
    header: SLIMHeader
    session: SessionHeader
    msg: Content
    def __init__(self, header: _Optional[_Union[SLIMHeader, _Mapping]] = ..., session: _Optional[_Union[SessionHeader, _Mapping]] = ..., msg: _Optional[_Union[Content, _Mapping]] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("link_negotiation",)
    LINK_NEGOTIATION_FIELD_NUMBER: _ClassVar[int]
    link_negotiation: LinkNegotiationPayload
    def __init__(self, link_negotiation: _Optional[_Union[LinkNegotiationPayload, _Mapping]] = ...) -> None: ...

class LinkNegotiationPayload(_message.Message):
    __slots__ = ("link_id", "slim_version", "is_reply", "introduction")
    LINK_ID_FIELD_NUMBER: _ClassVar[int]
    SLIM_VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_REPLY_FIELD_NUMBER: _ClassVar[int]
    INTRODUCTION_FIELD_NUMBER: _ClassVar[int]
    link_id: str
    slim_version: str
    is_reply: bool
    introduction: Introduction
    def __init__(self, link_id: _Optional[str] = ..., slim_version: _Optional[str] = ..., is_reply: _Optional[bool] = ..., introduction: _Optional[_Union[Introduction, _Mapping]] = ...) -> None: ...

class Introduction(_message.Message):
    __slots__ = ("role", "node_id", "boot", "token", "refusal")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[Introduction.Role]
        APPLICATION: _ClassVar[Introduction.Role]
        NODE: _ClassVar[Introduction.Role]
    UNKNOWN: Introduction.Role
    APPLICATION: Introduction.Role
    NODE: Introduction.Role
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    role: Introduction.Role
    node_id: str
    boot: int
    token: str
    refusal: str
    def __init__(self, role: _Optional[_Union[Introduction.Role, str]] = ..., node_id: _Optional[str] = ..., boot: _Optional[int] = ..., token: _Optional[str] = ..., refusal: _Optional[str] = ...) -> None: ...

class SubscriptionAck(_message.Message):
    __slots__ = ("subscription_id", "success", "error")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    subscription_id: int
    success: bool
    error: str
    def __init__(self, subscription_id: _Optional[int] = ..., success: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...

class SLIMHeader(_message.Message):
    __slots__ = ("source", "destination", "fanout", "identity", "recv_from", "forward_to", "incoming_conn", "error")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    FANOUT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    RECV_FROM_FIELD_NUMBER: _ClassVar[int]
    FORWARD_TO_FIELD_NUMBER: _ClassVar[int]
    INCOMING_CONN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    source: Name
    destination: Name
    fanout: int
    identity: str
    recv_from: int
    forward_to: int
    incoming_conn: int
    error: bool
    def __init__(self, source: _Optional[_Union[Name, _Mapping]] = ..., destination: _Optional[_Union[Name, _Mapping]] = ..., fanout: _Optional[int] = ..., identity: _Optional[str] = ..., recv_from: _Optional[int] = ..., forward_to: _Optional[int] = ..., incoming_conn: _Optional[int] = ..., error: _Optional[bool] = ...) -> None: ...

class Name(_message.Message):
    __slots__ = ("name", "str_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STR_NAME_FIELD_NUMBER: _ClassVar[int]
    name: EncodedName
    str_name: StringName
    def __init__(self, name: _Optional[_Union[EncodedName, _Mapping]] = ..., str_name: _Optional[_Union[StringName, _Mapping]] = ...) -> None: ...

class EncodedName(_message.Message):
    __slots__ = ("component_0", "component_1", "component_2", "component_3")
    COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_3_FIELD_NUMBER: _ClassVar[int]
    component_0: int
    component_1: int
    component_2: int
    component_3: int
    def __init__(self, component_0: _Optional[int] = ..., component_1: _Optional[int] = ..., component_2: _Optional[int] = ..., component_3: _Optional[int] = ...) -> None: ...

class StringName(_message.Message):
    __slots__ = ("str_component_0", "str_component_1", "str_component_2")
    STR_COMPONENT_0_FIELD_NUMBER: _ClassVar[int]
    STR_COMPONENT_1_FIELD_NUMBER: _ClassVar[int]
    STR_COMPONENT_2_FIELD_NUMBER: _ClassVar[int]
    str_component_0: str
    str_component_1: str
    str_component_2: str
    def __init__(self, str_component_0: _Optional[str] = ..., str_component_1: _Optional[str] = ..., str_component_2: _Optional[str] = ...) -> None: ...

class SessionHeader(_message.Message):
    __slots__ = ("session_type", "session_message_type", "session_id", "message_id")
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    session_type: SessionType
    session_message_type: SessionMessageType
    session_id: int
    message_id: int
    def __init__(self, session_type: _Optional[_Union[SessionType, str]] = ..., session_message_type: _Optional[_Union[SessionMessageType, str]] = ..., session_id: _Optional[int] = ..., message_id: _Optional[int] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("app_payload", "command_payload")
    APP_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    COMMAND_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    app_payload: ApplicationPayload
    command_payload: CommandPayload
    def __init__(self, app_payload: _Optional[_Union[ApplicationPayload, _Mapping]] = ..., command_payload: _Optional[_Union[CommandPayload, _Mapping]] = ...) -> None: ...

class ApplicationPayload(_message.Message):
    __slots__ = ("payload_type", "blob")
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    payload_type: str
    blob: bytes
    def __init__(self, payload_type: _Optional[str] = ..., blob: _Optional[bytes] = ...) -> None: ...

class CommandPayload(_message.Message):
    __slots__ = ("discovery_request", "discovery_reply", "join_request", "join_reply", "leave_request", "leave_reply", "group_add", "group_remove", "group_welcome", "group_close", "group_proposal", "group_ack", "group_nack", "ping")
    DISCOVERY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_REPLY_FIELD_NUMBER: _ClassVar[int]
    JOIN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    JOIN_REPLY_FIELD_NUMBER: _ClassVar[int]
    LEAVE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LEAVE_REPLY_FIELD_NUMBER: _ClassVar[int]
    GROUP_ADD_FIELD_NUMBER: _ClassVar[int]
    GROUP_REMOVE_FIELD_NUMBER: _ClassVar[int]
    GROUP_WELCOME_FIELD_NUMBER: _ClassVar[int]
    GROUP_CLOSE_FIELD_NUMBER: _ClassVar[int]
    GROUP_PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    GROUP_ACK_FIELD_NUMBER: _ClassVar[int]
    GROUP_NACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    discovery_request: DiscoveryRequestPayload
    discovery_reply: DiscoveryReplyPayload
    join_request: JoinRequestPayload
    join_reply: JoinReplyPayload
    leave_request: LeaveRequestPayload
    leave_reply: LeaveReplyPayload
    group_add: GroupAddPayload
    group_remove: GroupRemovePayload
    group_welcome: GroupWelcomePayload
    group_close: GroupClosePayload
    group_proposal: GroupProposalPayload
    group_ack: GroupAckPayload
    group_nack: GroupNackPayload
    ping: PingPayload
    def __init__(self, discovery_request: _Optional[_Union[DiscoveryRequestPayload, _Mapping]] = ..., discovery_reply: _Optional[_Union[DiscoveryReplyPayload, _Mapping]] = ..., join_request: _Optional[_Union[JoinRequestPayload, _Mapping]] = ..., join_reply: _Optional[_Union[JoinReplyPayload, _Mapping]] = ..., leave_request: _Optional[_Union[LeaveRequestPayload, _Mapping]] = ..., leave_reply: _Optional[_Union[LeaveReplyPayload, _Mapping]] = ..., group_add: _Optional[_Union[GroupAddPayload, _Mapping]] = ..., group_remove: _Optional[_Union[GroupRemovePayload, _Mapping]] = ..., group_welcome: _Optional[_Union[GroupWelcomePayload, _Mapping]] = ..., group_close: _Optional[_Union[GroupClosePayload, _Mapping]] = ..., group_proposal: _Optional[_Union[GroupProposalPayload, _Mapping]] = ..., group_ack: _Optional[_Union[GroupAckPayload, _Mapping]] = ..., group_nack: _Optional[_Union[GroupNackPayload, _Mapping]] = ..., ping: _Optional[_Union[PingPayload, _Mapping]] = ...) -> None: ...

class DiscoveryRequestPayload(_message.Message):
    __slots__ = ("destination",)
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    destination: Name
    def __init__(self, destination: _Optional[_Union[Name, _Mapping]] = ...) -> None: ...

class DiscoveryReplyPayload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JoinRequestPayload(_message.Message):
    __slots__ = ("enable_mls", "timer_settings", "channel", "outage")
    ENABLE_MLS_FIELD_NUMBER: _ClassVar[int]
    TIMER_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    enable_mls: bool
    timer_settings: TimerSettings
    channel: Name
    outage: int
    def __init__(self, enable_mls: _Optional[bool] = ..., timer_settings: _Optional[_Union[TimerSettings, _Mapping]] = ..., channel: _Optional[_Union[Name, _Mapping]] = ..., outage: _Optional[int] = ...) -> None: ...

class JoinReplyPayload(_message.Message):
    __slots__ = ("key_package", "outage")
    KEY_PACKAGE_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    key_package: bytes
    outage: int
    def __init__(self, key_package: _Optional[bytes] = ..., outage: _Optional[int] = ...) -> None: ...

class LeaveRequestPayload(_message.Message):
    __slots__ = ("destination",)
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    destination: Name
    def __init__(self, destination: _Optional[_Union[Name, _Mapping]] = ...) -> None: ...

class LeaveReplyPayload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GroupAddPayload(_message.Message):
    __slots__ = ("new_participant", "participants", "mls")
    NEW_PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MLS_FIELD_NUMBER: _ClassVar[int]
    new_participant: Name
    participants: _containers.RepeatedCompositeFieldContainer[Name]
    mls: MlsPayload
    def __init__(self, new_participant: _Optional[_Union[Name, _Mapping]] = ..., participants: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., mls: _Optional[_Union[MlsPayload, _Mapping]] = ...) -> None: ...

class GroupRemovePayload(_message.Message):
    __slots__ = ("removed_participant", "participants", "mls")
    REMOVED_PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MLS_FIELD_NUMBER: _ClassVar[int]
    removed_participant: Name
    participants: _containers.RepeatedCompositeFieldContainer[Name]
    mls: MlsPayload
    def __init__(self, removed_participant: _Optional[_Union[Name, _Mapping]] = ..., participants: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., mls: _Optional[_Union[MlsPayload, _Mapping]] = ...) -> None: ...

class GroupWelcomePayload(_message.Message):
    __slots__ = ("participants", "mls")
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MLS_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[Name]
    mls: MlsPayload
    def __init__(self, participants: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., mls: _Optional[_Union[MlsPayload, _Mapping]] = ...) -> None: ...

class GroupClosePayload(_message.Message):
    __slots__ = ("participants",)
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[Name]
    def __init__(self, participants: _Optional[_Iterable[_Union[Name, _Mapping]]] = ...) -> None: ...

class GroupProposalPayload(_message.Message):
    __slots__ = ("source", "mls_proposal")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MLS_PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    source: Name
    mls_proposal: bytes
    def __init__(self, source: _Optional[_Union[Name, _Mapping]] = ..., mls_proposal: _Optional[bytes] = ...) -> None: ...

class GroupAckPayload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GroupNackPayload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PingPayload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TimerSettings(_message.Message):
    __slots__ = ("timeout", "max_retries")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    timeout: int
    max_retries: int
    def __init__(self, timeout: _Optional[int] = ..., max_retries: _Optional[int] = ...) -> None: ...

class MlsPayload(_message.Message):
    __slots__ = ("commit_id", "mls_content")
    COMMIT_ID_FIELD_NUMBER: _ClassVar[int]
    MLS_CONTENT_FIELD_NUMBER: _ClassVar[int]
    commit_id: int
    mls_content: bytes
    def __init__(self, commit_id: _Optional[int] = ..., mls_content: _Optional[bytes] = ...) -> None: ...
