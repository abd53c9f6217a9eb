"""What goes around the loop (threads, processes, sockets) is refused while a World plays, in its thread.

    user code ──► time.sleep, Thread.start, Popen, connect ──► NotInWorld, if a World plays in this thread
                                                           └─► as ever, if none does

The interpreter tells an audit hook of processes and sockets, however they are asked for. Of threads it tells
only from Python 3.12 on, of `time.sleep` from 3.13 on; before, functions stand in their places. Neither can
be taken out again without breaking who meanwhile put something over it, so both stay for good: they are there
once the first World plays, and do nothing but pass on where none does.

A debugger or a coverage tool may do what programs may not.
"""

from __future__ import annotations

import _thread
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from gateway.testing.errors import NotInWorld
from gateway.testing.places import asked_at

Told = Callable[[str], None]
"""Hears of each refusal: what was refused, and where."""

THREAD = "real time does not pass while a thread works; call the function itself"
PROCESS = "run the program as a coroutine on a host of its own"
SOCKET = "hosts reach one another by connect and run_server only"
RESOLVER = "hosts are reached by their names"
SLEEP = "real time does not pass; await asyncio.sleep(seconds)"

_EVENTS = {
    "time.sleep": ("time.sleep", SLEEP),
    "_thread.start_new_thread": ("a thread", THREAD),
    "_thread.start_joinable_thread": ("a thread", THREAD),
    **{
        f"os.{name}": (f"os.{name}", PROCESS)
        for name in ("exec", "fork", "forkpty", "posix_spawn", "spawn", "startfile", "system")
    },
    "subprocess.Popen": ("a subprocess", PROCESS),
    "pty.spawn": ("pty.spawn", PROCESS),
    **{f"socket.{name}": (f"socket.{name}", SOCKET) for name in ("bind", "connect", "sendmsg", "sendto")},
    **{
        f"socket.{name}": (f"socket.{name}", RESOLVER)
        for name in ("getaddrinfo", "gethostbyaddr", "gethostbyname", "getnameinfo")
    },
}
"""Events of the interpreter (PEP 578): what was asked for, and what to do instead."""

_BESIDE = frozenset(
    (
        *("IPython", "_pydev_bundle", "_pydevd_bundle", "bdb", "coverage", "debugpy", "pdb", "pydevd"),
        "remote_pdb",
    )
)
"""Packages that work beside a program, in its thread, and may do what it may not."""

_playing: dict[int, Told] = {}
"""Threads in which a World plays."""
_installed = False


@contextmanager
def playing(told: Told) -> Iterator[None]:
    """While it is entered, this thread is refused what the table names. Worlds are played one in another."""
    global _installed
    if not _installed:
        _installed = True
        _install()
    thread = _thread.get_ident()
    outer = _playing.get(thread)
    _playing[thread] = told
    try:
        yield
    finally:
        if outer is None:
            del _playing[thread]
        else:
            _playing[thread] = outer


def refuse(what: str, instead: str) -> NoReturn:
    """Raise NotInWorld, and have it written into the trace."""
    __tracebackhide__ = True
    told = _playing.get(_thread.get_ident())
    if told is not None:
        told(f"{what} is refused ({asked_at(_callers()) or 'in a library'})")
    raise NotInWorld(what, instead)


def _hook(event: str, _: Any) -> None:
    __tracebackhide__ = True
    asked = _EVENTS.get(event)
    if asked is not None and _thread.get_ident() in _playing and not _is_beside():
        refuse(*asked)


def _install() -> None:
    sys.addaudithook(_hook)
    if sys.version_info < (3, 12):
        start = _standing_in(_thread.start_new_thread, "_thread.start_new_thread")
        _thread.start_new_thread = start
        threading._start_new_thread = start  # type: ignore[attr-defined]  # where Thread.start has it from
    if sys.version_info < (3, 13):
        real, sleep = time.sleep, _standing_in(time.sleep, "time.sleep")
        time.sleep = sleep
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", {})
            if names.get("sleep") is real:
                names["sleep"] = sleep  # it said `from time import sleep`


def _standing_in(function: Callable[..., Any], event: str) -> Callable[..., Any]:
    """`function`, with the event that this Python lacks."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if _thread.get_ident() in _playing:
            _hook(event, args)
        return function(*args, **kwargs)

    return call


def _is_beside() -> bool:
    """Whether what asks was called by a tool that works beside the program, not by the program."""
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in _BESIDE for frame in _callers())


def _callers() -> Iterator[FrameType]:
    """The frames of what the loop runs now, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_turn":
        if frame.f_globals.get("__name__") != __name__:
            yield frame
        frame = frame.f_back
