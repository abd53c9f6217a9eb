"""Connections with very many names that come and go: no turn of the route table is long.

To lose one with 20,000 names froze a node for most of a second, and its return as long, for a few bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.messages.routing import Attach, Detach, Negotiated, NodeLinkLost, Subscribing
from actors.messages.wire import Introduction, Role, Subscription
from actors.names import Name
from actors.routing.control import RouteControl
from actors.routing.pieces import PIECE
from actors.routing.recovery import RECOVERY_TIME
from actors.routing.turn import RouteTurn
from actors.system import Address
from tests.faults.opcodes import opcodes

MANY = 3000
NAMES = [Name("org", "many", f"app{number}", number) for number in range(MANY)]
EDGE, NODE, BACK = 1, 2, 3
LINK = "0a8f8c07-6f3c-4f4b-8b4e-9d2f0b9f7d11"
OTHER = Introduction(Role.NODE, "other", 7)


class Table:
    """A RouteControl, turn by turn: what a turn does, with what it tells others, is counted."""

    def __init__(self) -> None:
        self.core = RouteControl()
        self.core.introduce(Introduction(Role.NODE, "this"))
        self.longest = 0
        self.written: list[tuple[int, Any]] = []
        for connection in (EDGE, NODE):
            self.do(Attach(connection, Address(connection), local=False, peer=f"192.0.2.{connection}:1"))

    def do(self, event: Any, now: float = 0.0) -> None:
        self._turn(lambda turn: self.core.handle(event, turn), now)
        while (due := self.core.next_deadline()) is not None and due <= now:
            self._turn(self.core.expire, now)

    def subscribe(self, connection: int, names: list[Name]) -> None:
        for id, name in enumerate(names, 1):
            turn = RouteTurn(0.0)
            self.core.handle(Subscribing(connection, Subscription(True, name, name, id)), turn)
            self.core.announce(turn)

    def expire(self, now: float) -> None:
        self._turn(self.core.expire, now)
        while self.core.next_deadline() == 0.0:
            self._turn(self.core.expire, now)

    def _turn(self, work: Callable[[RouteTurn], None], now: float) -> None:
        turn = RouteTurn(now)

        def whole() -> None:
            work(turn)
            self.core.announce(turn)

        self.longest = max(self.longest, opcodes(whole))
        self.written += turn.written
        assert len(turn.written) <= PIECE + 1


@pytest.fixture
def table() -> Table:
    return Table()


PER_NAME = 600
"""Instructions, at most."""


def assert_short(table: Table) -> None:
    assert 0 < table.longest < PER_NAME * PIECE
    assert table.longest < PER_NAME * MANY / 10, "the names were too few to tell"


def test_a_connection_that_goes_is_forgotten_piece_by_piece(table: Table) -> None:
    table.do(Negotiated(NODE, LINK, "2.0.0", OTHER))
    table.subscribe(EDGE, NAMES)
    table.do(Detach(EDGE))
    assert_short(table)
    assert (len(table.core.table), table.core.shares.total) == (0, 0)
    # The other node heard of each.
    assert len([one for _, one in table.written if not one.subscribe]) == MANY


def test_one_that_returns_has_its_names_piece_by_piece(table: Table) -> None:
    table.do(Negotiated(EDGE, LINK, "1.4.0"))
    table.subscribe(EDGE, NAMES)
    table.do(Detach(EDGE))
    assert (len(table.core.table), table.core.shares.total) == (0, MANY)
    table.do(Attach(BACK, Address(BACK), local=False, peer="192.0.2.1:2"))
    table.do(Negotiated(BACK, LINK, "1.4.0"))
    assert_short(table)
    assert (len(table.core.table), table.core.shares.total) == (MANY, MANY)
    find = table.core.table.view.find
    assert all(find(name.key, name.instance).all == (BACK,) for name in NAMES)  # type: ignore[union-attr]


def test_one_for_which_nobody_returns_gives_its_places_back_piece_by_piece(table: Table) -> None:
    table.do(Negotiated(EDGE, LINK, "1.4.0"))
    table.subscribe(EDGE, NAMES)
    table.do(Detach(EDGE))
    table.expire(RECOVERY_TIME)
    assert_short(table)
    assert table.core.shares.total == 0
    assert table.core.next_deadline() is None


def test_a_node_that_joins_is_told_piece_by_piece_what_is_true_by_then(table: Table) -> None:
    table.do(Negotiated(NODE, "a link", "2.0.0", OTHER))
    table.subscribe(EDGE, NAMES)
    table.do(Attach(BACK, Address(BACK), local=False))
    turn = RouteTurn(0.0)
    third = Introduction(Role.NODE, "third", 8)
    table.core.handle(Negotiated(BACK, LINK, "2.0.0", third), turn)
    # Meanwhile one goes and one comes.
    gone, new = Subscription(False, NAMES[0], NAMES[0], 1), Name("org", "many", "new", 1)
    table.do(Subscribing(EDGE, gone))
    table.do(Subscribing(EDGE, Subscription(True, new, new, 9)))
    assert_short(table)
    known: set[Name] = set()
    for connection, record in [*turn.written, *table.written]:
        if connection == BACK:
            (known.add if record.subscribe else known.discard)(record.destination)
    assert known == {*NAMES[1:], new}


def test_a_node_that_is_lost_is_forgotten_piece_by_piece_and_may_tell_again_meanwhile(table: Table) -> None:
    table.do(Negotiated(NODE, LINK, "2.0.0", OTHER))
    table.subscribe(NODE, NAMES)
    turn = RouteTurn(0.0)
    table.core.handle(NodeLinkLost(NODE, "gone"), turn)
    table.core.handle(Negotiated(NODE, LINK, "2.0.0", OTHER), turn)
    table.subscribe(NODE, NAMES[:5])
    table.expire(0.0)
    assert_short(table)
    assert (len(table.core.table), table.core.shares.total) == (5, 5)
    targets = table.core.table.view.find(NAMES[0].key, NAMES[0].instance)
    assert targets is not None
    assert targets.peers == targets.all == (NODE,)
