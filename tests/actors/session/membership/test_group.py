"""A moderator and its participants back to back (`session.md` 4, 6, 8, 9, 10)."""

from __future__ import annotations

import pytest

from actors.errors import (
    HandshakeFailed,
    NotModerator,
    ParticipantDisconnected,
    ParticipantExists,
    ParticipantNotFound,
    SessionClosed,
    SessionError,
)
from actors.messages.session import AppSettings, Invite, MemberJoined, MemberLeft, Outgoing, Publish
from actors.messages.wire import ALL, GroupAdd, GroupRemove, JoinRequest, MessageType, TimerSettings
from actors.names import Name
from actors.session.peers import PeerGeneration
from actors.session.sender import WINDOW
from tests.actors.session.stage import ROOM, Player, Stage, group, make_group


def views(*players: Player) -> list[set[str]]:
    return [player.members for player in players]


def test_a_new_group_stands_at_once_and_says_nothing(stage: Stage) -> None:
    alice = stage.player("alice").create(ROOM, group())
    assert (alice.done, alice.sent) == ([0], [])


def test_the_second_member_is_told_to_the_first(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    assert alice.kinds() == [
        *("DISCOVERY_REQUEST", "JOIN_REQUEST", "GROUP_WELCOME"),
        *("DISCOVERY_REQUEST", "JOIN_REQUEST", "GROUP_ADD", "GROUP_WELCOME"),
    ]
    add = alice.sent[5]
    assert (add.destination, add.fanout) == (ROOM, ALL)
    assert add.content == GroupAdd(carol.name, (alice.name, bob.name, carol.name))
    assert alice.sent[1].content == JoinRequest(False, TimerSettings(1.0, 5), ROOM)
    assert views(alice, bob, carol) == [alice.members] * 3
    assert [type(change) for change in bob.changes] == [MemberJoined]


def test_everybody_hears_everybody(stage: Stage) -> None:
    players = make_group(stage, "bob", "carol", "dave")
    for player in players:
        player.publish(player.name.strings[2].encode(), handle=5)
    stage.transfer()
    for player in players:
        assert 5 in player.done
        assert sorted(player.blobs) == sorted(p.name.strings[2].encode() for p in players if p is not player)


def test_messages_wait_for_the_first_member(stage: Stage) -> None:
    bob = stage.player("bob")
    alice = stage.player("alice").create(ROOM, group())
    alice.publish(b"1", b"2", handle=5)
    assert alice.kinds() == []
    alice.invite(bob.name)
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]
    assert alice.done.count(5) == 2


