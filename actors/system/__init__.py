"""The system that actors run on: Thespian's contract inside one asyncio loop, and a few things it lacks.

    system = LoopSystem()                          # in a running loop
    counter = system.spawn(Counter, name="counter")
    system.tell(counter, Add(1))
    total = await system.ask(counter, Get(), timeout=1.0)
    await system.shutdown()

`actor_system(system)` shows the same system as Thespian's `ActorSystem`; `keyed` makes Thespian's
`multiprocTCPBase` safe to use across processes.
"""

from __future__ import annotations

from actors.system.actor import Cancellable, LoopActor, handles
from actors.system.address import Address, address_from_text, address_to_text
from actors.system.errors import (
    ActorFailed,
    ActorGone,
    ActorSystemError,
    AskFailed,
    AskTimeout,
    BadFrame,
    BlockingCall,
    KeyedError,
    MailboxFull,
    NotAllowed,
    NotInVocabulary,
    NotOnThisBase,
    SystemStopped,
)
from actors.system.loop import LoopSystem
from actors.system.status import ActorStatus, State, SystemStatus
from actors.system.supervision import Directive, Supervision
from actors.system.thespian_base import LoopSystemBase, actor_system
from actors.system.vocabulary import MessageCodec

__all__ = [
    "ActorFailed",
    "ActorGone",
    "ActorStatus",
    "ActorSystemError",
    "Address",
    "AskFailed",
    "AskTimeout",
    "BadFrame",
    "BlockingCall",
    "Cancellable",
    "Directive",
    "KeyedError",
    "LoopActor",
    "LoopSystem",
    "LoopSystemBase",
    "MailboxFull",
    "MessageCodec",
    "NotAllowed",
    "NotInVocabulary",
    "NotOnThisBase",
    "State",
    "Supervision",
    "SystemStatus",
    "SystemStopped",
    "actor_system",
    "address_from_text",
    "address_to_text",
    "handles",
]
