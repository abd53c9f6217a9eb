"""Where a session's messages wait for somebody who wants it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.messages.session import (
    CloseSession,
    Completed,
    Failure,
    SessionConfig,
    SessionEnded,
    SessionOpened,
)
from actors.messages.wire import SessionKind
from actors.names import Name
from actors.system import LoopSystem
from gateway.api.session_inbox import SessionInbox
from identity.errors import SlimError

ALICE, BOB = Name("o", "n", "alice", 1), Name("o", "n", "bob")


@pytest.mark.parametrize("late", [False, True], ids=["it has come", "it comes later"])
async def test_a_session_that_nobody_waits_for_any_more_is_closed(late: bool) -> None:
    system = LoopSystem()
    told: list[Any] = []
    session = system.inbox(lambda message, _: told.append(message))
    inbox = SessionInbox(system)
    opened = SessionOpened(1, 7, session, ALICE, BOB, SessionConfig(SessionKind.POINT_TO_POINT), 512)
    waiting = asyncio.ensure_future(inbox.first())
    await asyncio.sleep(0)
    if not late:
        system.tell(inbox.address, opened)
        # It is here, and the one who waits has not had its turn.
        system.tell(system.inbox(lambda *_: waiting.cancel()), "give up")
        await system.idle()
    else:
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if late:
        system.tell(inbox.address, opened)
    await system.idle()
    assert told == [CloseSession(None, 0.0)]
    system.tell(inbox.address, SessionEnded(7))
    await system.idle()
    assert not system.tell(inbox.address, SessionEnded(7))


async def test_nor_is_anything_left_of_one_that_could_not_be_opened() -> None:
    system = LoopSystem()
    inbox = SessionInbox(system)
    waiting = asyncio.ensure_future(inbox.first())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    failed = Completed(None, (), (Failure(1, SlimError("no")),))
    system.tell(inbox.address, failed)
    await system.idle()
    assert not system.tell(inbox.address, failed)