def test_an_answer_to_one_member(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    bob.publish(b"psst", handle=5, to=alice.name, connection=1)
    stage.transfer()
    assert (alice.blobs, carol.blobs) == ([b"psst"], [])
    assert alice.messages[0].metadata == {"PUBLISH_TO": "TRUE"}
    assert bob.done == [5]
    bob.event(Publish((Outgoing(b"x", handle=6, to=Name("a", "b", "c", 1)),)))
    assert isinstance(bob.failed[0].error, ParticipantNotFound)


def test_a_member_is_removed(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    before = (alice.name, bob.name, carol.name)
    alice.remove(carol.name.without_id())
    stage.transfer()
    assert alice.kinds()[-2:] == ["GROUP_REMOVE", "LEAVE_REQUEST"]
    assert alice.sent[-2].content == GroupRemove(carol.name, before)
    assert carol.kinds()[-2:] == ["GROUP_ACK", "LEAVE_REPLY"]
    assert 2 in alice.done
    assert isinstance(carol.ended and carol.ended.cause, SessionClosed)
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2
    alice.publish(b"x", handle=5)
    stage.transfer()
    assert (bob.blobs, carol.blobs) == ([b"x"], [])
    assert 5 in alice.done


def test_the_last_other_member_is_removed_without_a_broadcast(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    alice.remove(bob.name)
    stage.transfer()
    assert alice.kinds()[-1] == "LEAVE_REQUEST"
    assert "GROUP_REMOVE" not in alice.kinds()
    assert alice.ended is None
    alice.publish(b"to nobody", handle=5)
    alice.invite(bob.name, handle=6)
    stage.transfer()
    alice.publish(b"later", handle=7)
    stage.transfer()
    assert bob.blobs == [b"later"]
    assert {6, 7} <= set(alice.done)
    (failure,) = alice.failed
    assert (failure.handle, type(failure.error)) == (5, ParticipantNotFound)


def test_a_member_leaves(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    carol.close()
    stage.transfer()
    assert carol.done[-1] == 3
    assert alice.kinds()[-2:] == ["LEAVE_REPLY", "GROUP_REMOVE"]
    assert "LEAVE_REQUEST" not in alice.kinds()
    assert isinstance(alice.errors[0], ParticipantDisconnected)
    assert [type(c) for c in bob.changes] == [MemberJoined, MemberLeft]
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2


def test_when_the_only_other_member_leaves_the_session_is_over(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    bob.close()
    stage.transfer()
    assert isinstance(alice.ended and alice.ended.cause, ParticipantDisconnected)


def test_the_moderator_closes(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    alice.close()
    stage.transfer()
    assert alice.sent[-1].kind is MessageType.GROUP_CLOSE
    assert 3 in alice.done
    for member in (bob, carol):
        assert "closed by the moderator" in str(member.ended)
    assert stage.channels[ROOM.key] == {}


def test_point_to_point_it_is_the_other_side_that_closes(pair: tuple[Player, Player], stage: Stage) -> None:
    alice, bob = pair
    alice.close()
    stage.transfer()
    assert "closed by the other side" in str(bob.ended)


def test_a_moderator_alone_closes_without_a_word(stage: Stage) -> None:
    alice = stage.player("alice").create(ROOM, group())
    alice.close()
    assert (alice.sent, alice.done) == ([], [0, 3])


def test_operations_run_one_at_a_time_and_in_order(stage: Stage) -> None:
    alice = stage.player("alice").create(ROOM, group())
    others = [stage.player(name) for name in ("bob", "carol", "dave")]
    for number, player in enumerate(others):
        alice.invite(player.name.without_id(), handle=10 + number)
    alice.remove(others[0].name, handle=20)
    alice.invite(others[1].name, handle=21)
    alice.close(handle=22)
    stage.transfer()
    assert [handle for handle in alice.done if handle] == [10, 11, 12, 20, 22]
    assert [(f.handle, type(f.error)) for f in alice.failed] == [(21, ParticipantExists)]
    assert "participant already in group" in str(alice.failed[0].error)


def test_strangers_cannot_be_removed(stage: Stage) -> None:
    (alice,) = make_group(stage)
    alice.remove(Name("org", "default", "nobody"))
    assert isinstance(alice.failed[0].error, ParticipantNotFound)
    assert "participant not found" in str(alice.failed[0].error)


def test_only_the_moderator_changes_the_group(stage: Stage) -> None:
    _, bob, carol = make_group(stage, "bob", "carol")
    bob.invite(carol.name)
    bob.remove(carol.name)
    assert [type(failure.error) for failure in bob.failed] == [NotModerator] * 2


def test_an_invitation_that_nobody_answers_fails_and_the_next_goes_on(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    carol = stage.player("carol")
    alice.invite(Name("org", "default", "nobody"), handle=10)
    alice.invite(carol.name, handle=11)
    stage.transfer()
    stage.advance(7)
    (failure,) = alice.failed
    assert isinstance(failure.error, HandshakeFailed)
    assert "failed to add a participant to the group" in str(failure.error)
    assert 11 in alice.done
    assert views(alice, bob, carol) == [alice.members] * 3


def test_a_best_effort_group(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob", interval=None, max_retries=None)
    alice.publish(b"x", handle=5)
    stage.transfer()
    assert bob.blobs == [b"x"]
    assert "MSG_ACK" not in bob.kinds()
    stage.drop = lambda message, to: message.kind is MessageType.JOIN_REPLY
    alice.invite(stage.player("carol").name, handle=6)
    stage.transfer()
    stage.advance(12)
    assert "without timeout and max_retries" in str(alice.failed[0].error)


def test_who_never_acknowledges_its_welcome_is_taken_out_again(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    carol = stage.player("carol")
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_WELCOME
    alice.invite(carol.name, handle=10)
    stage.transfer()
    stage.advance(7)
    assert [failure.handle for failure in alice.failed] == [10]
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2
    assert not any(isinstance(change, MemberLeft) for change in alice.changes)
    assert alice.errors == []


def test_a_failed_first_invitation_leaves_the_group_standing(stage: Stage) -> None:
    alice = stage.player("alice").create(ROOM, group())
    bob = stage.player("bob")
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_WELCOME
    alice.invite(bob.name)
    stage.transfer()
    stage.advance(7)
    assert alice.ended is None
    stage.drop = lambda message, to: False
    stage.advance(60)
    alice.invite(bob.name, handle=11)
    stage.transfer()
    assert 11 in alice.done


def test_a_member_that_leaves_during_an_invitation_does_not_hold_it_up(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    dave = stage.player("dave")
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_ADD and to is carol
    alice.invite(dave.name, handle=20)
    stage.transfer()
    assert 20 not in alice.done
    carol.close()
    stage.transfer()
    assert 20 in alice.done
    assert views(alice, bob, dave) == [alice.members] * 3


def test_who_left_before_the_others_were_told_of_an_addition_does_not_hold_it_up(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    dave = stage.player("dave")
    stage.drop = lambda message, to: message.kind is MessageType.JOIN_REQUEST
    alice.invite(dave.name, handle=20)
    carol.close()
    stage.transfer()
    stage.drop = lambda message, to: False
    stage.advance(1.5)
    assert 20 in alice.done
    assert views(alice, bob, dave) == [alice.members] * 3
    assert str(carol.name) not in alice.members


def test_who_led_a_group_that_fell_silent_all_at_once_may_ask_it_back(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.drop = lambda message, to: True
    while len([change for change in alice.changes if isinstance(change, MemberLeft)]) < 2:
        stage.advance(1)
        assert stage.now < 200
    assert alice.ended is None
    bob.core = carol.core = None
    stage.drop = lambda message, to: False
    alice.invite(bob.name, handle=20)
    stage.advance(20)
    assert 20 in alice.done
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2


def test_a_close_that_waits_no_more_for_an_invitation_asks_nothing_of_who_left(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.drop = lambda message, to: message.kind is MessageType.JOIN_REQUEST
    alice.invite(stage.player("dave").name, handle=20)
    carol.close()
    stage.transfer()
    alice.close(handle=21, grace=0.5)
    stage.transfer()
    stage.advance(1.5)
    assert bob.ended is not None
    assert 21 in alice.done


def test_who_is_removed_while_it_leaves_waits_no_longer_than_it_said(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    # Carol's message waits for bob's acknowledgement; the moderator dies before its LEAVE_REQUEST.
    stage.drop = lambda message, to: to is bob or message.kind is MessageType.LEAVE_REQUEST
    carol.publish(b"hello")
    carol.close(grace=20.0)
    alice.remove(carol.name)
    stage.transfer()
    stage.drop = lambda message, to: True
    stage.advance(19)
    assert carol.ended is None
    stage.advance(2)
    assert "removed by the moderator" in str(carol.ended)


def test_a_failed_removal_is_told(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.drop = lambda message, to: to is carol
    alice.remove(carol.name)
    stage.transfer()
    stage.advance(7)
    (failure,) = alice.failed
    assert type(failure.error) is SessionError
    assert "failed to remove participant" in str(failure.error)
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2


def test_closing_past_its_grace_gives_up_what_waits(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    alice.invite(Name("org", "default", "nobody"), handle=10)
    alice.invite(Name("org", "default", "nobody2"), handle=11)
    alice.close(grace=1.5)
    stage.transfer()
    stage.advance(2)
    assert {failure.handle for failure in alice.failed} == {10, 11}
    assert 3 in alice.done
    assert bob.ended is not None


def test_a_close_that_a_member_never_acknowledges_fails_and_ends_all_the_same(stage: Stage) -> None:
    alice, _ = make_group(stage, "bob")
    stage.drop = lambda message, to: True
    alice.close()
    stage.transfer()
    stage.advance(7)
    assert "failed to close session" in str(alice.failed[0].error)
    assert alice.ended is not None


def test_outcomes_go_to_the_port_that_a_script_names(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    alice.event(Invite(77, bob.name, inbox="the script"))
    (answer,) = alice.answers
    assert answer.inbox == "the script"
    assert answer.completed.failed[0].handle == 77


@pytest.mark.parametrize("kind", [MessageType.GROUP_ADD, MessageType.GROUP_REMOVE])
def test_copies_of_a_change_are_acknowledged_and_not_applied_again(stage: Stage, kind: MessageType) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    alice.remove(carol.name)
    stage.transfer()
    alice.invite(carol.name, handle=30)
    stage.transfer()
    alice.remove(carol.name, handle=31)
    stage.transfer()
    members, acks = bob.members, bob.kinds().count("GROUP_ACK")
    copies = [message for message in alice.sent if message.kind is kind]
    for copy in copies:
        bob.receive(copy._replace(connection=1))
    assert bob.members == members
    assert bob.kinds().count("GROUP_ACK") == acks + len(copies)


# Liveness.


def test_pings_go_both_ways(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.advance(10)
    ping, pong = alice.sent[-1], bob.sent[-1]
    assert (ping.kind, ping.destination, ping.fanout) == (MessageType.PING, ROOM, ALL)
    assert (pong.kind, pong.destination, pong.message_id) == (MessageType.PING, alice.name, ping.message_id)
    assert pong.fanout == ping.fanout
    stage.advance(200)
    assert alice.ended is bob.ended is carol.ended is None
    assert alice.kinds().count("PING") == 21


def test_a_dead_member_is_dropped_after_three_rounds(stage: Stage) -> None:
    settings = AppSettings(ping_interval=1.0)
    alice = stage.player("alice", settings=settings).create(ROOM, group(0.2, 3))
    bob, carol = (stage.player(name, settings=settings) for name in ("bob", "carol"))
    for player in (bob, carol):
        alice.invite(player.name)
        stage.transfer()
    stage.drop = lambda message, to: to is carol
    stage.advance(3)
    assert str(carol.name) in alice.members
    stage.advance(2)
    assert views(alice, bob) == [{str(alice.name), str(bob.name)}] * 2
    assert isinstance(alice.errors[0], ParticipantDisconnected)
    alice.publish(b"on we go", handle=9)
    stage.transfer()
    assert 9 in alice.done


def test_a_group_whose_last_member_left_waits_for_who_is_to_come(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob")
    carol, nobody = stage.player("carol"), Name("org", "default", "nobody")
    alice.invite(nobody, handle=20)
    bob.close()
    stage.transfer()
    alice.invite(carol.name.without_id(), handle=21)
    stage.advance(10.0)
    assert alice.ended is None
    assert alice.done[-1] == 21
    assert alice.members == carol.members == {str(alice.name), str(carol.name)}


def test_members_that_never_ping_are_left_alone(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.generation = bob.generation = PeerGeneration.UNKNOWN
    alice.create(ROOM, group())
    alice.invite(bob.name)
    stage.transfer()
    stage.drop = lambda message, to: message.kind is MessageType.PING
    stage.advance(200)
    assert alice.ended is bob.ended is None
    assert alice.kinds().count("PING") == 20
    # Each asked the other from time to time whether it is there.
    assert 4 <= bob.kinds().count("DISCOVERY_REQUEST") <= 6


def test_a_participant_notices_that_its_moderator_is_gone(stage: Stage) -> None:
    _, bob = make_group(stage, "bob")
    stage.advance(15)
    stage.drop = lambda message, to: True
    stage.advance(25)
    assert bob.ended is None
    stage.advance(15)
    assert isinstance(bob.ended and bob.ended.cause, ParticipantDisconnected)


def test_the_window_refuses_what_is_too_much_for_a_group(stage: Stage) -> None:
    (alice,) = make_group(stage)
    alice.publish(*([b"x"] * (WINDOW + 1)), handle=1)
    assert len(alice.failed) == 1
