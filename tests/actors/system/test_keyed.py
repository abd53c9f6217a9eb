"""The keyed serializer: what goes in comes out, and nothing else does."""

from __future__ import annotations

import logging
import pickle
from datetime import timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    PoisonMessage,
    ValidateSource,
    WakeupMessage,
)
from thespian.system.addressManager import ActorAddressManager, CannotPickleAddress
from thespian.system.messages.admin import PendingActor

from actors.messages.session import Completed
from actors.system.address import Address, tcp_address
from actors.system.errors import BadFrame, NotAllowed
from actors.system.keyed import TAG_BYTES, ClusterKey, KeyedSerializer
from identity.errors import ConfigError
from tests.actors.system.cast import Made, Say, Words

SERIALIZER = KeyedSerializer(ClusterKey(bytes(32)), Words())

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def exchanged(value: Any) -> Any:
    return SERIALIZER.loads(SERIALIZER.dumps(value))


@given(plain)
def test_plain_values_come_out_as_they_went_in(value: Any) -> None:
    assert exchanged(value) == value


@given(st.timedeltas())
def test_durations_too(value: timedelta) -> None:
    assert exchanged(value) == value


@given(st.text())
def test_messages_of_the_vocabulary_too(text: str) -> None:
    assert exchanged(Say(text)) == Say(text)


def test_thespians_messages_carry_ours() -> None:
    home = tcp_address("127.0.0.1", 1900)
    sender, poison = exchanged((home, PoisonMessage(Say("bad"), "details")))
    assert sender == home
    assert (poison.poisonMessage, poison.details) == (Say("bad"), "details")
    assert exchanged(ChildActorExited(home)).childAddress == home
    assert exchanged(WakeupMessage(timedelta(seconds=1), ("a", 1))) == WakeupMessage(
        timedelta(seconds=1), ("a", 1)
    )
    assert exchanged(ActorExitRequest(recursive=False)).isRecursive is False
    assert vars(exchanged(PendingActor("a.B", None, 1, None, "name"))) == vars(
        PendingActor("a.B", None, 1, None, "name")
    )


def test_a_log_record_is_reduced_to_text_and_numbers() -> None:
    record = logging.LogRecord("name", logging.WARNING, __file__, 7, "text", None, None)
    record.secret = object()
    copy = exchanged(record)
    assert isinstance(copy, logging.LogRecord)
    assert (copy.name, copy.levelno, copy.getMessage(), copy.lineno) == ("name", logging.WARNING, "text", 7)
    assert not hasattr(copy, "secret")


def test_a_log_record_does_not_quote_the_message_an_actor_failed_on() -> None:
    text = "Actor %s @ %s retryable exception on message %s"
    record = logging.LogRecord("name", logging.WARNING, __file__, 7, text, None, None)
    record.msg = text % ("Echo", "(T|:1900)", Say("top secret"))
    assert exchanged(record).getMessage() == "Actor Echo @ (T|:1900) retryable exception on a message"


@given(plain, st.data())
def test_any_changed_byte_is_noticed(value: Any, data: st.DataObject) -> None:
    frame = bytearray(SERIALIZER.dumps(value))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadFrame) as caught:
        SERIALIZER.loads(bytes(frame))
    assert caught.value.rule == "forged"


@given(st.binary(max_size=200))
def test_strangers_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        SERIALIZER.loads(data)


def test_another_key_is_a_forgery() -> None:
    with pytest.raises(BadFrame, match="not made with this system's key"):
        KeyedSerializer(ClusterKey(bytes([1] * 32))).loads(SERIALIZER.dumps("hello"))


@given(st.binary(max_size=200))
def test_bytes_with_a_good_tag_raise_nothing_else(body: bytes) -> None:
    try:
        SERIALIZER.loads(ClusterKey(bytes(32)).tag(body) + body)
    except BadFrame as error:
        assert error.rule in ("damaged", "class")  # noqa: PT017


def signed(body: bytes) -> bytes:
    return ClusterKey(bytes(32)).tag(body) + body


@pytest.mark.parametrize(
    "name", ["builtins:object", "subprocess:Popen", "thespian.actors:ValidateSource", "", None]
)
def test_a_class_off_the_list_is_not_made(name: str | None) -> None:
    body = msgpack.packb(msgpack.ExtType(4, msgpack.packb([name, {}])))
    with pytest.raises(BadFrame) as caught:
        SERIALIZER.loads(signed(body))
    assert caught.value.rule == "class"


def test_an_unknown_extension_is_refused() -> None:
    with pytest.raises(BadFrame) as caught:
        SERIALIZER.loads(signed(msgpack.packb(msgpack.ExtType(99, b""))))
    assert caught.value.rule == "class"


def test_a_record_that_is_a_tuple_stays_a_record() -> None:
    record = Completed(7, (1, 2))
    assert type(exchanged(record)) is Completed
    assert exchanged(record) == record


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, ValidateSource("hash", b"code"), Address(1), ActorAddress(3), 1 << 70]
)
def test_what_may_not_leave_stays(value: Any) -> None:
    with pytest.raises(NotAllowed):
        SERIALIZER.dumps(value)
    with pytest.raises(NotAllowed):
        SERIALIZER.dumps(("sender", [value]))


def test_without_a_vocabulary_no_message_passes() -> None:
    bare = KeyedSerializer(ClusterKey(bytes(32)))
    with pytest.raises(NotAllowed, match="Say"):
        bare.dumps(Say("x"))
    with pytest.raises(BadFrame):
        bare.loads(SERIALIZER.dumps(Say("x")))


def test_a_child_not_yet_born_is_left_to_thespian_to_retry() -> None:
    manager = ActorAddressManager(tcp_address("127.0.0.1", 1), tcp_address("127.0.0.1", 2))
    child = manager.createLocalAddress()
    for value in (child, Made(child)):
        with pytest.raises(CannotPickleAddress):
            SERIALIZER.dumps(value)
    manager.associateUseableAddress(tcp_address("127.0.0.1", 2), 0, tcp_address("127.0.0.1", 3))
    assert exchanged(child) == tcp_address("127.0.0.1", 3)
    assert exchanged(Made(child)).child == tcp_address("127.0.0.1", 3)


@pytest.mark.parametrize("key", [None, b"", bytes(31)])
def test_a_key_has_32_bytes(key: bytes | None) -> None:
    with pytest.raises(ConfigError) as caught:
        ClusterKey(key)
    assert caught.value.field == "key"


def test_a_key_shows_itself_to_nobody() -> None:
    key = ClusterKey(b"very secret " * 4)
    assert repr(key) == "<Key of 48 bytes>"
    assert "secret" not in f"{key} {KeyedSerializer(key)!r}"
    assert pickle.loads(pickle.dumps(key)) == key


def test_the_tag_covers_the_whole_body() -> None:
    frame = SERIALIZER.dumps([1, 2, 3])
    assert frame[:TAG_BYTES] == ClusterKey(bytes(32)).tag(frame[TAG_BYTES:])
