"""The script of the kill tests, and where its process kills itself (`callboard moderator` runs this file).

The group of ann, ben and carl: ben is taken out and let in again, once or over and over. CALLBOARD_TEST_KILL
is `STEP MOMENT`, say `Welcoming noted`: the process ends when a task has come to that step, "before" that is
noted, when it is "noted" and nothing has left, or when it is "sent".
"""

from __future__ import annotations

import os
import signal
from typing import Any

from actors.messages.wire import SessionMessage
from actors.moderation.keeper import JournalKeeper
from actors.moderation.leading import JournaledSession
from actors.moderation.script import text
from actors.session.actor import SessionActor
from gateway import Name, Script, SlimError

MEMBERS = ("org/test/ann", "org/test/ben", "org/test/carl")
OVER_AND_OVER = "CALLBOARD_TEST_FOREVER" in os.environ


class Led(Script):
    def on_start(self) -> None:
        self.state = {"phase": "gathering", "ticks": 0, "rounds": 0}
        for name in MEMBERS:
            self.invite(name)
        self.schedule(0.2, "tick")

    def on_member_joined(self, member: Name) -> None:
        if len(self.members) < len(MEMBERS):
            return
        if self.state["phase"] == "gathering":
            self.state["phase"] = "taking out"
            self.remove(MEMBERS[1])
        else:
            self.state["phase"] = "complete"
            self.state["rounds"] += 1
            self.publish("complete")
            if OVER_AND_OVER:
                self.schedule(0.3, "again")

    def on_member_left(self, member: Name, reason: str) -> None:
        self.publish(f"gone: {member.strings[2]} {reason}")
        self.state["phase"] = "letting in"
        self.invite(member.without_id())

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self.publish(f"failed: {name.strings[2]}")
        self.invite(name)

    def on_lost(self, members: tuple[Name, ...]) -> None:
        self.state["phase"] = "letting in"
        super().on_lost(members)

    def on_timer(self, name: str) -> None:
        if name == "again":
            self.remove(MEMBERS[1])
            return
        self.state["ticks"] += 1
        self.publish(f"tick {self.state['ticks']}")
        self.schedule(0.2, "tick")

    def on_message(self, message: SessionMessage) -> None:
        said = text(message)
        if said == "end":
            self.close()
        elif said.startswith("say "):
            self.publish(f"heard {message.source.strings[2]} {said[4:]}")


def kill_at(step: str, moment: str) -> None:
    last, dying = "", False

    def perform(self: JournaledSession, effects: list[Any]) -> None:
        nonlocal last, dying
        if dying:
            # The answers may be faster than the signal: the process does not live to see them.
            return
        core: Any = self._core
        task = core.kept().task if hasattr(core, "kept") else None
        now = "" if task is None else type(task.at).__name__
        arrives, last = now != last and now == step, now
        if arrives and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        keeper: JournalKeeper = self._keeper
        left = keeper.before(effects)
        if arrives and moment == "noted":
            os.kill(os.getpid(), signal.SIGKILL)
        SessionActor._perform(self, left)
        if arrives and moment == "sent":
            dying = True
            # What is written to a socket goes out at the end of the turn.
            self.after(0.005)
            loop = self._myRef.system.loop
            loop.call_later(0.005, os.kill, os.getpid(), signal.SIGKILL)

    JournaledSession._perform = perform  # type: ignore[method-assign]


if where := os.environ.get("CALLBOARD_TEST_KILL"):
    kill_at(*where.split())
