"""What systemd is told by the process that it runs (sd_notify): ready, reloading, stopping, signs of life.

Type=notify units wait for READY=1. With WatchdogSec the ping leaves from the event loop, twice in that time:
a loop that is blocked for as long is a node that serves nobody, and systemd starts another.

Without NOTIFY_SOCKET in the environment all of it does nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from identity.log import logger


class ServiceManager:
    """The manager that `environ` names, told from `loop`; `pid` is ours."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, environ: Mapping[str, str] = os.environ, pid: int | None = None
    ) -> None:
        self._loop = loop
        path = environ.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is in the abstract namespace; anything else but a path is none.
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""
        self._period = _period(environ, os.getpid() if pid is None else pid)
        self._timer: asyncio.TimerHandle | None = None
        self._complained = False

    def ready(self, status: str = "") -> None:
        """The node serves, again after `reloading`; from the first time on it shows that it lives."""
        self._tell("READY=1", *([f"STATUS={status}"] if status else []))
        if self._period and self._address and self._timer is None:
            self._ping()

    def reloading(self) -> None:
        """Certificates, rules and limits are read anew; `ready` follows."""
        now = int(self._loop.time() * 1_000_000)
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The node drains and ends; it shows until `close` that it lives."""
        self._tell("STOPPING=1")

    def close(self) -> None:
        """No more pings."""
        if self._timer is not None:
            self._timer.cancel()

    def _ping(self) -> None:
        self._tell("WATCHDOG=1")
        self._timer = self._loop.call_later(self._period / 2, self._ping)

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as made:
                made.setblocking(False)
                made.sendto("\n".join(words).encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                logger.warning("the service manager hears nothing", cause=error.strerror or str(error))


def _period(environ: Mapping[str, str], pid: int) -> float:
    """Seconds in which it wants to hear from us; 0: it does not, or it is somebody else that it means."""
    meant, said = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not said.isascii() or not said.isdigit() or len(said) > 15 or meant not in ("", str(pid)):
        return 0.0
    return int(said) / 1_000_000
