"""What is asked of a scenario when all has healed: calls end, members hear, all can be closed."""

from __future__ import annotations

import asyncio

from tests.simulation.actions import Actions
from tests.simulation.stage import CALL, Held, Member, Stage

PROBE = 30.0


class Afterwards:
    """`play` does it all."""

    def __init__(self, stage: Stage, actions: Actions) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._actions = actions

    async def play(self) -> None:
        """Probe, refresh and close; the ledger has what was found."""
        await self._finish_calls()
        await self._probe()
        await self._refresh()
        await self._close()

    async def _finish_calls(self) -> None:
        """Calls end in their time; `limited` finds those that do not."""
        calls = {call for call in self._stage.calls if not call.done()}
        if calls:
            await asyncio.wait(calls, timeout=CALL + 5.0)
        await self._world.quiet()

    async def _probe(self) -> None:
        """What any member says now, all that it knows of hear."""
        self._world.note("probe")
        for member in self._cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                await self._probe_one(member, held)

    async def _probe_one(self, member: Member, held: Held) -> None:
        session = held.session
        if session.closed or len(session.members) < 2:
            return
        before = len(self._ledger.part(session.number, member.number, 0.0).sent)
        await member.host.call(self._stage.limited("probe", self._actions.publish(member, held, 1, 20)))
        for sent in self._ledger.part(session.number, member.number, 0.0).sent[before:]:
            if sent.acknowledged is None and not session.over:
                text = f"a probe of {member.number} in session {session.number} failed: {sent.failed}"
                self._ledger.found("deaf", text)

    async def _refresh(self) -> None:
        """Neighbours can open sessions as on the first day."""
        self._world.note("refresh")
        up = [member for member in self._cast if member.host.up]
        for member, other in zip(up, up[1:] + up[:1], strict=True):
            if member is not other:
                await self._greet(member, other)

    async def _greet(self, member: Member, other: Member) -> None:
        async def greet() -> bool:
            async with member.app.session(other.name, mls=self._stage.scenario.mls) as session:
                self._ledger.part(session.number, member.number, self._world.now)
                answer = await session.request(b"ask/%d/0/" % member.number, PROBE)
                return bool(answer.payload == b"re/%d/0/" % member.number)

        if not await member.host.call(self._stage.limited("greet", greet())):
            self._ledger.found("deaf", f"{member.number} cannot talk to {other.number} in a fresh session")

    async def _close(self) -> None:
        """All ends; `World.end` counts what is left."""
        self._world.note("the end")
        for member in self._cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                if held.leads:
                    await member.host.call(self._stage.limited("close", held.session.close(20.0).wait()))
        await asyncio.sleep(60.0)
        for member in self._cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                text = (
                    f"session {held.session.number} of {member.number} goes on after its moderator closed it"
                )
                self._ledger.found("ghost", text)
                await member.host.call(self._stage.limited("leave", held.session.close(20.0).wait()))
