"""Whoever speaks in a group and is no member."""

from __future__ import annotations

import pytest

from actors.messages.wire import GroupRemove, MessageType, Payload, Ping, SessionMessage
from actors.names import Name
from actors.session.membership.outsiders import PAUSE
from tests.actors.session.stage import Player, Stage, make_group


def no_loss(_: SessionMessage, __: Player) -> bool:
    return False


def told(message: SessionMessage, to: Player) -> tuple[Name, ...]:
    """Who is told of a removal by this copy."""
    return (to.name,) if isinstance(message.content, GroupRemove) else ()


def dismissals(alice: Player, bob: Player) -> int:
    return sum(m.kind is MessageType.LEAVE_REQUEST and m.destination == bob.name for m in alice.sent)


def dropped(stage: Stage) -> tuple[Player, Player, Player]:
    """Nothing that bob says is heard for too long, and he does not know."""
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.drop = lambda message, to: bob.name in (message.source, *told(message, to))
    for _ in range(45):
        stage.advance(1)
    assert str(bob.name) not in alice.members
    assert not dismissals(alice, bob)
    return alice, bob, carol


@pytest.mark.parametrize("says", ["a message", "a ping", "an acknowledgement"])
def test_it_is_told_whatever_it_says(stage: Stage, says: str) -> None:
    alice, bob, _ = dropped(stage)
    kind = {"a message": MessageType.MSG, "a ping": MessageType.PING}.get(says, MessageType.GROUP_ACK)
    message = next(m for m in alice.sent if m.kind is MessageType.GROUP_ADD)
    content = Payload() if kind is MessageType.MSG else Ping()
    said = message._replace(source=bob.name, destination=alice.name, kind=kind, content=content, connection=1)
    alice.receive(said)
    assert dismissals(alice, bob) == 1
    alice.receive(said)
    assert dismissals(alice, bob) == 1
    stage.now += PAUSE
    alice.receive(said)
    assert dismissals(alice, bob) == 2


def test_its_session_ends_and_says_why(stage: Stage) -> None:
    alice, bob, carol = dropped(stage)
    stage.drop = no_loss
    bob.publish(b"where was I", handle=7)
    stage.transfer()
    assert "removed by the moderator" in str(bob.ended[-1])
    assert [failure.handle for failure in bob.failed] == [7]
    assert not carol.blobs
    # Its answer to that is nothing to be answered.
    assert dismissals(alice, bob) == 1


def test_who_is_on_its_way_out_or_in_is_left_alone(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol")
    stage.drop = lambda message, _: message.kind is MessageType.GROUP_ACK and message.source == carol.name
    alice.remove(bob.name, handle=9)
    stage.transfer()
    bob.receive(next(m for m in alice.sent if m.kind is MessageType.GROUP_ADD)._replace(connection=1))
    stage.transfer()
    assert not dismissals(alice, bob)
    stage.drop = no_loss
    stage.advance(2)
    assert 9 in alice.done
    assert dismissals(alice, bob) == 1
