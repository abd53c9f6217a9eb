from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import MessageUndelivered, SessionClosed
from actors.messages import VOCABULARY
from actors.messages.routing import RouteEntry, RoutesChanged, StatusReport, WatchRoutes
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
