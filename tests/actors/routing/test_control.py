from __future__ import annotations

import pytest

from actors.messages.routing import Attach
from actors.messages.wire import Subscription, SubscriptionAck
from actors.names import Name
from actors.routing import control
from actors.routing.control import ACK_WAIT, RECOVERY_TIME, RouteControl, SendTo

ALICE, BOB = Name("org", "ns", "alice", 1), Name("org", "ns", "bob", 2)
LINK = "18959e9c-c410-4e26-881d-a8fc86e73aa1"
LOCAL, PEER, DIALLED = 1, 2, 3


@pytest.fixture
def core() -> RouteControl:
    made = RouteControl()
    made.attach(Attach(LOCAL, "app", local=True))
    made.attach(Attach(PEER, "peer", local=False))
    made.attach(Attach(DIALLED, "dialled", local=False, dialled=True))
    return made


def subscribe(name: Name = BOB, id: int = 7, **more: int) -> Subscription:
    return Subscription(True, ALICE, name, "token", id, **more)


def unsubscribe(name: Name = BOB, id: int = 7, **more: int) -> Subscription:
    return subscribe(name, id, **more)._replace(subscribe=False)


def ok(id: int = 7) -> SubscriptionAck:
    return SubscriptionAck(id, True)


def routes_to(core: RouteControl, name: Name = BOB) -> tuple[int, ...]:
    route = core.snapshot().routes.get(name.key)
    return route.local_any + route.remote_any if route else ()


def test_a_subscription_with_an_id_is_acknowledged(core: RouteControl) -> None:
    assert core.subscription(PEER, subscribe(), 0) == [SendTo(PEER, ok())]
    assert routes_to(core) == (PEER,)


def test_one_without_id_is_not(core: RouteControl) -> None:
    assert core.subscription(PEER, subscribe(id=0), 0) == []
    assert routes_to(core) == (PEER,)


def test_an_unknown_unsubscribe_is_refused_in_the_ack_only(core: RouteControl) -> None:
    assert core.subscription(PEER, unsubscribe(), 0) == [
        SendTo(PEER, SubscriptionAck(7, False, "subscription not found"))
    ]
    assert core.subscription(PEER, unsubscribe(id=0), 0) == []


def test_a_remote_peer_cannot_steer_the_table(core: RouteControl) -> None:
    effects = core.subscription(PEER, subscribe(recv_from=DIALLED, forward_to=DIALLED), 0)
    assert effects == [SendTo(PEER, ok())]
    assert routes_to(core) == (PEER,)


def test_a_local_route_leads_to_the_named_connection(core: RouteControl) -> None:
    assert core.subscription(LOCAL, subscribe(recv_from=DIALLED), 0) == [SendTo(LOCAL, ok())]
    assert routes_to(core) == (DIALLED,)


@pytest.mark.parametrize("order", [{"recv_from": 99}, {"forward_to": 99}])
def test_orders_for_a_connection_that_is_not_there_fail(core: RouteControl, order: dict[str, int]) -> None:
    assert core.subscription(LOCAL, subscribe(**order), 0) == [
        SendTo(LOCAL, SubscriptionAck(7, False, "connection 99 not found"))
    ]


def test_a_forwarded_subscription_travels_without_orders(core: RouteControl) -> None:
    effects = core.subscription(LOCAL, subscribe(forward_to=DIALLED), 0)
    assert effects == [SendTo(DIALLED, subscribe()), SendTo(LOCAL, ok())]
    assert routes_to(core) == (LOCAL,)


def test_the_ack_waits_for_a_peer_that_acknowledges(core: RouteControl) -> None:
    core.negotiated(DIALLED, LINK, "1.4.0", 0)
    assert core.subscription(LOCAL, subscribe(forward_to=DIALLED), 0) == [SendTo(DIALLED, subscribe())]
    assert core.acknowledged(DIALLED, ok()) == [SendTo(LOCAL, ok())]
    assert core.acknowledged(DIALLED, ok()) == []


def test_a_silent_peer_is_asked_four_times(core: RouteControl) -> None:
    core.negotiated(DIALLED, LINK, "1.4.0", 0)
    core.subscription(LOCAL, subscribe(forward_to=DIALLED), 0)
    for attempt in range(1, 4):
        assert core.next_deadline() == attempt * ACK_WAIT
        assert core.expire(attempt * ACK_WAIT) == [SendTo(DIALLED, subscribe())]
    (effect,) = core.expire(4 * ACK_WAIT)
    assert effect.connection == LOCAL
    assert effect.record == SubscriptionAck(7, False, "no ack from the peer")
    assert core.next_deadline() is None


def test_losing_the_peer_answers_who_waits(core: RouteControl) -> None:
    core.negotiated(DIALLED, LINK, "1.4.0", 0)
    core.subscription(LOCAL, subscribe(forward_to=DIALLED), 0)
    assert core.detach(DIALLED, 1) == [SendTo(LOCAL, SubscriptionAck(7, False, "connection lost"))]


