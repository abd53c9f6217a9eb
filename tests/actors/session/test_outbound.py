"""What a session puts out itself, and what it leaves to its App."""

from __future__ import annotations

from typing import Any

import pytest
from thespian.actors import ActorAddress

from actors.errors import MessageTooLarge
from actors.messages.wire import ALL, ONE, Frame, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.routing.table import SubscriptionTable
from actors.routing.view import Rank
from actors.session.outbound import DirectOutbound, WayOut
from gateway.codec import WireCodec
from identity.errors import AuthError

OURS, LOCAL, FAR, FARTHER = 1, 2, 10, 11
ME, BOB, ROOM = Name("org", "ns", "me", 7), Name("org", "ns", "bob", 8), Name("org", "ns", "room")


class Stage:
    """A table with our App, an application beside it and two connections; one session's way out."""

    def __init__(self) -> None:
        self.table = SubscriptionTable()
        self.addresses = {index: ActorAddress(index) for index in (OURS, LOCAL, FAR, FARTHER)}
        for index, address in self.addresses.items():
            self.table.attach(index, address, Rank.LOCAL if index in (OURS, LOCAL) else Rank.EDGE)
        self.tokens: list[Any] = ["token"]
        way = WayOut(OURS, self.table.view, WireCodec(), self._token, lambda: 0.0, "token")
        self.direct = DirectOutbound(way)

    def _token(self, _: float) -> str:
        token = self.tokens[-1]
        if isinstance(token, Exception):
            raise token
        return str(token)

    def out(self, *messages: SessionMessage) -> dict[int, list[Any]] | None:
        batches = self.direct.batches(list(messages))
        if batches is None:
            return None
        return {
            next(index for index, known in self.addresses.items() if known is address): batch
            for address, batch in batches
        }


@pytest.fixture
def stage() -> Stage:
    return Stage()


def message(to: Name, number: int = 1, fanout: int = ONE, connection: int | None = None) -> SessionMessage:
    content = Payload("", b"x")
    kind = SessionKind.POINT_TO_POINT if fanout == ONE else SessionKind.MULTICAST
    return SessionMessage(ME, to, kind, MessageType.MSG, 5, number, content, fanout, connection=connection)


def test_one_connection_gets_the_batch_in_order_with_the_token(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    out = stage.out(message(BOB, 1), message(BOB, 2))
    assert out is not None
    assert list(out) == [FAR]
    read = [WireCodec().decode(frame) for frame in out[FAR] if isinstance(frame, Frame)]
    assert [(m.message_id, m.identity) for m in read] == [(1, "token"), (2, "token")]


def test_an_application_of_the_process_gets_the_record(stage: Stage) -> None:
    stage.table.add(BOB, LOCAL, 1)
    sent = message(BOB)
    assert stage.out(sent) == {LOCAL: [sent._replace(identity="token", connection=OURS)]}


def test_all_members_get_one_frame(stage: Stage) -> None:
    for connection in (OURS, FAR, FARTHER):
        stage.table.add(ROOM, connection, 1)
    out = stage.out(message(ROOM, fanout=ALL))
    assert out is not None
    assert list(out) == [FAR, FARTHER]
    assert out[FAR][0] is out[FARTHER][0]


def test_what_the_session_bound_counts_where_the_table_has_nothing(stage: Stage) -> None:
    assert stage.out(message(BOB)) is None
    stage.direct.bind(BOB, FARTHER)
    assert list(stage.out(message(BOB)) or ()) == [FARTHER]
    stage.table.add(BOB, FAR, 1)
    assert list(stage.out(message(BOB)) or ()) == [FAR]
    assert list(stage.out(message(BOB, fanout=ALL)) or ()) == [FAR, FARTHER]
    stage.direct.unbind(BOB)
    assert list(stage.out(message(BOB, fanout=ALL)) or ()) == [FAR]


def test_a_pinned_message_leaves_by_its_connection_while_it_lives(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    assert list(stage.out(message(BOB, connection=FARTHER)) or ()) == [FARTHER]
    stage.table.detach(FARTHER)
    assert stage.out(message(BOB, connection=FARTHER)) is None  # the App says what became of it
    assert list(stage.out(message(BOB, connection=FARTHER)) or ()) == [FAR]


def test_a_changed_table_is_seen_at_once(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    again = message(BOB)
    assert list(stage.out(again) or ()) == [FAR]
    stage.table.forget(*stage.table.detach(FAR), 9)
    assert stage.out(again) is None
    stage.table.add(BOB, FARTHER, 1)
    assert list(stage.out(again) or ()) == [FARTHER]


def test_what_several_may_take_is_the_apps_to_spread(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    assert stage.out(message(BOB.without_id())) is None
    stage.table.add(BOB, FARTHER, 1)
    assert stage.out(message(BOB)) is None


def test_one_that_is_the_apps_takes_the_batch_along(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    assert stage.out(message(BOB), message(ROOM)) is None


def test_before_the_node_knows_the_app_all_is_the_apps() -> None:
    stage = Stage()
    stage.table.add(BOB, FAR, 1)
    stage.table.detach(OURS)
    assert stage.out(message(BOB)) is None


@pytest.mark.parametrize("failure", [AuthError("no token"), RuntimeError("a provider's own")])
def test_without_a_token_it_is_the_apps_to_say_so(stage: Stage, failure: Exception) -> None:
    stage.table.add(BOB, FAR, 1)
    stage.tokens.append(failure)
    assert stage.out(message(BOB)) is None
    stage.tokens.append("token")
    assert list(stage.out(message(BOB)) or ()) == [FAR]


def test_another_token_is_noticed_once(stage: Stage) -> None:
    stage.table.add(BOB, FAR, 1)
    stage.out(message(BOB))
    assert not stage.direct.renewed
    stage.tokens.append("another")
    stage.out(message(BOB))
    assert stage.direct.renewed
    stage.direct.renewed = False
    stage.out(message(BOB))
    assert not stage.direct.renewed


def test_what_cannot_be_encoded_is_the_apps_to_refuse(stage: Stage) -> None:
    class Narrow(WireCodec):
        def encode(self, message: SessionMessage, identity: str) -> Frame:
            raise MessageTooLarge(2, 1)

    stage.table.add(BOB, FAR, 1)
    direct = DirectOutbound(WayOut(OURS, stage.table.view, Narrow(), lambda _: "token", lambda: 0.0, ""))
    assert direct.batches([message(BOB)]) is None
