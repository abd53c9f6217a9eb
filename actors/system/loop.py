"""Thousands of actors inside one asyncio loop.

    tell ──► mailbox ──► ready queue ──► one call_soon ──► turn: each ready actor up to 64 messages,
                                                           all together up to 1024, then the loop's own work

A turn ends after 1024 messages even when more are ready, so that sockets and timers are never starved; one
`call_soon` is armed for the next. Sending costs an append and no task, future or copy.

Everything here belongs to the loop's thread, except `tell_threadsafe`.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    InvalidActorSourceHash,
    NoCompatibleSystemForActor,
)
from thespian.system.utilis import actualActorClass

from actors.system.address import Address, Target
from actors.system.cell import Cell, RestartSpec
from actors.system.endpoints import Callee, Inbox, Nobody, Reply, StrictCell, StrictInbox, StrictReply
from actors.system.errors import ActorGone, AskFailed, NotInVocabulary, SystemStopped
from actors.system.host import Runnable
from actors.system.status import ActorStatus, SystemStatus
from actors.system.supervision import Restarts, Supervision
from actors.system.tasks import Tasks
from actors.system.vocabulary import MessageCodec
from actors.telemetry import Registry
from identity.log import logger

ACTOR_BUDGET = 64
"""Messages that one actor handles before the next has its turn."""
LOOP_BUDGET = 1024
"""Messages that all actors handle before the loop does its own work (sockets, timers)."""
SLOW = 0.001
"""Seconds of a turn from which on it is told to who times turns."""
MAILBOX = 65_536
"""Messages that a mailbox holds unless the actor was spawned with another number."""

DeadLetterHook = Callable[[ActorAddress, Any, ActorAddress], object]
"""Called with the dead address, the message and its sender."""


class LoopSystem:
    """An actor system in one asyncio loop: spawn actors, tell them things, ask them, shut down.

    `vocabulary` turns strict mode on: every message is packed and unpacked on its way (Thespian's own system
    messages excepted), and one that is not declared raises NotInVocabulary where it was sent.
    `on_dead_letter` is called for each message that reached nobody; `mailbox` is the bound of mailboxes
    spawned without one.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        vocabulary: MessageCodec | None = None,
        mailbox: int = MAILBOX,
        on_dead_letter: DeadLetterHook | None = None,
        capabilities: dict[str, Any] | None = None,
    ) -> None:
        self.loop = loop if loop is not None else asyncio.get_running_loop()
        self.capabilities: dict[str, Any] = capabilities if capabilities is not None else {}
        self.dead_letters = self.refused = self.failures = self.restarts = 0
        self.next_number = itertools.count(1).__next__
        """Numbers by which those around the actors name their operations: each is given out once."""
        self.telemetry = Registry()
        """What is counted in this loop, by its actors and around them."""
        self._register()
        self._mailbox = mailbox
        self._vocabulary = vocabulary
        self._on_dead_letter = on_dead_letter
        strict = vocabulary is not None
        self._new_cell = StrictCell if strict else Cell
        self._new_inbox = StrictInbox if strict else Inbox
        self._new_reply = StrictReply if strict else Reply
        self._actors: dict[int, Cell] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._asks: dict[int, Reply] = {}
        self._names: dict[str, Cell] = {}
        self._dead_letter_handlers: dict[Cell, None] = {}
        self.ready: deque[Runnable] = deque()
        self.armed = False
        self.tasks = Tasks(self.loop)
        """What actors run beside themselves (`LoopActor.begin_task`)."""
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._before: list[Callable[[], object]] = []
        self._stopping = False
        self._ended = False
        self._gone: asyncio.Future[None] | None = None
        self._outside = Nobody(self)
        self.address: ActorAddress = self._outside.address
        """The sender of what is told without one. Nobody reads there: an answer is a dead letter."""

    def __repr__(self) -> str:
        state = "ended" if self._ended else "stopping" if self._stopping else "running"
        return f"<LoopSystem {state}, {len(self._actors)} actors, {len(self.ready)} ready>"

    # Creating actors and inboxes.

    def spawn(
        self,
        factory: Callable[..., Actor],
        *args: Any,
        name: str | None = None,
        mailbox: int | None = None,
        supervision: Supervision | None = None,
    ) -> Address:
        """Create an actor without a parent: `factory(*args)` makes it, here and now.

        The arguments may be anything (a link, a clock): they are not messages. With a `name`, an actor that
        already has it is returned instead, whatever the other arguments say. `mailbox` bounds its mailbox.
        With `supervision` the actor is made anew by the same call after it failed twice on a message; the
        back-off passes first, mailbox and address stay, its children and timers end.

        Raises SystemStopped, and whatever the factory and the actor's `started` raise.
        """
        return self.create(factory, args, parent=None, name=name, mailbox=mailbox, supervision=supervision)

    def create(
        self,
        factory: Callable[..., Actor],
        args: tuple[Any, ...],
        *,
        parent: Cell | None,
        name: str | None = None,
        mailbox: int | None = None,
        supervision: Supervision | None = None,
    ) -> Address:
        """`spawn` with a parent; `LoopActor.spawn` is the public form."""
        if name is not None and name in self._names:
            return self._names[name].address
        if self._stopping:
            raise SystemStopped
        actor = factory(*args)
        cell = self._new_cell(self, self._mailbox if mailbox is None else mailbox, parent)
        cell.adopt(actor)
        if supervision is not None:
            cell.plan = RestartSpec(factory, args, Restarts(supervision))
        self._actors[cell.address.number] = cell
        if name is not None:
            cell.globalName = name
            self._names[name] = cell
        if parent is not None:
            parent.add_child(cell)
        try:
            cell.begin()
        except BaseException:
            cell.disown()
            cell.end()
            raise
        return cell.address

    def create_primary(
        self, actor_class: type[Actor] | str, requirements: Any, name: str | None, source_hash: str | None
    ) -> Address:
        """Thespian's `ActorSystem.createActor`: a class without arguments. Raises what the class raises."""
        if name and name in self._names:
            return self._names[name].address
        actor = self._instance_factory(actor_class, requirements, source_hash)
        return self.create(actor, (), parent=None, name=name or None)

    def create_child(
        self,
        parent: Cell,
        actor_class: type[Actor] | str,
        requirements: Any,
        name: str | None,
        source_hash: str | None,
    ) -> Address:
        """Thespian's `Actor.createActor`: a class that cannot be made is reported as ChildActorExited."""
        if name and name in self._names:
            return self._names[name].address
        try:
            actor = self._instance_factory(actor_class, requirements, source_hash)
            return self.create(actor, (), parent=parent, name=name or None)
        except SystemStopped:
            raise
        except Exception as error:
            # The exception's text may quote anything; its type is enough to find the constructor at fault.
            kind = getattr(actor_class, "__name__", actor_class)
            parent.log("WARNING", "child not made", child=kind, cause=type(error).__name__)
            stillborn = Nobody(self)
            parent.deliver(ChildActorExited(stillborn.address), stillborn.address)
            return stillborn.address

    def _instance_factory(
        self, actor_class: type[Actor] | str, requirements: Any, source_hash: str | None
    ) -> Callable[[], Actor]:
        if source_hash:
            raise InvalidActorSourceHash(source_hash)
        cls: type[Actor] = (
            actualActorClass(actor_class, None) if isinstance(actor_class, str) else actor_class
        )
        check = getattr(cls, "actorSystemCapabilityCheck", None)
        if check is not None and not check(self.capabilities, requirements or {}):
            raise NoCompatibleSystemForActor(cls, "this system lacks a capability")
        wanted = _init_arguments(cls)  # type: ignore[arg-type]  # classes are hashable
        if not wanted:
            return cls
        known = {"capabilities": self.capabilities, "requirements": requirements}
        return lambda: cls(**{name: known[name] for name in wanted})

    def inbox(self, callback: Callable[[Any, ActorAddress], object]) -> Address:
        """An address whose messages are given to `callback(message, sender)` in the system's turn.

        The callable must not block. What it raises is logged and counted. Raises SystemStopped.
        """
        if self._stopping:
            raise SystemStopped
        inbox = self._new_inbox(self, self._mailbox)
        inbox.actor = Callee(callback)
        self._inboxes[inbox.address.number] = inbox
        return inbox.address

    def redirect_inbox(self, address: Address, callback: Callable[[Any, ActorAddress], object]) -> None:
        """What is handled from now on is given to another callable. A closed inbox stays so."""
        inbox = self._inboxes.get(address.number)
        if inbox is not None and isinstance(inbox.actor, Callee):
            inbox.actor.receiveMessage = callback

    def close_inbox(self, address: Address) -> None:
        """Close an inbox: what waits in it and what comes later are dead letters. Idempotent."""
        inbox = self._inboxes.get(address.number)
        if inbox is not None:
            inbox.end()

    # Sending.

    def tell(self, target: ActorAddress, message: Any, sender: ActorAddress | None = None) -> bool:
        """Put a message into an actor's mailbox. Loop thread only; never blocks.

        Returns False when it was not taken: the mailbox is full, or there is no such actor (a dead letter).
        Raises NotInVocabulary in strict mode.
        """
        try:
            cell = target.cell or self.resolve(target)
        except AttributeError:
            cell = self.resolve(target)
        return cell.deliver(message, sender or self.address)

    def refuse_all(self, refuse: Callable[..., Any]) -> None:
        """From now on nothing runs here, and each call is answered by `refuse`, which raises."""
        self._stopping = True
        self._turn = self.tell = self.tell_now = self.ask = self.inbox = refuse  # type: ignore[method-assign]

    def tell_threadsafe(self, target: ActorAddress, message: Any, sender: ActorAddress | None = None) -> None:
        """`tell` from any thread. Raises RuntimeError when the loop is closed."""
        self.loop.call_soon_threadsafe(self.tell, target, message, sender)

    async def ask(self, target: ActorAddress, message: Any, timeout: float) -> Any:
        """Send a message and wait for the first one sent back, for at most `timeout` seconds.

        Raises AskTimeout, ActorGone (no such actor, or it exited before its turn), ActorFailed (it raised
        twice on the message), MailboxFull, SystemStopped; and NotInVocabulary in strict mode.
        """
        if self._stopping:
            raise SystemStopped
        reply = self._new_reply(self, target, message)
        self._asks[reply.address.number] = reply
        timer = self.loop.call_later(timeout, reply.expire, timeout)
        try:
            self.tell(target, message, reply.address)
            return await reply.future
        finally:
            timer.cancel()
            reply.future.cancel()
            del self._asks[reply.address.number]

    def resolve(self, target: ActorAddress) -> Target:
        """What stands behind an address that is not bound yet (it came out of a packed message)."""
        if not isinstance(target, Address):
            return Nobody(self, target)
        number = target.number
        cell = (
            self._actors.get(number)
            or self._inboxes.get(number)
            or self._asks.get(number)
            or Nobody(self, target)
        )
        target.cell = cell
        return cell

    def cell_of(self, address: ActorAddress) -> Target:
        """What stands behind an address, bound or not."""
        return getattr(address, "cell", None) or self.resolve(address)

    def fail_ask(self, sender: ActorAddress, error: AskFailed) -> None:
        """If `sender` is a waiting `ask`, give it `error` at once instead of a timeout later."""
        reply = getattr(sender, "cell", None)
        if isinstance(reply, Reply):
            reply.fail(error)

    def through_vocabulary(self, message: Any) -> Any:
        """The message as it comes out of a pack and an unpack. Raises NotInVocabulary."""
        assert self._vocabulary is not None
        try:
            return self._vocabulary.unpack(self._vocabulary.pack(message))
        except Exception as error:
            raise NotInVocabulary(f"{type(message).__module__}.{type(message).__qualname__}") from error

    # The turn.

    def arm(self) -> None:
        """See to it that a turn comes, for the cells in `ready`."""
        self.armed = True
        self.loop.call_soon(self._turn)

    def before_turn(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when the next turn begins: to tell in one message what came together."""
        self._before.append(callback)
        if not self.armed:
            self.arm()

    def tell_now(self, target: ActorAddress, message: Any, sender: ActorAddress | None = None) -> bool:
        """`tell`, and take the turn at once: for what has just been read from a socket, or is sent alone.

        It saves a round of the event loop. Inside a turn, or with one on its way, it is a plain `tell`.
        """
        if self.armed:
            return self.tell(target, message, sender)
        self.armed = True
        taken = self.tell(target, message, sender)
        self._turn()
        return taken

    def _turn(self) -> None:
        try:
            if self._before:
                before, self._before = self._before, []
                for callback in before:
                    callback()
            self._run_ready()
        finally:
            # Also when an actor threw a KeyboardInterrupt: the others must still get their turn.
            if self.ready:
                self.loop.call_soon(self._turn)
            else:
                self.armed = False
                if self._idle_waiters:
                    self._wake_idle_waiters()

    def _run_ready(self) -> None:
        """The turns of those who are ready, as many as the loop's has room for."""
        ready, left = self.ready, LOOP_BUDGET
        while ready and left > 0:
            left -= ready.popleft().run(ACTOR_BUDGET if left > ACTOR_BUDGET else left)

    def time_turns(
        self, clock: Callable[[], float] | None, note: Callable[[float, float], object] = lambda *_: None
    ) -> None:
        """From now on tell `note(seconds, now)` of each turn of the loop that took SLOW seconds or more, and
        keep the slowest turn of each actor; None: no more. It costs one look at the clock for each of these.
        """
        if clock is None:
            if not self._stopping:
                self.__dict__.pop("_run_ready", None)
            return
        ready, read = self.ready, clock

        def timed() -> None:
            left, began = LOOP_BUDGET, read()
            at = began
            while ready and left > 0:
                one = ready.popleft()
                left -= one.run(ACTOR_BUDGET if left > ACTOR_BUDGET else left)
                now = read()
                if now - at > one.slowest:
                    one.slowest = now - at
                at = now
            if at - began >= SLOW:
                note(at - began, at)

        self._run_ready = timed  # type: ignore[method-assign]

    async def idle(self) -> None:
        """Wait until no actor has a message left to handle (timers may be pending)."""
        while self.armed:
            waiter = self.loop.create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def _wake_idle_waiters(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Dead letters.

    def dead_letter(self, address: ActorAddress, message: Any, sender: ActorAddress) -> None:
        """Count a message that reached nobody; tell the `ask` that waits for it, hook and handlers."""
        if isinstance(message, (ChildActorExited, DeadEnvelope)):
            return
        self.dead_letters += 1
        self.fail_ask(sender, ActorGone(str(address), type(message).__name__))
        if self._on_dead_letter is not None:
            try:
                self._on_dead_letter(address, message, sender)
            except Exception as error:
                logger.warning("dead letter hook failed", cause=type(error).__name__)
        for handler in self._dead_letter_handlers:
            handler.deliver(DeadEnvelope(address, message), sender)

    def handle_dead_letters(self, cell: Cell, *, enable: bool) -> None:
        """Send every dead letter to `cell` too, as a DeadEnvelope, or no longer."""
        if enable:
            self._dead_letter_handlers[cell] = None
        else:
            self._dead_letter_handlers.pop(cell, None)

    # Looking.

    def _register(self) -> None:
        read = self.telemetry.read
        read("loop_dead_letters_total", "Messages to actors that are not there.", lambda: self.dead_letters)
        read("loop_refused_total", "Messages that full mailboxes did not take.", lambda: self.refused)
        read("loop_failures_total", "Exceptions out of actors, retries included.", lambda: self.failures)
        read("loop_restarts_total", "Actors that were made anew.", lambda: self.restarts)
        read("loop_actors", "Living actors.", lambda: len(self._actors))

    def status(self, address: ActorAddress) -> ActorStatus | None:
        """The status of one living actor or inbox, or None."""
        cell = self.cell_of(address)
        if isinstance(cell, Cell) and (
            cell.address.number in self._actors or cell.address.number in self._inboxes
        ):
            return cell.status()
        return None

    def cells(self) -> list[Cell]:
        """Every living actor and inbox, oldest first, to be asked for its `status` one by one."""
        return [*self._actors.values(), *self._inboxes.values()]

    def system_status(self) -> SystemStatus:
        """Totals of the whole system."""
        return SystemStatus(
            actors=len(self._actors),
            inboxes=len(self._inboxes),
            asks=len(self._asks),
            depth=sum(cell.depth for cell in (*self._actors.values(), *self._inboxes.values())),
            dead_letters=self.dead_letters,
            refused=self.refused,
            failures=self.failures,
            restarts=self.restarts,
            strict=self._vocabulary is not None,
            stopping=self._stopping,
        )

    def update_capability(self, name: str, value: Any = None) -> None:
        """Set a capability that actor classes may ask for, or remove it with None."""
        if value is None:
            self.capabilities.pop(name, None)
        else:
            self.capabilities[name] = value

    # Ending.

    def stop(self) -> None:
        """Begin to shut down: take nothing new and ask every actor to exit. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        logger.debug("actor system stops", count=len(self._actors))
        for cell in list(self._actors.values()):
            if cell.parent is None:
                cell.deliver(ActorExitRequest(), self.address)

    async def shutdown(self, timeout: float = 10.0) -> None:
        """End every actor, children before their parents, then everything else. Idempotent.

        Actors that have not exited after `timeout` seconds are ended without a further word. Timers and
        watches are cancelled, inboxes closed, and every `ask` that still waits raises SystemStopped.
        """
        self.stop()
        if self._actors:
            if self._gone is None:
                self._gone = self.loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.shield(self._gone)
            except TimeoutError:
                cause = f"they did not exit within {timeout:g} s"
                logger.warning("actors cut off", count=len(self._actors), cause=cause)
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.tasks.cancel()
        for cell in [*self._actors.values(), *self._inboxes.values()]:
            cell.end()
        for reply in list(self._asks.values()):
            reply.fail(SystemStopped())
        logger.debug("actor system stopped")

    def forget(self, cell: Cell) -> None:
        """A cell has ended."""
        self._actors.pop(cell.address.number, None)
        self._inboxes.pop(cell.address.number, None)
        self._dead_letter_handlers.pop(cell, None)
        if cell.globalName is not None and self._names.get(cell.globalName) is cell:
            del self._names[cell.globalName]
        if self._gone is not None and not self._actors and not self._gone.done():
            self._gone.set_result(None)


@lru_cache(maxsize=1024)
def _init_arguments(cls: Callable[..., Actor]) -> tuple[str, ...]:
    """Which of Thespian's optional constructor arguments a class asks for by name."""
    parameters = inspect.signature(cls).parameters
    return tuple(name for name in ("capabilities", "requirements") if name in parameters)
