"""A memory: keeps the last messages of a group and gives them to whoever joins later.

    callboard moderator examples/memory.py --channel org/demo/talk --name org/demo/memory \\
        --connect http://127.0.0.1:46357 --journal memory.journal --journal-key memory.key

Members are MEMORY_GUESTS, and whoever knocks with any message to the memory alone. With its journal it
remembers over a restart.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from actors.moderation.script import text
from gateway import Name, Script

GUESTS = tuple(filter(None, os.environ.get("MEMORY_GUESTS", "").split(",")))
KEPT = int(os.environ.get("MEMORY_KEPT", "20"))


class Line(NamedTuple):
    """Who said what."""

    who: str
    what: str


class Memory(Script):
    """Its state: the last lines, oldest first."""

    records = (Line,)

    def on_start(self) -> None:
        self.state = []
        for name in GUESTS:
            self.invite(name)

    def on_knock(self, message) -> None:
        self.invite(message.source.without_id())

    def on_member_joined(self, member: Name) -> None:
        for line in self.state:
            self.publish(f"earlier, {line.who}: {line.what}", to=member)

    def on_message(self, message) -> None:
        self.state = [*self.state, Line(message.source.strings[2], text(message))][-KEPT:]
