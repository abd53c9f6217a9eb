"""The Session actor of a group that a journal is kept of, and how an App comes to make one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.messages.moderation import LeaveStage
from actors.messages.session import Taken
from actors.moderation.journal import Journal
from actors.moderation.keeper import JournalKeeper
from actors.record import record
from actors.session.actor import SessionActor
from actors.session.effects import Effect
from actors.session.failed import FailedSession
from actors.session.keeping import KeepableSession
from actors.system import handles


@record
class JournaledGroup(NamedTuple):
    """That this application leads the group of a channel, and keeps a journal of it."""

    journal: Journal
    identity: str
    """The id of the application's identity."""
    wall: Callable[[], float]
    """Unix seconds."""
    connection: Callable[[], int | None]
    """Which leads to the members now."""

    def shell(self, core: KeepableSession) -> Callable[..., SessionActor]:
        """What makes the actor around `core`, called as SessionActor is."""
        keeper = JournalKeeper(core, self.journal, self.identity, self.wall)
        return partial(JournaledSession, keeper)


class JournaledSession(SessionActor):
    """A SessionActor that notes before it acts.

    Once its group was left to a successor it does neither: what becomes of it here, of messages whose
    connection goes, say, is nothing that the successor may read.
    """

    def __init__(self, keeper: JournalKeeper, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._keeper = keeper
        self._left = False

    @handles(LeaveStage)
    def _on_leave(self, _: LeaveStage, __: ActorAddress) -> None:
        self._left = True

    def _perform(self, effects: list[Effect]) -> None:
        if self._left:
            effects.clear()
            return
        if not isinstance(self._core, FailedSession):
            effects = self._keeper.before(effects)
        super()._perform(effects)

    @handles(Taken)
    def _on_taken(self, message: Taken, sender: ActorAddress) -> None:
        self._on_event(message, sender)
        if not self._left:
            self._send_out(self._keeper.released())
