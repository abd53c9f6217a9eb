"""An event loop on virtual time: it never waits, it jumps from timer to timer.

    ready callbacks ──► run them all ──► none left ──► the earliest timer: now is its time ──► ...
                                                  └──► no timer either: Deadlock

Each callback belongs to a Site, a process on a host, found in the context it runs in; callbacks of the test
itself belong to none. A site that is frozen keeps its callbacks until it thaws, one that is gone loses them.

Threads, processes, sockets and signals are refused (NotInWorld), whether the loop is asked for them or not
(`refusing`): they would take real time, which does not pass.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import weakref
from asyncio import events
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple

from gateway.testing.errors import Deadlock, Livelock, NotInWorld, TooLong
from gateway.testing.places import is_users, waits_at
from gateway.testing.refusing import PROCESS, RESOLVER, SOCKET, THREAD, playing, refuse

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BUSY = 200_000
"""Callbacks at one moment of virtual time that count as a livelock: thousands of messages fit into one."""
THE_TEST = "the test"
"""The name of the task that plays it."""
_WATCHED = 2_000
"""The last of those callbacks, which are counted by name."""


SITE: ContextVar[Site | None] = ContextVar("site", default=None)


class Site:
    """Where callbacks run: one process on one host, from its start to its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.context = copy_context()
        """Callbacks that run in it run here."""
        self.context.run(SITE.set, self)
        self.frozen = self.gone = False
        self.parked: list[_Callback] = []
        """What could not run while it was frozen, in order."""
        self.tasks: weakref.WeakValueDictionary[int, asyncio.Task[Any]] = weakref.WeakValueDictionary()
        """Its tasks, by number, oldest first."""
        self.buried: list[asyncio.Task[Any]] = []
        """Those that it had when it ended."""

    def end(self) -> None:
        """Nothing runs here any more. Its tasks are kept as they stand: when they are forgotten is chance."""
        self.gone, self.frozen = True, False
        self.parked.clear()
        self.buried += [task for task in self.tasks.values() if not task.done()]
        for task in self.buried:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        state = "gone" if self.gone else "frozen" if self.frozen else "running"
        return f"<Site {self.name}, {state}>"


