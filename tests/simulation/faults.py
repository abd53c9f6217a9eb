"""What happens to hosts and lines, each thing for some time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from actors.messages.wire import MessageType
from gateway import AuthError
from gateway.testing import SimHost
from tests.simulation.scenario import Step
from tests.simulation.stage import Member, Stage


class Faults:
    """A method for each kind of fault."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._faults: set[asyncio.Task[Any]] = set()
        self._apart: set[int] = set()
        """Applications that have no connection, by their own will."""

    async def over(self) -> None:
        """Wait until what was begun has passed."""
        if self._faults:
            await asyncio.wait(self._faults, timeout=80.0)

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Let it pass before the end."""
        task = asyncio.ensure_future(coroutine)
        self._faults.add(task)
        task.add_done_callback(self._faults.discard)

    def _line(self, step: Step) -> Any:
        member = self._cast[step.one % len(self._cast)]
        return self._world.line(member.host, member.node)

    def do_lose(self, step: Step) -> None:
        self._line(step).lose(MessageType[step.word], step.size)

    def do_freeze(self, step: Step) -> None:
        member = self._stage.member(step.one)
        if member is not None:
            self.begin(self.frozen(member.host, step.time))

    async def frozen(self, host: SimHost, seconds: float) -> None:
        """A host stands still."""
        self._fall_asleep(host)
        await asyncio.sleep(seconds)
        self._wake(host)

    def _fall_asleep(self, host: SimHost) -> None:
        self._stage.sleeps(host)
        host.freeze()

    def _wake(self, host: SimHost) -> None:
        """It wakes with the first of the faults for which it sleeps."""
        self._stage.slept(host)
        if host.up:
            host.thaw()

    def do_doze(self, step: Step) -> None:
        """A laptop sleeps, and its connection is broken when it wakes."""
        member = self._stage.member(step.one)
        if member is not None:
            self.begin(self._dozed(member, step.time))

    async def _dozed(self, member: Member, seconds: float) -> None:
        host = member.host
        self._fall_asleep(host)
        line = self._world.line(host, member.node)
        line.cut()
        await asyncio.sleep(seconds)
        line.mend()
        self._wake(host)

    def do_skew(self, step: Step) -> None:
        """A clock on the wall is wrong: by less than tokens allow for, or so much that they are refused."""
        member = self._stage.member(step.one)
        if member is not None:
            seconds = (20.0, 7200.0)[step.size % 2] * (1 if step.two else -1)
            self.begin(self.skewed(member.host, seconds, step.time))

    async def skewed(self, host: SimHost, seconds: float, time: float) -> None:
        """A host's clock is wrong."""
        self._stage.wrong_clocks.add(host)
        host.skew(seconds)
        await asyncio.sleep(time)
        host.skew(-seconds)

    def do_cut(self, step: Step) -> None:
        line = self._line(step)
        self.begin(self.broken(line, line.cut, step.time))

    def do_stall(self, step: Step) -> None:
        line = self._line(step)
        self.begin(self.broken(line, lambda: line.stall(line.ends[step.two]), step.time))

    def do_part(self, step: Step) -> None:
        """Two nodes lose each other, or one loses the backbone, or its controller."""
        nodes = self._stage.nodes
        other = self._stage.backbone or nodes[(step.one + 1) % len(nodes)]
        if self._stage.controller is not None and step.size == 1:
            other = self._stage.controller
        line = self._world.line(nodes[step.one % len(nodes)], other)
        self.begin(self.broken(line, line.cut if step.two else line.stall, step.time))

    async def broken(self, line: Any, verb: Any, seconds: float) -> None:
        """A line is not whole."""
        loss = line.loss
        verb()
        await asyncio.sleep(seconds)
        line.mend()
        line.loss = loss

    def do_restart(self, step: Step) -> None:
        servers = self._stage.servers
        host = servers[step.one % len(servers)]
        self.begin(self.restarted(host, self._away(host, step), loudly=step.two == 0))

    def _away(self, host: SimHost, step: Step) -> float:
        """A moderator may be away for longer than its members wait."""
        return step.time if host is self._stage.moderator else step.time % 15

    async def restarted(self, host: SimHost, seconds: float, *, loudly: bool) -> None:
        """A host is away."""
        if host.up:
            host.kill(loudly=loudly)
        await asyncio.sleep(seconds)
        if not host.up:
            await host.restart()

    def do_power(self, step: Step) -> None:
        """The machine of who keeps something on a disk loses its power, and what the disk has not synced."""
        host = self._stage.controller or self._stage.moderator
        if host is not None and host.up:
            host.cut_power()
            self.begin(self.restarted(host, self._away(host, step), loudly=False))

    def do_kill(self, step: Step) -> None:
        """A program dies for good. The last two live on."""
        member = self._stage.member(step.one)
        if member is not None and len({each.host for each in self._cast if each.host.up}) > 2:
            for each in self._cast:
                if each.host is member.host:
                    for parts in self._ledger.parts.values():
                        if each.number in parts and parts[each.number].over is None:
                            parts[each.number].over = self._world.now
                            parts[each.number].killed = True
            member.host.kill(loudly=step.two == 0)

    def do_reconnect(self, step: Step) -> None:
        """An application closes its connection, and connects again."""
        member = self._stage.member(step.one)
        if member is not None and member.number not in self._apart:
            self._apart.add(member.number)
            self._stage.keep(member.host.call(self._reconnected(member, step.time % 5), "reconnecting"))

    async def _reconnected(self, member: Member, seconds: float) -> None:
        app, endpoint = member.app, f"sim://{member.node.name}"
        await app.disconnect(endpoint)
        await asyncio.sleep(seconds)
        while True:
            try:
                await app.connect({"endpoint": endpoint})
            except AuthError:
                await asyncio.sleep(1.0)
            else:
                break
        for other in self._cast:
            if other is not member:
                await app.set_route(other.name)
        self._apart.discard(member.number)