def test_a_new_stream_gets_every_forwarded_subscription_again(core: RouteControl) -> None:
    core.subscription(LOCAL, subscribe(forward_to=DIALLED), 0)
    core.subscription(LOCAL, subscribe(ALICE, 8, forward_to=DIALLED), 0)
    core.subscription(LOCAL, unsubscribe(ALICE, 8, forward_to=DIALLED), 0)
    assert core.reattach(DIALLED) == [SendTo(DIALLED, subscribe(id=0))]
    assert routes_to(core) == (LOCAL,)


def test_disconnect_removes_everything(core: RouteControl) -> None:
    core.subscription(PEER, subscribe(), 0)
    core.detach(PEER, 0)
    assert routes_to(core) == ()
    assert PEER not in core.snapshot().addresses
    assert core.subscription(PEER, subscribe(), 0) == []


def lose_and_return(core: RouteControl, after: float) -> list[SendTo]:
    core.negotiated(PEER, LINK, "1.4.0", 0)
    core.subscription(PEER, subscribe(), 0)
    core.subscription(LOCAL, subscribe(ALICE, 9, forward_to=PEER), 0)
    core.detach(PEER, 10)
    core.expire(10 + after)
    core.attach(Attach(4, "peer again", local=False))
    return core.negotiated(4, LINK, "1.4.0", 10 + after)


def test_routes_come_back_with_the_link(core: RouteControl) -> None:
    assert lose_and_return(core, RECOVERY_TIME - 1) == [SendTo(4, subscribe(ALICE, 0))]
    assert routes_to(core) == (4,)
    assert core.subscription(4, unsubscribe(), 50) == [SendTo(4, ok())]


def test_after_half_a_minute_they_do_not(core: RouteControl) -> None:
    assert lose_and_return(core, RECOVERY_TIME + 1) == []
    assert routes_to(core) == ()
    assert core.next_deadline() is None


def test_lost_connections_are_remembered_up_to_a_bound(
    core: RouteControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "RECOVERY_BOUND", 2)
    for index in range(10, 15):
        core.attach(Attach(index, "x", local=False))
        core.negotiated(index, f"link{index}", "1.4.0", 0)
        core.subscription(index, subscribe(id=index), 0)
        core.detach(index, 0)
    assert core.status()["lost_connections"] == 2


def test_what_is_remembered_of_lost_connections_is_bounded(
    core: RouteControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SUBSCRIPTION_BOUND", 5)
    for index in range(10, 15):
        core.attach(Attach(index, "x", local=False))
        core.negotiated(index, f"link{index}", "1.4.0", 0)
        core.subscription(index, subscribe(BOB, id=1), 0)
        core.subscription(index, subscribe(BOB, id=2), 0)
        core.detach(index, 0)
    assert core.status()["lost_connections"] == 2


@pytest.mark.parametrize("other", [ALICE, BOB, BOB.with_id(3)], ids=["name", "subscription id", "instance"])
def test_subscriptions_per_connection_are_bounded(
    core: RouteControl, monkeypatch: pytest.MonkeyPatch, other: Name
) -> None:
    monkeypatch.setattr(control, "SUBSCRIPTION_BOUND", 1)
    core.subscription(PEER, subscribe(), 0)
    (effect,) = core.subscription(PEER, subscribe(other, 8), 0)
    assert isinstance(effect.record, SubscriptionAck)
    assert not effect.record.success
    assert core.counters["subscriptions_refused"] == 1
    core.subscription(PEER, unsubscribe(), 0)
    assert core.subscription(PEER, subscribe(other, 8), 0) == [SendTo(PEER, ok(8))]


def test_a_name_without_end_is_refused(core: RouteControl) -> None:
    (effect,) = core.subscription(PEER, subscribe(Name("org", "ns", "x" * 4096)), 0)
    assert effect.record == SubscriptionAck(7, False, "the name has more than 4096 characters")


def test_snapshots_have_growing_versions(core: RouteControl) -> None:
    first = core.snapshot()
    assert core.snapshot().version == first.version
    core.subscription(PEER, subscribe(), 0)
    assert core.changed
    assert core.snapshot().version == first.version + 1


def test_names_of_all_connections_are_bounded_together(
    core: RouteControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "NODE_BOUND", 1)
    core.subscription(PEER, subscribe(), 0)
    (effect,) = core.subscription(LOCAL, subscribe(ALICE, 8), 0)
    assert effect.record == SubscriptionAck(8, False, "the node holds its 1 subscriptions")
    core.subscription(PEER, unsubscribe(), 0)
    assert core.subscription(LOCAL, subscribe(ALICE, 9), 0) == [SendTo(LOCAL, ok(9))]
