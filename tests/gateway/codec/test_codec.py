from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ProtocolError
from actors.messages.wire import (
    Frame,
    GroupAdd,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    LeaveRequest,
    LinkNegotiation,
    MessageType,
    MlsPayload,
    Payload,
    Ping,
    SessionKind,
    SessionMessage,
    Subscription,
    SubscriptionAck,
    TimerSettings,
)
from actors.names import Name
from gateway.codec import InboundParser, WireCodec, encode_record, frame_bytes, frames_bytes, varint
from gateway.proto import dataplane_pb2 as pb
from tests.transcripts import V1, rows

u32 = st.integers(0, 2**32 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.builds(
    Name, text.filter(bool), text.filter(bool), text.filter(bool), st.none() | st.integers(0, 2**64 - 1)
)
mls = st.none() | st.builds(MlsPayload, u32, st.binary())
members = st.lists(names, max_size=4).map(tuple)
commands = st.one_of(
    st.just(Ping()),
    st.builds(
        JoinRequest,
        st.booleans(),
        st.none()
        | st.builds(TimerSettings, st.integers(0, 10**6).map(lambda ms: ms / 1000), st.integers(0, 100)),
        st.none() | names,
        u32,
    ),
    st.builds(JoinReply, st.none() | st.binary(), u32),
    st.builds(LeaveRequest, st.none() | names),
    st.builds(GroupAdd, names, members, mls),
    st.builds(GroupRemove, names, members, mls),
    st.builds(GroupWelcome, members, mls),
)
messages = st.builds(
    SessionMessage,
    names,
    names,
    st.sampled_from(SessionKind),
    st.sampled_from(MessageType),
    u32,
    u32,
    st.builds(Payload, text, st.binary(max_size=300)) | commands,
    st.sampled_from([0, 1, 256]),
    st.none() | st.dictionaries(text, text, min_size=1, max_size=3),
    text,
    st.booleans(),
    st.none(),
)


@given(messages)
def test_what_is_decoded_equals_what_was_encoded(message: SessionMessage) -> None:
    codec = WireCodec()
    frame = codec.encode(message, message.identity)
    assert codec.decode(frame) == message
    received = InboundParser(5).parse(frame_bytes(frame))
    assert isinstance(received, Frame)
    assert codec.decode(received) == message._replace(connection=5)


@given(messages)
def test_bytes_are_those_of_protobuf(message: SessionMessage) -> None:
    data = frame_bytes(WireCodec().encode(message, message.identity))
    parsed = pb.Message.FromString(data)
    assert parsed.SerializeToString(deterministic=True) == data


@given(st.lists(messages, max_size=4), st.integers(0, 100))
def test_many_frames_are_written_as_each_is_and_large_data_in_two_pieces(
    said: list[SessionMessage], large: int
) -> None:
    frames = [WireCodec().encode(message, message.identity) for message in said]
    made = frames_bytes(frames, large, lambda head, body: (head, body))
    whole = [b"".join(one) if isinstance(one, tuple) else one for one in made]
    assert whole == [frame_bytes(frame) for frame in frames]
    for frame, one in zip(frames, made, strict=True):
        if len(frame.body) < large or frame.control:
            assert isinstance(one, bytes)
        else:
            assert one[1] is frame.body


@pytest.mark.parametrize("blob", [0, 1, 127, 128, 20_000])
@pytest.mark.parametrize("kind", [0, 1, 127, 128, 20_000])
def test_payloads_of_any_lengths_have_the_bytes_of_protobuf(kind: int, blob: int) -> None:
    payload = Payload("k" * kind, b"x" * blob)
    message = SessionMessage(
        Name("a", "b", "c", 1),
        Name("a", "b", "d", 2),
        SessionKind.POINT_TO_POINT,
        MessageType.MSG,
        3,
        4,
        payload,
    )
    data = frame_bytes(WireCodec().encode(message, "token"))
    assert pb.Message.FromString(data).SerializeToString(deterministic=True) == data
    frame = InboundParser(1).parse(data)
    assert isinstance(frame, Frame)
    assert WireCodec().decode(frame).content == payload


@pytest.mark.parametrize("name", V1)
def test_recorded_messages_survive_the_node(name: str) -> None:
    """Parsed and written again, only incoming_conn differs (`dataplane.md` 7, 12)."""
    parser = InboundParser(77)
    for row in rows(name):
        record = parser.parse(row.data)
        message = pb.Message.FromString(row.data)
        if isinstance(record, Frame):
            message.publish.header.incoming_conn = 77
            assert frame_bytes(record) == message.SerializeToString(deterministic=True)
        elif isinstance(record, Subscription):
            header = (message.subscribe if record.subscribe else message.unsubscribe).header
            header.ClearField("incoming_conn")
            assert encode_record(record) == message.SerializeToString()
        else:
            assert record is not None
            assert encode_record(record) == row.data


@pytest.mark.parametrize("name", V1)
def test_recorded_session_messages_encode_to_the_recorded_bytes(name: str) -> None:
    codec = WireCodec()
    seen = 0
    for row in rows(name):
        message = pb.Message.FromString(row.data)
        if message.WhichOneof("message_type") != "publish":
            continue
        frame = InboundParser(1).parse(row.data)
        assert isinstance(frame, Frame)
        message.publish.header.ClearField("incoming_conn")
        assert again(codec, frame) == message.SerializeToString(deterministic=True)
        seen += 1
    assert seen


def publish(**fields: object) -> pb.Message:
    name = pb.Name(
        name=pb.EncodedName(component_0=1, component_1=2, component_2=3, component_3=4),
        str_name=pb.StringName(str_component_0="a", str_component_1="b", str_component_2="c"),
    )
    message = pb.Message()
    message.publish.header.source.CopyFrom(name)
    message.publish.header.destination.CopyFrom(name)
    message.publish.header.fanout = 1
    message.publish.session.session_id = 9
    message.publish.msg.app_payload.blob = b"x"
    for field, value in fields.items():
        setattr(message.publish.header, field, value)
    return message


def test_orders_of_a_peer_are_cleared() -> None:
    frame = InboundParser(3).parse(publish(recv_from=1, forward_to=2, incoming_conn=9).SerializeToString())
    assert isinstance(frame, Frame)
    header = pb.Message.FromString(frame_bytes(frame)).publish.header
    assert not header.HasField("recv_from")
    assert not header.HasField("forward_to")
    assert header.incoming_conn == 3


def test_unknown_fields_travel_on() -> None:
    data = publish().SerializeToString() + b"\xfa\x3e\x03abc"
    frame = InboundParser(3).parse(data)
    assert isinstance(frame, Frame)
    assert frame_bytes(frame).endswith(b"\xfa\x3e\x03abc")


def test_an_unusual_field_order_is_understood() -> None:
    publish_part = publish().publish
    session = b"\x12" + bytes([publish_part.session.ByteSize()]) + publish_part.session.SerializeToString()
    header = publish_part.header.SerializeToString()
    content = publish_part.msg.SerializeToString()
    swapped = session + b"\x0a" + bytes([len(header)]) + header + b"\x1a" + bytes([len(content)]) + content
    frame = InboundParser(3).parse(b"\x1a" + bytes([len(swapped)]) + swapped)
    assert isinstance(frame, Frame)
    assert WireCodec().decode(frame).session_id == 9


def test_a_future_kind_of_message_is_ignored() -> None:
    parser = InboundParser(1)
    assert parser.parse(b"\x7a\x03abc") is None
    assert parser.parse(b"") is None
    assert parser.ignored == 2


def test_half_a_name_is_refused() -> None:
    message = publish()
    message.publish.header.destination.ClearField("str_name")
    with pytest.raises(ProtocolError, match="hashes or its strings"):
        InboundParser(1).parse(message.SerializeToString())


@pytest.mark.parametrize("part", ["header", "session"])
def test_a_publish_lacking_a_part_is_refused(part: str) -> None:
    message = publish()
    message.publish.ClearField(part)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="without header or session"):
        InboundParser(1).parse(message.SerializeToString())


