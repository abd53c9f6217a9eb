"""The base class for actors that use what the loop adds to Thespian.

A plain `thespian.actors.Actor` runs in the loop too. This class adds children made with arguments, named
actors and timers that can be cancelled, and it still runs on Thespian's other bases, where `after` works
without cancelling and the other two say what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from thespian.actors import Actor, ActorAddress

from actors.system.address import Address
from actors.system.errors import NotOnThisBase
from actors.system.supervision import Supervision


class Cancellable(Protocol):
    """A timer that may be called off."""

    def cancel(self) -> None:
        """Call it off. Idempotent."""


class _Uncancelled:
    """The timer of a system base that cannot cancel."""

    __slots__ = ()

    def cancel(self) -> None:
        """Nothing: the wake-up comes all the same."""


class LoopActor(Actor):  # type: ignore[misc]
    """An actor with `spawn`, `lookup` and `after` beside Thespian's own methods."""

    def send(self, targetAddr: ActorAddress, msg: Any) -> None:
        """Thespian's `send`, less one check: the loop turns what is no address into a dead letter."""
        # An address of this loop that is bound takes the message itself, as `actor_send` would have it do.
        cell = getattr(targetAddr, "cell", None)
        if cell is not None:
            cell.deliver(msg, self._myRef.address)
        else:
            self._myRef.actor_send(targetAddr, msg)

    def spawn(
        self,
        factory: Callable[..., Actor],
        *args: Any,
        name: str | None = None,
        mailbox: int | None = None,
        supervision: Supervision | None = None,
    ) -> Address:
        """Create a child by `factory(*args)`; see `LoopSystem.spawn`. Raises NotOnThisBase elsewhere."""
        spawn = getattr(self._myRef, "spawn", None)
        if spawn is None:
            raise NotOnThisBase("spawn", "use createActor and send what the child needs in its first message")
        return spawn(factory, *args, name=name, mailbox=mailbox, supervision=supervision)  # type: ignore[no-any-return]

    def lookup(self, name: str) -> Address | None:
        """The address of the actor with that name, if there is one. Raises NotOnThisBase elsewhere."""
        system = getattr(self._myRef, "system", None)
        if system is None:
            raise NotOnThisBase("lookup", "use createActor with a globalName")
        return system.lookup(name)  # type: ignore[no-any-return]

    def after(self, seconds: float, payload: Any = None) -> Cancellable:
        """Have a WakeupMessage with `payload` sent to this actor after `seconds`, unless it is cancelled.

        On Thespian's other bases a cancelled wake-up still comes: take a wake-up as the hint to look what is
        due.
        """
        return self._myRef.wakeupAfter(timedelta(seconds=seconds), payload) or _Uncancelled()
