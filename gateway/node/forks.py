"""A process that was forked: what the parent has connected is the parent's.

The child has copies of all sockets and of a loop that does not run. Whatever it wrote would end up amid what
the parent writes, and whatever it waited for would come to the parent. So nothing made before the fork works
in the child: each call raises NotConnected with what to do, over whichever transport.
"""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakSet

from actors.errors import NotConnected
from actors.system import LoopSystem

_systems: WeakSet[LoopSystem] = WeakSet()
_forks = 0


def watch(system: LoopSystem) -> None:
    """Have `system` refuse everything in children of this process."""
    _systems.add(system)


def birth() -> int:
    """In which process something is made, for `check`."""
    return _forks


def check(made: int) -> None:
    """Raise NotConnected in a child of the process in which something was made."""
    if made != _forks:
        raise NotConnected(
            "this application was made before the process was forked, and works in the parent only: make a "
            "new one in the child, inside a loop of its own (asyncio.run), or start the child by spawn"
        )


def _refuse(*_: Any, **__: Any) -> Any:
    check(-1)


def _in_child() -> None:
    global _forks
    _forks += 1
    for system in list(_systems):
        system.refuse_all(_refuse)


# The gRPC library's own care of a child crashes it while one of its threads is at work, and what it would
# save is refused here anyway. It reads this when it is first loaded; a variable that is set stays.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.register_at_fork(after_in_child=_in_child)
