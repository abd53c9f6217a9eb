"""CommandPayloads: the control messages' contents (`dataplane.md` 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, assert_never

from actors.errors import ProtocolError
from actors.messages.wire import (
    Command,
    DiscoveryReply,
    DiscoveryRequest,
    GroupAck,
    GroupAdd,
    GroupClose,
    GroupNack,
    GroupProposal,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    LeaveReply,
    LeaveRequest,
    MlsPayload,
    Ping,
    TimerSettings,
)
from actors.names import Name
from actors.session.bounds import MEMBERS
from gateway.codec.family import NameCodec
from gateway.proto import dataplane_pb2 as pb


def encode_command(command: Command, names: NameCodec) -> pb.CommandPayload:
    """The protobuf form of a command."""
    out = pb.CommandPayload()
    match command:
        case DiscoveryRequest():
            out.discovery_request.SetInParent()
            if command.destination is not None:
                out.discovery_request.destination.CopyFrom(names.message(command.destination))
        case DiscoveryReply():
            out.discovery_reply.SetInParent()
        case JoinRequest():
            _encode_join(out.join_request, command, names)
        case JoinReply():
            out.join_reply.SetInParent()
            if command.key_package is not None:
                out.join_reply.key_package = command.key_package
            out.join_reply.outage = command.outage
        case LeaveRequest():
            out.leave_request.SetInParent()
            if command.destination is not None:
                out.leave_request.destination.CopyFrom(names.message(command.destination))
        case LeaveReply():
            out.leave_reply.SetInParent()
        case GroupAdd():
            out.group_add.new_participant.CopyFrom(names.message(command.new_participant))
            _encode_members(out.group_add, command.participants, command.mls, names)
        case GroupRemove():
            out.group_remove.removed_participant.CopyFrom(names.message(command.removed_participant))
            _encode_members(out.group_remove, command.participants, command.mls, names)
        case GroupWelcome():
            out.group_welcome.SetInParent()
            _encode_members(out.group_welcome, command.participants, command.mls, names)
        case GroupClose():
            out.group_close.SetInParent()
            out.group_close.participants.extend(names.message(name) for name in command.participants)
        case GroupProposal():
            out.group_proposal.mls_proposal = command.mls_proposal
            if command.source is not None:
                out.group_proposal.source.CopyFrom(names.message(command.source))
        case GroupAck():
            out.group_ack.SetInParent()
        case GroupNack():
            out.group_nack.SetInParent()
        case Ping():
            out.ping.SetInParent()
        case _:
            assert_never(command)
    return out


def _encode_join(out: pb.JoinRequestPayload, command: JoinRequest, names: NameCodec) -> None:
    out.SetInParent()
    out.enable_mls = command.mls
    if command.timer_settings is not None:
        out.timer_settings.timeout = round(command.timer_settings.timeout * 1000)
        out.timer_settings.max_retries = command.timer_settings.max_retries
    out.outage = command.outage
    if command.channel is not None:
        out.channel.CopyFrom(names.message(command.channel))


def _encode_members(out: Any, participants: Iterable[Name], mls: MlsPayload | None, names: NameCodec) -> None:
    out.participants.extend(names.message(name) for name in participants)
    if mls is not None:
        out.mls.commit_id = mls.commit_id
        out.mls.mls_content = mls.content
        out.mls.SetInParent()


def decode_command(payload: pb.CommandPayload, names: NameCodec) -> Command:
    """A command of the protocol's. Raises ProtocolError for an unset or incomplete one."""
    field = payload.WhichOneof("command_payload_type")
    if field is None:
        raise ProtocolError("a command payload that is none")
    return _DECODERS[field](getattr(payload, field), names)


def _optional_name(message: Any, field: str, names: NameCodec) -> Name | None:
    return names.decode(getattr(message, field)) if message.HasField(field) else None


def _members(messages: Sequence[pb.Name], names: NameCodec) -> tuple[Name, ...]:
    if len(messages) > MEMBERS:
        raise ProtocolError(f"a list of {len(messages)} members, at most {MEMBERS} may be")
    return tuple(names.decode(message) for message in messages)


def _mls(message: Any) -> MlsPayload | None:
    return MlsPayload(message.mls.commit_id, message.mls.mls_content) if message.HasField("mls") else None


def _join_request(m: pb.JoinRequestPayload, names: NameCodec) -> JoinRequest:
    timers = None
    if m.HasField("timer_settings"):
        timers = TimerSettings(m.timer_settings.timeout / 1000, m.timer_settings.max_retries)
    return JoinRequest(m.enable_mls, timers, _optional_name(m, "channel", names), m.outage)


_DECODERS: dict[str, Callable[[Any, NameCodec], Command]] = {
    "discovery_request": lambda m, names: DiscoveryRequest(_optional_name(m, "destination", names)),
    "discovery_reply": lambda m, names: DiscoveryReply(),
    "join_request": _join_request,
    "join_reply": lambda m, names: JoinReply(m.key_package if m.HasField("key_package") else None, m.outage),
    "leave_request": lambda m, names: LeaveRequest(_optional_name(m, "destination", names)),
    "leave_reply": lambda m, names: LeaveReply(),
    "group_add": lambda m, names: GroupAdd(
        names.decode(m.new_participant), _members(m.participants, names), _mls(m)
    ),
    "group_remove": lambda m, names: GroupRemove(
        names.decode(m.removed_participant), _members(m.participants, names), _mls(m)
    ),
    "group_welcome": lambda m, names: GroupWelcome(_members(m.participants, names), _mls(m)),
    "group_close": lambda m, names: GroupClose(_members(m.participants, names)),
    "group_proposal": lambda m, names: GroupProposal(_optional_name(m, "source", names), m.mls_proposal),
    "group_ack": lambda m, names: GroupAck(),
    "group_nack": lambda m, names: GroupNack(),
    "ping": lambda m, names: Ping(),
}
