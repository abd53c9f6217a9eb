"""What else stands behind an address: an inbox, a waiting `ask`, nobody; and the strict forms of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress, ActorSystemMessage, PoisonMessage

from actors.system.address import new_address
from actors.system.cell import FAILURES, Cell
from actors.system.errors import ActorFailed, AskTimeout
from actors.system.host import Host


class Callee:
    """A plain callable in an actor's place."""

    __slots__ = ("receiveMessage",)

    def __init__(self, callback: Callable[[Any, ActorAddress], object]) -> None:
        self.receiveMessage = callback


class Inbox(Cell):
    """An address whose messages go to a plain callable, which must not block.

    Every message reaches it, Thespian's own included. What it raises is logged and counted; nothing is
    retried or sent back.
    """

    __slots__ = ()

    @property
    def kind(self) -> str:
        return "inbox"

    def _control(self, message: ActorSystemMessage, sender: ActorAddress) -> None:
        assert self.actor is not None
        try:
            self.actor.receiveMessage(message, sender)
        except FAILURES as error:
            self._log_failure(type(message).__name__, error)

    def _failed(self, message: Any, _sender: ActorAddress, error: BaseException) -> None:
        self._log_failure(type(message).__name__, error)

    def _set_watch(self, _result: Any) -> None:
        """A callable has no watches."""


class Reply:
    """Where the answer to one `ask` goes: straight into a future, without a turn."""

    __slots__ = ("actor", "address", "future", "message", "system")

    def __init__(self, system: Host, actor: ActorAddress, message: Any) -> None:
        self.system = system
        self.address = new_address(self)
        self.actor = str(actor)
        self.message = type(message).__name__
        self.future: asyncio.Future[Any] = system.loop.create_future()

    def deliver(self, message: Any, sender: ActorAddress) -> bool:
        if self.future.done():
            self.system.dead_letter(self.address, message, sender)
            return False
        if isinstance(message, PoisonMessage):
            self.fail(ActorFailed(self.actor, self.message, message.details))
        else:
            self.future.set_result(message)
        return True

    def expire(self, timeout: float) -> None:
        self.fail(AskTimeout(self.actor, self.message, timeout))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Nobody:
    """Behind the address of an actor that this system does not know: every message is a dead letter."""

    __slots__ = ("address", "system")

    def __init__(self, system: Host, address: ActorAddress | None = None) -> None:
        self.system = system
        self.address = address if address is not None else new_address(self)

    def deliver(self, message: Any, sender: ActorAddress) -> bool:
        self.system.dead_letter(self.address, message, sender)
        return False


class _Strict:
    """Mixed in before a cell: what arrives was packed and unpacked by the vocabulary."""

    __slots__ = ()

    system: Any

    def deliver(self, message: Any, sender: ActorAddress) -> bool:
        if not isinstance(message, ActorSystemMessage):
            message = self.system.through_vocabulary(message)
        return super().deliver(message, sender)  # type: ignore[misc, no-any-return]

    def share(self, message: Any, sender: ActorAddress) -> bool:
        if not isinstance(message, ActorSystemMessage):
            message = self.system.through_vocabulary(message)
        return super().share(message, sender)  # type: ignore[misc, no-any-return]


class StrictCell(_Strict, Cell):
    __slots__ = ()


class StrictInbox(_Strict, Inbox):
    __slots__ = ()


class StrictReply(_Strict, Reply):
    __slots__ = ()
