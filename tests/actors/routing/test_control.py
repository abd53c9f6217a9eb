from __future__ import annotations

from typing import Any

import pytest

from actors.errors import ConnectionLost
from actors.messages.routing import (
    Acknowledged,
    Attach,
    Attached,
    ConnectionGone,
    Detach,
    Negotiated,
    NodeLinkLost,
    Reattach,
    RouteEntry,
    RoutesChanged,
    Subscribing,
    WatchRoutes,
)
from actors.messages.wire import Introduction, Role, Subscription, SubscriptionAck
from actors.names import Name
from actors.routing import recovery
from actors.routing.acknowledgements import ACK_WAIT
from actors.routing.control import RouteControl
from actors.routing.partings import PARTING
from actors.routing.recovery import RECOVERY_TIME
from actors.routing.shares import Shares
from actors.routing.turn import NameRefused, RouteTurn

ALICE, BOB = Name("org", "ns", "alice", 1), Name("org", "ns", "bob", 2)
LINK = "18959e9c-c410-4e26-881d-a8fc86e73aa1"
LOCAL, PEER, DIALLED = 1, 2, 3


class Core(RouteControl):
    """A core whose turns are one event long, and written out as what it writes on connections."""

    def do(self, event: Any, now: float = 0.0) -> list[tuple[int, Any]]:
        turn = RouteTurn(now)
        self.handle(event, turn)
        return turn.written

    def asked(self, connection: int, subscription: Subscription, now: float = 0.0) -> list[tuple[int, Any]]:
        return self.do(Subscribing(connection, subscription), now)

    def later(self, now: float) -> list[tuple[int, Any]]:
        turn = RouteTurn(now)
        self.expire(turn)
        return turn.written


def connected(**more: Any) -> Core:
    made = Core(**more)
    made.do(Attach(LOCAL, "app", local=True))
    made.do(Attach(PEER, "peer", local=False))
    made.do(Attach(DIALLED, "dialled", local=False, dialled=True))
    return made


@pytest.fixture
def core() -> Core:
    return connected()


def subscribe(name: Name = BOB, id: int = 7, **more: int) -> Subscription:
    return Subscription(True, ALICE, name, "token", id, **more)


def unsubscribe(name: Name = BOB, id: int = 7, **more: int) -> Subscription:
    return subscribe(name, id, **more)._replace(subscribe=False)


def ok(id: int = 7) -> SubscriptionAck:
    return SubscriptionAck(id, True)


def routes_to(core: Core, name: Name = BOB) -> tuple[int, ...]:
    targets = core.table.view.by_name.get(name.key)
    return targets.all if targets else ()


def test_a_subscription_with_an_id_is_acknowledged(core: Core) -> None:
    assert core.asked(PEER, subscribe()) == [(PEER, ok())]
    assert routes_to(core) == (PEER,)


def test_one_without_id_is_not(core: Core) -> None:
    assert core.asked(PEER, subscribe(id=0)) == []
    assert routes_to(core) == (PEER,)


def test_an_unknown_unsubscribe_is_refused_in_the_ack_only(core: Core) -> None:
    assert core.asked(PEER, unsubscribe()) == [(PEER, SubscriptionAck(7, False, "subscription not found"))]
    assert core.asked(PEER, unsubscribe(id=0)) == []


def test_a_remote_peer_cannot_steer_the_table(core: Core) -> None:
    effects = core.asked(PEER, subscribe(recv_from=DIALLED, forward_to=DIALLED))
    assert effects == [(PEER, ok())]
    assert routes_to(core) == (PEER,)


def test_a_local_route_leads_to_the_named_connection(core: Core) -> None:
    assert core.asked(LOCAL, subscribe(recv_from=DIALLED)) == [(LOCAL, ok())]
    assert routes_to(core) == (DIALLED,)


@pytest.mark.parametrize("order", [{"recv_from": 99}, {"forward_to": 99}])
def test_orders_for_a_connection_that_is_not_there_fail(core: Core, order: dict[str, int]) -> None:
    assert core.asked(LOCAL, subscribe(**order)) == [
        (LOCAL, SubscriptionAck(7, False, "connection 99 not found"))
    ]


def test_a_forwarded_subscription_travels_without_orders(core: Core) -> None:
    effects = core.asked(LOCAL, subscribe(forward_to=DIALLED))
    assert effects == [(DIALLED, subscribe()), (LOCAL, ok())]
    assert routes_to(core) == (LOCAL,)


def test_the_ack_waits_for_a_peer_that_acknowledges(core: Core) -> None:
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    assert core.asked(LOCAL, subscribe(forward_to=DIALLED)) == [(DIALLED, subscribe())]
    assert core.do(Acknowledged(DIALLED, ok())) == [(LOCAL, ok())]
    assert core.do(Acknowledged(DIALLED, ok())) == []


def test_a_silent_peer_is_asked_four_times(core: Core) -> None:
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    core.asked(LOCAL, subscribe(forward_to=DIALLED))
    for attempt in range(1, 4):
        assert core.next_deadline() == attempt * ACK_WAIT
        assert core.later(attempt * ACK_WAIT) == [(DIALLED, subscribe())]
    assert core.later(4 * ACK_WAIT) == [(LOCAL, SubscriptionAck(7, False, "no ack from the peer"))]
    assert core.next_deadline() is None


