"""A stage that dies at a bad moment, and the one that goes on with its book."""

from __future__ import annotations

from actors.messages.moderation import Curtain, Decided, InviteFailed, LeadGroup, Schedule
from actors.messages.session import Completed, Failure, Invite
from actors.moderation.stage import InMemory, Party, Stage, StageTurn, ToParty
from actors.names import Name
from identity.errors import SlimError

CHANNEL = Name.parse("org/test/channel")
GATE = Name.parse("org/test/gate").with_id(7)
ANN = Name.parse("org/test/ann")


def opened(notes: InMemory) -> tuple[Stage, list[object]]:
    """A stage with an open group, and what it told script and session."""
    stage, turn = Stage(notes, CHANNEL, connection=None, resumed=False), StageTurn(0.0)
    stage.script_there(turn)
    stage.opened(GATE, 100, turn)
    stage.stands(turn)
    return stage, told(turn)


def told(turn: StageTurn) -> list[object]:
    return [
        each.message for each in turn.effects if isinstance(each, ToParty) and each.party is not Party.APP
    ]


def invitation_that_failed() -> tuple[InMemory, Stage, int]:
    """A script has wished for ann, who does not come, and does not know that yet."""
    notes = InMemory()
    stage, _ = opened(notes)
    turn = StageTurn(1.0)
    stage.decided(Decided((Invite(0, ANN),)), turn)
    (invite,) = told(turn)
    assert isinstance(invite, Invite)
    turn = StageTurn(9.0)
    stage.handle(Completed(1, failed=(Failure(invite.handle, SlimError("nobody there")),)), turn)
    (failed,) = told(turn)
    assert isinstance(failed, InviteFailed)
    return notes, stage, invite.handle


def test_an_invitation_that_failed_is_over_when_the_script_has_dealt_with_it() -> None:
    notes, stage, _ = invitation_that_failed()
    stage.decided(Decided((Schedule("again", 2.0),)), StageTurn(9.0))
    assert not notes.book.operations
    assert notes.book.timers == {"again": 11.0}


def test_an_invitation_that_failed_is_over_also_if_the_script_wants_nothing() -> None:
    notes, stage, _ = invitation_that_failed()
    stage.decided(Decided(), StageTurn(9.0))
    assert not notes.book.operations


def test_an_invitation_whose_failure_the_script_has_not_dealt_with_is_tried_again() -> None:
    notes, _, number = invitation_that_failed()
    _, heard = opened(notes)
    assert Invite(number, ANN) in heard
    assert [type(each) for each in heard if not isinstance(each, Invite)] == [LeadGroup]
    assert Curtain() not in heard
