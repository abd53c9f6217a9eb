"""A script in a process of its own, beside its application: `app.moderate(channel, Script, process=True)`.

    stage ── queue ──► [teller] ──► ScriptWarden ──► script        each of the two in a process of its own,
          ◄──────────  [listener] ◄──     ◄──                       the threads in the application's

What travels are the records of `actors/messages` on Thespian's keyed `multiprocTCPBase`, on loopback. The key
is drawn for this process and known to its children only.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from thespian.actors import ActorAddress, ActorSystem

from actors.messages import VOCABULARY
from actors.messages.moderation import EngageScript, PlayerGone
from actors.moderation.script import Script
from actors.moderation.stage_actor import StageActor
from actors.system import LoopSystem
from actors.system.keyed_tcp import keyed_actor_system
from gateway.moderation.warden import ScriptWarden
from identity.errors import ConfigError
from identity.log import logger

_LISTEN = 1.0
"""Seconds after which the listener looks whether it is wanted, and its processes are there."""
_END = 5.0
"""Seconds for the processes to end before they are ended."""


class PlayerBeside:
    """A ScriptPlayer whose script lives in another process."""

    def __init__(self, target: str, system: LoopSystem) -> None:
        """`target` is what `target_of` says of the class, `system` the one that its stage runs in."""
        self._target, self._system = target, system
        self._stage: ActorAddress | None = None
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._over = threading.Event()

    def begin(self, stage: StageActor) -> None:
        self._stage = stage.myAddress
        threading.Thread(target=self._run, name="callboard script", daemon=True).start()

    def tell(self, stage: StageActor, message: Any) -> None:
        self._queue.put(message)

    def end(self, stage: StageActor) -> None:
        self._over.set()
        self._queue.put(None)

    # In the threads

    def _post(self, message: Any) -> None:
        assert self._stage is not None
        try:
            self._system.tell_threadsafe(self._stage, message)
        except RuntimeError:
            self._over.set()  # the loop is closed

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._play()
            except Exception as error:
                logger.warning("script's processes failed", cause=type(error).__name__)
                self._over.wait(_LISTEN)
            if not self._over.is_set():
                self._post(PlayerGone())

    def _play(self) -> None:
        """Have the script made, and carry messages until nobody wants it or its processes are gone."""
        host = subprocess.Popen(
            [sys.executable, "-m", "gateway.moderation.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert host.stdin is not None
            assert host.stdout is not None
            host.stdin.write(_key().hex() + "\n")
            host.stdin.flush()
            port = int(host.stdout.readline())
            system = keyed_actor_system(key=_key(), port=port, vocabulary=VOCABULARY)
            with system.private() as ear:
                warden = ear.createActor(ScriptWarden)
                ear.tell(warden, EngageScript(self._target, tuple(map(str, sys.path))))
                teller = threading.Thread(target=self._tell, args=(system, warden), daemon=True)
                teller.start()
                while not self._over.is_set() and host.poll() is None:
                    message = ear.listen(_LISTEN)
                    if message is not None:
                        self._post(message)
                self._queue.put(None)
                teller.join(_END)
        finally:
            _ended(host)

    def _tell(self, system: ActorSystem, warden: ActorAddress) -> None:
        while (message := self._queue.get()) is not None:
            system.tell(warden, message)


def target_of(script: type[Script]) -> str:
    """How another process finds a class. Raises ConfigError for one that is not a module's own."""
    if "." in script.__qualname__:
        raise ConfigError(
            f"script: {script.__qualname__} is made inside a function or class; a process of its own cannot "
            "find it: put it at the top of a module",
            field="script",
        )
    module = sys.modules[script.__module__]
    file = getattr(module, "__file__", None)
    if script.__module__ != "__main__" or file is None:
        return f"{script.__module__}:{script.__qualname__}"
    return f"{Path(file).resolve()}:{script.__qualname__}"


@cache
def _key() -> bytes:
    """Of all keyed systems of this process: Thespian's transport knows one."""
    return secrets.token_bytes(32)


def _ended(host: subprocess.Popen[str]) -> None:
    assert host.stdin is not None
    host.stdin.close()
    try:
        host.wait(_END)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()
    if host.stdout is not None:
        host.stdout.close()
