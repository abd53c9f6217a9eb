"""What a controller is asked for in a scenario, and whether it is so in the end."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.messages.controller import (
    AddParticipant,
    CreateChannel,
    DeleteChannel,
    DeleteParticipant,
    ListChannels,
    ListNodes,
    ListRoutes,
)
from actors.names import Name
from gateway.controller.calls import CallError
from gateway.testing import SimHost
from tests.simulation.scenario import Step
from tests.simulation.stage import GRACE, SLACK, Held, Member, Stage

ORDER = 60.0
"""Seconds that a program waits for what it asked for."""
AGREED = 60.0
"""Seconds in which nodes and controller agree once all has healed: nodes dial again within ten."""


class Orders:
    """Of one scenario. Channels are led by applications of the cast, by order."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._channels = stage.ordered
        self._last = 0
        self._made: set[str] = set()
        """Channels that the controller said it has, and was not asked to end."""

    def do_order(self, step: Step) -> None:
        """A program asks the controller for something, and awaits what becomes of it."""
        controller = self._stage.controller
        if controller is None or not controller.up:
            return
        if not self._channels or step.size % 4 == 0:
            self._last += 1
            channel, leader = f"org/cast/ordered{self._last}", self._cast[step.one % len(self._cast)]
            self._channels[channel] = leader
            self._begin(controller, self._asked(controller, CreateChannel((_text(leader),), channel)))
            for guest in self._cast:
                if guest is not leader and step.two >> guest.number & 1:
                    self._begin(controller, self._added(controller, channel, leader, guest))
            return
        channel = sorted(self._channels)[step.one % len(self._channels)]
        leader, guest = self._channels[channel], self._cast[step.two % len(self._cast)]
        if step.size % 16 == 1:
            self._begin(controller, self._deleted(controller, channel, leader))
        elif guest is not leader:
            verb = self._removed if step.size % 4 == 1 else self._added
            self._begin(controller, verb(controller, channel, leader, guest))

    def _begin(self, controller: SimHost, coroutine: Any) -> None:
        self._stage.keep(controller.call(coroutine, "order"))

    async def _asked(self, host: SimHost, question: Any) -> bool:
        """Whether the controller did it. It answers in time, or says why not."""
        began, done = self._world.now, True
        assert host.controller is not None
        try:
            await host.controller.desk.change("test", "", question, ORDER)
        except CallError as error:
            done = False
            self._world.note(f"refused: {error.status}: {error.text}")
            if error.status == "INTERNAL":
                self._ledger.found("untyped", f"{question}: {error.text}")
        if (took := self._world.now - began) > ORDER + SLACK:
            self._ledger.found("late", f"{question} took {took:.3f} s")
        if done and isinstance(question, CreateChannel):
            self._made.add(question.channel)
        return done

    async def _added(self, host: SimHost, channel: str, leader: Member, guest: Member) -> None:
        if (held := self._led(channel, leader)) is not None:
            self._ledger.asked_back(held.session.number, guest.number, self._world.now)
        try:
            await self._asked(host, AddParticipant(channel, _text(guest)))
        finally:
            if held is not None:
                self._ledger.answered(held.session.number, guest.number, self._world.now)

    async def _removed(self, host: SimHost, channel: str, leader: Member, guest: Member) -> None:
        held = self._led(channel, leader)
        if held is None:
            return
        self._ledger.leaving(held.session.number, guest.number, self._world.now)
        if await self._asked(host, DeleteParticipant(channel, _text(guest))):
            self._ledger.left(held.session.number, guest.number, self._world.now)

    async def _deleted(self, host: SimHost, channel: str, leader: Member) -> None:
        self._made.discard(channel)
        if (held := self._led(channel, leader)) is not None:
            self._ledger.all_over(held.session.number, self._world.now)
        await self._asked(host, DeleteChannel(channel))

    def _led(self, channel: str, leader: Member) -> Held | None:
        """The session that a channel is, where its leader leads one."""
        for held in leader.sessions():
            if self._stage.led_by_order(leader, held) and "/".join(held.session.dst.strings) == channel:
                return held
        return None

    # In the end

    async def look(self) -> None:
        """What the controller wants is so: every node is registered, every link stands, members agree."""
        host = self._stage.controller
        if host is None:
            return
        wrong: list[str] = []
        for _ in range(round(AGREED)):
            wrong = [*await self._unregistered(host), *await self._apart(host)]
            if not wrong:
                break
            await asyncio.sleep(1.0)
        if all(step.verb != "power" for step in self._stage.scenario.steps):
            listed = {shown.channel for shown in await self._list(host, ListChannels())}
            wrong += [f"{channel} is forgotten" for channel in sorted(self._made - listed)]
        if self._stage.scenario.profile.calm:
            wrong += await self._strangers(host)
        for text in wrong:
            self._ledger.found("desired", text)

    async def close(self) -> None:
        """End all channels; those that the controller has forgotten, their leaders close."""
        host = self._stage.controller
        for channel, leader in self._channels.items():
            if not leader.host.up:
                continue
            for _ in range(len(leader.sessions())):
                held = self._led(channel, leader)
                if held is None:
                    break
                assert host is not None
                if not await host.call(self._asked(host, DeleteChannel(channel))):
                    close = held.session.close(GRACE).wait()
                    await leader.host.call(self._stage.limited(leader, "close", close))

    async def _list(self, host: SimHost, question: Any) -> Any:
        assert host.controller is not None
        return await host.call(host.controller.desk.ask(question))

    async def _unregistered(self, host: SimHost) -> list[str]:
        known = {node.id for node in await self._list(host, ListNodes()) if node.connected}
        return [f"{node.name} is not registered" for node in self._stage.nodes if node.name not in known]

    async def _apart(self, host: SimHost) -> list[str]:
        found, routes = [], await self._list(host, ListRoutes())
        nodes = {node.name: node for node in self._stage.nodes}
        if len(routes) != len(nodes) * (len(nodes) - 1) // 2:
            found.append(f"{len(routes)} links are wanted among {len(nodes)} nodes")
        for route in routes:
            stands = route.endpoint in nodes[route.source].plane.dialled()
            if route.status != "APPLIED" or not stands:
                there = "stands" if stands else "does not stand"
                found.append(f"{route.id} is {route.status} {route.reason}, and {there}")
        return found

    async def _strangers(self, host: SimHost) -> list[str]:
        """Members whom the controller did not ask for, and those it did who never left and are not in."""
        found = []
        for shown in await self._list(host, ListChannels()):
            leader = self._channels.get(shown.channel)
            held = None if leader is None else self._led(shown.channel, leader)
            if shown.read_only or leader is None or held is None:
                continue
            wanted = {Name.parse(name) for name in shown.members}
            members = {name.without_id() for name in held.session.members} - {leader.name}
            parts = self._ledger.parts.get(held.session.number, {})
            stayed = {
                member.name
                for member in self._cast
                if member.number in parts and parts[member.number].over is None
            }
            for name in sorted(map(str, (members - wanted) | (wanted & stayed) - members)):
                found.append(f"{shown.channel}: the controller and its moderator disagree about {name}")
        return found


def _text(member: Member) -> str:
    """An application, as a program names it."""
    return "/".join(member.name.strings)
