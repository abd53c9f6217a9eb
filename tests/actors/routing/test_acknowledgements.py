"""Whose acknowledgements are awaited, for how long, and who waits for them."""

from __future__ import annotations

from actors.messages.wire import Subscription
from actors.names import Name
from actors.routing.acknowledgements import ACK_RESENDS, ACK_WAIT, AwaitedAcks

ALICE = Name("org", "ns", "alice", 1)
ASKER, PEER, OTHER = 1, 3, 4


def awaited(*ids: int, peer: int = PEER, now: float = 0.0) -> AwaitedAcks:
    made = AwaitedAcks()
    for id in ids:
        made.ask(peer, ASKER, Subscription(True, ALICE, ALICE, "", id), now)
    return made


def test_what_is_answered_is_awaited_no_longer() -> None:
    made = awaited(5, 6)
    assert made.take(OTHER, 5) is None
    answered = made.take(PEER, 5)
    assert answered is not None
    assert answered.asker == ASKER
    assert (PEER, 5) not in made
    assert (PEER, 6) in made
    assert made.take(PEER, 5) is None


def test_the_oldest_is_due_first_and_given_up_after_its_resends() -> None:
    made = awaited(5)
    made.ask(PEER, ASKER, Subscription(True, ALICE, ALICE, "", 6), 1.0)
    assert made.next_deadline() == ACK_WAIT
    for attempt in range(1, ACK_RESENDS + 1):
        (due,) = made.expired(attempt * ACK_WAIT)
        assert due.asked == (PEER, 5)
        assert not due.given_up
        made.again(due, attempt * ACK_WAIT)
        (later,) = made.expired(attempt * ACK_WAIT + 1.0)
        made.again(later, attempt * ACK_WAIT + 1.0)
    (due,) = made.expired((ACK_RESENDS + 1) * ACK_WAIT)
    assert due.given_up


def test_who_waits_hears_of_a_connection_that_is_gone_and_nothing_is_kept_of_it() -> None:
    made = awaited(5, 6)
    assert [one.subscription.subscription_id for one in made.drop(PEER)] == [5, 6]
    assert not len(made)
    assert made.next_deadline() is None
    assert made.drop(ASKER) == []
    made = awaited(5)
    assert made.drop(ASKER) == []
    assert not len(made)


def test_on_the_next_stream_only_what_went_to_that_peer_counts_as_repeated() -> None:
    made = awaited(5)
    made.ask(OTHER, PEER, Subscription(True, ALICE, ALICE, "", 6), 0.0)
    made.repeat(PEER)
    first, second = made.take(PEER, 5), made.take(OTHER, 6)
    assert first is not None
    assert first.repeated
    assert second is not None
    assert not second.repeated
