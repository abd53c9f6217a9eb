"""A stand-up: invites the team, collects what each has to say, sends the notes round, and closes.

    callboard moderator examples/stand_up.py --channel org/demo/stand-up --name org/demo/chair \\
        --connect http://127.0.0.1:46357

Who does not come, or says nothing within PATIENCE seconds, is noted as absent. With --journal FILE and
--journal-key FILE the meeting survives the end of this process.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from actors.moderation.script import text
from gateway import Name, Script, SlimError

TEAM = tuple(os.environ.get("STAND_UP_TEAM", "org/demo/ann,org/demo/ben").split(","))
PATIENCE = float(os.environ.get("STAND_UP_PATIENCE", "60"))


class Notes(NamedTuple):
    """What was said so far, by name; None of those who are absent."""

    said: dict[str, str | None]


class StandUp(Script):
    """One meeting."""

    records = (Notes,)

    def on_start(self) -> None:
        self.state = Notes({})
        for name in TEAM:
            self.invite(name)
        self.schedule(PATIENCE, "patience")

    def on_member_joined(self, member: Name) -> None:
        self.publish("good morning: what did you do, and what is next?", to=member)

    def on_message(self, message) -> None:
        self._note(message.source, text(message))

    def on_member_left(self, member: Name, reason: str) -> None:
        self._note(member, None)

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self._note(name, None)

    def on_timer(self, name: str) -> None:
        for member in TEAM:
            self._note(Name.parse(member), None)

    def _note(self, name: Name, said: str | None) -> None:
        """The first word of each counts; with the last the notes go round."""
        who = "/".join(name.strings)
        if who not in TEAM or who in self.state.said:
            return
        self.state.said[who] = said
        if len(self.state.said) == len(TEAM):
            lines = [f"{who}: {said or '(absent)'}" for who, said in sorted(self.state.said.items())]
            self.publish("\n".join(lines))
            self.close()
