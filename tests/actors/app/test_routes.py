from __future__ import annotations

from actors.app.routes import Routes
from actors.messages.routing import Route, Snapshot
from actors.messages.wire import ALL, ONE, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name

ME, BOB, ROOM = Name("o", "n", "me", 1), Name("o", "n", "bob", 2), Name("o", "n", "room")


def routes(routes: dict[Name, Route] | None = None) -> Routes:
    made = Routes(1)
    made.update(
        Snapshot(1, {n.key: r for n, r in (routes or {}).items()}, {n: f"actor {n}" for n in range(1, 9)})
    )
    return made


def to(name: Name, fanout: int = ONE, connection: int | None = None) -> SessionMessage:
    return SessionMessage(
        ME, name, SessionKind.MULTICAST, MessageType.MSG, 5, 1, Payload(), fanout, connection=connection
    )


def test_a_pinned_message_takes_its_connection_while_that_lives() -> None:
    w = routes({BOB: Route((3,), (), {BOB.instance: (3,)}, {})})
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
    w = routes({ROOM: Route((1, 3), (4,), {2**64 - 1: (1, 3)}, {2**64 - 1: (4,)})})
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
    w = routes({BOB: Route((3,), (4,), {BOB.instance: (3,)}, {BOB.with_id(9).instance: (4,)})})
    assert w.is_local(3, BOB.key)
    assert not w.is_local(4, BOB.key)
    assert not w.is_local(5, ROOM.key)
    w.met(5)
    assert w.is_local(5, ROOM.key)
    w.update(Snapshot(2, {}, {1: "actor"}))
    assert not w.is_local(5, ROOM.key)
