"""What is asked of a scenario when all has healed: calls end, members hear, all can be closed."""

from __future__ import annotations

import asyncio

from gateway.testing.looking import wrongs
from tests.simulation.actions import Actions
from tests.simulation.moderated import ModeratedGroup
from tests.simulation.orders import Orders
from tests.simulation.stage import CALL, GRACE, Held, Member, Stage

PROBE = 30.0


class Afterwards:
    """`play` does it all."""

    def __init__(self, stage: Stage, actions: Actions, orders: Orders, group: ModeratedGroup) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._actions = actions
        self._orders = orders
        self._group = group

    async def play(self) -> None:
        """Probe, refresh and close; the ledger has what was found."""
        await self._finish_calls()
        await self._orders.look()
        await self._group.look()
        self._look_at_invitations()
        for text in wrongs(self._world.hosts, self._world.loop):
            self._ledger.found("left", text)
        await self._probe()
        await self._refresh()
        await self._close()

    async def _finish_calls(self) -> None:
        """Calls end in their time; `limited` finds those that do not."""
        calls = {call for call in self._stage.calls if not call.done()}
        if calls:
            await asyncio.wait(calls, timeout=CALL + 5.0)
            await self._world.quiet()

    def _look_at_invitations(self) -> None:
        """Whose invitation failed is not in."""
        for (number, guest), held in self._stage.failed_invitations.items():
            member, session = self._cast[guest], held.session
            if session.closed or not member.host.up:
                continue
            listed = member.app.local_name in session.members
            if listed and any(each.session.number == number for each in member.sessions()):
                text = f"that of {guest} to session {number} failed, and it is in"
                self._ledger.found("invitation", text)

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
        before = len(self._ledger.part(session.number, member.number).sent)
        await member.host.call(
            self._stage.limited(member, "probe", self._actions.publish(member, held, 1, 20))
        )
        for sent in self._ledger.part(session.number, member.number).sent[before:]:
            if sent.acknowledged is None and not session.over:
                text = f"a probe of {member.number} in session {session.number} failed: {sent.failed}"
                self._ledger.found("deaf", text)

    async def _refresh(self) -> None:
        """Neighbours can open sessions as on the first day; in a short scenario two of them do."""
        self._world.note("refresh")
        up = [member for member in self._cast if member.host.up]
        pairs = list(zip(up, up[1:] + up[:1], strict=True))
        if self._stage.scenario.short:
            pairs = [pairs[self._stage.scenario.seed % len(pairs)]]
        for member, other in pairs:
            if member is not other:
                await self._greet(member, other)

    async def _greet(self, member: Member, other: Member) -> None:
        async def greet() -> bool:
            async with member.app.session(other.name, mls=self._stage.scenario.mls) as session:
                answer = await session.request(b"ask/%d/0/" % member.number, PROBE)
                return bool(answer.payload == b"re/%d/0/" % member.number)

        if not await member.host.call(self._stage.limited(member, "greet", greet())):
            self._ledger.found("deaf", f"{member.number} cannot talk to {other.number} in a fresh session")

    async def _close(self) -> None:
        """All ends, and applications hold nothing; `World.end` counts what else is left."""
        self._world.note("the end")
        await self._orders.close()
        await self._group.close()
        for member in self._cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                if held.leads:
                    await member.host.call(
                        self._stage.limited(member, "close", held.session.close(GRACE).wait())
                    )
        await asyncio.sleep(60.0)
        for member in self._cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                text = (
                    f"session {held.session.number} of {member.number} goes on after its moderator closed it"
                )
                self._ledger.found("ghost", text)
                await member.host.call(self._stage.limited(member, "leave", held.session.close(GRACE).wait()))
        up = [member for member in self._cast if member.host.up]
        for member in up:
            await self._look_at_remains(member)
        if len(up) < len(self._cast):
            # Of the dead nodes may not know yet.
            return
        for node in self._stage.nodes:
            routes = (await node.plane.status())["routes"]
            # On a backbone nodes know of nobody else's applications.
            known = len([member for member in up if self._stage.backbone is None or member.node is node])
            # One name is that from which a node gives the controller's orders.
            known += self._stage.controller is not None
            known += self._stage.porter is not None and (
                self._stage.backbone is None or node is self._stage.nodes[0]
            )
            if routes["names"] != known:
                text = f"without a session {node.name} has {routes['names']} names of {known} applications"
                self._ledger.found("remains", text)

    async def _look_at_remains(self, member: Member) -> None:
        figures = (await member.app.status())["application"]
        names = ("sessions", "announced", "awaited", "bound", "congested", "parked")
        if held := {name: figures[name] for name in names if figures[name]}:
            self._ledger.found("remains", f"without a session {member.number} holds {held}")