class _Callback:
    """A callback, when it is due, and where it runs: what asyncio and its users ask of a handle, and no more,
    as there are many millions of them."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when", "site")

    def __init__(
        self, when: float, callback: Callable[..., object], args: Sequence[Any], context: Context | None
    ) -> None:
        self._context = context = copy_context() if context is None else context
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._when = when
        self.site: Site | None = context.get(SITE)

    def __repr__(self) -> str:
        state = "cancelled" if self._cancelled else _callback_name(self)
        return f"<callback at {self._when:.6f}, {state}>"

    def cancel(self) -> None:
        """It will not run. What it would have worked on is let go at once."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        """The moment at which it is due."""
        return self._when


def _nothing() -> None:
    """What a cancelled callback does."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """`limit` bounds the virtual seconds of one `run_until_complete`."""

    def __init__(self, *, start: float = 1000.0, limit: float = 86_400.0) -> None:
        self._now = self._began = start
        self._limit = limit
        self._ready: deque[_Callback] = deque()
        self._timers: list[tuple[float, int, _Callback]] = []
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._at_this_moment = 0
        self._stopping = self._closed = self._running = False
        self._thread = threading.get_ident()
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self.unseen: list[dict[str, Any]] = []
        """Exceptions that nobody caught: contexts of asyncio's exception handler."""
        self.callbacks = 0
        """How many have run."""
        self.sites: weakref.WeakSet[Site] = weakref.WeakSet()
        """Where its callbacks run."""
        self.refused: Callable[[str], None] = lambda what: None
        """Hears of what is refused, and where."""

    def __repr__(self) -> str:
        return f"<VirtualLoop at {self._now:.6f}, {len(self._ready)} ready, {len(self._timers)} timers>"

    # Time and callbacks

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Any:
        handle = _Callback(self._now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        when = self._now + delay if delay > 0 else self._now
        timer = _Callback(when, callback, args, context)
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        timer = _Callback(when, callback, args, context)
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        if threading.get_ident() != self._thread:
            raise NotInWorld("a call from another thread", "run what the thread does as a task")
        return self.call_soon(callback, *args, context=context)

    # Tasks and futures

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        site = SITE.get() if context is None else context.get(SITE, None)
        if site is not None:
            site.tasks[next(self._numbers)] = task
        return task

    def set_task_factory(self, factory: Any) -> None:
        if factory is not None:
            raise NotInWorld("a task factory", "leave tasks as they are")

    def get_task_factory(self) -> None:
        return None

    # Running

    def run_until_complete(self, future: Any) -> Any:
        """Raises Deadlock, Livelock and TooLong, and what `future` raises."""
        __tracebackhide__ = True
        if self._running:
            raise RuntimeError("this loop is running")
        task = future if isinstance(future, asyncio.Future) else self.create_task(future)
        deadline = self._now + self._limit
        self._running, self._stopping = True, False
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._finish_generator)
        events._set_running_loop(self)
        try:
            with playing(self.refused):
                while not task.done():
                    self._turn(deadline)
                    if self._stopping:
                        break
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self._running = False
        if not task.done():
            raise RuntimeError("the loop was stopped before the future was done")
        return task.result()

    def run_forever(self) -> None:
        self.run_until_complete(self.create_future())

    def stop(self) -> None:
        self._stopping = True

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        generators = list(self._generators)
        self._generators.clear()
        await asyncio.gather(*(each.aclose() for each in generators), return_exceptions=True)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def _finish_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.discard(generator)
        if not self._closed:
            self.create_task(generator.aclose())

    def _turn(self, deadline: float) -> None:
        __tracebackhide__ = True
        ready = self._ready
        if not ready:
            self._jump(deadline)
        count = len(ready)
        self._at_this_moment += count
        if self._at_this_moment > BUSY:
            names = Counter(map(_callback_name, itertools.islice(ready, _WATCHED)))
            raise Livelock(self._now - self._began, [name for name, _ in names.most_common(5)])
        take = ready.popleft
        for _ in range(count):
            handle = take()
            if handle._cancelled:
                continue
            site = handle.site
            if site is not None:
                if site.gone:
                    continue
                if site.frozen:
                    site.parked.append(handle)
                    continue
            self.callbacks += 1
            try:
                handle._context.run(handle._callback, *handle._args)
            except KeyboardInterrupt:
                raise
            except SystemExit as error:
                # It ends a program, whose task has it; but the whole test only where the test itself says so.
                if site is None:
                    raise
                if not isinstance(getattr(handle._callback, "__self__", None), asyncio.Task):
                    self._failed(handle, error)
            except BaseException as error:
                self._failed(handle, error)

    def _failed(self, handle: _Callback, error: BaseException) -> None:
        """A callback raised: asyncio's words for it."""
        message = f"Exception in callback {_callback_name(handle)}"
        self.call_exception_handler({"message": message, "exception": error, "handle": handle})

    def _jump(self, deadline: float) -> None:
        """Go to the next timer, and make all timers of that moment ready."""
        __tracebackhide__ = True
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if not timers:
            raise Deadlock(self.waiting())
        when = timers[0][0]
        if when > deadline:
            raise TooLong(self._limit, self.waiting())
        if when > self._now:
            self._now = when
            self._at_this_moment = 0
        while timers and timers[0][0] <= self._now:
            self._ready.append(heappop(timers)[2])

    def thaw(self, site: Site) -> None:
        """What was parked there is ready."""
        site.frozen = False
        self._ready.extend(site.parked)
        site.parked.clear()

    def waiting(self) -> list[str]:
        """A line for each task of programs and of the test that waits: who, where, for what.

        Where there is none of these, a line for each of ours.
        """
        states = {
            task: f" ({'killed' if site.gone else 'frozen'})"
            for site in self.sites
            if site.gone or site.frozen
            for task in [*site.buried, *site.tasks.values()]
        }
        tasks = sorted(
            asyncio.all_tasks(self), key=lambda each: (each.get_name() != THE_TEST, each.get_name())
        )
        theirs = [task for task in tasks if is_users(task.get_coro())]
        return [_waiting(task, states.get(task, "")) for task in theirs or tasks]

    # Errors

    def get_exception_handler(self) -> None:
        return None

    def set_exception_handler(self, handler: Any) -> None:
        if handler is not None:
            raise NotInWorld("an exception handler", "the World collects what nobody caught")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.unseen.append(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unseen.append(context)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """Says nothing: it would only slow things down."""


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def ask(self: VirtualLoop, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        refuse(f"loop.{name}", instead)

    return ask


_SIGNAL = "call what the signal would call"
for _name, _instead in {
    "run_in_executor": THREAD,
    "set_default_executor": THREAD,
    "getaddrinfo": RESOLVER,
    "getnameinfo": RESOLVER,
    "subprocess_exec": PROCESS,
    "subprocess_shell": PROCESS,
    "add_signal_handler": _SIGNAL,
    "remove_signal_handler": _SIGNAL,
    **dict.fromkeys(
        (
            *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
            *("create_datagram_endpoint", "connect_accepted_socket", "sendfile", "start_tls"),
            *("connect_read_pipe", "connect_write_pipe", "add_reader", "remove_reader"),
            *("add_writer", "remove_writer", "sock_recv", "sock_recv_into", "sock_recvfrom"),
            *("sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect", "sock_accept"),
            "sock_sendfile",
        ),
        SOCKET,
    ),
}.items():
    setattr(VirtualLoop, _name, _refused(_name, _instead))


def new_loop(*, limit: float) -> VirtualLoop:
    """A loop at the beginning of virtual time."""
    return VirtualLoop(limit=limit)  # type: ignore[abstract]  # what it lacks, it refuses


def _callback_name(handle: _Callback) -> str:
    callback: Any = handle._callback
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return _waiting(owner)
    return getattr(callback, "__qualname__", repr(callback))


def _waiting(task: asyncio.Task[Any], state: str = "") -> str:
    """Whose task it is, and where it waits."""
    waiter = getattr(task, "_fut_waiter", None)
    other = f", for {waiter.get_name()}" if isinstance(waiter, asyncio.Task) else ""
    return f"{task.get_name()}{state}, at {waits_at(task.get_coro())}{other}"
