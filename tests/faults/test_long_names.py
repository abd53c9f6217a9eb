"""Names, and other texts of peers, are remembered in many places: so they have a bound where they come in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.controlled.led_groups import NAMES, LedGroups
from actors.errors import ProtocolError
from actors.memo import LARGEST, Memo
from actors.messages.wire import (
    DiscoveryRequest,
    GroupClose,
    GroupLed,
    GroupWelcome,
    Hint,
    HintReason,
    Inbound,
    MessageType,
    NodeInquiry,
    Payload,
    SessionKind,
    SessionMessage,
    Subscription,
)
from actors.names import Name
from actors.routing.shares import NAME_BOUND
from gateway.codec import InboundParser, WireCodec, encode_record, frame_bytes
from gateway.proto import dataplane_pb2 as pb
from identity.errors import ConfigError
from tests.gateway.app_stage import AppStage
from tests.interop.raw import RawPeer, name_of, publication

SHORT = Name("o", "n", "short", 1)
K = MessageType


def message(name: Name, **fields: object) -> bytes:
    made = SessionMessage(
        SHORT, SHORT, SessionKind.MULTICAST, K.DISCOVERY_REQUEST, 5, 6, DiscoveryRequest(name)
    )
    return frame_bytes(WireCodec().encode(made._replace(**fields), "token"))  # type: ignore[arg-type]


def data(name: Name, field: str) -> bytes:
    return message(SHORT, kind=K.MSG, content=Payload("msg", b"x"), **{field: name})


EDGES: dict[str, Callable[[Name], bytes]] = {
    "the source of a message": lambda name: data(name, "source"),
    "the destination of a message": lambda name: data(name, "destination"),
    "a hint": lambda name: encode_record(Hint(HintReason.SECRET, SHORT, name)),
    "a group's channel": lambda name: encode_record(GroupLed(1, name, SHORT)),
    "a group's member": lambda name: encode_record(GroupLed(1, SHORT, SHORT, (name,))),
    "a node's question": lambda name: encode_record(NodeInquiry(1, SHORT, name)),
}
COMMANDS: dict[str, Callable[[Name], bytes]] = {
    "who is looked for": message,
    "who is welcomed": lambda name: message(SHORT, kind=K.GROUP_WELCOME, content=GroupWelcome((SHORT, name))),
    "whose group ends": lambda name: message(SHORT, kind=K.GROUP_CLOSE, content=GroupClose((name,))),
}


def long(length: int) -> Name:
    return Name("o", "n", "x" * (length - 2), 1)


@pytest.mark.parametrize("where", EDGES)
def test_a_name_has_a_bound_where_it_comes_in(where: str) -> None:
    assert InboundParser(1).parse(EDGES[where](long(NAME_BOUND))) is not None
    with pytest.raises(ProtocolError, match=f"a name of {NAME_BOUND + 1} characters"):
        InboundParser(1).parse(EDGES[where](long(NAME_BOUND + 1)))


@pytest.mark.parametrize("where", COMMANDS)
def test_a_name_in_a_command_has_the_same(where: str) -> None:
    def read(data: bytes) -> None:
        frame: Inbound | None = InboundParser(1).parse(data)
        WireCodec().decode(frame)  # type: ignore[arg-type]

    read(COMMANDS[where](long(NAME_BOUND)))
    with pytest.raises(ProtocolError, match=f"a name of {NAME_BOUND + 1} characters"):
        read(COMMANDS[where](long(NAME_BOUND + 1)))


async def test_on_the_wire_who_subscribes_one_is_told_and_what_carries_one_is_dropped() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        async with RawPeer(stage.endpoint) as peer, RawPeer(stage.endpoint) as other:
            await other.subscribe(name_of("other"))
            await other.settled()
            name = long(NAME_BOUND + 1)
            await peer.send(encode_record(Subscription(True, name, name, subscription_id=7)))
            await peer.settled()
            ack = pb.Message.FromString(peer.received[-1]).subscription_ack
            assert (ack.subscription_id, ack.success) == (7, False)
            assert f"more than {NAME_BOUND} characters" in ack.error
            source = name_of("other")
            source.str_name.str_component_2 = "x" * NAME_BOUND
            await peer.send(publication(source, name_of("other"), b"too long"))
            await peer.send(publication(name_of("peer"), name_of("other"), b"short"))
            await other.heard(1)
            assert b"short" in other.received[0]
    finally:
        await stage.close()


def test_groups_that_are_reported_with_long_names_take_more_places() -> None:
    groups, member = LedGroups(), long(NAME_BOUND)
    for number in range(100):
        groups.reported(number, GroupLed(number, SHORT, SHORT, (member,) * 1000))
    kept = groups.reports()
    assert 1 <= len(kept) <= NAMES // (1000 * NAME_BOUND // 256)
    assert groups.refused == 100 - len(kept)


@pytest.mark.parametrize("key", ["x" * LARGEST, b"x" * LARGEST])
def test_long_keys_are_not_worth_remembering(key: str | bytes) -> None:
    memo: Memo[str | bytes, int] = Memo(10)
    assert memo.remember(key, 1) == 1
    assert memo.remember(key + key[:1], 2) == 2  # type: ignore[operator]
    assert dict(memo) == {key: 1}


async def test_a_name_that_no_node_takes_is_refused_in_the_call_that_brings_it() -> None:
    stage = AppStage("in one process")
    await stage.start()
    alice = await stage.app("alice")
    for call in (alice.subscribe, alice.group, alice.session):
        with pytest.raises(ConfigError, match="a name of 4097 characters, at most 4096"):
            await call(f"o/n/{'x' * (NAME_BOUND - 1)}")
    await stage.close()
