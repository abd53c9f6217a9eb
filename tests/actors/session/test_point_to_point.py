"""Two cores back to back: the session that has exactly two members (`session.md` 4, 5, 7, 9)."""

from __future__ import annotations

import random

import pytest

from actors.errors import (
    HandshakeFailed,
    MessageUndelivered,
    NoRoute,
    NotModerator,
    ParticipantDisconnected,
    QueueFull,
    SessionClosed,
)
from actors.messages.session import Congestion, Received, SetTimers
from actors.messages.wire import (
    DiscoveryRequest,
    GroupAck,
    GroupProposal,
    JoinRequest,
    MessageType,
    Payload,
    TimerSettings,
)
from actors.names import Name
from actors.session.peers import PeerGeneration
from actors.session.sender import WINDOW
from actors.session.turn import Turn
from tests.actors.session.stage import Player, Stage, make_pair, p2p


def test_the_exchange_that_sets_it_up(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    assert alice.kinds() == ["DISCOVERY_REQUEST", "JOIN_REQUEST", "GROUP_WELCOME"]
    assert bob.kinds() == ["DISCOVERY_REPLY", "JOIN_REPLY", "GROUP_ACK"]
    discovery, join, welcome = alice.sent
    assert discovery.destination == bob.name.without_id()
    assert discovery.content == DiscoveryRequest()
    assert join.content == JoinRequest(False, TimerSettings(1.0, 5), None)
    assert set(welcome.content.participants) == {alice.name, bob.name}  # type: ignore[union-attr]
    assert [m.message_id for m in bob.sent] == [m.message_id for m in alice.sent]
    assert alice.done == [0]
    assert alice.members == bob.members


def test_metadata_travels_with_the_invitation(stage: Stage) -> None:
    alice, bob = make_pair(stage, metadata={"topic": "t"})
    assert alice.sent[1].metadata == {"topic": "t"}
    assert bob.core is not None
    assert bob.core.config.metadata == {"topic": "t"}


def test_messages_both_ways(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.publish(b"1", b"2", handle=5)
    bob.publish(b"3", handle=6)
    stage.transfer()
    assert (bob.blobs, alice.blobs) == ([b"1", b"2"], [b"3"])
    assert (alice.done, bob.done) == ([0, 5, 5], [6])
    assert (alice.credit, bob.credit) == (2, 1)


def test_what_was_published_before_the_peer_came_leaves_then(stage: Stage) -> None:
    bob = stage.player("bob")
    alice = stage.player("alice").create(bob.name.without_id(), p2p())
    alice.publish(*(b"%d" % n for n in range(WINDOW + 1)), handle=5)
    assert isinstance(alice.failed[0].error, QueueFull)
    stage.transfer()
    assert bob.blobs == [b"%d" % n for n in range(WINDOW)]
    assert alice.done.count(5) == WINDOW


def test_nobody_there(stage: Stage) -> None:
    alice = stage.player("alice").create(Name("org", "default", "nobody"), p2p(1.0, 2))
    alice.publish(b"x", handle=5)
    stage.advance(2.9)
    assert alice.kinds() == ["DISCOVERY_REQUEST"] * 3
    assert not alice.failed
    stage.advance(0.2)
    opening, waiting = alice.failed[-1], alice.failed[0]
    assert {opening.handle, waiting.handle} == {0, 5}
    error = next(f.error for f in alice.failed if f.handle == 0)
    assert isinstance(error, HandshakeFailed)
    assert "session handshake failed" in str(error)
    assert alice.ended is not None


def test_no_route_is_tried_again_and_named_in_the_end(stage: Stage) -> None:
    bob = stage.player("bob")
    stage.unroutable = {MessageType.DISCOVERY_REQUEST}
    alice = stage.player("alice").create(bob.name.without_id(), p2p())
    stage.advance(2.5)
    stage.unroutable = set()
    stage.advance(1)
    assert alice.done == [0]
    stage.unroutable = {MessageType.DISCOVERY_REQUEST}
    lonely = stage.player("carol").create(bob.name.without_id(), p2p(), session_id=8)
    stage.advance(10)
    assert "no matching route found" in str(lonely.failed[0].error)


def test_a_message_without_a_way_fails_at_once(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, _ = pair
    stage.unroutable = {MessageType.MSG}
    alice.publish(b"x", handle=5)
    assert isinstance(alice.failed[0].error, NoRoute)


def test_loss_of_a_message_and_of_an_acknowledgement(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    stage.lose(MessageType.MSG, message_id=2)
    alice.publish(b"1", b"2", b"3", handle=5)
    stage.transfer()
    assert bob.blobs == [b"1", b"2", b"3"]
    assert bob.kinds()[-3:] == ["MSG_ACK", "RTX_REQUEST", "MSG_ACK"] or "RTX_REQUEST" in bob.kinds()
    assert alice.done.count(5) == 3
    stage.lose(MessageType.MSG_ACK)
    alice.publish(b"4", handle=6)
    stage.transfer()
    assert 6 not in alice.done
    stage.advance(1)
    assert 6 in alice.done
    assert bob.blobs == [b"1", b"2", b"3", b"4"]


def test_a_peer_that_does_not_answer_costs_the_message_not_the_session(
    stage: Stage, pair: tuple[Player, Player]
) -> None:
    alice, bob = pair
    stage.drop = lambda message, to: message.kind is MessageType.MSG
    alice.publish(b"1", handle=5)
    stage.transfer()
    stage.advance(6)
    (failure,) = alice.failed
    assert isinstance(failure.error, MessageUndelivered)
    assert alice.errors == [failure.error]
    stage.drop = lambda message, to: False
    alice.publish(b"2", handle=6)
    stage.transfer()
    stage.advance(7)
    assert 6 in alice.done
    # It was still in the ring when the gap showed.
    assert bob.blobs == [b"1", b"2"]


def test_best_effort_has_no_acknowledgements(stage: Stage) -> None:
    alice, bob = make_pair(stage, interval=None, max_retries=None)
    assert alice.sent[1].content == JoinRequest(False, None, None)
    alice.publish(b"1", b"2", handle=5)
    assert alice.done.count(5) == 2
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]
    assert "MSG_ACK" not in bob.kinds()


def test_congestion_withholds_the_room_of_best_effort(stage: Stage) -> None:
    alice, _ = make_pair(stage, interval=None, max_retries=None)
    alice.event(Congestion(True))
    alice.publish(*([b"x"] * WINDOW), handle=5)
    assert (alice.credit, alice.done.count(5)) == (0, WINDOW)
    alice.publish(b"y", handle=6)
    assert isinstance(alice.failed[0].error, QueueFull)
    alice.event(Congestion(False))
    assert alice.credit == WINDOW + 1


def test_a_window_that_is_full_refuses_and_opens_again(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    stage.drop = lambda message, to: message.kind is MessageType.MSG_ACK
    alice.publish(*([b"x"] * (WINDOW + 3)))
    stage.transfer()
    assert [type(error) for error in alice.errors] == [QueueFull] * 3
    stage.drop = lambda message, to: False
    stage.advance(1)
    assert alice.credit == WINDOW + 3
    assert len(bob.blobs) == WINDOW


def test_a_slow_application_closes_the_window(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    bob.takes = False
    for _ in range(bob.settings.inbox // WINDOW + 4):
        alice.publish(*([b"x"] * WINDOW))
        stage.transfer()
    assert bob.core is not None
    assert bob.core.figures()["held"] == WINDOW
    assert len(bob.items) == bob.settings.inbox


def test_other_timers_for_what_follows(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.event(SetTimers(9, None, None))
    alice.publish(b"x", handle=5)
    assert alice.done[-2:] == [9, 5] or {9, 5} <= set(alice.done)
    stage.transfer()
    assert bob.blobs == [b"x"]


# Closing.


def test_the_initiator_closes(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.publish(b"x", handle=5)
    alice.close()
    alice.publish(b"late", handle=6)
    assert "drain" in str(alice.failed[0].error)
    assert "GROUP_CLOSE" not in alice.kinds()
    stage.transfer()
    close = alice.sent[-1]
    assert (close.kind, close.destination, close.fanout) == (MessageType.GROUP_CLOSE, bob.name, 256)
    assert 3 in alice.done
    assert alice.ended is not None
    assert alice.ended.cause is None
    assert bob.ended is not None
    assert isinstance(bob.ended.cause, SessionClosed)


def test_draining_ends_with_its_grace(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, _ = pair
    alice.event(SetTimers(9, 100.0, 5))
    stage.drop = lambda message, to: message.kind is MessageType.MSG
    alice.publish(b"x", handle=5)
    alice.close(grace=2.0)
    stage.transfer()
    stage.advance(1.9)
    assert alice.ended is None
    stage.advance(0.2)
    assert alice.ended is not None
    assert isinstance(alice.failed[0].error, SessionClosed)


def test_the_responder_leaves(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    bob.close()
    stage.transfer()
    assert bob.sent[-1].metadata == {"LEAVING_SESSION": "TRUE"}
    assert alice.kinds()[-1] == "LEAVE_REPLY"
    assert 3 in bob.done
    assert alice.ended is not None
    assert isinstance(alice.ended.cause, ParticipantDisconnected)
    assert "participant disconnected" in str(alice.errors[0])


def test_last_words_are_repeated_after_the_end(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    stage.lose(MessageType.GROUP_ACK)
    alice.close()
    stage.transfer()
    assert bob.ended is not None
    assert alice.ended is None
    stage.advance(1)
    assert 3 in alice.done


def test_a_repeated_goodbye_is_answered_after_the_end(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    stage.lose(MessageType.LEAVE_REPLY)
    bob.close()
    stage.transfer()
    assert alice.ended is not None
    stage.advance(1)
    assert 3 in bob.done


def test_an_older_initiator_never_answers_a_goodbye_and_that_is_no_error(stage: Stage) -> None:
    bob = stage.player("bob")
    bob.generation = PeerGeneration.UNKNOWN
    stage.player("alice").create(bob.name.without_id(), p2p())
    stage.transfer()
    stage.drop = lambda message, to: message.kind is MessageType.LEAVE_REPLY
    bob.close()
    stage.transfer()
    stage.advance(7)
    assert (bob.done, bob.failed) == ([3], [])


def test_closing_before_anybody_answered(stage: Stage) -> None:
    alice = stage.player("alice").create(stage.player("bob").name.without_id(), p2p())
    alice.close()
    assert alice.ended is not None
    assert [failure.handle for failure in alice.failed] == [0]
    assert alice.done == [3]


def test_what_waits_for_the_peer_is_delivered_before_the_end(stage: Stage) -> None:
    bob = stage.player("bob")
    alice = stage.player("alice").create(bob.name.without_id(), p2p())
    alice.publish(b"1", b"2", handle=5)
    alice.close()
    assert alice.ended is None
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]
    assert alice.ended is not None
    assert alice.done.count(5) == 2


def test_operations_after_the_end_are_answered(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.close()
    stage.transfer()
    bob.publish(b"x", handle=5)
    bob.close(handle=6)
    bob.invite(alice.name, handle=7)
    assert [(f.handle, str(f.error)) for f in bob.failed] == [(n, "session closed") for n in (5, 6, 7)]


# What must not happen.


def test_invite_and_remove_are_refused(stage: Stage, pair: tuple[Player, Player]) -> None:
    for player in pair:
        player.invite(player.name)
        player.remove(player.name)
        assert [type(failure.error) for failure in player.failed] == [NotModerator] * 2


def test_repeated_answers_change_nothing(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    for message in list(bob.sent):
        alice.receive(message._replace(connection=1))
    stage.transfer()
    assert alice.kinds() == ["DISCOVERY_REQUEST", "JOIN_REQUEST", "GROUP_WELCOME"]
    assert alice.done == [0]


def test_repeated_requests_get_the_same_answers(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    before = list(bob.sent)
    for message in list(alice.sent):
        bob.receive(message._replace(connection=1))
    again = bob.sent[len(before) :]
    assert again == before
    assert bob.joined == 1


def test_a_new_invitation_to_a_standing_session_starts_afresh(
    stage: Stage, pair: tuple[Player, Player]
) -> None:
    alice, bob = pair
    join = next(m for m in alice.sent if m.kind is MessageType.JOIN_REQUEST)._replace(message_id=99)
    bob.receive(join)
    assert bob.ended is not None
    bob.receive(join)
    assert bob.sent[-1].kind is MessageType.JOIN_REPLY


def test_an_invitation_without_a_welcome_is_forgotten(stage: Stage) -> None:
    bob = stage.player("bob")
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_WELCOME
    stage.player("alice").create(bob.name.without_id(), p2p())
    stage.transfer()
    stage.advance(61)
    assert bob.core is not None
    assert bob.core.ended
    assert bob.joined == 0


def test_strangers_control_nothing(stage: Stage, pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    mallory = stage.player("mallory")
    for message in list(alice.sent):
        bob.receive(message._replace(source=mallory.name, connection=1))
    bob.receive(alice.sent[2]._replace(kind=MessageType.GROUP_CLOSE, source=mallory.name))
    bob.receive(alice.sent[2]._replace(kind=MessageType.MSG, content=Payload("", b"x"), source=mallory.name))
    assert bob.ended is None
    assert bob.items == []


@pytest.mark.parametrize("kind", list(MessageType))
def test_no_kind_and_content_harm_the_cores(stage: Stage, kind: MessageType) -> None:
    alice, bob = make_pair(stage)
    rng = random.Random(1)
    contents = [m.content for m in (*alice.sent, *bob.sent)]
    contents += [Payload(), GroupProposal(None, b""), GroupAck()]
    for player, other in ((alice, bob), (bob, alice)):
        assert player.core is not None
        for content in contents:
            message = other.sent[-1]._replace(kind=kind, content=content, message_id=rng.randrange(2**32))
            player.core.handle(Received((message,)), Turn(stage.now))
            player.core.expire(Turn(stage.now + 1))