def test_bytes_that_are_no_message_end_the_stream() -> None:
    with pytest.raises(DecodeError):
        InboundParser(1).parse(b"\xff\xff\xff")


@given(st.lists(messages, min_size=2, max_size=4), st.integers(1, 2**32 - 1), st.binary(max_size=40))
def test_memory_of_earlier_messages_changes_nothing(
    some: list[SessionMessage], message_id: int, blob: bytes
) -> None:
    """A parser that saw similar messages reads each one as a fresh parser does."""
    codec, parser = WireCodec(), InboundParser(1)
    for message in some:
        for near in (
            message,
            message._replace(message_id=message_id),
            message._replace(content=Payload("msg", blob)),
            message._replace(identity="another"),
            message._replace(identity="für später"),
            message._replace(metadata={"key": "one"}),
            message._replace(metadata={"key": "two"}),
            message._replace(metadata={"key": "one"}),
        ):
            data = frame_bytes(codec.encode(near, near.identity))
            for form in (data, data, data[:-1] + b"\x00"):
                try:
                    expected = InboundParser(1).parse(form)
                except (ProtocolError, DecodeError) as exc:
                    with pytest.raises(type(exc)):
                        parser.parse(form)
                else:
                    assert parser.parse(form) == expected


def test_metadata_that_is_remembered_is_nobody_elses() -> None:
    codec, metadata = WireCodec(), {"key": "one"}
    message = SessionMessage(
        *(Name("a", "b", "c", 1),) * 2, SessionKind.MULTICAST, MessageType.MSG, 1, 1, Payload(), 1, metadata
    )
    first = codec.encode(message, "token")
    metadata["key"] = "two"
    second = codec.encode(message, "token")
    read = [codec.decode(frame).metadata for frame in (first, first, second)]
    assert read == [{"key": "one"}, {"key": "one"}, {"key": "two"}]
    assert read[0] is not None
    read[0]["key"] = "three"
    assert codec.decode(first).metadata == {"key": "one"}