def test_losing_the_peer_answers_who_waits(core: Core) -> None:
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    core.asked(LOCAL, subscribe(forward_to=DIALLED))
    assert core.do(Detach(DIALLED), 1) == [(LOCAL, SubscriptionAck(7, False, "connection lost"))]


def test_a_new_stream_gets_every_forwarded_subscription_again(core: Core) -> None:
    core.asked(LOCAL, subscribe(forward_to=DIALLED))
    core.asked(LOCAL, subscribe(ALICE, 8, forward_to=DIALLED))
    core.asked(LOCAL, unsubscribe(ALICE, 8, forward_to=DIALLED))
    assert core.do(Reattach(DIALLED)) == [(DIALLED, subscribe(id=0))]
    assert routes_to(core) == (LOCAL,)


def test_what_was_withdrawn_is_withdrawn_again_on_a_new_stream_whoever_still_waits(core: Core) -> None:
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    for id in (7, 8):
        core.asked(LOCAL, subscribe(id=id, forward_to=DIALLED))
        core.do(Acknowledged(DIALLED, ok(id)))
    core.asked(LOCAL, unsubscribe(forward_to=DIALLED))
    for attempt in range(1, 5):
        core.later(attempt * ACK_WAIT)
    assert core.next_deadline() is None
    assert core.do(Reattach(DIALLED)) == [(DIALLED, unsubscribe()), (DIALLED, subscribe(id=0))]
    core.do(Acknowledged(DIALLED, SubscriptionAck(7, False, "subscription id not found")))
    assert core.do(Reattach(DIALLED)) == [(DIALLED, subscribe(id=0))]


def test_what_an_application_withdrew_is_withdrawn_again_after_its_end(core: Core) -> None:
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    core.asked(LOCAL, subscribe(forward_to=DIALLED))
    core.asked(LOCAL, unsubscribe(forward_to=DIALLED))
    core.do(Detach(LOCAL))
    assert core.do(Reattach(DIALLED)) == [(DIALLED, unsubscribe())]


def test_disconnect_removes_everything(core: Core) -> None:
    core.asked(PEER, subscribe())
    core.do(Detach(PEER), 0)
    assert routes_to(core) == ()
    assert PEER not in core.table.view.addresses
    assert core.asked(PEER, subscribe()) == []


def lose_and_return(core: Core, after: float) -> list[tuple[int, Any]]:
    core.do(Negotiated(PEER, LINK, "1.4.0"))
    core.asked(PEER, subscribe())
    core.asked(LOCAL, subscribe(ALICE, 9, forward_to=PEER))
    core.do(Detach(PEER), 10)
    core.later(10 + after)
    core.do(Attach(4, "peer again", local=False))
    return core.do(Negotiated(4, LINK, "1.4.0"), 10 + after)


def test_routes_come_back_with_the_link(core: Core) -> None:
    assert lose_and_return(core, RECOVERY_TIME - 1) == [(4, subscribe(ALICE, 0))]
    assert routes_to(core) == (4,)
    assert core.asked(4, unsubscribe(), 50) == [(4, ok())]


def test_after_half_a_minute_they_do_not(core: Core) -> None:
    assert lose_and_return(core, RECOVERY_TIME + 1) == []
    assert routes_to(core) == ()
    assert core.next_deadline() is None


