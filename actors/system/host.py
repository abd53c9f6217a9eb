"""What a cell, an inbox and a waiting `ask` need of the system they are part of, which is LoopSystem."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from thespian.actors import Actor, ActorAddress

from actors.system.address import Address, Target
from actors.system.errors import AskFailed
from actors.system.supervision import Supervision


class Runnable(Protocol):
    """What waits for its turn."""

    slowest: float
    """Seconds of its longest turn, as far as turns were timed."""

    def run(self, limit: int) -> int:
        """Handle up to `limit` messages; returns how many."""


class Host(Protocol):
    """The turn, the way to others, and the totals. Parents and cells are the system's own, hence Any."""

    loop: asyncio.AbstractEventLoop
    ready: deque[Runnable]
    """In the order of their turns."""
    armed: bool
    address: ActorAddress
    refused: int
    failures: int
    restarts: int

    def arm(self) -> None: ...

    def cell_of(self, address: ActorAddress) -> Target: ...

    def resolve(self, target: ActorAddress) -> Target: ...

    def dead_letter(self, address: ActorAddress, message: Any, sender: ActorAddress) -> None: ...

    def handle_dead_letters(self, cell: Any, *, enable: bool) -> None: ...

    def fail_ask(self, sender: ActorAddress, error: AskFailed) -> None: ...

    def create(
        self,
        factory: Callable[..., Actor],
        args: tuple[Any, ...],
        *,
        parent: Any,
        name: str | None = None,
        mailbox: int | None = None,
        supervision: Supervision | None = None,
    ) -> Address: ...

    def create_child(
        self,
        parent: Any,
        actor_class: type[Actor] | str,
        requirements: Any,
        name: str | None,
        source_hash: str | None,
    ) -> Address: ...

    def update_capability(self, name: str, value: Any = None) -> None: ...

    def stop(self) -> None: ...

    def forget(self, cell: Any) -> None: ...
