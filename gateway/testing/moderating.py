"""A scripted moderator on a host, as `callboard moderator --journal` runs it: the journal is on its disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from actors.moderation.journal import Journal
from actors.moderation.script import Script
from actors.names import Name
from gateway.api.slim import Slim
from gateway.moderation.moderating import KeptJournal
from gateway.surroundings import current
from gateway.testing.disk import SimDisk
from identity.sealed_log import KEY_BYTES, LogKey

FILE = "journal"
_KEY = LogKey(bytes(range(KEY_BYTES)))
_WAIT = 120.0
"""Seconds for which it waits for its node."""


class Machine(Protocol):
    """What a host has for it, after a power cut too."""

    @property
    def boot_id(self) -> bytes: ...

    def disk(self, name: str) -> SimDisk: ...

    def identity(self, name: str) -> tuple[Any, Any]: ...


async def lead(
    host: Machine, name: str, channel: Name | str, script: type[Script], endpoints: Sequence[str]
) -> None:
    """Lead the group on `channel` until it is over; after a death, the one that the journal knows."""
    around = current()
    journal = Journal(host.disk(FILE), _KEY, boot=host.boot_id, random=around.random)
    found = journal.open(around.wall())
    provider, verifier = host.identity(name)
    if journal.book.opened is not None:
        provider.take_id(journal.book.opened.identity)
    app = await Slim.new(Name.parse(name), provider, verifier, local_service=True)
    for endpoint in endpoints:
        await app.connect({"endpoint": endpoint}, wait=_WAIT)
    await app.moderate(channel, script, kept=KeptJournal(journal, found.beginning, provider.get_id()))
    journal.sync()
    await app.close()
