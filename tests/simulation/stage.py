"""What the steps of a scenario are played on: a World, its cast, and the ledger of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from actors.messages.session import AppSettings
from actors.names import Name
from gateway import Message, Session, Slim, SlimError
from gateway.testing import SimHost, World
from tests.simulation.ledger import Ledger
from tests.simulation.scenario import Scenario, Step

CALL = 120.0
"""Virtual seconds in which every call has ended: several times what any is documented to take."""


@dataclass(slots=True)
class Held:
    """A session that an application holds, with the task that reads it."""

    session: Session
    leads: bool
    reader: asyncio.Task[Any]


class Member:
    """One application of the cast."""

    def __init__(self, number: int, host: SimHost, app: Slim, stage: Stage) -> None:
        self.number, self.host, self.app = number, host, app
        self.held: list[Held] = []
        self._stage = stage
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
        stage = self._stage
        stage.ledger.part(session.number, self.number, stage.world.now)
        reader = self.host.call(self._read(session), f"reader of {self.number}")
        self.held.append(Held(session, leads, reader))

    async def _read(self, session: Session) -> None:
        stage = self._stage
        part = stage.ledger.part(session.number, self.number, stage.world.now)
        while True:
            try:
                message = await session.get_message()
            except SlimError:
                if session.over:
                    break
                continue
            await self._heard(message, part.heard)
        if part.over is None:
            part.over = stage.world.now

    async def _heard(self, message: Message, heard: list[tuple[int, int, float]]) -> None:
        what, sender, number = message.payload[:64].split(b"/")[:3]
        if what == b"ask":
            await self._stage.limited("reply", message.reply(b"re/%s/%s/" % (sender, number)))
        elif what == b"say":
            heard.append((int(sender), int(number), self._stage.world.now))

    def next_number(self, session: int) -> int:
        self._counts[session] = self._counts.get(session, 0) + 1
        return self._counts[session]

    def over(self, session: Session) -> None:
        """It ends by our own will."""
        part = self._stage.ledger.part(session.number, self.number, self._stage.world.now)
        if part.over is None:
            part.over = self._stage.world.now


def name_of(number: int) -> Name:
    """The name of an application of the cast."""
    return Name("org", "cast", f"app{number}")


def number_of(name: Name) -> int:
    """Which application of the cast has this name."""
    return int(name.strings[2].removeprefix("app"))


class Stage:
    """Of one scenario."""

    def __init__(self, scenario: Scenario, *, strict: bool = False) -> None:
        self.scenario = scenario
        self.ledger = Ledger()
        self.world = World(scenario.seed, strict=strict, limit=20_000.0)
        self.cast: list[Member] = []
        self.calls: set[asyncio.Task[Any]] = set()
        """Those that have not ended."""

    async def assemble(self) -> None:
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

    def call(self, member: Member, what: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = member.host.call(self.limited(what, coroutine), what)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

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

    def member(self, number: int) -> Member | None:
        up = [member for member in self.cast if member.host.up]
        return up[number % len(up)] if up else None

    def chosen(self, step: Step, *, leads: bool = False) -> tuple[Member, Held] | None:
        """A member, and a session of its."""
        found = [
            (member, held)
            for member in self.cast
            if member.host.up
            for held in member.sessions()
            if held.leads or not leads
        ]
        return found[step.one % len(found)] if found else None
