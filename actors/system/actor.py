"""The base class of our actors: a table of messages, and what the loop adds to Thespian.

    class Greeter(LoopActor):
        @handles(Hello, Goodbye)
        def _on_greeting(self, message: Hello | Goodbye, sender: ActorAddress) -> None:
            self.send(sender, Seen(message))

*Dispatch.* All our actors are written like that: a method per kind of message, marked with the classes that
it takes. Each class of actors has one table for all its instances (a table of its own would cost an actor
3 KiB), looked up by the exact class of the message: the twentieth kind costs what the first does, where a
`match` walks through them. What is in no table goes to `unhandled`.

*Beside Thespian's own methods* there are children made with arguments, named actors, timers that can be
cancelled, and two hooks of the actor's life. A plain `thespian.actors.Actor` runs in the loop too, and this
class runs on Thespian's other bases, where `after` works without cancelling, `spawn` says what to do instead,
and nobody calls the hooks: an actor for every base begins with its first message.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Protocol, TypeVar

from thespian.actors import Actor, ActorAddress

from actors.system.address import Address
from actors.system.errors import NotOnThisBase
from actors.system.supervision import Directive, Supervision
from actors.system.tasks import Done

Handler = Callable[[Any, Any, ActorAddress], object]
"""A method of an actor: the actor, the message, its sender."""
H = TypeVar("H", bound=Handler)


def handles(*kinds: type) -> Callable[[H], H]:
    """Mark a method of a LoopActor as the one that takes messages of exactly these classes."""

    def mark(method: H) -> H:
        method.handled_kinds = kinds  # type: ignore[attr-defined]
        return method

    return mark


def table_of(actor: Actor) -> Mapping[type, Handler] | None:
    """Which method of `actor` takes which messages; None if it has a `receiveMessage` of its own."""
    if isinstance(actor, LoopActor) and type(actor).receiveMessage is LoopActor.receiveMessage:
        return actor._handlers
    return None


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
    """An actor that takes messages by `handles`; beside Thespian's: `spawn`, `after`."""

    _handlers: ClassVar[dict[type, Handler]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        marked = [method for method in vars(cls).values() if hasattr(method, "handled_kinds")]
        cls._handlers = cls._handlers | {kind: method for method in marked for kind in method.handled_kinds}

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> Any:
        """Thespian's entry: give the message to the method that takes its class."""
        handler = self._handlers.get(type(msg))
        if handler is not None:
            return handler(self, msg, sender)
        return self.unhandled(msg, sender)

    def unhandled(self, message: Any, sender: ActorAddress) -> Any:
        """A message of a class that no method takes: a further base class may know it, or it is dropped."""
        following = super().receiveMessage
        if following.__func__ is not Actor.receiveMessage:
            return following(message, sender)
        return None

    def started(self) -> None:
        """Called once the actor has its address, before its first message; after a restart again.

        Whoever spawns it gets what this raises; after a restart that is one more failure.
        """

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """Called when `message` made this actor raise twice: tell whom it concerns, and say what comes next.

        The sender is told by the system: it gets the message back as a PoisonMessage. By default the actor is
        restarted if it is supervised, and else goes on. What this raises itself restarts the actor, or stops
        it where it is not supervised.
        """
        return Directive.RESTART

    def send(self, targetAddr: ActorAddress, msg: Any) -> None:
        """Thespian's `send`, less one check: the loop turns what is no address into a dead letter."""
        # An address of this loop that is bound takes the message itself, as `actor_send` would have it do.
        cell = getattr(targetAddr, "cell", None)
        if cell is not None:
            cell.deliver(msg, self._myRef.address)
        else:
            self._myRef.actor_send(targetAddr, msg)

    def share(self, target: ActorAddress, message: Any) -> None:
        """`send`, and let the target handle it within this turn if it has nothing else to do.

        For a child that every message of its parent's goes on to: a hop less. What it does about the message
        is done when this returns; what it sends takes its turns as ever.
        """
        share = getattr(getattr(target, "cell", None), "share", None)
        if share is not None:
            share(message, self._myRef.address)
        else:
            self.send(target, message)

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
        child: Address = spawn(factory, *args, name=name, mailbox=mailbox, supervision=supervision)
        return child

    def begin_task(self, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        """Run `coroutine` beside the actor; `done(result, error)` is called in the loop and sends, no more.

        Raises NotOnThisBase elsewhere, with the coroutine closed.
        """
        tasks = getattr(getattr(self._myRef, "system", None), "tasks", None)
        if tasks is None:
            coroutine.close()
            raise NotOnThisBase("a coroutine", "use a plain method: an actor of its own process may block")
        tasks(coroutine, done)

    def after(self, seconds: float, payload: Any = None) -> Cancellable:
        """Have a WakeupMessage with `payload` sent to this actor after `seconds`, unless it is cancelled.

        On Thespian's other bases a cancelled wake-up still comes: take a wake-up as the hint to look what is
        due.
        """
        wake_after = getattr(self._myRef, "wake_after", None)
        if wake_after is not None:
            timer: Cancellable = wake_after(seconds, payload)
            return timer
        self._myRef.wakeupAfter(timedelta(seconds=seconds), payload)
        return _Uncancelled()
