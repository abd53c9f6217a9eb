"""A gatekeeper: admits who shows a claim, and removes who is silent.

    callboard moderator examples/gatekeeper.py --channel org/demo/club --name org/demo/gate \\
        --connect http://127.0.0.1:46357 --jwt-key ...

To come in one knocks: any message to the gatekeeper alone, in a point-to-point session. The token that comes
with it was verified, and must carry GATE_CLAIM (`group=staff`, say, or `pubkey` alone: whatever its value).
Who then says nothing in the group for GATE_PATIENCE seconds is removed, and may knock again.
"""

from __future__ import annotations

import os

from gateway import Name, Script

CLAIM, _, WANTED = os.environ.get("GATE_CLAIM", "group=staff").partition("=")
PATIENCE = float(os.environ.get("GATE_PATIENCE", "120"))


class Gatekeeper(Script):
    """Its state: how often each member has spoken since it was last looked at."""

    def on_start(self) -> None:
        self.state = {}

    def on_knock(self, message) -> None:
        claims = {**self.claims, **(self.claims.get("custom_claims") or {})}
        shown = claims.get(CLAIM)
        if shown is not None and (not WANTED or WANTED in (shown if isinstance(shown, list) else [shown])):
            self.invite(message.source.without_id())

    def on_member_joined(self, member: Name) -> None:
        self.publish(f"welcome, {member.strings[2]}")
        self._look_again(member)

    def on_message(self, message) -> None:
        self.state[str(message.source)] = True

    def on_timer(self, name: str) -> None:
        for member in self.members:
            if str(member) == name:
                if self.state.get(name):
                    self._look_again(member)
                else:
                    self.remove(member)

    def on_member_left(self, member: Name, reason: str) -> None:
        self.state.pop(str(member), None)
        self.publish(f"{member.strings[2]} is out: {reason}")

    def _look_again(self, member: Name) -> None:
        self.state[str(member)] = False
        self.schedule(PATIENCE, str(member))
