"""The controller's actor: the shell around its core (`controller.py`).

    a node's stream ── NamesTold, Configured, OrderDone ──► ControllerActor ── Configure, Order ──► its inbox
    a program's call ── Asked ──► ControllerActor ── Result | Refusal ──► the caller

What a turn has to store is stored before anything of the turn leaves. While the store takes nothing (a full
disk), no change is confirmed and no node is ordered anything: what is to be stored is held, each entry once,
and goes with the next turn, or RETRY seconds later. Questions that change nothing are answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage

from actors.alarm import Alarm
from actors.controller.controller import Controller
from actors.controller.turn import ControllerTurn, Respond, Save, Told, ToNode
from actors.messages.controller import (
    Asked,
    ListChannels,
    ListNodes,
    ListParticipants,
    ListRoutes,
    Refusal,
)
from actors.system import Cancellable, LoopActor, handles
from identity.log import logger

RESOLUTION = 1 << 20
"""Steps of the random number that a turn has."""
RETRY = 5.0
"""Seconds until what could not be stored is tried again, where nothing else happens."""
_READS = (ListChannels, ListNodes, ListParticipants, ListRoutes)


class ControllerStore(Protocol):
    """Where the controller's state survives: entries by kind and key."""

    def load(self) -> Iterable[Save]:
        """All entries. Raises OSError."""

    def save(self, entries: Sequence[Save]) -> None:
        """Keep or forget entries, all of them or none. Raises OSError."""


class ControllerActor(LoopActor):
    """One controller. `clock` gives seconds that only grow, `draw` a random number below a bound."""

    def __init__(
        self, core: Controller, store: ControllerStore, clock: Callable[[], float], draw: Callable[[int], int]
    ) -> None:
        self._core = core
        self._store = store
        self._clock = clock
        self._draw = draw
        self._tickets: dict[int, tuple[ActorAddress, bool]] = {}
        """Who asks, and whether that changes something."""
        self._unsaved: dict[tuple[str, tuple[Any, ...]], Save] = {}
        self._alarm = Alarm()
        self._numbers = itertools.count(1)
        self._timer: Cancellable | None = None
        self._timer_at = 0.0

    @handles(Asked)
    def _on_asked(self, message: Asked, sender: ActorAddress) -> None:
        turn, ticket = self._begin_turn(), next(self._numbers)
        self._tickets[ticket] = sender, not isinstance(message.question, _READS)
        self._core.ask(message.question, ticket, message.deadline, turn)
        self._end_turn(turn)

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = None
        turn = self._begin_turn()
        self._core.expire(turn)
        self._end_turn(turn)

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        """All that must outlive us is stored, or is now if that is possible."""
        self._store_changes(())

    def unhandled(self, message: Any, sender: ActorAddress) -> None:
        """All other events are the core's."""
        turn = self._begin_turn()
        self._core.handle(message, turn)
        self._end_turn(turn)

    def _begin_turn(self) -> ControllerTurn:
        return ControllerTurn(self._clock(), self._draw(RESOLUTION) / RESOLUTION)

    def _end_turn(self, turn: ControllerTurn) -> None:
        self._perform(turn)
        self._arm(turn.now)

    def _perform(self, turn: ControllerTurn) -> None:
        why = self._store_changes(effect for effect in turn.effects if isinstance(effect, Save))
        for effect in turn.effects:
            match effect:
                case ToNode() if not why:
                    inbox = effect.inbox if effect.inbox is not None else self._core.inbox(effect.node)
                    if inbox is not None:
                        self.send(inbox, effect.record)
                case Respond():
                    asker, changes = self._tickets.pop(effect.ticket, (None, False))  # type: ignore[call-overload]
                    if asker is not None:
                        self.send(asker, Refusal("UNAVAILABLE", why) if why and changes else effect.reply)
                case Told():
                    logger.info("{}", effect.text)

    def _store_changes(self, changes: Iterable[Save]) -> str:
        """Store these, and what could not be stored before. Returns why not, if it was not."""
        self._unsaved.update(((entry.kind, entry.key), entry) for entry in changes)
        if not self._unsaved:
            return ""
        try:
            self._store.save(list(self._unsaved.values()))
        except OSError as error:
            level = "ERROR" if self._alarm.is_due(self._clock()) else "DEBUG"
            logger.log(level, "changes are not stored", count=len(self._unsaved), cause=str(error))
            return str(error)
        self._unsaved.clear()
        return ""

    def _arm(self, now: float) -> None:
        deadline = self._core.next_deadline()
        if self._unsaved:
            deadline = now + RETRY if deadline is None else min(deadline, now + RETRY)
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.after(max(0.0, deadline - now))
