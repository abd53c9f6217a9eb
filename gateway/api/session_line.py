"""How a session speaks to its actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress

if TYPE_CHECKING:
    from actors.system import LoopSystem


class SessionLine:
    """To `actor`, which answers at `inbox`."""

    __slots__ = ("_actor", "_inbox", "_system")

    def __init__(self, system: LoopSystem, actor: ActorAddress, inbox: ActorAddress) -> None:
        self._system, self._actor, self._inbox = system, actor, inbox

    def tell(self, message: Any) -> None:
        """Send it."""
        self._system.tell(self._actor, message, self._inbox)

    def tell_now(self, message: Any) -> bool:
        """Send it and let the actor have its turn at once. Returns whether there is such an actor."""
        return self._system.tell_now(self._actor, message, self._inbox)

    def before_turn(self, call: Callable[[], None]) -> None:
        """Have `call` called before the next turn of the actors."""
        self._system.before_turn(call)
