"""Records to bytes: what a link writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, assert_never

from google.protobuf.message import DecodeError

from actors.messages.wire import (
    ControlRecord,
    Frame,
    GroupLed,
    Hint,
    LinkNegotiation,
    NodeInquiry,
    Subscription,
    SubscriptionAck,
)
from gateway.codec import varint
from gateway.codec.family import FIRST, Family
from gateway.proto import dataplane_pb2 as pb

T = TypeVar("T")

_DATA = (pb.SESSION_MESSAGE_TYPE_MSG, pb.SESSION_MESSAGE_TYPE_RTX_REPLY)


def frame_pieces(frame: Frame) -> tuple[bytes, bytes, bytes]:
    """The wire form of a frame in three pieces: prefix, header, and everything behind it."""
    header = frame.header
    return b"\x1a" + varint.encode(len(header) + frame.inner), header, frame.body


def frame_bytes(frame: Frame) -> bytes:
    """The wire form of a frame."""
    header = frame.header
    return b"".join((b"\x1a", varint.encode(len(header) + frame.inner), header, frame.body))


def frames_bytes(frames: Iterable[Frame], large: int, halves: Callable[[bytes, bytes], T]) -> list[bytes | T]:
    """The wire form of frames; of data with a body of `large` bytes or more what `halves` makes of the header
    and the body, which is not copied.
    """
    data: list[bytes | T] = []
    append, join, encode = data.append, b"".join, varint.encode
    written, length = 0, encode(0)
    for frame in frames:
        header, body = frame.header, frame.body
        size = len(header) + frame.inner
        if size != written:
            # Messages that follow one another are often of one length.
            written, length = size, encode(size)
        if len(body) < large or frame.control:
            append(join((b"\x1a", length, header, body)))
        else:
            append(halves(join((b"\x1a", length, header)), body))
    return data


def is_data(message: bytes, family: Family = FIRST) -> bool:
    """Whether a message in its wire form is a session's data, which may be dropped, and no control."""
    try:
        read: pb.Message = family.schema.Message.FromString(message)
    except DecodeError:
        return False
    if read.WhichOneof("message_type") != "publish":
        return False
    return read.publish.session.session_message_type in _DATA


def encode_record(record: ControlRecord, family: Family = FIRST) -> bytes:
    """The wire form of the protocol's own records."""
    message: pb.Message = family.schema.Message()
    match record:
        case Subscription():
            target = message.subscribe if record.subscribe else message.unsubscribe
            target.header.source.CopyFrom(family.names.message(record.source))
            target.header.destination.CopyFrom(family.names.message(record.destination))
            target.header.fanout = 1
            target.header.identity = record.identity
            target.subscription_id = record.subscription_id
        case SubscriptionAck():
            message.subscription_ack.subscription_id = record.subscription_id
            message.subscription_ack.success = record.success
            message.subscription_ack.error = record.error
        case LinkNegotiation():
            said = message.link.link_negotiation
            said.link_id, said.slim_version, said.is_reply = record[:3]
            if record.introduction is not None:
                said.introduction.CopyFrom(family.schema.Introduction(**record.introduction._asdict()))
        case Hint():
            message.hint.reason = record.reason
            message.hint.about.CopyFrom(family.names.message(record.about))
            message.hint.destination.CopyFrom(family.names.message(record.destination))
        case GroupLed():
            led = message.group_led
            led.number, led.epoch, led.over = record.number, record.epoch, record.over
            led.channel.CopyFrom(family.names.message(record.channel))
            led.moderator.CopyFrom(family.names.message(record.moderator))
            led.members.extend(map(family.names.message, record.members))
            if record.figures is not None:
                led.figures.CopyFrom(family.schema.GroupFigures(**record.figures._asdict()))
        case NodeInquiry():
            asked = message.node_inquiry
            asked.number, asked.node = record.number, record.node
            asked.source.CopyFrom(family.names.message(record.source))
            asked.target.CopyFrom(family.names.message(record.target))
            if record.facts is not None:
                asked.facts = record.facts
        case _:
            assert_never(record)
    return message.SerializeToString()
