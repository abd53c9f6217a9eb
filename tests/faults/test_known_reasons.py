"""Why somebody is not reached is said at once where it is known, and to both sides where both are ours.

A hint ends nothing: the request goes on until its timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from datetime import timedelta
from typing import Any

import pytest

from actors.errors import HandshakeFailed
from actors.messages.wire import (
    DiscoveryRequest,
    Hint,
    HintReason,
    MessageType,
    Role,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from gateway.api.slim import Slim
from gateway.codec import WireCodec, encode_record, frame_bytes
from gateway.config import ServerConfig
from gateway.proto import dataplane_pb2 as pb
from identity.jose.keys import Algorithm
from identity.provider import IdentityProvider, IdentityVerifier
from tests.gateway.app_stage import PLAIN, identity
from tests.gateway.planes import plane
from tests.gateway.stage import ALICE, BOB, NodeStage, Peer, negotiation
from tests.identity.key_samples import signing, verifying

AT_ONCE = 0.5
"""Seconds in which a reason must be there; it takes milliseconds."""
ALICE_NAME, BOB_NAME, CAROL = "org/demo/alice", "org/demo/bob", Name("org", "ns", "carol", 1)
OTHER = "another shared secret of enough bytes, for tests"


class Said(logging.Handler):
    """What is warned about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._news.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(AT_ONCE):
            while not any(re.search(text, line) for line in self.lines):
                self._news.clear()
                await self._news.wait()


@contextlib.contextmanager
def listening() -> Any:
    said, root = Said(), logging.getLogger("callboard")
    root.addHandler(said)
    try:
        yield said
    finally:
        root.removeHandler(said)


def signer(name: str, number: int, audience: str = "peers") -> tuple[Any, Any]:
    """An identity signed with key `number` for `audience`; it trusts key 0, for the audience peers."""
    return (
        IdentityProvider.Jwt(
            signing(Algorithm.ES256, number), timedelta(hours=1), "issuer", [audience], name
        ),
        IdentityVerifier.Jwt(verifying(Algorithm.ES256, 0), audience=["peers"], issuer="issuer"),
    )


ID = "/[0-9a-f]{4}"
CASES: dict[str, tuple[Any, Any, str]] = {
    "no such name": (lambda: identity("alice"), None, "nobody there has the name org/demo/bob(\\W|$)"),
    "other secret": (
        lambda: identity("alice", OTHER),
        lambda: identity("bob"),
        f"org/demo/bob{ID} refuses: our token is made with another secret",
    ),
    "other key": (
        lambda: signer("alice", 1),
        lambda: signer("bob", 0),
        f"org/demo/bob{ID} refuses: our token is signed with a key that it does not know",
    ),
    "other audience": (
        lambda: signer("alice", 0, "others"),
        lambda: signer("bob", 0),
        f"org/demo/bob{ID} refuses: our token is for another audience",
    ),
    "other kind": (
        lambda: identity("alice"),
        lambda: signer("bob", 0),
        f"org/demo/bob{ID} refuses: it expects another kind of identity",
    ),
    "MLS demanded": (
        lambda: identity("alice"),
        lambda: identity("bob"),
        f"org/demo/bob{ID} takes encrypted sessions only: open them with MLS",
    ),
}


@pytest.mark.parametrize("place", ["in one process", "over a node"])
@pytest.mark.parametrize("case", CASES)
async def test_a_reason_is_said_in_milliseconds_and_stands_in_the_error(place: str, case: str) -> None:
    ours, theirs, sentence = CASES[case]
    over = place == "over a node"
    if case == "no such name" and not over:
        sentence = "no matching route found for org/demo/bob; set_route or connect first"
    async with plane() as node, plane() as first, plane() as second:
        where = await node.serve(ServerConfig.read({"endpoint": "127.0.0.1:0", "tls": PLAIN}))
        alice = Slim(ALICE_NAME, *ours(), data_plane=first if over else node)
        bob = Slim(BOB_NAME, *theirs(), data_plane=second if over else node) if theirs else None
        apps = [app for app in (alice, bob) if app is not None]
        for app in apps:
            if over:
                await app.connect(f"http://{where}")
            else:
                await app.status()
        if over:
            await alice.set_route(BOB_NAME)
        if bob is not None and case == "MLS demanded":
            bob.require(mls=True)
        with listening() as said:
            began = time.monotonic()
            opening = asyncio.ensure_future(alice.session(BOB_NAME, timeout=0.1, max_retries=5)._open())
            await said.until(sentence)
            assert time.monotonic() - began < AT_ONCE
            assert not opening.done()
            if bob is not None:
                # The refusing side's own warning, without asking for it.
                assert any("refused" in line or "dropped" in line for line in said.lines)
            with pytest.raises(HandshakeFailed, match=sentence):
                await opening
            assert len([line for line in said.lines if re.search(sentence, line)]) <= 2
        for app in apps:
            await app.close(0.2)


def question(source: Name, destination: Name) -> bytes:
    asked = SessionMessage(
        source,
        destination,
        SessionKind.POINT_TO_POINT,
        MessageType.DISCOVERY_REQUEST,
        1,
        2,
        DiscoveryRequest(),
    )
    return frame_bytes(WireCodec().encode(asked, "token"))


@pytest.fixture
async def stage() -> Any:
    made = NodeStage("memory")
    await made.open()
    yield made
    await made.close()


def hints(peer: Peer) -> int:
    return sum(message.HasField("hint") for message in peer.got)


def introduced() -> pb.Message:
    """What an application of ours says about itself."""
    said = negotiation()
    said.link.link_negotiation.introduction.role = Role.APPLICATION
    return said


async def test_only_who_said_that_it_is_ours_gets_a_message_of_our_own_kind(stage: NodeStage) -> None:
    original, ours, other = [await stage.peer() for _ in range(3)]
    ours.send(introduced())
    original.send(negotiation())
    for peer, name in ((original, ALICE), (ours, CAROL)):
        await peer.subscribed(name)
        peer.send(question(name, BOB))
        # By way of the node too, which is the last one before the application.
        other.send(encode_record(Hint(HintReason.SECRET, BOB, name)))
        await other.is_in_step()
        stage.now += 2
        await peer.is_in_step()
    await ours.until(lambda: hints(ours) == 2)
    assert hints(original) == 0


async def test_a_source_is_hinted_at_once_a_second_whoever_invents_hints(stage: NodeStage) -> None:
    ours, other = await stage.peer(), await stage.peer()
    ours.send(introduced())
    await ours.subscribed(CAROL)
    for _ in range(2):
        for _ in range(20):
            other.send(encode_record(Hint(HintReason.KEY, BOB, CAROL)))
            ours.send(question(CAROL, BOB))
        await other.is_in_step()
        await ours.is_in_step()
        stage.now += 2
    assert hints(ours) == 4
