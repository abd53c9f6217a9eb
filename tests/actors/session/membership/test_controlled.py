"""A group whose moderator takes orders from a controller (`session.md` 6.6)."""

from __future__ import annotations

import pytest

from actors.messages.wire import (
    DELETE_GROUP,
    IS_MODERATOR,
    TRUE,
    DiscoveryRequest,
    JoinRequest,
    LeaveRequest,
    MessageType,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name
from tests.actors.session.stage import GROUP, P2P, ROOM, Player, Stage

CONTROLLER = Name("org", "control", "plane", 9)


class Controller:
    """Orders, and the acknowledgements that came back."""

    def __init__(self, stage: Stage, moderator: Player) -> None:
        self.stage, self.moderator = stage, moderator

    def order(self, id: int, kind: MessageType, content: object, **metadata: str) -> None:
        self.moderator.receive(
            SessionMessage(
                CONTROLLER,
                self.moderator.name,
                GROUP,
                kind,
                7,
                id,
                content,  # type: ignore[arg-type]
                metadata=metadata or None,
                connection=1,
            )
        )
        self.stage.transfer()

    @property
    def told(self) -> list[int]:
        sent = self.moderator.sent
        return [m.message_id for m in sent if m.destination == CONTROLLER and m.kind is MessageType.GROUP_ACK]


@pytest.fixture
def led(stage: Stage) -> tuple[Controller, Player]:
    alice = stage.player("alice")
    controller = Controller(stage, alice)
    join = JoinRequest(False, TimerSettings(1.0, 5), ROOM)
    controller.order(1, MessageType.JOIN_REQUEST, join, **{IS_MODERATOR: TRUE, "topic": "t"})
    return controller, alice


def test_an_application_becomes_the_moderator(led: tuple[Controller, Player]) -> None:
    controller, alice = led
    assert controller.told == [1]
    assert alice.joined == 1
    assert alice.core is not None
    assert alice.core.config.metadata == {"topic": "t"}
    assert alice.core.config.reliable


def test_orders_to_invite_remove_and_close(stage: Stage, led: tuple[Controller, Player]) -> None:
    controller, alice = led
    bob, carol = stage.player("bob"), stage.player("carol")
    for id, player in ((2, bob), (3, carol)):
        controller.order(id, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(player.name.without_id()))
    assert controller.told == [1, 2, 3]
    assert alice.members == bob.members == carol.members
    controller.order(4, MessageType.LEAVE_REQUEST, LeaveRequest(carol.name.without_id()))
    assert controller.told == [1, 2, 3, 4]
    assert carol.ended is not None
    controller.order(5, MessageType.LEAVE_REQUEST, LeaveRequest(), **{DELETE_GROUP: TRUE})
    assert controller.told == [1, 2, 3, 4, 5]
    assert alice.ended is not None
    assert bob.ended is not None
    controller.order(5, MessageType.LEAVE_REQUEST, LeaveRequest(), **{DELETE_GROUP: TRUE})
    assert controller.told[-2:] == [5, 5]


def test_naming_the_moderator_itself_closes(stage: Stage, led: tuple[Controller, Player]) -> None:
    controller, alice = led
    controller.order(2, MessageType.LEAVE_REQUEST, LeaveRequest(alice.name))
    assert controller.told == [1, 2]
    assert alice.ended is not None


def test_copies_of_orders_are_answered_and_not_followed_twice(
    stage: Stage, led: tuple[Controller, Player]
) -> None:
    controller, alice = led
    bob = stage.player("bob")
    for _ in range(2):
        controller.order(2, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(bob.name.without_id()))
    assert controller.told == [1, 2, 2]
    assert alice.kinds().count("JOIN_REQUEST") == 1


def test_what_could_not_be_done_is_not_acknowledged_and_may_be_ordered_again(
    stage: Stage, led: tuple[Controller, Player]
) -> None:
    controller, _ = led
    nobody = DiscoveryRequest(Name("org", "default", "bob"))
    controller.order(2, MessageType.DISCOVERY_REQUEST, nobody)
    stage.advance(7)
    assert controller.told == [1]
    stage.player("bob")
    controller.order(2, MessageType.DISCOVERY_REQUEST, nobody)
    assert controller.told == [1, 2]


def test_only_the_controller_orders(stage: Stage, led: tuple[Controller, Player]) -> None:
    _, alice = led
    bob = stage.player("bob")
    order = DiscoveryRequest(bob.name.without_id())
    alice.receive(
        SessionMessage(bob.name, alice.name, GROUP, MessageType.DISCOVERY_REQUEST, 7, 2, order, connection=1)
    )
    stage.transfer()
    assert bob.core is None


def test_point_to_point_has_no_moderator(stage: Stage) -> None:
    alice = stage.player("alice")
    join = SessionMessage(
        CONTROLLER,
        alice.name,
        P2P,
        MessageType.JOIN_REQUEST,
        7,
        1,
        JoinRequest(),
        metadata={IS_MODERATOR: TRUE},
    )
    alice.receive(join)
    assert "only groups" in alice.refused[0]
