"""A scripted moderator on a host, as `callboard moderator --journal` runs it: the journal is on its disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from actors.moderation.journal import Journal
from actors.moderation.script import Script
from actors.names import Name
from gateway.api.slim import Slim
from gateway.moderation import program
from gateway.moderation.moderating import KeptJournal
from gateway.moderation.program import Stop
from gateway.surroundings import current
from gateway.testing.disk import SimDisk
from identity.sealed_log import KEY_BYTES, LogKey

JOURNAL = "journal"
"""The name of its file."""
_KEY = LogKey(bytes(range(KEY_BYTES)))
_WAIT = 120.0
"""Seconds for which it waits for its node."""


class Machine(Protocol):
    """What a host has for it, after a power cut too."""

    @property
    def boot_id(self) -> bytes: ...

    def disk(self, name: str) -> SimDisk: ...

    def identity(self, name: str) -> tuple[Any, Any]: ...


def unasked() -> asyncio.Future[Stop]:
    """Nobody asks it to stop."""
    return asyncio.get_running_loop().create_future()


async def lead(
    host: Machine,
    name: str,
    channel: Name | str,
    script: type[Script],
    endpoint: str,
    stop: Callable[[], asyncio.Future[Stop]] = unasked,
) -> None:
    """Lead the group on `channel` until it is over or what `stop` returns is set.

    Where the journal knows of a group, that one is gone on with.
    """
    around = current()
    journal = Journal(host.disk(JOURNAL), _KEY, boot=host.boot_id, random=around.random)
    found = journal.open(around.wall())
    provider, verifier = host.identity(name)
    if journal.book.opened is not None:
        provider.take_id(journal.book.opened.identity)
    app = await Slim.new(Name.parse(name), provider, verifier, local_service=True)
    full = Name.parse(channel) if isinstance(channel, str) else channel
    kept = KeptJournal(journal, found.beginning, provider.get_id())
    await program.lead(app, {"endpoint": endpoint}, full, script, kept=kept, stop=stop, wait=_WAIT)
    journal.end()
