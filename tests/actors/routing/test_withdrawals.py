"""What peers were asked to forget, and what of it is repeated."""

from __future__ import annotations

import pytest

from actors.messages.wire import Subscription
from actors.names import Name
from actors.routing import withdrawals
from actors.routing.withdrawals import Withdrawals

ALICE = Name("org", "ns", "alice", 1)


def asked(*ids: int) -> Withdrawals:
    made = Withdrawals()
    for id in ids:
        made.ask(3, Subscription(False, ALICE, ALICE, "", id))
    return made


def ids(made: Withdrawals) -> list[int]:
    return [subscription.subscription_id for subscription in made.of(3)]


def test_it_is_repeated_until_it_is_acknowledged() -> None:
    made = asked(5, 6)
    made.acknowledged(3, 5)
    made.acknowledged(4, 6)
    assert ids(made) == [6]
    made.drop(3)
    assert ids(made) == []


def test_what_is_repeated_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawals, "BOUND", 3)
    assert ids(asked(1, 2, 3, 4)) == [2, 3, 4]
