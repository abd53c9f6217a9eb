"""A group that a script leads for an application: `Slim.moderate`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypedDict

from actors.messages.moderation import Knocked, LeaveStage
from actors.messages.session import CloseSession
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.moderation.journal import Beginning, Journal
from actors.moderation.leading import JournaledGroup
from actors.moderation.script import Script
from actors.moderation.stage import InMemory
from actors.moderation.stage_actor import PlayerHere, ScriptPlayer, StageActor, StageSetting, group_config
from actors.names import Name
from actors.record import record
from actors.system import Address, LoopSystem
from gateway.api.arguments import grace_of
from gateway.api.life import Residence
from gateway.moderation.process import PlayerBeside, target_of
from identity.errors import ConfigError, SlimError

if TYPE_CHECKING:
    from gateway.api.message import ReceivedMessage


@record
class KeptJournal(NamedTuple):
    """A journal to lead a group by."""

    journal: Journal
    beginning: Beginning
    identity: str
    """The id of the application's identity."""


class How(TypedDict, total=False):
    """How a group is led."""

    process: bool
    """The script has a process of its own."""
    kept: KeptJournal | None
    """It survives the end of this process."""


class Moderation:
    """Await it for the end of the group; leaving `async with` closes the group.

        async with app.moderate("org/demo/standup", StandUp) as group:
            await group

    Awaiting raises why the group ended, if nobody closed it.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[Residence]],
        connection: Callable[[], int | None],
        channel: Name,
        script: type[Script],
        *,
        process: bool = False,
        kept: KeptJournal | None = None,
    ) -> None:
        """`ready` tells where the application runs, `connection` which one leads to the members. Raises
        ConfigError."""
        if not (isinstance(script, type) and issubclass(script, Script)):
            raise ConfigError("script: expected a subclass of Script", field="script")
        self._ready, self._connection = ready, connection
        self._system: LoopSystem | None = None
        self._channel = channel.without_id()
        self._script = script
        self._beside = target_of(script) if process else None
        self._kept = kept
        self._stage: Address | None = None
        self._over: asyncio.Future[SlimError | None] | None = None

    @property
    def channel(self) -> Name:
        """The group's name."""
        return self._channel

    async def start(self) -> Self:
        """Open the group, if that was not done."""
        if self._stage is not None:
            return self
        place, kept = await self._ready(), self._kept
        plane = place.plane
        self._system = plane.system
        self._over = plane.system.loop.create_future()
        wall, player = plane.surroundings.wall, self._made(plane.system)
        if kept is not None:
            leading = JournaledGroup(kept.journal, kept.identity, wall, self._connection)
            plane.leading[self._channel] = leading
        setting = StageSetting(
            place.actor,
            self._channel,
            group_config(self._script),
            InMemory() if kept is None else kept.journal,
            player,
            wall,
            self._ended,
            self._connection(),
            resumed=kept is not None and kept.beginning is Beginning.RESUMED,
            closed=kept is not None and kept.beginning is Beginning.OVER,
        )
        self._stage = plane.system.spawn(StageActor, setting)
        return self

    async def close(self, grace: float = 5.0) -> None:
        """Close the group, and wait until the script has dealt with that. Idempotent."""
        limit = grace_of(grace)
        self._tell(CloseSession(None, limit))
        if self._over is not None:
            await asyncio.wait({self._over}, timeout=limit + 5.0)

    async def leave(self) -> None:
        """Lead the group no more and let it stand, for the process that goes on with its journal."""
        self._tell(LeaveStage())
        if self._over is not None:
            await asyncio.wait({self._over}, timeout=5.0)

    def knock(self, message: ReceivedMessage[Any]) -> None:
        """Tell the script what somebody said to its application alone (`Script.on_knock`)."""
        context = message.context
        said = SessionMessage(
            context.source_name,
            context.destination_name,
            SessionKind.POINT_TO_POINT,
            MessageType.MSG,
            0,
            0,
            Payload(context.payload_type, message.payload),
            metadata=context.metadata or None,
            identity=context.identity,
        )
        self._tell(Knocked(said))

    def __await__(self) -> Generator[Any, Any, None]:
        return self.wait().__await__()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def wait(self) -> None:
        """Until the group is over. Raises why it ended, if nobody closed it."""
        await self.start()
        assert self._over is not None
        cause = await asyncio.shield(self._over)
        if cause is not None:
            raise cause

    def _made(self, system: LoopSystem) -> ScriptPlayer:
        return PlayerHere(self._script) if self._beside is None else PlayerBeside(self._beside, system)

    def _tell(self, message: Any) -> None:
        if self._stage is not None and self._system is not None:
            self._system.tell(self._stage, message)

    def _ended(self, cause: SlimError | None) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(cause)
