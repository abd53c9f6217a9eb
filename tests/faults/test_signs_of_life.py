"""What `docs/signs-of-life.md` promises: nobody waits for ever, and nobody is given up who is there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from actors.app.effects import Alive
from actors.app.questions import Questions
from actors.app.turn import AppTurn
from actors.messages.session import AppSettings, AskPeer, PeerAlive, SessionEnded
from actors.messages.wire import (
    DiscoveryReply,
    DiscoveryRequest,
    GroupClose,
    MessageType,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.peers import PeerGeneration
from actors.session.senders import Senders
from actors.session.turn import Turn
from tests.actors.session.stage import Stage, make_pair, p2p
from tests.actors.session.test_transcripts import Replay
from tests.gateway.app_stage import SECRET, AppStage

ME, BOB = Name("o", "n", "me", 1), Name("o", "n", "bob", 2)
TEN_MINUTES = 600.0


# A peer of 0.7, as it was recorded


class Quiet(Replay):
    """Our core with a recorded initiator that goes silent before it would say goodbye."""

    def __init__(self, conversation: str, app: str, *, answers: bool) -> None:
        super().__init__(conversation, app)
        ended = next(i for i, s in enumerate(self.said) if isinstance(s.message.content, GroupClose))
        self.said = self.said[:ended]
        self.answers = answers
        self.asked: list[float] = []
        self.over: list[SessionEnded] = []

    def _perform(self, effects: Any) -> None:
        effects = list(effects)
        super()._perform(effects)
        for effect in effects:
            if isinstance(effect, AskPeer):
                self.asked.append(self.now)
                if self.answers:
                    self._event(PeerAlive(effect.peer))
            elif isinstance(effect, SessionEnded):
                self.over.append(effect)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.core is not None and (due := self.core.next_deadline()) is not None and due <= end:
            self.now = due
            self._expire()
        self.now = end

    def _expire(self) -> None:
        assert self.core is not None
        turn = Turn(self.now)
        self.core.expire(turn)
        self._perform(turn.effects)


@pytest.mark.parametrize("conversation", ["v0.7.1-p2p-plain", "v0.7.1-p2p-mls", "v0.7.1-group-mls"])
@pytest.mark.parametrize("answers", [True, False], ids=["is there", "is gone"])
def test_a_quiet_initiator_of_0_7(conversation: str, answers: bool) -> None:
    replay = Quiet(conversation, "bob", answers=answers)
    replay.run()
    assert replay.core is not None
    assert not replay.core.ended
    begun = replay.now
    replay.wait(TEN_MINUTES)
    if answers:
        assert not replay.core.ended
        assert len(replay.asked) >= 10
    else:
        # In the first interval it spoke.
        assert [round(at - begun) for at in replay.asked] == [39, 49, 59]
        assert replay.core.ended
        assert "fell silent" in str(replay.over[0].cause)


@pytest.mark.parametrize("answers", [True, False], ids=["is there", "is gone"])
def test_a_quiet_responder_of_0_7(answers: bool) -> None:
    replay = Quiet("v0.7.1-p2p-plain", "alice", answers=answers)
    replay.run()
    assert replay.core is not None
    replay.wait(TEN_MINUTES)
    assert replay.core.ended is not answers


# Both sides point to point


@pytest.mark.parametrize("generation", list(PeerGeneration))
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_whoever_is_left_alone_learns_it(generation: PeerGeneration, side: str) -> None:
    stage = Stage()
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.generation = bob.generation = generation
    alice.create(bob.name.without_id(), p2p())
    stage.transfer()
    left, gone = (alice, bob) if side == "initiator" else (bob, alice)
    stage.players.remove(gone)
    stage.drop = lambda message, to: True
    stage.advance(80.0)
    assert left.ended is not None
    assert left.ended.cause is not None


def test_a_peer_that_is_there_but_forgot_the_session_is_given_up_in_time() -> None:
    stage = Stage()
    alice, bob = make_pair(stage)
    stage.advance(15.0)
    bob.core = None
    stage.advance(25.0)
    assert alice.ended is None
    stage.advance(50.0)
    assert alice.ended is not None
    assert alice.kinds().count("DISCOVERY_REQUEST") >= 2


# One question for many sessions


def questions(ids: list[int] | None = None) -> Questions:
    drawn = iter(ids or range(1000, 2000))
    return Questions(ME, lambda: next(drawn), Senders(), 10.0)


def reply(source: Name, session_id: int) -> SessionMessage:
    kind = SessionKind.POINT_TO_POINT
    return SessionMessage(source, ME, kind, MessageType.DISCOVERY_REPLY, session_id, 1, DiscoveryReply())


def test_all_sessions_with_a_peer_share_one_question_and_its_answer() -> None:
    asking, turn = questions(), AppTurn(100.0)
    for session_id in range(500):
        asking.ask(BOB, session_id, turn)
    [request] = turn.effects
    assert isinstance(request, SessionMessage)
    assert (request.kind, request.destination, request.session_id) == (
        MessageType.DISCOVERY_REQUEST, BOB, 1000,
    )  # fmt: skip
    assert request.content == DiscoveryRequest()
    turn.at(101.0, 0.0)
    asking.answered(reply(BOB.with_id(3), 1000), turn)
    asking.answered(reply(BOB, 999), turn)
    assert turn.effects == []
    asking.answered(reply(BOB, 1000), turn)
    [alive] = turn.effects
    assert isinstance(alive, Alive)
    assert (alive.peer, len(alive.session_ids)) == (BOB, 500)
    # Who asks a little later is told at once.
    asking.ask(BOB, 7, turn.at(102.0, 0.0))
    assert turn.effects == [Alive(BOB, (7,))]
    asking.ask(BOB, 7, turn.at(106.0, 0.0))
    assert isinstance(turn.effects[0], SessionMessage)


def test_questions_are_forgotten() -> None:
    asking, turn = questions(), AppTurn(100.0)
    for number in range(100):
        asking.ask(BOB.with_id(number), number, turn)
    asking.ask(BOB, 1, turn.at(120.0, 0.0))
    assert len(asking._asked) == 1


# A process that is killed

PROGRAM = """
import asyncio, sys
from gateway import IdentityProvider, IdentityVerifier, Name, Slim

