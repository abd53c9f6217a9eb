from __future__ import annotations

import random
from typing import Any

import jwt
import pytest

from actors.app.effects import Invitation
from actors.app.invitations import SESSION_IDS, TOMBSTONE_TIME, TOMBSTONES, Invitations, Promises
from actors.app.turn import AppTurn
from actors.messages.session import SessionGone
from actors.messages.wire import (
    IS_MODERATOR,
    ORDER_FAILED,
    REPORT_FAILURE,
    TRUE,
    DiscoveryReply,
    DiscoveryRequest,
    GroupAck,
    GroupClose,
    JoinRequest,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name
from actors.session.effects import Refused

ME, ALICE, ROOM = Name("o", "n", "me", 1), Name("o", "n", "alice", 2), Name("o", "n", "room", 7)
P2P, GROUP = SessionKind.POINT_TO_POINT, SessionKind.MULTICAST


def application(*, mls: bool = True, backlog: int = 2) -> Invitations:
    return Invitations(ME, random.Random(1).randrange, mls=mls, backlog=backlog)


def decide(app: Invitations, event: SessionMessage, now: float) -> Any:
    """The one effect of an event, if it has one."""
    turn = AppTurn(now)
    app.handle(event, turn)
    return next(iter(turn.effects), None)


def message(kind: MessageType, content: object, to: Name = ME, type: SessionKind = P2P) -> SessionMessage:
    return SessionMessage(ALICE, to, type, kind, 5, 6, content, connection=3)  # type: ignore[arg-type]


def test_who_takes_no_sessions_answers_only_to_questions_about_itself() -> None:
    app = application(backlog=0)
    for name, answered in ((ME.without_id(), False), (ME, True)):
        request = message(MessageType.DISCOVERY_REQUEST, DiscoveryRequest(), name)
        assert (decide(app, request, 0) is not None) is answered
    refused = decide(app, message(MessageType.JOIN_REQUEST, JoinRequest()), 0)
    assert isinstance(refused, Refused)
    assert "this application takes no sessions" in str(refused)


def test_discovery_is_answered_for_every_own_name_under_the_own_id() -> None:
    app, alias = application(), Name("o", "n", "alias")
    request = message(MessageType.DISCOVERY_REQUEST, DiscoveryRequest(), alias)
    assert decide(app, request, 0) is None
    app.take_name(alias)
    app.take_name(alias)
    reply = decide(app, request, 0)
    assert isinstance(reply, SessionMessage)
    assert (reply.source, reply.destination) == (alias.with_id(1), ALICE)
    assert (reply.kind, reply.content) == (MessageType.DISCOVERY_REPLY, DiscoveryReply())
    assert (reply.session_id, reply.message_id, reply.connection, reply.session_type) == (5, 6, 3, P2P)
    app.give_up_name(alias)
    assert decide(app, request, 0) is not None
    app.give_up_name(alias)
    assert decide(app, request, 0) is None


def test_an_invitation_carries_the_sessions_configuration() -> None:
    join = message(MessageType.JOIN_REQUEST, JoinRequest(True, TimerSettings(2.5, 3), ROOM), type=GROUP)
    decision = decide(application(), join._replace(metadata={"a": "b"}), 0)
    assert isinstance(decision, Invitation)
    assert decision.destination == ROOM.without_id()
    config = decision.config
    assert (config.interval, config.max_retries, config.mls, config.metadata) == (2.5, 3, True, {"a": "b"})
    assert config.reliable


def test_point_to_point_the_initiator_is_the_destination() -> None:
    decision = decide(application(), message(MessageType.JOIN_REQUEST, JoinRequest()), 0)
    assert isinstance(decision, Invitation)
    assert decision.destination == ALICE
    assert not decision.config.reliable


def test_invitations_that_cannot_be_taken_are_refused_with_a_reason() -> None:
    def reason(app: Invitations, request: JoinRequest, type: SessionKind = P2P) -> str:
        decision = decide(app, message(MessageType.JOIN_REQUEST, request, type=type), 0)
        assert isinstance(decision, Refused)
        return decision.reason

    assert "asks for MLS" in reason(application(mls=False), JoinRequest(True))
    assert "names no channel" in reason(application(), JoinRequest(), GROUP)
    assert "of unknown type" in reason(application(), JoinRequest(), SessionKind.UNSPECIFIED)
    busy = application(backlog=1)
    other = message(MessageType.JOIN_REQUEST, JoinRequest())._replace(session_id=1)
    busy.begun(other)
    busy.announced(1)
    assert "1 announced sessions wait" in reason(busy, JoinRequest())
    assert "served already" in decide(busy, other, 0).reason  # type: ignore[union-attr]


def test_an_invitation_serves_once_and_is_taken_again_while_its_session_never_stood() -> None:
    app, join = application(), message(MessageType.JOIN_REQUEST, JoinRequest())
    app.begun(join)
    app.over(join.session_id)
    assert not isinstance(decide(app, join, 0), Refused)
    app.begun(join)
    app.announced(join.session_id)
    app.adopted(join.session_id)
    app.over(join.session_id)
    assert isinstance(decide(app, join, 0), Refused)
    again = join._replace(message_id=join.message_id + 1)
    assert not isinstance(decide(app, again, 0), Refused)


def test_others_invitations_are_not_ours() -> None:
    join = message(MessageType.JOIN_REQUEST, JoinRequest(), Name("o", "n", "other", 1))
    assert decide(application(), join, 0) is None


def test_a_tombstone_answers_the_same_request_of_the_same_peer_for_a_while() -> None:
    app = application()
    close = message(MessageType.GROUP_CLOSE, GroupClose(()))
    farewell = SessionMessage(ME, ALICE, P2P, MessageType.GROUP_ACK, 5, 6, GroupAck())
    assert decide(app, close, 0) is None
    app.handle(SessionGone(5, (farewell,)), AppTurn(10.0))
    assert decide(app, close, 11.0) == farewell._replace(connection=3)
    assert decide(app, close._replace(message_id=7), 11.0) is None
    assert decide(app, close._replace(source=ROOM), 11.0) is None
    assert decide(app, close, 10.0 + TOMBSTONE_TIME) is None
    assert decide(app, close, 11.0) is None


def test_tombstones_are_bounded() -> None:
    app = application()
    farewell = SessionMessage(ME, ALICE, P2P, MessageType.GROUP_ACK, 5, 6, GroupAck())
    for session_id in range(TOMBSTONES + 10):
        app.handle(SessionGone(session_id, (farewell,)), AppTurn(0.0))
    assert len(app._tombstones._farewells) == TOMBSTONES
    assert app.counts.tombstones_dropped == 10


def test_a_tombstone_whose_time_was_over_is_not_counted() -> None:
    app = application()
    farewell = SessionMessage(ME, ALICE, P2P, MessageType.GROUP_ACK, 5, 6, GroupAck())
    for session_id in range(TOMBSTONES + 10):
        app.handle(SessionGone(session_id, (farewell,)), AppTurn(session_id * TOMBSTONE_TIME))
    assert app.counts.tombstones_dropped == 0


def test_session_ids_are_free_and_below_the_reserved_ones() -> None:
    drawn = iter([3, 4])
    app = Invitations(ME, lambda bound: next(drawn) if bound == SESSION_IDS else 0, mls=False, backlog=1)
    assert app.draw_session_id({3}.__contains__) == 4


def test_everything_else_is_dropped() -> None:
    assert decide(application(), message(MessageType.MSG, Payload()), 0) is None
    assert decide(application(), message(MessageType.JOIN_REQUEST, Payload()), 0) is None


def order(subject: str | None, *, reports: bool = True) -> SessionMessage:
    token = "" if subject is None else jwt.encode({"sub": subject}, "a key of thirty-two bytes, or more")
    metadata = {IS_MODERATOR: TRUE} | ({REPORT_FAILURE: TRUE} if reports else {})
    wanted = message(MessageType.JOIN_REQUEST, JoinRequest(True, None, ROOM), type=GROUP)
    return wanted._replace(metadata=metadata, identity=token)


@pytest.mark.parametrize(
    ("allowed", "subject", "reason"),
    [
        (None, "anybody", None),
        (None, None, None),
        (("control", "second"), "second", None),
        (("control",), "somebody", "'somebody' may not order groups of us"),
        ((), "control", "'control' may not order groups of us"),
        (("control",), None, "its token proves no subject"),
    ],
)
def test_who_may_order_is_narrowed(
    allowed: tuple[str, ...] | None, subject: str | None, reason: str | None
) -> None:
    app = Invitations(
        ME, random.Random(1).randrange, mls=True, backlog=2, promises=Promises(controllers=allowed)
    )
    turn = AppTurn(0)
    app.handle(order(subject), turn)
    if reason is None:
        (invitation,) = turn.effects
        assert isinstance(invitation, Invitation)
        assert invitation.leads
        assert invitation.config.metadata is None
        return
    refusal, answer = turn.effects
    assert isinstance(refusal, Refused)
    assert reason in refusal.reason
    assert isinstance(answer, SessionMessage)
    assert (answer.kind, answer.destination, answer.message_id) == (MessageType.GROUP_ACK, ALICE, 6)
    assert reason in (answer.metadata or {})[ORDER_FAILED]
    quiet = AppTurn(0)
    app.handle(order(subject, reports=False), quiet)
    # Another one's controller would take any GROUP_ACK as a success.
    assert [type(one) for one in quiet.effects] == [Refused]
