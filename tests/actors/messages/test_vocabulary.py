from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import MessageUndelivered, SessionClosed
from actors.messages import VOCABULARY, wire
from actors.messages.routing import RouteEntry, RoutesChanged, StatusReport, WatchRoutes
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
from identity.errors import SlimError

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


def test_nested_records_and_mappings_keep_their_types() -> None:
    changed = RoutesChanged((RouteEntry(A, 1, local=True), RouteEntry(A.with_id(3), 2, local=False)))
    again = VOCABULARY.unpack(VOCABULARY.pack(changed))
    assert again == changed
    assert type(again.entries[0]) is RouteEntry
    report = StatusReport({"1": {"names": 3, "more": (1, 2)}})
    assert VOCABULARY.unpack(VOCABULARY.pack(report)) == report


def test_a_frame_keeps_its_bytes() -> None:
    frame = Frame(A.key, A.instance, 1, False, b"h", 8, b"\x00payload")
    assert VOCABULARY.unpack(VOCABULARY.pack(frame)) == frame


@pytest.mark.parametrize("error", [SessionClosed("why", session_id=5), MessageUndelivered(7, ("a", "b"))])
def test_errors_keep_type_text_and_fields(error: Exception) -> None:
    again = VOCABULARY.unpack(VOCABULARY.pack(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_error_that_this_process_does_not_know_is_one_of_the_nearest_base_that_it_knows() -> None:
    class Overslept(SessionClosed):
        """Declared nowhere but here."""

    told = VOCABULARY.pack(Overslept("late", session_id=5))
    forgotten = told.replace(b"Overslept", b"Underslep")
    assert type(VOCABULARY.unpack(told)) is Overslept
    again = VOCABULARY.unpack(forgotten)
    assert type(again) is SessionClosed
    assert (str(again), again.session_id) == (str(Overslept("late", session_id=5)), 5)


def test_two_errors_of_one_name_are_refused_when_the_second_is_declared() -> None:
    with pytest.raises(TypeError, match="two errors travel as SessionClosed"):
        type("SessionClosed", (SlimError,), {"__module__": "elsewhere"})
    assert type(VOCABULARY.unpack(VOCABULARY.pack(SessionClosed("why")))) is SessionClosed


def test_two_records_of_one_name_are_refused() -> None:
    another = ModuleType("another")
    another.Ping = type("Ping", (Ping,), {"__module__": "another"})  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"travel as Ping: of actors\.messages\.wire and of another"):
        Vocabulary.of(wire, another)


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
    again = VOCABULARY.unpack(VOCABULARY.pack(WatchRoutes(Address(9))))
    assert again.inbox.n == 9