def test_lost_connections_are_remembered_up_to_a_bound(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RECOVERY_BOUND", 2)
    for index in range(10, 15):
        core.do(Attach(index, "x", local=False))
        core.do(Negotiated(index, f"link{index}", "1.4.0"))
        core.asked(index, subscribe(id=index))
        core.do(Detach(index), 0)
    assert core.status()["lost_connections"] == 2
    assert core.status()["forgotten"] == 3


def test_what_is_remembered_of_lost_connections_is_bounded(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "REMEMBERED_BOUND", 5)
    for index in range(10, 15):
        core.do(Attach(index, "x", local=False))
        core.do(Negotiated(index, f"link{index}", "1.4.0"))
        core.asked(index, subscribe(BOB, id=1))
        core.asked(index, subscribe(BOB, id=2))
        core.do(Detach(index), 0)
    assert core.status()["lost_connections"] == 2
    assert core.status()["forgotten"] == 3


@pytest.mark.parametrize("other", [ALICE, BOB, BOB.with_id(3)], ids=["name", "subscription id", "instance"])
def test_what_does_not_fit_into_a_share_is_refused_until_something_goes(other: Name) -> None:
    core = connected(shares=Shares(peer=1))
    core.asked(PEER, subscribe())
    refusal = "this peer holds its 1 subscriptions"
    assert core.asked(PEER, subscribe(other, 8)) == [(PEER, SubscriptionAck(8, False, refusal))]
    assert core.status()["subscriptions_refused"] == 1
    core.asked(PEER, unsubscribe())
    assert core.asked(PEER, subscribe(other, 8)) == [(PEER, ok(8))]


def test_people_are_told_what_was_refused_to_other_processes() -> None:
    core = connected(shares=Shares(peer=0))
    core.may = lambda _, name: "the rules do not let you" if name.key == ALICE.key else ""
    core.do(Attach(10, "x", local=False, peer="192.0.2.1:5000"))
    turn = RouteTurn(0.0)
    # Of a call of our own it tells its caller, and of what the rules forbid the door.
    for connection, name in ((PEER, BOB), (10, BOB), (LOCAL, BOB), (PEER, ALICE)):
        core.handle(Subscribing(connection, subscribe(name)), turn)
    cause = "this peer holds its 0 subscriptions"
    assert turn.refused == [NameRefused(BOB, PEER, "", cause), NameRefused(BOB, 10, "192.0.2.1:5000", cause)]


def test_asking_twice_takes_one_place(core: Core) -> None:
    core.asked(PEER, subscribe())
    core.asked(PEER, subscribe())
    assert core.shares.total == 1
    core.asked(PEER, unsubscribe())
    assert core.shares.total == 0


def test_streams_of_one_peer_share_its_places() -> None:
    core = connected(shares=Shares(peer=2))
    for index in (10, 11):
        core.do(Attach(index, "x", local=False, peer="192.0.2.1:5000"))
    core.asked(10, subscribe(BOB, 1))
    core.asked(11, subscribe(BOB, 2))
    assert [record.success for _, record in core.asked(11, subscribe(ALICE, 3))] == [False]
    core.do(Detach(10))
    assert core.asked(11, subscribe(ALICE, 3)) == [(11, ok(3))]


def test_what_is_remembered_keeps_its_places_until_it_is_forgotten(core: Core) -> None:
    core.do(Negotiated(PEER, LINK, "1.4.0"))
    core.asked(PEER, subscribe())
    core.do(Detach(PEER), 10)
    assert core.shares.total == 1
    core.later(10 + RECOVERY_TIME)
    assert core.shares.total == 0


def test_a_name_without_end_is_refused(core: Core) -> None:
    assert core.asked(PEER, subscribe(Name("org", "ns", "x" * 4096))) == [
        (PEER, SubscriptionAck(7, False, "the name has more than 4096 characters"))
    ]


def test_who_attaches_is_told(core: Core) -> None:
    turn = RouteTurn(0.0)
    core.handle(Attach(9, "nine", local=False), turn)
    assert turn.told == [("nine", Attached(9))]


def test_applications_are_told_of_a_connection_that_will_not_come_back(core: Core) -> None:
    turn, error = RouteTurn(0.0), ConnectionLost("http://node", "gave up")
    core.handle(Detach(DIALLED, "gave up", error), turn)
    core.handle(Detach(DIALLED, "gave up", error), turn)
    assert turn.told == [("app", ConnectionGone(DIALLED, error))]


def test_a_watcher_hears_everything_and_then_what_changes(core: Core) -> None:
    core.asked(PEER, subscribe())
    turn = RouteTurn(0.0)
    core.handle(WatchRoutes("watcher"), turn)
    core.handle(Subscribing(LOCAL, subscribe(ALICE, 8)), turn)
    core.handle(Subscribing(PEER, unsubscribe()), turn)
    core.handle(Subscribing(PEER, subscribe(BOB.with_id(9), 9)), turn)
    core.handle(Subscribing(PEER, unsubscribe(BOB.with_id(9), 9)), turn)
    core.announce(turn)
    core.announce(turn)
    assert turn.told == [
        ("watcher", RoutesChanged((RouteEntry(BOB, PEER, local=False),), complete=True)),
        (
            "watcher",
            RoutesChanged(
                (RouteEntry(ALICE, LOCAL, local=True), RouteEntry(BOB, PEER, local=False, present=False))
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("cause", "back", "told"),
    [
        ("OK: the peer closed the connection", True, ["peer goes on over another link"]),
        ("OK: the peer closed the connection", False, ["peer lost"]),
        ("silent for 10 s", True, ["peer lost", "peer is back"]),
    ],
)
def test_a_peer_that_ended_one_link_for_another_is_not_called_lost(
    cause: str, back: bool, told: list[str]
) -> None:
    core = Core()
    core.introduce(Introduction(Role.NODE, "a", 1))
    far = Introduction(Role.NODE, "b", 2)
    for connection, dialled in ((PEER, False), (DIALLED, True)):
        core.do(Attach(connection, "address", local=False, dialled=dialled))
    core.do(Negotiated(PEER, LINK, "1.4.0", far))
    turn = RouteTurn(10.0)
    core.handle(NodeLinkLost(PEER, cause), turn)
    if back:
        core.handle(Negotiated(DIALLED, LINK, "1.4.0", far), turn)
    elif core.next_deadline() is not None:
        assert core.next_deadline() == 10.0 + PARTING
    later = RouteTurn(10.0 + PARTING)
    core.expire(later)
    assert [one.text for one in (*turn.notices, *later.notices)] == told
    assert core.next_deadline() is None
