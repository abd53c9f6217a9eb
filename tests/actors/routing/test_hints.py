"""What a connection says of who is not reached: to whom, and how often."""

from __future__ import annotations

import pytest

from actors.messages.wire import ONE, Frame, Hint, HintReason, Introduction, LinkNegotiation, Role
from actors.names import Name
from actors.routing.hints import ConnectionHints
from actors.routing.negotiation import NOBODY, Negotiator
from actors.routing.table import SubscriptionTable
from actors.routing.view import Rank

ALICE, BOB, CAROL = (Name("org", "demo", app, id) for id, app in enumerate(("alice", "bob", "carol"), 1))
ME, OTHER = 1, 2
LINK_ID = "6a8f2c1e-0d3b-4f5a-9c7e-1b2d3e4f5a6b"


class ReadingLink:
    """From ALICE comes what it reads; `name` is whom it is for."""

    def __init__(self) -> None:
        self.name: Name | None = BOB

    def asked(self, frame: Frame) -> tuple[Name, Name] | None:
        return self.ends(frame)

    def ends(self, frame: Frame) -> tuple[Name, Name] | None:
        return None if self.name is None else (ALICE, self.name)


class Stage:
    def __init__(self, role: Role | None = Role.APPLICATION) -> None:
        self.link = ReadingLink()
        self.table = SubscriptionTable()
        negotiator = Negotiator(None, NOBODY, lambda introduction: "")
        if role is not None:
            negotiator.handle(LinkNegotiation(LINK_ID, "1.4.0", introduction=Introduction(role)))
        self.hints = ConnectionHints(ME, self.link, negotiator, self.table.view)


def asking(name: Name = BOB) -> Frame:
    return Frame(name.key, name.instance, ONE, True, b"", 1, b"x")


def test_who_asks_for_nobody_hears_it_once_in_a_second() -> None:
    hints = Stage().hints
    told = Hint(HintReason.NOBODY, BOB, ALICE)
    assert [hints.nobody(asking(), now) for now in (0.0, 0.5, 1.0)] == [told, None, told]


def test_a_frame_that_asks_nothing_brings_no_hint() -> None:
    stage = Stage()
    stage.link.name = None
    assert stage.hints.nobody(asking(), 0.0) is None
    assert stage.hints.held_up((asking(),), HintReason.TOO_FAST) is None


def test_what_is_forbidden_is_told_to_who_sent_it() -> None:
    hints = Stage().hints
    assert hints.forbidden(asking(), (ALICE, BOB), 0.0) == Hint(HintReason.FORBIDDEN, BOB, ALICE)
    assert hints.forbidden(asking(CAROL), None, 0.0) is None
    # One that could not be told spends nothing.
    assert hints.forbidden(asking(CAROL), (ALICE, CAROL), 0.0) == Hint(HintReason.FORBIDDEN, CAROL, ALICE)


def test_a_peer_that_does_not_know_hints_gets_none() -> None:
    hints = Stage(None).hints
    assert hints.nobody(asking(), 0.0) is None
    assert hints.forbidden(asking(), (ALICE, BOB), 0.0) is None
    other = LinkNegotiation(LINK_ID, "1.4.0")
    assert hints.understood((Hint(HintReason.SECRET, BOB, ALICE), other)) == (other,)


def test_a_peer_of_ours_is_sent_everything() -> None:
    records = (Hint(HintReason.SECRET, BOB, ALICE), LinkNegotiation(LINK_ID, "1.4.0"))
    assert Stage().hints.understood(records) is records


@pytest.mark.parametrize("role", [Role.APPLICATION, Role.NODE, None])
def test_only_an_application_hears_why_it_is_not_read(role: Role | None) -> None:
    told = Stage(role).hints.held_up((LinkNegotiation(LINK_ID, "1.4.0"), asking()), HintReason.MEMORY)
    assert told == (Hint(HintReason.MEMORY, BOB, ALICE) if role is Role.APPLICATION else None)


def test_a_hint_of_the_peer_goes_on_once_in_a_second_for_a_source() -> None:
    hints = Stage().hints
    about_bob, about_carol = (Hint(HintReason.SECRET, name, ALICE) for name in (BOB, CAROL))
    assert [hints.may_pass(about_bob, now) for now in (0.0, 0.9, 1.0)] == [True, False, True]
    assert hints.may_pass(about_carol, 1.0)


def test_what_is_said_of_a_name_is_kept_where_the_connection_leads_to_it() -> None:
    stage = Stage()
    for connection, name in ((ME, BOB), (OTHER, CAROL)):
        stage.table.attach(connection, object(), Rank.EDGE)
        stage.table.add(name, connection, 0)
    for name in (BOB, CAROL):
        assert stage.hints.may_pass(Hint(HintReason.SECRET, name, ALICE), 0.0)
    past = stage.table.view.past
    assert [told.about for told in past.told(BOB.key, ALICE.key, 0.0)] == [BOB]
    assert past.told(CAROL.key, ALICE.key, 0.0) == []
