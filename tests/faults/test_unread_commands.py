"""A large command is read when its sender is known, and what it lists is counted before it is made."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actors.app.admission import Admission, TokenVerified
from actors.app.effects import Dropped, Released
from actors.app.turn import AppTurn
from actors.errors import ProtocolError
from actors.messages.codec import LARGE, TokenFirst, Unread
from actors.messages.wire import (
    Frame,
    GroupClose,
    GroupWelcome,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.bounds import MEMBERS, METADATA
from gateway.codec import InboundParser, WireCodec, frame_bytes
from identity.errors import InvalidToken
from identity.protocols import KeysMissing
from tests.faults.test_session_strangers import K, figures, forger
from tests.gateway.app_stage import AppStage, name

ALICE, BOB = Name("o", "n", "alice", 1), Name("o", "n", "bob", 2)


def received(content: Any, kind: MessageType, **fields: Any) -> Frame:
    message = SessionMessage(ALICE, BOB, SessionKind.MULTICAST, kind, 5, 6, content)._replace(**fields)
    frame = InboundParser(3).parse(frame_bytes(WireCodec().encode(message, "a token")))
    assert isinstance(frame, Frame)
    return frame


def names(count: int) -> tuple[Name, ...]:
    return tuple(Name("o", "n", f"{number}", number) for number in range(count))


def test_much_is_not_read_for_somebody_who_is_not_known() -> None:
    for frame in (
        received(GroupClose(names(1000)), K.GROUP_CLOSE),
        received(Payload("msg", b"x"), K.MSG, metadata={f"{n}": "x" * 10 for n in range(500)}),
    ):
        codec = WireCodec()
        with pytest.raises(TokenFirst) as first:
            codec.decode(frame, verified=False)
        assert first.value.unread == Unread(ALICE, "a token", first.value.unread.kind, 3, frame)
        assert codec.decode(frame).source == ALICE
    small = received(GroupClose(names(3)), K.GROUP_CLOSE)
    assert WireCodec().decode(small, verified=False).kind is K.GROUP_CLOSE
    data = received(Payload("msg", bytes(10 * LARGE)), K.MSG)
    assert WireCodec().decode(data, verified=False).kind is K.MSG


@pytest.mark.parametrize("count", [MEMBERS, MEMBERS + 1])
def test_a_list_of_members_has_a_bound(count: int) -> None:
    frame = received(GroupWelcome(names(count)), K.GROUP_WELCOME)
    if count <= MEMBERS:
        assert len(WireCodec().decode(frame).content.participants) == count  # type: ignore[union-attr]
        return
    with pytest.raises(ProtocolError, match="members"):
        WireCodec().decode(frame)


def test_a_million_empty_names_are_counted_and_not_made() -> None:
    frame = received(GroupClose(names(LARGE)), K.GROUP_CLOSE)
    start = time.process_time()
    many = b"\x0a\x00" * 2_000_000
    body = _with_close(frame, many)
    with pytest.raises(ProtocolError, match="more parts"):
        WireCodec().decode(body)
    assert time.process_time() - start < 0.5


def _with_close(frame: Frame, participants: bytes) -> Frame:
    """The frame with these bytes in the place of its list."""
    from gateway.codec import varint

    inside = b"\x52" + varint.encode(len(participants)) + participants
    command = b"\x12" + varint.encode(len(inside)) + inside
    content = b"\x1a" + varint.encode(len(command)) + command
    body = frame.body[: 2 + frame.body[1]] + content
    return frame._replace(body=body, inner=len(body), scanned=None)


def test_metadata_has_a_bound() -> None:
    for kind, content in ((K.MSG, Payload("msg", b"x")), (K.GROUP_CLOSE, GroupClose(()))):
        frame = received(content, kind, metadata={f"{n}": "" for n in range(METADATA + 1)})
        with pytest.raises(ProtocolError, match="metadata"):
            WireCodec().decode(frame)


class Judge:
    """A verifier whose keys come when the test lets them."""

    def __init__(self) -> None:
        self.keys = False

    def try_verify(self, token: str, now: float) -> None:
        if not self.keys:
            raise KeysMissing
        if token != "a token":
            raise InvalidToken("no")


def test_unread_messages_wait_for_keys_unread() -> None:
    frame = received(GroupClose(names(1000)), K.GROUP_CLOSE)
    judge, turn = Judge(), AppTurn(wall=5.0)
    admission = Admission(judge)  # type: ignore[arg-type]
    good, bad = (Unread(ALICE, token, K.GROUP_CLOSE, 3, frame) for token in ("a token", "another"))
    assert not admission.admits(good, turn)
    assert not admission.admits(bad, turn)
    judge.keys = True
    turn.effects.clear()
    admission.handle(TokenVerified("a token", None), turn)
    admission.handle(TokenVerified("another", InvalidToken("no")), turn)
    assert turn.effects[0] == Released(good)
    assert isinstance(turn.effects[1], Dropped)


async def test_on_the_wire_a_large_command_without_a_token_costs_nothing() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        bob = await stage.app("bob")
        async with forger(stage) as mallory:
            large = mallory.says(bob.local_name, K.GROUP_CLOSE, GroupClose(names(MEMBERS)))
            start = time.perf_counter()
            for _ in range(5):
                await mallory.say(large, token="nobody's")
            await mallory.settled()
            alice = await stage.app("alice")
            await stage.route(alice, "bob")
            async with alice.session(name("bob")):
                assert time.perf_counter() - start < 5.0
            assert (await figures(bob))["unverified"] == 5
    finally:
        await stage.close()
