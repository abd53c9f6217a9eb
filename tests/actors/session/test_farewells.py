"""Last answers are bounded, and those that made way are counted."""

from __future__ import annotations

from actors.messages.wire import GroupAck, MessageType, SessionKind, SessionMessage
from actors.names import Name
from actors.session.counts import SessionCounts
from actors.session.farewells import FAREWELLS, Farewells

ME, BOB = Name("org", "ns", "me", 7), Name("org", "ns", "bob", 8)


def answer(number: int) -> SessionMessage:
    return SessionMessage(ME, BOB, SessionKind.MULTICAST, MessageType.GROUP_ACK, 5, number, GroupAck())


def test_the_oldest_makes_way_and_is_counted() -> None:
    counts = SessionCounts()
    farewells = Farewells(counts)
    for number in range(FAREWELLS + 3):
        farewells.append(answer(number))
    assert [kept.message_id for kept in farewells] == list(range(3, FAREWELLS + 3))
    assert counts.farewells_dropped == 3
