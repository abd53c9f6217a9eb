"""What a node remembers: bounded, latest first, and only for its time."""

from __future__ import annotations

import pytest

from actors.messages.routing import Acknowledged, Attach, Detach, Negotiated, Subscribing
from actors.messages.wire import Hint, HintReason, Subscription, SubscriptionAck
from actors.names import Name
from actors.routing.acknowledgements import ACK_WAIT
from actors.routing.control import RouteControl
from actors.routing.past import NAMES_BOUND, TOLD_BOUND, TOLD_BY_ONE, TOLD_TIME, Ended, Latest, Past
from actors.routing.shares import Shares
from actors.routing.turn import RouteTurn

ALICE, BOB, CAROL = (Name("org", "demo", app, id) for id, app in enumerate(("alice", "bob", "carol"), 1))
LOCAL, PEER, OTHER, DIALLED = 1, 2, 3, 4
LINK = "6a8f2c1e-0d3b-4f5a-9c7e-1b2d3e4f5a6b"


def refusal(about: Name, of: Name, reason: HintReason = HintReason.SECRET) -> Hint:
    return Hint(reason, about, of)


def test_the_oldest_goes_first_and_what_is_said_again_is_new() -> None:
    latest: Latest[str, int] = Latest(2)
    assert [latest.put(key, at) for at, key in enumerate("abac")] == [None, None, None, "b"]
    assert latest.values() == [2, 3]
    latest.drop("a")
    latest.drop("a")
    assert latest.get("a") is None
    assert latest.get("c") == 3


def test_names_that_were_invented_push_out_the_oldest_only() -> None:
    past = Past()
    past.left(BOB, PEER, "left", 0.0)
    for number in range(NAMES_BOUND):
        past.left(Name("org", "demo", f"app{number}"), PEER, "left", 1.0)
        past.refused(Name("org", "demo", f"app{number}"), PEER, "full", 1.0)
    assert past.when_left(BOB.key) is None
    assert past.figures() == {"left": NAMES_BOUND, "refused": NAMES_BOUND, "told": 0}


def test_a_long_cause_is_cut() -> None:
    past = Past()
    past.left(BOB, PEER, "x" * 10_000, 0.0)
    ended = past.when_left(BOB.key)
    assert ended is not None
    assert len(ended.cause) == 256


def test_refusals_are_found_from_both_sides_the_latest_first() -> None:
    past = Past()
    past.tell(refusal(BOB, ALICE), 1.0)
    past.tell(refusal(ALICE, BOB, HintReason.NO_MLS), 2.0)
    past.tell(refusal(BOB, CAROL), 3.0)
    found = past.told(ALICE.key, BOB.key, 4.0)
    assert [(told.about, told.reason, told.at) for told in found] == [
        (ALICE, HintReason.NO_MLS, 2.0),
        (BOB, HintReason.SECRET, 1.0),
    ]
    assert past.told(BOB.key, ALICE.key, 4.0) == found


def test_a_refusal_counts_for_its_time() -> None:
    past = Past()
    past.tell(refusal(BOB, ALICE), 1.0)
    assert past.told(ALICE.key, BOB.key, 1.0 + TOLD_TIME)
    assert not past.told(ALICE.key, BOB.key, 1.5 + TOLD_TIME)


def test_that_nobody_is_there_is_no_refusal() -> None:
    past = Past()
    past.tell(refusal(BOB, ALICE, HintReason.NOBODY), 1.0)
    assert past.told(ALICE.key, BOB.key, 1.0) == []


def test_one_application_tells_of_its_last_64_peers_and_takes_no_place_of_others() -> None:
    past = Past()
    past.tell(refusal(CAROL, ALICE), 0.0)
    peers = [Name("org", "demo", "peer", id) for id in range(10 * TOLD_BY_ONE)]
    for peer in peers:
        past.tell(refusal(BOB, peer), 1.0)
    assert past.figures()["told"] == TOLD_BY_ONE + 1
    assert len(past.told(BOB.key, peers[0].key, 1.0)) == TOLD_BY_ONE
    assert past.told(CAROL.key, ALICE.key, 1.0)


def test_many_applications_have_no_more_places_than_there_are() -> None:
    past = Past()
    for id in range(2 * TOLD_BOUND):
        past.tell(refusal(Name("org", "demo", "many", id), ALICE), 0.0)
    assert past.figures()["told"] == TOLD_BOUND
    assert len(past._by_teller) == TOLD_BOUND


class Core(RouteControl):
    """Three connections and an application of this process."""

    def __init__(self, shares: Shares | None = None) -> None:
        super().__init__(shares=shares)
        for connection in (LOCAL, PEER, OTHER, DIALLED):
            self.do(
                Attach(connection, None, local=connection == LOCAL, dialled=connection == DIALLED)  # type: ignore[arg-type]
            )

    def do(self, event: object, now: float = 0.0) -> None:
        self.handle(event, RouteTurn(now))

    def ask(self, connection: int, now: float = 0.0, *, subscribe: bool = True, **more: int) -> None:
        self.do(Subscribing(connection, Subscription(subscribe, ALICE, BOB, "", 7, **more)), now)


def test_who_unsubscribes_is_remembered_once_nobody_else_has_the_name() -> None:
    core = Core()
    core.ask(PEER)
    core.ask(OTHER)
    core.ask(PEER, 1.0, subscribe=False)
    assert core.past.when_left(BOB.key) is None
    core.ask(OTHER, 2.0, subscribe=False)
    assert core.past.when_left(BOB.key) == Ended(2.0, "unsubscribed", OTHER)


def test_who_is_gone_is_remembered_with_the_cause() -> None:
    core = Core()
    core.ask(PEER)
    core.do(Detach(PEER, "the stream was reset"), 3.0)
    assert core.past.when_left(BOB.key) == Ended(3.0, "the stream was reset", PEER)


@pytest.mark.parametrize(
    ("shares", "order", "cause"),
    [
        (Shares(peer=0), {}, "this peer holds its 0 subscriptions"),
        (None, {"recv_from": 99}, "connection 99 not found"),
        (None, {"forward_to": 98}, "connection 98 not found"),
    ],
)
def test_what_was_refused_is_remembered(shares: Shares | None, order: dict[str, int], cause: str) -> None:
    core = Core(shares)
    core.ask(LOCAL, 4.0, **order)
    assert core.past.when_refused(BOB.key) == Ended(4.0, cause, LOCAL)


def test_what_a_peer_does_not_take_is_remembered() -> None:
    core = Core()
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    core.ask(LOCAL, forward_to=DIALLED)
    core.do(Acknowledged(DIALLED, SubscriptionAck(7, False, "full")), 1.0)
    assert core.past.when_refused(BOB.key) == Ended(1.0, "full", DIALLED)


def test_what_a_peer_never_acknowledges_is_remembered() -> None:
    core = Core()
    core.do(Negotiated(DIALLED, LINK, "1.4.0"))
    core.ask(LOCAL, forward_to=DIALLED)
    for attempt in range(1, 5):
        core.expire(RouteTurn(attempt * ACK_WAIT))
    assert core.past.when_refused(BOB.key) == Ended(4 * ACK_WAIT, "no ack from the peer", DIALLED)
