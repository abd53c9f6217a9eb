"""Plays a scenario in a World, then heals all, waits, probes, closes, and counts.

steps ──► heal ──► long quiet ──► probe of every member ──► fresh sessions ──► close ──► nothing is left
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

from actors.messages.session import AppSettings
from actors.messages.wire import MessageType
from actors.names import Name
from gateway import Message, Session, SessionConfiguration, SessionType, Slim, SlimError
from gateway.testing import Leftovers, SimHost, World, WorldError
from tests.simulation.ledger import Finding, Ledger, Sent
from tests.simulation.scenario import Scenario, Step

INTERVAL, RETRIES = 1.0, 8
CALL = 120.0
"""Virtual seconds in which every call has ended: several times what any is documented to take."""
PROBE = 30.0


class Result(NamedTuple):
    """What came of a scenario."""

    findings: tuple[Finding, ...]
    digest: str
    seconds: float
    """Virtual seconds that it took."""
    story: str

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(finding.kind for finding in self.findings)


@dataclass(slots=True)
class Held:
    """A session that an application holds, with the task that reads it."""

    session: Session
    leads: bool
    reader: asyncio.Task[Any]


class Member:
    """One application of the cast."""

    def __init__(self, number: int, host: SimHost, app: Slim, player: Player) -> None:
        self.number, self.host, self.app = number, host, app
        self.held: list[Held] = []
        self._player = player
        self._counts: dict[int, int] = {}

    @property
    def name(self) -> Name:
        return name_of(self.number)

    def sessions(self) -> list[Held]:
        """Those that can be used."""
        return [held for held in self.held if not held.session.closed]

    async def accept(self) -> None:
        """Take what others open."""
        async for session in self.app.sessions():
            self.hold(session, leads=False)

    def hold(self, session: Session, *, leads: bool) -> None:
        player = self._player
        player.ledger.part(session.number, self.number, player.world.now)
        reader = self.host.call(self._read(session), f"reader of {self.number}")
        self.held.append(Held(session, leads, reader))

    async def _read(self, session: Session) -> None:
        player = self._player
        part = player.ledger.part(session.number, self.number, player.world.now)
        while True:
            try:
                message = await session.get_message()
            except SlimError:
                if session.over:
                    break
                continue
            await self._heard(message, part.heard)
        if part.over is None:
            part.over = player.world.now

    async def _heard(self, message: Message, heard: list[tuple[int, int, float]]) -> None:
        what, sender, number = message.payload[:64].split(b"/")[:3]
        if what == b"ask":
            await self._player.limited("reply", message.reply(b"re/%s/%s/" % (sender, number)))
        elif what == b"say":
            heard.append((int(sender), int(number), self._player.world.now))

    def next_number(self, session: int) -> int:
        self._counts[session] = self._counts.get(session, 0) + 1
        return self._counts[session]

    def over(self, session: Session) -> None:
        """It ends by our own will."""
        part = self._player.ledger.part(session.number, self.number, self._player.world.now)
        if part.over is None:
            part.over = self._player.world.now


def name_of(number: int) -> Name:
    """The name of an application of the cast."""
    return Name("org", "cast", f"app{number}")


class Player:
    """Plays one scenario."""

    def __init__(self, scenario: Scenario, *, strict: bool = False) -> None:
        self.scenario = scenario
        self.ledger = Ledger()
        self.world = World(scenario.seed, strict=strict, limit=20_000.0)
        self.cast: list[Member] = []
        self._calls: set[asyncio.Task[Any]] = set()
        self._faults: set[asyncio.Task[Any]] = set()
        self._groups = 0

    def play(self) -> Result:
        """Play it all."""
        try:
            self.world.run(self._main)
        except Leftovers as error:
            for line in error.found:
                self.ledger.found("left", line)
        except WorldError as error:
            self.ledger.found("stuck", str(error))
        self.ledger.check()
        world = self.world
        return Result(tuple(self.ledger.findings), world.trace.digest(), world.now, world.story(200))

    async def _main(self, world: World) -> None:
        await self._assemble()
        for step in self.scenario.steps:
            await asyncio.sleep(max(0.0, step.at - world.now))
            world.note(f"step {step.verb} {step.one} {step.two} {step.size} {step.time} {step.word}")
            self._take(step)
        await asyncio.sleep(1.0)
        if self._faults:
            await asyncio.wait(self._faults, timeout=80.0)
        world.note("heal")
        world.heal()
        for host in world.hosts:
            if not host.up and host.name == "node":
                await host.restart()
        await world.quiet()
        await self._finish_calls()
        await self._probe()
        await self._refresh()
        await self._close()

    # Before

    async def _assemble(self) -> None:
        world, scenario = self.world, self.scenario
        options: dict[str, Any] = {"high_water": 4096, "patience": 0.3} if scenario.profile.small else {}
        node = await world.node("node", **options)
        for number in range(scenario.applications):
            shares = scenario.profile.shared and number == 1
            host = world.host("host0" if shares else f"host{number}", **options)
            line = world.line(host, node)
            line.jitter, line.loss = scenario.profile.jitter, 0.0
            settings = AppSettings(inbox=16) if scenario.profile.small else None
            app = await host.application(name_of(number), node, settings=settings)
            member = Member(number, host, app, self)
            self.cast.append(member)
            host.call(member.accept(), f"accepting of {number}")
        for member in self.cast:
            for other in self.cast:
                if other is not member:
                    await member.app.set_route(other.name)
            world.line(member.host, node).loss = scenario.profile.loss

    # Steps

    def _take(self, step: Step) -> None:
        verb = getattr(self, f"_do_{step.verb}")
        verb(step)

    def _call(self, member: Member, what: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = member.host.call(self.limited(what, coroutine), what)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def limited(self, what: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await a call: it ends in time, and fails with typed errors only."""
        began = self.world.now
        try:
            async with asyncio.timeout(CALL):
                return await coroutine
        except SlimError:
            return None
        except TimeoutError:
            self.ledger.found("late", f"{what} of {began:.3f} has not ended after {CALL:g} s")
        except Exception as error:
            self.ledger.found("untyped", f"{what} raised {type(error).__name__}: {error}")
        return None

    def _member(self, number: int) -> Member | None:
        up = [member for member in self.cast if member.host.up]
        return up[number % len(up)] if up else None

    def _chosen(self, step: Step, *, leads: bool = False) -> tuple[Member, Held] | None:
        """A member, and a session of its."""
        found = [
            (member, held)
            for member in self.cast
            if member.host.up
            for held in member.sessions()
            if held.leads or not leads
        ]
        return found[step.one % len(found)] if found else None

    def _do_open(self, step: Step) -> None:
        member = self._member(step.one)
        if member is not None:
            other = self.cast[(member.number + 1 + step.two % (len(self.cast) - 1)) % len(self.cast)]
            self._call(member, "open", self._open(member, other))

    async def _open(self, member: Member, other: Member) -> None:
        config = SessionConfiguration.PointToPoint(INTERVAL, RETRIES, self.scenario.mls)
        session = await member.app.create_session(other.name, config)
        member.hold(session, leads=True)
        await session.established

    def _do_group(self, step: Step) -> None:
        member = self._member(step.one)
        if member is not None:
            self._groups += 1
            invited = [other for other in self.cast if other is not member and step.size >> other.number & 1]
            self._call(member, "group", self._group(member, self._groups, invited))

    async def _group(self, member: Member, number: int, invited: list[Member]) -> None:
        config = SessionConfiguration.Group(INTERVAL, RETRIES, self.scenario.mls)
        session = await member.app.create_session(Name("org", "cast", f"group{number}"), config)
        member.hold(session, leads=True)
        for handle in [await session.invite(other.name) for other in invited]:
            await self.limited("invite", handle.wait())

    def _do_invite(self, step: Step) -> None:
        if (chosen := self._chosen(step, leads=True)) is not None:
            member, held = chosen
            if held.session.session_type is SessionType.Group:
                self._call(member, "invite", self._invite(held, self.cast[step.two % len(self.cast)]))

    async def _invite(self, held: Held, other: Member) -> None:
        await (await held.session.invite(other.name))

    def _do_remove(self, step: Step) -> None:
        if (chosen := self._chosen(step, leads=True)) is None:
            return
        member, held = chosen
        others = [name for name in held.session.members if name != member.app.local_name]
        if held.session.session_type is SessionType.Group and others:
            self._call(member, "remove", self._remove(member, held, others[step.two % len(others)]))

    async def _remove(self, member: Member, held: Held, name: Name) -> None:
        removed = number_of(name)
        part = self.ledger.part(held.session.number, removed, self.world.now)
        if part.over is None:
            part.over = self.world.now
        await (await held.session.remove(name))

    def _do_leave(self, step: Step) -> None:
        if (chosen := self._chosen(step)) is not None and not chosen[1].leads:
            member, held = chosen
            member.over(held.session)
            self._call(member, "leave", held.session.close(20.0).wait())

    def _do_close(self, step: Step) -> None:
        if (chosen := self._chosen(step, leads=True)) is not None:
            member, held = chosen
            self._all_over(held.session)
            self._call(member, "close", held.session.close(20.0).wait())

    def _all_over(self, session: Session) -> None:
        for part in self.ledger.parts.get(session.number, {}).values():
            if part.over is None:
                part.over = self.world.now

    def _do_give_up(self, step: Step) -> None:
        """Begin to open a session, and lose interest at once or a little later."""
        member = self._member(step.one)
        if member is None:
            return
        other = self.cast[(member.number + 1) % len(self.cast)]

        async def give_up() -> None:
            opening = asyncio.ensure_future(self._open(member, other))
            await asyncio.sleep(step.size % 100 / 1000)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

        self._call(member, "give up", give_up())

    def _do_burst(self, step: Step) -> None:
        if (chosen := self._chosen(step)) is not None:
            self._call(chosen[0], "publish", self._publish(*chosen, 1 + step.size % 40, 20))

    def _do_large(self, step: Step) -> None:
        if (chosen := self._chosen(step)) is not None:
            self._call(chosen[0], "publish", self._publish(*chosen, 1 + step.size % 3, 100_000))

    async def _publish(self, member: Member, held: Held, count: int, size: int) -> None:
        session = held.session
        handles = []
        for _ in range(count):
            # Who is alone has nobody to talk to.
            if session.closed or len(session.members) < 2:
                break
            audience = frozenset(number_of(name) for name in session.members) - {member.number}
            number = member.next_number(session.number)
            sent = Sent(number, self.world.now, audience)
            self.ledger.part(session.number, member.number, self.world.now).sent.append(sent)
            head = b"say/%d/%d/" % (member.number, number)
            handles.append((sent, await session.publish(head.ljust(size, b"."))))
        for sent, handle in handles:
            try:
                await handle
                sent.acknowledged = self.world.now
            except SlimError as error:
                sent.failed = type(error).__name__

    def _do_request(self, step: Step) -> None:
        chosen = self._chosen(step)
        if chosen is not None and chosen[1].session.session_type is SessionType.PointToPoint:
            self._call(chosen[0], "request", self._ask(*chosen))

    async def _ask(self, member: Member, held: Held) -> None:
        number = member.next_number(held.session.number)
        answer = await held.session.request(b"ask/%d/%d/" % (member.number, number), 20.0)
        if answer.payload != b"re/%d/%d/" % (member.number, number):
            self.ledger.found("answer", f"{member.number} asked {number} and got {answer.payload[:40]!r}")

    def _do_pause(self, step: Step) -> None:
        """Nothing happens for a while."""

    # Faults

    def _fault(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._faults.add(task)
        task.add_done_callback(self._faults.discard)

    def _line(self, step: Step) -> Any:
        member = self.cast[step.one % len(self.cast)]
        return self.world.line(member.host, "node")

    def _do_lose(self, step: Step) -> None:
        self._line(step).lose(MessageType[step.word], step.size)

    def _do_freeze(self, step: Step) -> None:
        member = self._member(step.one)
        if member is not None:
            self._fault(self._frozen(member.host, step.time))

    async def _frozen(self, host: SimHost, seconds: float) -> None:
        host.freeze()
        await asyncio.sleep(seconds)
        if host.up:
            host.thaw()

    def _do_doze(self, step: Step) -> None:
        """A laptop sleeps, and its connection is broken when it wakes."""
        member = self._member(step.one)
        if member is not None:
            self._fault(self._dozed(member.host, step.time))

    async def _dozed(self, host: SimHost, seconds: float) -> None:
        host.freeze()
        line = self.world.line(host, "node")
        line.cut()
        await asyncio.sleep(seconds)
        line.mend()
        if host.up:
            host.thaw()

    def _do_cut(self, step: Step) -> None:
        line = self._line(step)
        self._fault(self._broken(line, line.cut, step.time))

    def _do_stall(self, step: Step) -> None:
        line = self._line(step)
        self._fault(self._broken(line, lambda: line.stall(line.ends[step.two]), step.time))

    async def _broken(self, line: Any, verb: Any, seconds: float) -> None:
        loss = line.loss
        verb()
        await asyncio.sleep(seconds)
        line.mend()
        line.loss = loss

    def _do_restart(self, step: Step) -> None:
        self._fault(self._restarted(self.world.host("node"), step.time % 15, loudly=step.two == 0))

    async def _restarted(self, host: SimHost, seconds: float, *, loudly: bool) -> None:
        if host.up:
            host.kill(loudly=loudly)
        await asyncio.sleep(seconds)
        if not host.up:
            await host.restart()

    def _do_kill(self, step: Step) -> None:
        """A program dies for good. The last two live on."""
        member = self._member(step.one)
        if member is not None and len({each.host for each in self.cast if each.host.up}) > 2:
            for each in self.cast:
                if each.host is member.host:
                    for parts in self.ledger.parts.values():
                        if each.number in parts and parts[each.number].over is None:
                            parts[each.number].over = self.world.now
            member.host.kill(loudly=step.two == 0)

    # Afterwards

    async def _finish_calls(self) -> None:
        """Calls end in their time; `limited` finds those that do not."""
        calls = {call for call in self._calls if not call.done()}
        if calls:
            await asyncio.wait(calls, timeout=CALL + 5.0)
        await self.world.quiet()

    async def _probe(self) -> None:
        """What any member says now, all that it knows of hear."""
        self.world.note("probe")
        for member in self.cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                await self._probe_one(member, held)

    async def _probe_one(self, member: Member, held: Held) -> None:
        session = held.session
        if session.closed or len(session.members) < 2:
            return
        before = len(self.ledger.part(session.number, member.number, 0.0).sent)
        await member.host.call(self.limited("probe", self._publish(member, held, 1, 20)))
        for sent in self.ledger.part(session.number, member.number, 0.0).sent[before:]:
            if sent.acknowledged is None and not session.over:
                text = f"a probe of {member.number} in session {session.number} failed: {sent.failed}"
                self.ledger.found("deaf", text)

    async def _refresh(self) -> None:
        """Neighbours can open sessions as on the first day."""
        self.world.note("refresh")
        up = [member for member in self.cast if member.host.up]
        for member, other in zip(up, up[1:] + up[:1], strict=True):
            if member is not other:
                await self._greet(member, other)

    async def _greet(self, member: Member, other: Member) -> None:
        async def greet() -> bool:
            async with member.app.session(other.name, mls=self.scenario.mls) as session:
                self.ledger.part(session.number, member.number, self.world.now)
                answer = await session.request(b"ask/%d/0/" % member.number, PROBE)
                return bool(answer.payload == b"re/%d/0/" % member.number)

        if not await member.host.call(self.limited("greet", greet())):
            self.ledger.found("deaf", f"{member.number} cannot talk to {other.number} in a fresh session")

    async def _close(self) -> None:
        """All ends; `World.end` counts what is left."""
        self.world.note("the end")
        for member in self.cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                if held.leads:
                    await member.host.call(self.limited("close", held.session.close(20.0).wait()))
        await asyncio.sleep(60.0)
        for member in self.cast:
            if not member.host.up:
                continue
            for held in member.sessions():
                text = (
                    f"session {held.session.number} of {member.number} goes on after its moderator closed it"
                )
                self.ledger.found("ghost", text)
                await member.host.call(self.limited("leave", held.session.close(20.0).wait()))


def number_of(name: Name) -> int:
    """Which application of the cast has this name."""
    return int(name.strings[2].removeprefix("app"))


def play(profile: str, seed: int, *, strict: bool = False) -> Result:
    """Play the scenario of a profile and a seed."""
    return Player(Scenario.draw(profile, seed), strict=strict).play()
