"""Subjects, and frames in messages of NATS: both ways, cut anywhere, and bounded."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ProtocolError
from actors.messages.wire import ALL, ONE, Frame, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from gateway.codec import InboundParser, WireCodec, frame_bytes
from gateway.links.nats_wire import (
    BATCH,
    AskedOfNats,
    Batch,
    Batches,
    Origin,
    looks_encrypted,
    subject,
    unpack,
)

BOB = Name("org", "default", "bob")
ORIGIN = Origin("node/east", 7)
_codec = WireCodec()


def frame(
    blob: bytes = b"x", name: Name = BOB, fanout: int = ALL, kind: MessageType = MessageType.MSG
) -> Frame:
    message = SessionMessage(BOB, name, SessionKind.MULTICAST, kind, 7, 1, Payload("msg", blob), fanout)
    made = InboundParser(1).parse(frame_bytes(_codec.encode(message, "")))
    assert isinstance(made, Frame)
    return made


def put(batches: Batches, *frames: Frame, asker: object = None) -> None:
    assert batches.put(frames, asker, limit=2**32) == []


def test_subjects_are_hashes() -> None:
    # The hashes of `dataplane.md` 13.
    place = "873e580376ea963b.219303c7c93f9668.49ae1b437ae573c4"
    assert subject((BOB.key, BOB.instance), one=True) == f"slim1.one.{place}"
    with_id = BOB.with_id(0x2B35CB39C12A50A0)
    assert subject((with_id.key, with_id.instance), one=False) == f"slim1.all.{place}.2b35cb39c12a50a0"


@given(st.text(min_size=1), st.one_of(st.none(), st.integers(0, 2**64 - 2)), st.booleans())
def test_no_name_makes_a_subject_that_means_something_else(text: str, id: int | None, one: bool) -> None:
    name = Name(text, "*", ">", id)
    made = subject((name.key, name.instance), one=one)
    assert re.fullmatch(r"slim1\.(one|all)(\.[0-9a-f]{16}){3,4}", made)


def test_frames_of_a_turn_for_one_subject_travel_together_in_order() -> None:
    batches = Batches(ORIGIN)
    other = BOB.with_id(3)
    put(batches, frame(b"1"), frame(b"2", other), frame(b"3"))
    assert batches.size > 0
    first, second = batches.take()
    assert batches.size == 0
    assert batches.take() == []
    assert unpack(first.payload) == (ORIGIN, [frame_bytes(frame(b"1")), frame_bytes(frame(b"3"))])
    assert unpack(second.payload) == (ORIGIN, [frame_bytes(frame(b"2", other))])
    assert first.frames == ()


def test_each_frame_for_any_instance_travels_alone_and_is_answered_for() -> None:
    batches = Batches(ORIGIN)
    frames = [frame(b"1", fanout=ONE), frame(b"2", fanout=ONE)]
    put(batches, *frames, asker="app")
    made = batches.take()
    assert [(batch.frames, batch.asker) for batch in made] == [((one,), "app") for one in frames]


def test_a_message_grows_no_further_than_a_batch() -> None:
    batches = Batches(ORIGIN)
    put(batches, *(frame(bytes(BATCH // 3)) for _ in range(5)))
    sizes = [len(batch.payload) for batch in batches.take()]
    assert len(sizes) == 3
    assert max(sizes) <= BATCH


def test_frames_over_the_limit_are_not_taken() -> None:
    batches = Batches(ORIGIN)
    large, small = frame(bytes(5000)), frame(b"small")
    assert batches.put([large, small, large], None, limit=4096) == [large, large]
    (made,) = batches.take()
    assert unpack(made.payload)[1] == [frame_bytes(small)]


def test_an_asker_who_is_nobody_is_not_mixed_with_all() -> None:
    batches = Batches(ORIGIN)
    someone = BOB.with_id(3)
    put(batches, frame(b"1", someone, ONE), frame(b"2", someone, ALL), frame(b"3", someone, ONE))
    where = [(batch.subject.split(".")[1], len(unpack(batch.payload)[1])) for batch in batches.take()]
    assert where == [("one", 2), ("all", 1)]


def test_overhead_is_what_a_message_adds_to_its_frame() -> None:
    batches = Batches(ORIGIN)
    put(batches, large := frame(bytes(3_000_000)))
    (made,) = batches.take()
    assert len(made.payload) - len(frame_bytes(large)) <= batches.overhead


def test_what_is_cut_anywhere_is_refused_or_has_fewer_frames() -> None:
    batches = Batches(ORIGIN)
    put(batches, frame(b"1"), frame(b"2"))
    (whole,) = batches.take()
    frames = unpack(whole.payload)[1]
    for end in range(len(whole.payload)):
        try:
            assert unpack(whole.payload[:end])[1] in ([], frames[:1])
        except ProtocolError:
            continue


@given(st.binary(max_size=64))
def test_anything_is_a_message_or_refused(data: bytes) -> None:
    try:
        unpack(data)
    except ProtocolError:
        return


@pytest.mark.parametrize("data", [b"", b"\x02\x00", b"\x01\x01\xff" + bytes(8)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(data)


def test_what_nobody_answers_is_bounded() -> None:
    asked = AskedOfNats(count=2, size=25)
    numbers = [asked.ask(Batch("s", bytes(10), (), None)) for _ in range(3)]
    assert asked.unanswered(numbers[0]) is None
    assert asked.unanswered(numbers[1]) is not None
    assert asked.unanswered(numbers[1]) is None
    asked.ask(Batch("s", bytes(26), (), None))
    assert asked.forget() == []


@pytest.mark.parametrize(
    ("blob", "kind", "passes"),
    [
        (b"\x00\x01\x00\x02...", MessageType.MSG, True),
        (b"in clear", MessageType.MSG, False),
        (b"\x00\x01\x00", MessageType.MSG, False),
        (b"", MessageType.RTX_REPLY, True),
        (b"in clear", MessageType.RTX_REPLY, False),
        (b"", MessageType.MSG_ACK, True),
    ],
)
def test_encrypted_is_told_by_the_shape(blob: bytes, kind: MessageType, passes: bool) -> None:
    assert looks_encrypted(frame(blob, kind=kind)) is passes
