"""The parent of a script in a system of processes: has it made, and made again when it dies."""

from __future__ import annotations

import sys
from typing import Any

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, WakeupMessage

from actors.messages.moderation import Decided, EngageScript, PlayerGone, PlayerThere
from actors.system import LoopActor, handles
from gateway.moderation.loading import load_script

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds before a script that died is made again: doubled each time it dies without deciding anything."""


class ScriptWarden(LoopActor):
    """One script. Whoever engages it hears from it; it takes what others send for the script."""

    def __init__(self) -> None:
        super().__init__()
        self._engaged_by: ActorAddress | None = None
        self._target = ""
        self._script: ActorAddress | None = None
        self._pause = FIRST_PAUSE

    @handles(EngageScript)
    def _on_engage(self, message: EngageScript, sender: ActorAddress) -> None:
        self._engaged_by, self._target = sender, message.target
        sys.path.extend(entry for entry in message.path if entry not in sys.path)
        self._make()

    @handles(Decided)
    def _on_decided(self, message: Decided, _: ActorAddress) -> None:
        self._pause = FIRST_PAUSE
        self.send(self._engaged_by, message)

    @handles(ChildActorExited)
    def _on_exited(self, message: ChildActorExited, _: ActorAddress) -> None:
        if message.childAddress == self._script:
            self._script = None
            self.send(self._engaged_by, PlayerGone())
            self.after(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        if self._script is None:
            self._make()

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        """The script goes with us."""

    def unhandled(self, message: Any, sender: ActorAddress) -> None:
        if sender != self._script and self._script is not None:
            self.send(self._script, message)

    def _make(self) -> None:
        self._script = self.createActor(load_script(self._target))
        self.send(self._engaged_by, PlayerThere())
