"""A script in a unit test: on Thespian's own base, with the test as its stage."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from thespian.actors import ActorSystem

from actors.messages.moderation import Curtain, Decided, InviteFailed, LeadGroup, Schedule, TimerDue
from actors.messages.session import (
    CloseSession,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Outgoing,
    RemoveMember,
    SessionEnded,
)
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.moderation import Script
from actors.moderation.script import text
from actors.names import Name
from identity.errors import SlimError

CHANNEL = Name.parse("org/test/channel")
GATE, ANN = (Name.parse(f"org/test/{name}").with_id(7) for name in ("gate", "ann"))


class Count(NamedTuple):
    words: int
    last: Name | None


class Talker(Script):
    records = (Count,)

    def on_start(self) -> None:
        self.state = Count(0, None)
        self.invite("org/test/ann")
        self.schedule(30.0, "tea")

    def on_member_joined(self, member: Name) -> None:
        self.publish(f"hello {member.strings[2]}, you are {self.claims['role']}", to=member)

    def on_member_left(self, member: Name, reason: str) -> None:
        self.publish(f"{member.strings[2]} {reason}")

    def on_message(self, message: SessionMessage) -> None:
        self.state = Count(self.state.words + len(text(message).split()), message.source)
        self.publish("heard")
        if text(message) == "fail":
            raise ValueError("a secret text")
        if text(message) == "out":
            self.remove(message.source)

    def on_epoch(self, epoch: int, fingerprint: str) -> None:
        self.publish(f"{epoch} {fingerprint}")

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self.publish(f"{name}: {error}")

    def on_timer(self, name: str) -> None:
        self.publish(f"{name} after {self.state.words} words")
        self.close(2.0)

    def on_close(self, cause: SlimError | None) -> None:
        self.state = None


class Later(Script):
    async def on_start(self) -> None:
        self.publish("never here")


class Rehearsal:
    """One script on simpleSystemBase."""

    def __init__(self, script: type[Script], *, state: bytes | None = None) -> None:
        self._system = ActorSystem("simpleSystemBase", transientUnique=True)
        self._script = self._system.createActor(script)
        self._system.tell(self._script, LeadGroup(CHANNEL, GATE, (), state))

    def cue(self, event: Any) -> Decided:
        decided = self._system.ask(self._script, event, 1.0)
        assert isinstance(decided, Decided)
        return decided


def said(what: str) -> SessionMessage:
    return SessionMessage(
        ANN, CHANNEL, SessionKind.MULTICAST, MessageType.MSG, 1, 1, Payload("", what.encode())
    )


@pytest.fixture
def talker() -> Rehearsal:
    rehearsal = Rehearsal(Talker)
    assert rehearsal.cue(Curtain()).wishes == (
        Invite(0, Name.parse("org/test/ann")),
        Schedule("tea", 30.0),
    )
    return rehearsal


def test_hooks_are_called_and_verbs_become_wishes(talker: Rehearsal) -> None:
    joined = talker.cue(MemberJoined(1, ANN, (GATE, ANN), claims={"role": "guest"}))
    assert joined.wishes == (Outgoing(b"hello ann, you are guest", to=ANN),)
    assert talker.cue(said("out")).wishes == (Outgoing(b"heard"), RemoveMember(0, ANN))
    assert talker.cue(MemberLeft(1, ANN, (GATE,), "removed")).wishes == (Outgoing(b"ann removed"),)
    assert talker.cue(EpochChanged(1, 4, (GATE,), "", "12345")).wishes == (Outgoing(b"4 12345"),)
    failed = talker.cue(InviteFailed(ANN.without_id(), SlimError("nobody there")))
    assert failed.wishes == (Outgoing(f"{ANN.without_id()}: nobody there".encode()),)
    assert talker.cue(TimerDue("tea")).wishes == (Outgoing(b"tea after 1 words"), CloseSession(None, 2.0))
    assert talker.cue(SessionEnded(1)).wishes == ()


def test_a_hook_that_fails_wants_nothing_and_changes_nothing(talker: Rehearsal) -> None:
    talker.cue(said("one two"))
    failed = talker.cue(said("fail"))
    assert failed == Decided(failed="on_message raised ValueError")
    assert talker.cue(TimerDue("tea")).wishes[0] == Outgoing(b"tea after 2 words")


def test_state_goes_to_the_stage_when_it_changed_and_comes_back_from_it(talker: Rehearsal) -> None:
    state = talker.cue(said("one two three")).state
    assert state is not None
    assert talker.cue(EpochChanged(1, 4, (GATE,), "", "12345")).state is None
    assert Rehearsal(Talker, state=state).cue(TimerDue("tea")).wishes[0] == Outgoing(b"tea after 3 words")


def test_a_coroutine_says_where_it_would_run() -> None:
    failed = Rehearsal(Later).cue(Curtain()).failed
    assert failed.startswith(
        "on_start raised NotOnThisBase: a coroutine is not available on this system base"
    )


def test_a_state_of_foreign_objects_is_refused() -> None:
    class Keeps(Script):
        def on_start(self) -> None:
            self.state = {"what": object()}

    assert "builtins.object" in Rehearsal(Keeps).cue(Curtain()).failed
