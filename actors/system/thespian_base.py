"""The loop's system as a system base of Thespian's `ActorSystem`, for code that knows only that.

What the blocking calls of `ActorSystem` do depends on who runs the loop:

| the loop | `tell`, `createActor` | `ask`, `listen`, `shutdown` |
|---|---|---|
| stands still | done at once; then `tell` runs the loop until all is handled | run the loop while they wait |
| in another thread | handed over to it (`createActor` waits for the address) | block this thread only |
| in this thread | done at once, without waiting | raise BlockingCall; `shutdown` only begins |

As with Thespian's other bases, `ask` and `listen` return the next message from *any* actor, and None when
the time (seconds or timedelta; None is for ever) is over. At most 65,536 messages wait to be listened to;
more are refused and counted, as by any mailbox. Use `private()` for an endpoint of one's own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from thespian.actors import Actor, ActorAddress, ActorSystem, ThespianGeneration
from thespian.system import isInternalActorSystemMessage

from actors.system.address import Address
from actors.system.cell import Cell
from actors.system.errors import BlockingCall, NotOnThisBase
from actors.system.loop import MAILBOX, LoopSystem

T = TypeVar("T")


def actor_system(system: LoopSystem) -> ActorSystem:
    """Thespian's `ActorSystem` on a LoopSystem. It is not the process-wide singleton."""
    return ActorSystem(
        systemBase=LoopSystemBase(system), capabilities=system.capabilities, transientUnique=True
    )


class LoopSystemBase:
    """What `ActorSystem(systemBase=...)` asks of a system base, done by a LoopSystem.

    Pass `transientUnique=True` too, as `actor_system` does: Thespian may hand out another base otherwise.
    """

    def __init__(self, system: LoopSystem) -> None:
        self.system = system
        system.capabilities.update(
            {
                "Python Version": tuple(sys.version_info),
                "Thespian Generation": ThespianGeneration,
                "Thespian ActorSystem Name": "LoopSystemBase",
                "Thespian ActorSystem Version": 1,
                "Thespian Watch Supported": True,
                "AllowRemoteActorSources": "No",
            }
        )
        self._answers: asyncio.Queue[Any] = asyncio.Queue(MAILBOX)
        self._inbox = system.inbox(self._received)

    def _received(self, message: Any, _sender: ActorAddress) -> None:
        if isInternalActorSystemMessage(message):
            return
        if self._answers.full():
            self.system.refused += 1
        else:
            self._answers.put_nowait(message)

    # Who runs the loop.

    def _loop_is_mine(self) -> bool:
        """Whether this thread may touch the system: it runs the loop, or nobody does."""
        loop = self.system.loop
        if not loop.is_running():
            return True
        try:
            return asyncio.get_running_loop() is loop
        except RuntimeError:
            return False

    def _call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function of the system on the loop's thread and return what it returns."""
        if self._loop_is_mine():
            return function(*args)

        async def call() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(call(), self.system.loop).result()

    def _wait(self, what: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Block until `coroutine` has run on the loop. Raises BlockingCall on the thread that runs it."""
        loop = self.system.loop
        if not loop.is_running():
            return loop.run_until_complete(coroutine)
        if self._loop_is_mine():
            coroutine.close()
            raise BlockingCall(what)
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    # Thespian's calls.

    def newPrimaryActor(
        self,
        actor_class: type[Actor] | str,
        requirements: Any = None,
        global_name: str | None = None,
        source_hash: str | None = None,
    ) -> Address:
        """`ActorSystem.createActor`."""
        return self._call(self.system.create_primary, actor_class, requirements, global_name, source_hash)

    def tell(self, target: ActorAddress, message: Any) -> None:
        """`ActorSystem.tell`. Raises NotInVocabulary in strict mode."""
        self._call(self.system.tell, target, message, self._inbox)
        if not self.system.loop.is_running():
            self.system.loop.run_until_complete(self.system.idle())

    def ask(self, target: ActorAddress, message: Any, timeout: float | timedelta | None = None) -> Any:
        """`ActorSystem.ask`. Raises BlockingCall on the thread of a running loop."""

        async def ask() -> Any:
            self.system.tell(target, message, self._inbox)
            return await self._next(timeout)

        return self._wait("ActorSystem.ask", ask())

    def listen(self, timeout: float | timedelta | None = None) -> Any:
        """`ActorSystem.listen`. Raises BlockingCall on the thread of a running loop."""
        return self._wait("ActorSystem.listen", self._next(timeout))

    async def _next(self, timeout: float | timedelta | None) -> Any:
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._answers.get()
        except TimeoutError:
            return None

    def shutdown(self) -> None:
        """`ActorSystem.shutdown`. On the thread of a running loop it only begins; await the LoopSystem's."""
        if self.system.loop.is_running() and self._loop_is_mine():
            self.system.stop()
        else:
            self._wait("ActorSystem.shutdown", self.system.shutdown())

    def external_clone(self) -> LoopSystemBase:
        """`ActorSystem.private`: an endpoint with answers of its own."""
        return self._call(LoopSystemBase, self.system)

    def exit_context(self) -> None:
        """The end of `ActorSystem.private`."""
        self._call(self.system.close_inbox, self._inbox)

    def updateCapability(self, name: str, value: Any = None) -> None:
        """`ActorSystem.updateCapability`."""
        self._call(self.system.update_capability, name, value)

    def _handleDeadLetters(self, address: ActorAddress, enable: bool) -> None:
        cell = self.system.resolve(address) if isinstance(address, Address) else None
        if isinstance(cell, Cell):
            self._call(lambda: self.system.handle_dead_letters(cell, enable=enable))

    def loadActorSource(self, _file: object) -> str:
        """Not here: actors are imported. Raises NotOnThisBase."""
        raise NotOnThisBase("loadActorSource", "import the module instead")

    def unloadActorSource(self, _source_hash: str) -> None:
        """Not here: actors are imported. Raises NotOnThisBase."""
        raise NotOnThisBase("unloadActorSource", "nothing can have been loaded")
