"""A moderator as a program: it leads a group until that is over, or until it is asked to stop.

connect ──► lead ──► asked to leave ──► the group stands ──► the next process goes on with the journal
                └──► asked to close, or the script does ──► the group is over
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from actors.moderation.script import Script
from actors.names import Name
from gateway.api.serving import Request
from gateway.api.session_config import SessionType
from gateway.api.slim import Slim
from gateway.moderation.moderating import KeptJournal, Moderation


class Stop(Enum):
    """What a moderator that is asked to stop does with its group."""

    LEAVE = "it stands, for the process that goes on with the journal; without one it is closed"
    CLOSE = "it is closed"


async def lead(
    app: Slim,
    config: dict[str, Any],
    channel: Name,
    script: type[Script],
    *,
    kept: KeptJournal | None,
    stop: Callable[[], asyncio.Future[Stop]],
    wait: float = 0.0,
) -> bool:
    """Connect as `config` says and lead the group, then close `app`. Returns whether the group stands.

    `stop` is called once it is led, and returns what is set when we are asked to stop. `wait` is how many
    seconds the node may be away. Raises why the group ended, if nobody closed it, or that nobody is there.
    """
    stands = kept is not None
    moderation = app.moderate(channel, script, kept=kept)
    try:
        await app.connect(config, wait=wait)
        await moderation.start()
        asked = stop()
        async with _knocks(app, moderation):
            stands = await _until_over(moderation, asked, stands=stands)
    finally:
        if stands:
            # Whatever went wrong here: the group is its journal's, and a successor goes on with it.
            await moderation.leave()
            await app.data_plane.close(0.5)
        await app.close()
    return stands


@asynccontextmanager
async def _knocks(app: Slim, moderation: Moderation) -> AsyncIterator[None]:
    """Tell the script meanwhile what others say to its application alone."""

    async def hear(request: Request[bytes]) -> None:
        # What is said in a group that a controller had us lead is said to its members.
        if request.session.session_type is SessionType.PointToPoint:
            moderation.knock(request.message)

    async with app.serve(hear):
        yield


async def _until_over(moderation: Moderation, asked: asyncio.Future[Stop], *, stands: bool) -> bool:
    """Wait for the end of the group, or to be asked to stop. Returns whether the group stands."""
    over = asyncio.ensure_future(moderation.wait())
    waiting: set[asyncio.Future[Any]] = {asked, over}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if over.done():
        over.result()
        return False
    over.cancel()
    if stands and asked.result() is Stop.LEAVE:
        return True
    await moderation.close()
    return False