async def main(endpoint, secret, count):
    provider = IdentityProvider.SharedSecret("alice", secret)
    app = Slim(Name.parse("org/default/alice"), provider, IdentityVerifier.SharedSecret("alice", secret))
    await app.connect({"endpoint": endpoint, "tls": {"insecure": True}})
    await app.set_route(Name.parse("org/default/bob"))
    sessions = [await app.session(Name.parse("org/default/bob")) for _ in range(count)]
    print(len(sessions), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_sessions_of_a_process_that_is_killed_in_its_first_seconds_end() -> None:
    stage = AppStage("server")
    await stage.start()
    try:
        bob = await stage.app("bob", settings=AppSettings(ping_interval=0.5))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, f"http://{stage.endpoint}", SECRET, "20",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            async with asyncio.timeout(30.0):
                assert await process.stdout.readline() == b"20\n"
            sessions = [await bob.listen_for_session(10.0) for _ in range(20)]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        async with asyncio.timeout(30.0):
            for session in sessions:
                with pytest.raises(Exception, match="fell silent"):
                    await session.get_message(30.0)
            while (await bob.status())["application"]["sessions"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await stage.close()


# What everybody has is not kept


def test_the_sender_keeps_nothing_that_everybody_has() -> None:
    stage = Stage()
    alice, bob = make_pair(stage)
    for _ in range(10):
        alice.publish(*[bytes(100_000)] * 50)
        stage.transfer()
    assert len(bob.blobs) == 500
    assert alice.core is not None
    sender = alice.core._conversation.data.sender
    assert (len(sender._pending), len(sender._kept), sender._kept_bytes) == (0, 0, 0)
