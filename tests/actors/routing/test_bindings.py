from __future__ import annotations

from actors.names import Name
from actors.routing.bindings import Bindings

BOB, ROOM = Name("o", "n", "bob", 2), Name("o", "n", "room")
ALIVE = range(10)


def test_who_was_told_by_its_own_process_alone_shares_what_others_know() -> None:
    bindings = Bindings()
    for own in (1, 2):
        bindings.join(own)
    bindings.put(1, 5, ROOM, (2, 7))
    bindings.put(2, 5, ROOM, (1,))
    assert bindings.routes((2, 7), 5, ROOM, ALIVE) == (7, 2)
    assert bindings.routes((1,), 5, ROOM, ALIVE) == (7, 1)
    assert bindings.routes((8,), 5, ROOM, ALIVE) == (8,)


def test_what_other_sessions_know_does_not_count_nor_what_is_gone() -> None:
    bindings = Bindings()
    bindings.put(1, 5, ROOM, (7, 99))
    assert bindings.routes((), 6, ROOM, ALIVE) == ()
    assert bindings.routes((), 5, BOB, ALIVE) == ()
    assert bindings.routes((99,), 5, ROOM, ALIVE) == (7,)


def test_nothing_is_left_of_an_application_that_is_over() -> None:
    bindings = Bindings()
    bindings.join(1)
    bindings.put(1, 5, ROOM, (7,))
    bindings.put(1, 5, BOB, (7,))
    bindings.put(2, 5, BOB, (8,))
    before = bindings.version
    bindings.leave(1)
    assert bindings.version != before
    assert bindings.routes((), 5, ROOM, ALIVE) == ()
    assert bindings.routes((), 5, BOB, ALIVE) == (8,)
    bindings.put(2, 5, BOB, ())
    bindings.put(2, 5, BOB, ())
    assert not bindings._found
    assert not bindings._of
