from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import MessageUndelivered, SessionClosed
from actors.messages import VOCABULARY
from actors.messages.routing import Route, Snapshot
from actors.messages.vocabulary import Vocabulary
from actors.messages.wire import (
    Frame,
    GroupAdd,
    JoinRequest,
    MessageType,
    MlsPayload,
    Payload,
    Ping,
    SessionKind,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name
from actors.system.errors import AskTimeout
from gateway.cli.demo import DemoFailed
from gateway.http2.errors import ConnectFailed
from identity.errors import SlimError
from identity.mls.errors import VerificationError

A, B = Name("org", "ns", "a", 1), Name("org", "ns", "b", 2**64 - 2)

u64 = st.integers(0, 2**64 - 1)
names = st.builds(Name, st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), u64)
contents = st.one_of(
    st.builds(Payload, st.text(), st.binary()),
    st.just(Ping()),
    st.builds(JoinRequest, st.booleans(), st.builds(TimerSettings, st.just(1.5), st.integers(0, 9)), names),
    st.builds(
        GroupAdd,
        names,
        st.lists(names).map(tuple),
        st.none() | st.builds(MlsPayload, st.integers(0, 2**32 - 1), st.binary()),
    ),
)
messages = st.builds(
    SessionMessage,
    names,
    names,
    st.sampled_from(SessionKind),
    st.sampled_from(MessageType),
    u64,
    u64,
    contents,
    metadata=st.none() | st.dictionaries(st.text(), st.text()),
    identity=st.text(),
    connection=st.none() | u64,
)


@given(messages)
def test_what_is_unpacked_equals_what_was_packed(message: SessionMessage) -> None:
    again = VOCABULARY.unpack(VOCABULARY.pack(message))
    assert again == message
    assert type(again) is SessionMessage
    assert type(again.content) is type(message.content)
    assert type(again.kind) is MessageType


def test_nested_mappings_and_tuples_keep_their_types() -> None:
    snapshot = Snapshot(3, {A.key: Route((1,), (), {A.instance: (1, 2)}, {})}, {1: b"x"})
    again = VOCABULARY.unpack(VOCABULARY.pack(snapshot))
    assert again == snapshot
    assert type(again.routes[A.key]) is Route


def test_a_frame_keeps_its_bytes() -> None:
    frame = Frame(A.key, A.instance, 1, False, b"h", 8, b"\x00payload")
    assert VOCABULARY.unpack(VOCABULARY.pack(frame)) == frame


@pytest.mark.parametrize("error", [SessionClosed("why", session_id=5), MessageUndelivered(7, ("a", "b"))])
def test_errors_keep_type_text_and_fields(error: Exception) -> None:
    again = VOCABULARY.unpack(VOCABULARY.pack(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_errors_of_any_floor_keep_their_type() -> None:
    errors: tuple[SlimError, ...] = (
        ConnectFailed("host", "no"),
        VerificationError("bad tag"),
        AskTimeout("loop:1", "Status", 1.0),
        DemoFailed("no answer"),
    )
    for error in errors:
        again = VOCABULARY.unpack(VOCABULARY.pack(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_an_error_unknown_here_is_one_of_its_nearest_base_with_its_text() -> None:
    class Elsewhere(SessionClosed):
        pass

    class StillFurther(Elsewhere):
        pass

    packed = VOCABULARY.pack(StillFurther("gone", session_id=5))
    unknown = packed.replace(b"StillFurther", b"StillFurthex").replace(b"Elsewhere", b"Elsewherx")
    again = VOCABULARY.unpack(unknown)
    assert (type(again), str(again), again.session_id) == (SessionClosed, "session closed: gone", 5)
    nothing = unknown
    for known in (b"SessionClosed", b"SessionError"):
        nothing = nothing.replace(known, b"x" * len(known))
    assert type(VOCABULARY.unpack(nothing)) is SlimError


def test_two_errors_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match=r"two errors travel as SessionClosed: actors\.errors"):
        type("SessionClosed", (SlimError,), {})


def test_two_records_of_one_name_are_refused() -> None:
    one, other = ModuleType("one"), ModuleType("other")
    for module in (one, other):

        class Twice(NamedTuple):
            x: int

        Twice.__module__ = module.__name__
        vars(module)["Twice"] = Twice
    assert Vocabulary.of(one, one)
    with pytest.raises(TypeError, match="two records travel as Twice: of one and of other"):
        Vocabulary.of(one, other)


def test_strangers_are_refused() -> None:
    with pytest.raises(TypeError, match="not in the actors' vocabulary"):
        VOCABULARY.pack(Payload("x", object()))  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_value_error_or_give_plain_values(data: bytes) -> None:
    try:
        VOCABULARY.unpack(data)
    except ValueError:
        pass


def test_foreign_types_travel_once_introduced() -> None:
    class Address:
        def __init__(self, n: int) -> None:
            self.n = n

    VOCABULARY.extend(Address, lambda a: str(a.n).encode(), lambda b: Address(int(b)))
    again = VOCABULARY.unpack(VOCABULARY.pack(Snapshot(1, {}, {2: Address(9)})))
    assert again.addresses[2].n == 9
