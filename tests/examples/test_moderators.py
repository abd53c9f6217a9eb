"""The example moderators, each led by `callboard moderator` and with originals as members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from thespian.actors import ActorSystem

from actors.messages.moderation import Curtain, Decided, Knocked, LeadGroup
from actors.messages.session import Invite
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from gateway.moderation.loading import load_script
from identity.encoding import b64url_encode, compact_json
from tests.interop.harness import (
    CALLBOARD,
    ROOT,
    SECRET,
    CallboardNode,
    OriginalApp,
    Process,
    requires_originals,
)
from tests.interop.led_group import Member

EXAMPLES = ROOT / "examples"


@asynccontextmanager
async def led(folder: Path, example: str, endpoint: str, **environment: str) -> AsyncIterator[Process]:
    key = folder / "key"
    key.write_bytes(bytes(range(32)))
    flags = ["--name", "org/test/chair", "--channel", "org/test/room", "--connect", endpoint]
    flags += ["--journal", str(folder / "journal"), "--journal-key", str(key), "--shared-secret", SECRET]
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = ("env", *variables, str(CALLBOARD), "moderator", str(EXAMPLES / example), *flags)
    async with Process(example, *command) as process:
        yield process


@pytest.fixture
async def node() -> AsyncIterator[str]:
    async with CallboardNode() as running:
        yield running.endpoint


@pytest.fixture
async def pair(node: str) -> AsyncIterator[tuple[tuple[OriginalApp, Member], tuple[OriginalApp, Member]]]:
    async with OriginalApp("ann", node) as ann, OriginalApp("ben", node) as ben:
        members = Member(ann), Member(ben)
        yield (ann, members[0]), (ben, members[1])
        for member in members:
            await member.stop()


@pytest.mark.originals
@requires_originals
async def test_a_stand_up_collects_what_each_says_and_closes(tmp_path: Path, node: str, pair) -> None:
    (_, ann), (_, ben) = pair
    team = "org/test/ann,org/test/ben"
    async with led(tmp_path, "stand_up.py", node, STAND_UP_TEAM=team, STAND_UP_PATIENCE="20") as chair:
        for member in (ann, ben):
            await member.wait_for("good morning: what did you do, and what is next?", 20.0)
        await ann.say("the journal")
        await ben.say("slept")
        notes = "org/test/ann: the journal\norg/test/ben: slept"
        for member in (ann, ben):
            await member.wait_for(notes, 20.0)
            await member.wait_ended(20.0)
        assert await chair.process.wait() == 0, chair.stderr


@pytest.mark.originals
@requires_originals
async def test_a_gatekeeper_admits_by_a_claim_and_removes_who_is_silent(
    tmp_path: Path, node: str, pair
) -> None:
    (ann_app, ann), (ben_app, ben) = pair
    # The tokens of originals carry a public key.
    async with led(tmp_path, "gatekeeper.py", node, GATE_CLAIM="pubkey", GATE_PATIENCE="4") as gate:
        assert gate.process.stdout is not None
        assert (await gate.process.stdout.readline()).startswith(b"leading")
        for app, member in ((ann_app, ann), (ben_app, ben)):
            await app.set_route("chair")
            door = await app.create_session("chair")
            await door.publish(b"let me in")
            await member.wait_for(f"welcome, {app.name.rpartition('/')[2]}", 20.0)
        await ann.say("i am here")
        await ann.wait_for("ben is out: removed", 20.0)
        await ben.wait_ended(20.0)


@pytest.mark.originals
@requires_originals
async def test_a_memory_tells_who_comes_later_what_was_said_even_after_a_restart(
    tmp_path: Path, node: str, pair
) -> None:
    (_, ann), (ben_app, ben) = pair
    async with led(tmp_path, "memory.py", node, MEMORY_GUESTS="org/test/ann", MEMORY_KEPT="2") as memory:
        for line in ("one", "two", "three"):
            await ann.say(line)
        memory.kill()
        await memory.process.wait()
    async with led(tmp_path, "memory.py", node, MEMORY_GUESTS="org/test/ann", MEMORY_KEPT="2") as memory:
        assert memory.process.stdout is not None
        assert (await memory.process.stdout.readline()).startswith(b"leading")
        await ben_app.set_route("chair")
        await (await ben_app.create_session("chair")).publish(b"me too")
        for line in ("earlier, ann: two", "earlier, ann: three"):
            await ben.wait_for(line, 20.0)
        assert "earlier, ann: one" not in ben.heard


def test_a_gatekeeper_believes_the_claim_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_CLAIM", "group=staff")
    system = ActorSystem("simpleSystemBase", transientUnique=True)
    gate = system.createActor(load_script(str(EXAMPLES / "gatekeeper.py")))
    channel, local, ann = (Name.parse(f"org/test/{name}") for name in ("club", "gate", "ann"))
    system.tell(gate, LeadGroup(channel, local))
    assert system.ask(gate, Curtain(), 1.0).wishes == ()

    def knock(**claims: object) -> Decided:
        token = f"ann:1:nonce:{b64url_encode(compact_json(claims))}:mac"
        kind = SessionKind.POINT_TO_POINT
        said = SessionMessage(ann, local, kind, MessageType.MSG, 1, 1, Payload("", b"open"), identity=token)
        decided = system.ask(gate, Knocked(said), 1.0)
        assert isinstance(decided, Decided)
        return decided

    assert knock(group="staff").wishes == (Invite(0, ann),)
    assert knock(custom_claims={"group": ["guests", "staff"]}).wishes == (Invite(0, ann),)
    assert knock(group="guests").wishes == knock().wishes == ()
