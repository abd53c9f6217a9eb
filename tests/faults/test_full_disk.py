"""What is written where there is no room: nothing is confirmed that is not stored, and all of it is later."""

from __future__ import annotations

import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.controller.actor import ControllerActor
from actors.controller.controller import Controller
from actors.messages.controller import (
    AddRoute,
    Asked,
    DrawnLink,
    ListRoutes,
    NodeRegistered,
    Refusal,
    Result,
)
from actors.system import LoopSystem
from gateway.controller.store import SqliteStore
from gateway.security.users import replace_file

PATIENCE = 10.0
AWAY = DrawnLink("http://127.0.0.1:9", '{"endpoint": "http://127.0.0.1:9"}')


class Full(SqliteStore):
    """A database that may not grow: SQLite itself then says that the disk is full."""

    def room(self, pages: int) -> None:
        """Let it have so many pages (never fewer than it has)."""
        self._db.execute(f"PRAGMA max_page_count={pages}")


class Stage:
    """A controller's actor over a file."""

    def __init__(self, path: Path) -> None:
        self.system = LoopSystem()
        self.store = Full(path)
        self.inbox = self.system.inbox(lambda *_: None)
        core = Controller(lambda bound: 0)
        self.actor = self.system.spawn(ControllerActor, core, self.store, time.monotonic, lambda bound: 0)

    async def ask(self, question: Any) -> Result | Refusal:
        reply = await self.system.ask(self.actor, Asked(question, time.monotonic() + PATIENCE), PATIENCE)
        assert isinstance(reply, Result | Refusal)
        return reply

    def stored(self) -> str:
        """All that is in the file: nothing of a transaction that was given up."""
        return repr(list(self.store.load()))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path / "controller.db")
    yield made
    await made.system.shutdown(1.0)
    made.store.close()


async def test_a_change_that_is_not_stored_is_not_confirmed_and_is_stored_when_there_is_room(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(await stage.ask(NodeRegistered("slim/0", (), "", stage.inbox)), Result)
    stage.store.room(1)
    wanted = [AddRoute("slim/0", ("org", "ns", f"{n:0250}"), None, "", AWAY) for n in range(50)]
    replies = [await stage.ask(question) for question in wanted]
    refused = [n for n, reply in enumerate(replies) if isinstance(reply, Refusal)]
    assert refused
    # The second time nothing changes any more, and is not stored all the same.
    for reply in (replies[refused[0]], await stage.ask(wanted[refused[0]])):
        assert isinstance(reply, Refusal)
        assert reply.status == "UNAVAILABLE"
        assert "database or disk is full" in reply.text
    stored = stage.stored()
    assert [n for n in range(50) if f"{n:0250}" not in stored] == refused
    assert isinstance(await stage.ask(ListRoutes()), Result)
    (told,) = [record for record in caplog.records if "changes are not stored" in record.getMessage()]
    assert "database or disk is full" in told.getMessage()
    stage.store.room(1000)
    assert isinstance(await stage.ask(wanted[refused[0]]), Result)
    assert all(f"{n:0250}" in stage.stored() for n in range(50))


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_bytes(b"alice")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*users: File too large"):
            replace_file(str(path), b"bob")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in tmp_path.iterdir()] == ["users"]
    assert path.read_bytes() == b"alice"