def with_tokens(*tokens: bytes) -> bytes:
    """A message whose header has each of these identity fields, the last of which counts."""
    header = publish(identity="").publish.header.SerializeToString()
    header += b"".join(b"\x22" + bytes([len(token)]) + token for token in tokens)
    rest = publish().publish
    rest.ClearField("header")
    body = b"\x0a" + varint.encode(len(header)) + header + rest.SerializeToString()
    return b"\x1a" + varint.encode(len(body)) + body


@pytest.mark.parametrize(
    "tokens",
    [
        (b"fourth",),
        (b"fifth and longer" * 6,),
        (b"",),
        (),
        (b"first", b"again"),
        (b"again", b"again"),
        (b"other", b"again"),
        ("später".encode(),),
    ],
)
def test_a_token_of_its_own_changes_nothing_else(tokens: tuple[bytes, ...]) -> None:
    parser = InboundParser(1)
    for known in ((b"first",), (b"again", b"again"), (b"second",)):
        parser.parse(with_tokens(*known))
    data = with_tokens(*tokens)
    assert parser.parse(data) == InboundParser(1).parse(data)


def test_a_token_that_is_not_utf8_ends_the_stream_whatever_was_seen_before() -> None:
    parser = InboundParser(1)
    parser.parse(with_tokens(b"first"))
    with pytest.raises(DecodeError):
        parser.parse(with_tokens(b"\xff\xfe"))


@given(st.lists(messages, min_size=2, max_size=4), u32)
def test_a_codec_that_remembers_says_what_a_fresh_one_says(
    some: list[SessionMessage], session_id: int
) -> None:
    codec, parser = WireCodec(), InboundParser(1)
    for message in some:
        for near in (message, message._replace(session_id=session_id), message):
            frame = codec.encode(near, near.identity)
            assert frame == WireCodec().encode(near, near.identity)
            received = parser.parse(frame_bytes(frame))
            assert isinstance(received, Frame)
            assert codec.decode(received) == WireCodec().decode(received) == near._replace(connection=1)


def test_a_known_command_behind_a_broken_session_header_is_judged_again() -> None:
    alice, bob = Name("a", "b", "alice", 1), Name("a", "b", "bob", 2)
    ping = SessionMessage(
        alice, bob, SessionKind.POINT_TO_POINT, MessageType.PING, 7, 9, Ping(), metadata=None, connection=None
    )
    parser, frame = InboundParser(1), WireCodec().encode(ping, "token")
    assert isinstance(parser.parse(frame_bytes(frame)), Frame)
    # The length of the session header reaches into the command.
    broken = frame._replace(body=bytes((frame.body[0], frame.body[1] + 1)) + frame.body[2:])
    with pytest.raises((ProtocolError, DecodeError)):
        parser.parse(frame_bytes(broken))


RECORDED = [row.data for name in V1 for row in rows(name)]


@given(st.sampled_from(RECORDED), st.data())
def test_mutated_messages_end_in_a_record_or_a_typed_error(data: bytes, draw: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        mutated[draw.draw(st.integers(0, len(mutated) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(mutated)))
    codec = WireCodec()
    for form in (bytes(mutated), bytes(mutated[:cut])):
        try:
            record = InboundParser(1).parse(form)
            if isinstance(record, Frame):
                pb.Message.FromString(frame_bytes(record))
                codec.decode(record)
        except (ProtocolError, DecodeError):
            pass


def test_records_round_trip() -> None:
    parser = InboundParser(1)
    a, b = Name("o", "n", "a", 1), Name("o", "n", "b")
    for record in (
        Subscription(True, a, b, "token", 7),
        Subscription(False, a, b, "", 0),
        SubscriptionAck(7, False, "why"),
        LinkNegotiation("id", "1.4.0", True),
    ):
        assert parser.parse(encode_record(record)) == record


def again(codec: WireCodec, frame: Frame) -> bytes:
    """A frame's message, encoded anew."""
    message = codec.decode(frame)
    return frame_bytes(codec.encode(message, message.identity))
