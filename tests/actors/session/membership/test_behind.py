"""Members that missed a change of a group without MLS."""

from __future__ import annotations

from actors.messages.wire import ONE, GroupAdd, GroupRemove, MessageType, SessionMessage
from actors.session.membership.behind import CHANCES
from actors.session.peers import PeerGeneration
from actors.session.turn import Turn
from tests.actors.session.stage import Player, Stage, make_group


def no_loss(_: SessionMessage, __: Player) -> bool:
    return False


def told(alice: Player, bob: Player) -> list[GroupAdd | GroupRemove]:
    """The changes that bob alone is told of."""
    return [
        message.content
        for message in alice.sent
        if message.destination == bob.name and isinstance(message.content, GroupAdd | GroupRemove)
    ]


def test_who_missed_a_change_is_told_it_with_the_list_as_it_is_now(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    dave = stage.player("dave")
    stage.drop = lambda _, to: to is bob
    alice.invite(dave.name, handle=20)
    stage.transfer()
    stage.advance(7)
    assert 20 in alice.done
    alice.remove(carol.name, handle=21)
    stage.transfer()
    stage.advance(7)
    assert 21 in alice.done
    stage.drop = no_loss
    stage.advance(2)
    assert alice.members == bob.members == dave.members
    now = (alice.name, bob.name, dave.name)
    assert told(alice, bob)[-2:] == [GroupAdd(dave.name, now), GroupRemove(carol.name, (*now, carol.name))]
    add, copy = [
        m for m in alice.sent if m.kind is MessageType.GROUP_ADD and m.content.new_participant == dave.name
    ][-2:]
    assert (copy.message_id, copy.fanout) == (add.message_id, ONE)


def test_the_list_of_the_next_change_makes_good_what_was_missed_before(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    dave, erin = stage.player("dave"), stage.player("erin")
    stage.drop = lambda m, to: (
        to is bob and isinstance(m.content, GroupAdd) and m.content.new_participant == dave.name
    )
    alice.invite(dave.name)
    stage.transfer()
    stage.advance(7)
    assert str(dave.name) not in bob.members
    alice.invite(erin.name)
    stage.transfer()
    assert alice.members == bob.members == carol.members == erin.members


def test_an_acknowledgement_that_comes_late_ends_it(stage: Stage) -> None:
    alice, bob, _ = make_group(stage, "bob", "carol")
    dave = stage.player("dave")
    stage.drop = lambda m, _: m.kind is MessageType.GROUP_ACK and m.source == bob.name
    alice.invite(dave.name)
    stage.transfer()
    stage.advance(7)
    before = len(told(alice, bob))
    assert before > 0
    stage.drop = no_loss
    stage.advance(2)
    again = len(told(alice, bob))
    stage.advance(5)
    assert len(told(alice, bob)) == again
    assert alice.members == bob.members
    assert sum(type(change).__name__ == "MemberJoined" for change in bob.changes) == 2


def test_what_came_to_nothing_is_not_told(stage: Stage) -> None:
    alice, bob, _ = make_group(stage, "bob", "carol")
    dave, erin = stage.player("dave"), stage.player("erin")
    stage.drop = lambda _, to: to is bob
    for each in (dave, erin):
        alice.invite(each.name)
        stage.transfer()
        stage.advance(7)
    erin.close()
    stage.transfer()
    stage.advance(7)
    stage.drop = no_loss
    stage.advance(2)
    assert alice.members == bob.members
    assert erin.name not in {c.new_participant for c in told(alice, bob) if isinstance(c, GroupAdd)}


def test_who_answers_pings_but_never_a_change_is_dropped_in_the_end(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.generation = PeerGeneration.CURRENT
    dave = stage.player("dave")
    stage.drop = lambda m, to: to is bob and m.kind is MessageType.GROUP_ADD
    alice.invite(dave.name)
    stage.transfer()
    stage.advance(6 * (CHANCES + 1) + 8)
    assert any("missed a change" in str(error) for error in alice.errors)
    assert alice.members == carol.members == dave.members == {str(p.name) for p in (alice, carol, dave)}


def test_who_is_to_be_dropped_behind_another_task_is_not_told_on(stage: Stage) -> None:
    alice, bob, _ = make_group(stage, "bob", "carol")
    dave = stage.player("dave")
    stage.drop = lambda m, to: to is bob and m.kind is MessageType.GROUP_ADD
    alice.invite(dave.name)
    stage.transfer()
    stage.advance(7)
    assert alice.core is not None
    behind = alice.core._side._agenda.behind
    assert behind.next_deadline() is not None
    # It is dropped when the task under way is over; until then there is nothing to wake up for.
    assert behind.expire(Turn(stage.now)) == []
    lost = [member for at in range(200) for member in behind.expire(Turn(stage.now + at))]
    assert lost == [bob.name]
    assert behind.next_deadline() is None
