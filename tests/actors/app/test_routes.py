from __future__ import annotations

from actors.app.routes import Routes
from actors.messages.wire import ALL, ONE, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.routing.table import SubscriptionTable
from actors.routing.view import Rank

ME, BOB, ROOM = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "room")


def node(*entries: tuple[Name, int], local: tuple[int, ...] = ()) -> SubscriptionTable:
    """The routes of a node with connections 1 to 8."""
    made = SubscriptionTable()
    for connection in range(1, 9):
        made.attach(connection, f"actor {connection}", Rank.LOCAL if connection in local else Rank.EDGE)
    for name, connection in entries:
        made.add(name, connection, 0)
    return made


def routes(*entries: tuple[Name, int], local: tuple[int, ...] = ()) -> Routes:
    return Routes(1, node(*entries, local=local).view)


def to(name: Name, fanout: int = ONE, connection: int | None = None) -> SessionMessage:
    return SessionMessage(
        ME, name, SessionKind.MULTICAST, MessageType.MSG, 5, 1, Payload(), fanout, connection=connection
    )


def test_a_pinned_message_takes_its_connection_while_that_lives() -> None:
    w = routes((BOB, 3), local=(3,))
    assert w.find(to(BOB, connection=7)) == (7,)
    assert w.find(to(BOB, connection=99)) == (3,)


def test_a_binding_serves_where_the_node_knows_nothing() -> None:
    w = routes()
    assert w.find(to(BOB)) == ()
    w.bind(BOB, 5, 7)
    assert w.find(to(BOB)) == (7,)
    w.bind(BOB, 6, 99)
    assert w.find(to(BOB)) == (7,)
    w.unbind(BOB, 5)
    assert w.find(to(BOB)) == ()
    w.unbind(BOB, 5)


def test_match_all_unites_routes_and_bindings_once_each_and_never_ourselves() -> None:
    w = routes((ROOM, 1), (ROOM, 3), (ROOM, 4), local=(1, 3))
    w.bind(ROOM, 5, 4)
    w.bind(ROOM, 6, 7)
    assert sorted(w.find(to(ROOM, ALL))) == [3, 4, 7]


def test_bindings_end_with_their_session() -> None:
    w = routes()
    for session in (5, 6):
        w.bind(BOB, session, 7)
        w.bind(ROOM, session, 8)
    w.forget(5)
    assert w.find(to(BOB)) == (7,)
    w.forget(6)
    w.forget(6)
    assert w.find(to(BOB)) == ()
    assert w.find(to(ROOM, ALL)) == ()
    assert not w._bound
    assert not w._by_session


def test_who_is_local() -> None:
    w = routes((BOB, 3), (BOB.with_id(9), 4), local=(3,))
    assert w.is_local(3, BOB.key)
    assert not w.is_local(4, BOB.key)
    assert not w.is_local(5, ROOM.key)
    w.met(5)
    assert w.is_local(5, ROOM.key)


def test_who_was_met_and_is_gone_is_forgotten_in_time() -> None:
    w = routes()
    for connection in range(100, 400):
        w.met(connection)
    assert len(w._local) < 100
