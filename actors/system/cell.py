"""The cell of an actor: its mailbox, its turn, its failures and restarts, its end.

    send ──► inbox ──(swap when the batch is empty)──► batch ──► receiveMessage
             │ newest last                             │ newest first, so taken from its end
             └─────────── depth = both together ───────┘

A mailbox, in four lines:

1. It holds at most `bound` messages (65,536 unless its actor was spawned with another number).
2. When it is full the newest message is refused: `tell` returns False, an `ask` fails with MailboxFull.
3. Every refusal is counted, for the actor (`status`) and for the system, and logged at each doubling.
4. Exit requests, exits of children, wake-ups and watches are never refused: their sources bound them.

Two lists stand in for a deque because an idle deque costs 760 bytes, and an actor should cost about 1 KiB.

All state here belongs to the loop's thread. A cell that takes no messages (exiting, dead, waiting for its
restart) has `room` 0, so that the one comparison of `deliver` sends every exceptional case to `_no_room`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ActorSystemMessage,
    ChildActorExited,
    PoisonMessage,
    Thespian_ActorStatus,
    Thespian_StatusReq,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from actors.record import record
from actors.system.actor import Handler, LoopActor, table_of
from actors.system.address import Address, new_address
from actors.system.errors import MailboxFull
from actors.system.host import Host
from actors.system.my_ref import MyRef
from actors.system.status import ActorStatus, State
from actors.system.supervision import Directive, Restarts, Supervision
from actors.system.watch import FileWatch
from identity.log import logger

_NEVER_REFUSED = (ActorExitRequest, ChildActorExited, WakeupMessage, WatchMessage)
# On the way of each message: looking up the member of an enum's class costs ten times as much.
_RUNNING, _EXITING = State.RUNNING, State.EXITING
# What an actor (or a callback) may throw without harm to the loop; a stray CancelledError included.
FAILURES = (Exception, asyncio.CancelledError)


@record
class RestartSpec(NamedTuple):
    """How to make a supervised actor again."""

    factory: Callable[..., Actor]
    args: tuple[Any, ...]
    restarts: Restarts


class Timer:
    """A wake-up to come: `cancel` it, any number of times, before or after it fired."""

    __slots__ = ("_cell", "_handle", "_payload", "_seconds")

    def __init__(self, cell: Cell, seconds: float, payload: Any) -> None:
        self._cell = cell
        self._seconds = seconds
        self._payload = payload
        self._handle = cell.system.loop.call_later(seconds, self._fire)

    def cancel(self) -> None:
        """Prevent the wake-up. One that is in the mailbox already will still be handled."""
        self._handle.cancel()
        if self._cell.timers is not None:
            self._cell.timers.discard(self)

    def _fire(self) -> None:
        if self._cell.timers is not None:
            self._cell.timers.discard(self)
        period = timedelta(seconds=self._seconds)
        self._cell.deliver(WakeupMessage(period, self._payload), self._cell.address)


class Cell(MyRef):
    """One actor: its mailbox, its place among the others, and Thespian's `_myRef` for it."""

    __slots__ = (
        "actor",
        "address",
        "batch",
        "bound",
        "children",
        "failures",
        "globalName",
        "handled",
        "handlers",
        "inbox",
        "parent",
        "plan",
        "refused",
        "restarts",
        "room",
        "scheduled",
        "slowest",
        "state",
        "system",
        "timers",
        "watch",
    )

    def __init__(self, system: Host, bound: int, parent: Cell | None = None) -> None:
        self.system = system
        self.address = new_address(self)
        self.inbox: list[tuple[Any, ActorAddress]] = []
        self.batch: list[tuple[Any, ActorAddress]] = []
        self.bound = self.room = bound
        self.scheduled = False
        self.state = _RUNNING
        self.parent = parent
        self.children: dict[Cell, None] | None = None
        self.globalName: str | None = None
        self.plan: RestartSpec | None = None
        self.timers: set[Timer] | None = None
        self.watch: FileWatch | None = None
        self.handled = self.refused = self.failures = self.restarts = 0
        self.slowest = 0.0
        self.actor: Actor | None = None
        self.handlers: Mapping[type, Handler] | None = None
        """The actor's table of messages, where it is that which says what becomes of one: a call less."""

    def __repr__(self) -> str:
        return (
            f"<{self.kind} {self.address} {self.state.value}, {self.depth} waiting, {self.handled} handled>"
        )

    @property
    def kind(self) -> str:
        return type(self.actor).__name__ if self.actor is not None else "actor"

    @property
    def depth(self) -> int:
        return len(self.inbox) + len(self.batch)

    def running(self) -> bool:
        """Whether the actor may be given messages."""
        return self.state is _RUNNING

    def adopt(self, actor: Actor) -> None:
        """Make `actor` the instance of this cell."""
        self.actor = actor
        self.handlers = table_of(actor)
        actor._myRef = self

    def begin(self) -> None:
        """The new instance has its address: let it begin."""
        if isinstance(self.actor, LoopActor):
            self.actor.started()

    def add_child(self, child: Cell) -> None:
        """Be the parent of `child`. One made while this actor exits is asked to exit too."""
        if self.children is None:
            self.children = {}
        self.children[child] = None
        if self.state is _EXITING:
            child.deliver(ActorExitRequest(), self.address)

    def disown(self) -> None:
        """Be nobody's child any more: the parent never learned of this one."""
        if self.parent is not None and self.parent.children is not None:
            self.parent.children.pop(self, None)
        self.parent = None

    # Messages in.

    def deliver(self, message: Any, sender: ActorAddress) -> bool:
        """Append to the mailbox and see to it that its turn comes. False when it was not taken."""
        inbox = self.inbox
        # Mostly both are empty; then only a cell that takes nothing at all refuses.
        if (len(inbox) + len(self.batch) if inbox or self.batch else 0) >= self.room:
            return self._no_room(message, sender)
        inbox.append((message, sender))
        if not self.scheduled:
            self.scheduled = True
            system = self.system
            system.ready.append(self)
            if not system.armed:
                system.arm()
        return True

    def share(self, message: Any, sender: ActorAddress) -> bool:
        """Handle a message at once, within the sender's turn, when nothing else waits; else `deliver` it."""
        if self.scheduled or self.state is not _RUNNING or isinstance(message, ActorSystemMessage):
            return self.deliver(message, sender)
        self.scheduled = True
        actor = self.actor
        assert actor is not None
        handlers = self.handlers
        try:
            if handlers is None or (handler := handlers.get(type(message))) is None:
                result = actor.receiveMessage(message, sender)
            else:
                result = handler(actor, message, sender)
        except FAILURES as error:
            self._failed(message, sender, error)
        else:
            if result is not None or self.watch is not None:
                self._set_watch(result)
        finally:
            self.handled += 1
            if self.inbox or self.state is not _RUNNING:
                self._end_turn()
            else:
                self.scheduled = False
        return True

    def _schedule(self) -> None:
        self.scheduled = True
        system = self.system
        system.ready.append(self)
        if not system.armed:
            system.arm()

    def _no_room(self, message: Any, sender: ActorAddress) -> bool:
        state = self.state
        if state is State.DEAD or (state is State.EXITING and not isinstance(message, _NEVER_REFUSED)):
            self.system.dead_letter(self.address, message, sender)
            return False
        if state is State.WAITING and isinstance(message, ActorExitRequest):
            self.stop()
            return True
        if isinstance(message, _NEVER_REFUSED) or (state is State.WAITING and self.depth < self.bound):
            self.inbox.append((message, sender))
            if not self.scheduled:
                self._schedule()
            return True
        self.refused += 1
        self.system.refused += 1
        if self.refused & (self.refused - 1) == 0:
            self.log("WARNING", "mailbox full", cause=f"{self.refused} refused of more than {self.bound}")
        self.system.fail_ask(sender, MailboxFull(str(self.address), type(message).__name__, self.bound))
        return False

    # The actor's turn.

    def run(self, limit: int) -> int:
        """Handle up to `limit` messages; returns how many. The system calls it when the cell is scheduled."""
        if self.state is not _RUNNING:
            self._run_exiting()
            return 0
        batch = self.batch
        if not batch:
            batch, self.inbox = self.inbox, batch
            self.batch = batch
            if len(batch) > 1:
                batch.reverse()
        count = len(batch)
        if count > limit:
            count = limit
        actor, handlers = self.actor, self.handlers
        assert actor is not None
        done = 0
        try:
            # Whoever ends this actor in the middle of its own turn takes its mail away.
            while batch and done < count:
                done += 1
                message, sender = batch.pop()
                if isinstance(message, ActorSystemMessage):
                    self._control(message, sender)
                else:
                    try:
                        if handlers is None or (handler := handlers.get(type(message))) is None:
                            result = actor.receiveMessage(message, sender)
                        else:
                            result = handler(actor, message, sender)
                    except FAILURES as error:
                        self._failed(message, sender, error)
                    else:
                        if result is not None or self.watch is not None:
                            self._set_watch(result)
                        continue
                # Only what is exceptional can have ended the actor, or its instance.
                if not self.running():
                    break
        finally:
            # Also when a KeyboardInterrupt came out of the actor: it may live on, and needs its next turn.
            self.handled += done
            if batch or self.inbox or self.state is not _RUNNING:
                self._end_turn()
            else:
                self.scheduled = False
        return done

    def _end_turn(self) -> None:
        if self.state is _EXITING:
            self._run_exiting()
        elif self.state is _RUNNING:
            if self.batch or self.inbox:
                self.system.ready.append(self)
            else:
                self.scheduled = False

    def _control(self, message: ActorSystemMessage, sender: ActorAddress) -> None:
        """Handle one of Thespian's own messages."""
        if isinstance(message, Thespian_StatusReq):
            self.system.cell_of(sender).deliver(self._thespian_status(), self.address)
            return
        if self.watch is not None and isinstance(message, WatchMessage):
            self.watch.handling(message)
        assert self.actor is not None
        try:
            result = self.actor.receiveMessage(message, sender)
        except FAILURES as error:
            if isinstance(message, ActorExitRequest):
                self._log_failure(type(message).__name__, error)
            else:
                self._failed(message, sender, error)
        else:
            if result is not None or self.watch is not None:
                self._set_watch(result)
        if isinstance(message, ActorExitRequest):
            self.stop(recursive=message.isRecursive)

    def _failed(self, message: Any, sender: ActorAddress, error: BaseException) -> None:
        """The actor raised: try once more, then send the message back as poison and restart the actor."""
        self._log_failure(type(message).__name__, error)
        assert self.actor is not None
        try:
            result = self.actor.receiveMessage(message, sender)
        except FAILURES as again:
            self._log_failure(type(message).__name__, again)
            details = traceback.format_exc()
            directive = self._directive(message, sender, again)
            if not isinstance(message, (PoisonMessage, ChildActorExited)):
                self.system.cell_of(sender).deliver(PoisonMessage(message, details), self.address)
            if directive is Directive.STOP:
                self.stop()
            elif directive is Directive.RESTART and self.plan is not None:
                self._crashed(self.plan)
        else:
            if result is not None or self.watch is not None:
                self._set_watch(result)

    def _directive(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """Let the actor tell whom it concerns, and say what becomes of it."""
        if not isinstance(self.actor, LoopActor):
            return Directive.RESTART
        try:
            directive = self.actor.failed(message, sender, error)
        except FAILURES as again:
            self._log_failure(f"its own failure on {type(message).__name__}", again)
            return Directive.STOP if self.plan is None else Directive.RESTART
        return directive

    def _log_failure(self, message: str, error: BaseException) -> None:
        self.failures += 1
        self.system.failures += 1
        # The exception's text may quote a payload, so only its type and place are logged.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
        self.log("WARNING", "actor failed", message=message, cause=cause)

    def log(self, level: str, what: str, **keys: Any) -> None:
        """A line about this actor. None is ever about what its messages hold."""
        logger.log(level, what, actor=str(self.address), kind=self.kind, **keys)

    # Restarting.

    def _crashed(self, plan: RestartSpec) -> None:
        delay = plan.restarts.failed(self.system.loop.time())
        if delay is None:
            self.log("ERROR", "actor given up", cause="it fails too often")
            self.stop()
            if plan.restarts.rule.gave_up is not None:
                plan.restarts.rule.gave_up()
            return
        self._release()
        # The children belonged to the state that is given up; the next instance does not know them.
        for child in self._disown_children():
            child.deliver(ActorExitRequest(), self.address)
        self.actor = None
        self.state = State.WAITING
        self.scheduled = True
        self.room = 0
        self.timers = {RestartTimer(self, delay)}

    def restart(self) -> None:
        """Make the actor anew, with the mailbox it had. Called when the back-off is over."""
        assert self.plan is not None
        self.timers = None
        self.restarts += 1
        self.system.restarts += 1
        try:
            self.adopt(self.plan.factory(*self.plan.args))
            self.state = State.RUNNING
            self.room = self.bound
            self.scheduled = False
            self.begin()
        except FAILURES as error:
            self._log_failure("its restart", error)
            self._crashed(self.plan)
            return
        self.log("INFO", "actor restarted", count=self.restarts)
        if self.depth and not self.scheduled:
            self._schedule()

    # Ending.

    def stop(self, *, recursive: bool = True) -> None:
        """Take no more messages, have the children exit first (or disown them), then end."""
        if self.state in (State.EXITING, State.DEAD):
            return
        if self.state is State.WAITING:
            self.scheduled = False
        self.state = State.EXITING
        self.room = 0
        self._release()
        self._empty_mailbox()
        if not recursive:
            self._disown_children()
        for child in list(self.children or ()):
            child.deliver(ActorExitRequest(), self.address)
        if not self.scheduled:
            self._run_exiting()

    def _run_exiting(self) -> None:
        """Show the actor which children are gone, and end when all are."""
        if self.state is not State.EXITING:
            return
        mail = [*reversed(self.batch), *self.inbox]
        self.batch.clear()
        self.inbox.clear()
        self.scheduled = False
        for message, sender in mail:
            if isinstance(message, ChildActorExited) and self.actor is not None:
                try:
                    self.actor.receiveMessage(message, sender)
                except FAILURES as error:
                    self._log_failure(type(message).__name__, error)
        if not self.children and not self.inbox:
            self.end()

    def end(self) -> None:
        """Be dead: nothing is delivered any more and nothing is kept but the counters."""
        if self.state is State.DEAD:
            return
        self.state = State.DEAD
        self.room = 0
        self._release()
        self._empty_mailbox()
        self._disown_children()
        parent, self.parent = self.parent, None
        self.actor = self.plan = None
        self.system.forget(self)
        if parent is not None and parent.children is not None:
            parent.children.pop(self, None)
            parent.deliver(ChildActorExited(self.address), self.address)

    def _release(self) -> None:
        for timer in list(self.timers or ()):
            timer.cancel()
        self.timers = None
        if self.watch is not None:
            self.watch.close()
            self.watch = None

    def _disown_children(self) -> list[Cell]:
        children = list(self.children or ())
        for child in children:
            child.parent = None
        self.children = None
        return children

    def _empty_mailbox(self) -> None:
        mail = [*reversed(self.batch), *self.inbox]
        self.batch.clear()
        self.inbox.clear()
        for message, sender in mail:
            if self.state is State.EXITING and isinstance(message, ChildActorExited):
                self.inbox.append((message, sender))
            elif not isinstance(message, _NEVER_REFUSED):
                self.system.dead_letter(self.address, message, sender)

    # What Thespian's Actor calls on `_myRef`.

    def actor_send(self, target: ActorAddress, message: Any) -> None:
        try:
            cell = target.cell or self.system.resolve(target)
        except AttributeError:
            cell = self.system.resolve(target)
        cell.deliver(message, self.address)

    def wakeupAfter(self, period: timedelta | float, payload: Any = None) -> Timer:
        return self.wake_after(period.total_seconds() if isinstance(period, timedelta) else period, payload)

    def wake_after(self, seconds: float, payload: Any = None) -> Timer:
        """Thespian's `wakeupAfter`, not rounded to microseconds: a timer must never fire too early."""
        timer = Timer(self, seconds, payload)
        if self.timers is None:
            self.timers = set()
        self.timers.add(timer)
        return timer

    def spawn(
        self,
        factory: Callable[..., Actor],
        *args: Any,
        name: str | None = None,
        mailbox: int | None = None,
        supervision: Supervision | None = None,
    ) -> Address:
        return self.system.create(
            factory, args, parent=self, name=name, mailbox=mailbox, supervision=supervision
        )

    # Helpers.

    def _set_watch(self, result: Any) -> None:
        if self.state is not State.RUNNING:
            return
        if isinstance(result, ThespianWatch):
            if self.watch is None:
                self.watch = FileWatch(self.system.loop, lambda message: self.deliver(message, self.address))
            self.watch.set(result.filenos)
        elif self.watch is not None:
            self.watch.set(())

    def status(self) -> ActorStatus:
        return ActorStatus(
            address=str(self.address),
            kind=self.kind,
            name=self.globalName,
            state=self.state,
            depth=self.depth,
            bound=self.bound,
            handled=self.handled,
            refused=self.refused,
            failures=self.failures,
            restarts=self.restarts,
            children=len(self.children or ()),
            timers=len(self.timers or ()),
            slowest_turn=self.slowest,
        )

    def _thespian_status(self) -> Thespian_ActorStatus:
        parent = self.parent.address if self.parent is not None else self.system.address
        response = Thespian_ActorStatus(self.address, self.kind, self.system.address, parent)
        for child in self.children or ():
            response.addChild(child.address)
        for key, value in self.status()._asdict().items():
            response.addKeyVal(key, str(value.value) if isinstance(value, State) else value)
        return response


class RestartTimer(Timer):
    """The end of a back-off: it wakes the cell, not the actor."""

    __slots__ = ()

    def __init__(self, cell: Cell, delay: float) -> None:
        super().__init__(cell, delay, None)

    def _fire(self) -> None:
        self._cell.restart()
