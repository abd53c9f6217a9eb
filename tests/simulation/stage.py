"""What the steps of a scenario are played on: a World, its cast, and the ledger of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from actors.messages.session import AppSettings
from actors.names import Name
from gateway import (
    ConnectionLost,
    MessageLost,
    ParticipantDisconnected,
    Session,
    SessionClosed,
    Slim,
    SlimError,
)
from gateway.testing import Issuer, SimHost, World
from tests.simulation.ledger import Ledger, Part
from tests.simulation.scenario import Scenario, Step

INTERVAL, RETRIES = 1.0, 8
ROUND = INTERVAL * (RETRIES + 1)
"""Seconds in which a message or a request is answered, or has failed (`docs/signs-of-life.md`)."""
GRACE = ASK = 20.0
CALL = 120.0
"""Seconds in which every call has ended: a change of a group waits for those before it."""
TIMES = {
    "open": 3 * ROUND,  # discovery, join, welcome
    "publish": 2 * ROUND,  # the welcome of the first member may come before
    "crowd": 3 * ROUND,  # so may those who came before
    "probe": ROUND,
    "request": ASK,
    "close": GRACE + ROUND,
    "leave": GRACE + ROUND,
}
"""Seconds that calls are documented to take, if their host runs."""
SLACK = 2.0
"""Seconds that lines and other tasks may add."""
LEEWAY = 2.0
"""Seconds that tokens of an issuer are good for beyond their end."""
MODERATED = Name("org", "cast", "moderated")
"""The channel that a scripted moderator leads."""


Identity = tuple[Any, Any]
"""Provider and verifier."""


@dataclass(slots=True)
class Held:
    """A session that an application holds, with the task that reads it."""

    session: Session
    leads: bool
    moderated: bool
    """Whether a scripted moderator leads it."""
    reader: asyncio.Task[Any]


class Member:
    """One application of the cast."""

    def __init__(
        self, number: int, host: SimHost, node: SimHost, app: Slim, identity: Identity, stage: Stage
    ) -> None:
        self.number, self.host, self.node, self.app = number, host, node, app
        self.identity = identity
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
        """Take what others open, looking at each first, as programs do."""
        while True:
            try:
                async for session in self.app.sessions():
                    _ = session.id, session.src, session.dst, session.session_type, session.metadata
                    self.hold(session, leads=False)
            except ConnectionLost:
                # By our own will: it goes on with the next connection.
                await asyncio.sleep(0.1)
                continue
            except Exception as error:
                self._stage.ledger.found(
                    "accepting", f"that of {self.number}: {type(error).__name__}: {error}"
                )
                continue
            if not self.app.closed:
                self._stage.ledger.found("accepting", f"that of {self.number} ended before its application")
            return

    def hold(self, session: Session, *, leads: bool) -> None:
        stage = self._stage
        stage.ledger.joined(session.number, self.number, stage.world.now)
        moderated = session.dst.without_id() == MODERATED
        reader = self.host.call(self._reading(session), f"reader of {self.number}")
        self.held.append(Held(session, leads, moderated, reader))

    async def _reading(self, session: Session) -> None:
        try:
            await self._read(session)
        except Exception as error:
            text = f"reading of {self.number} raised {type(error).__name__}: {error}"
            self._stage.ledger.found("untyped", text)

    async def _read(self, session: Session) -> None:
        stage = self._stage
        part = stage.ledger.part(session.number, self.number)
        calm = stage.scenario.profile.calm
        while True:
            try:
                message = await session.get_message()
            except SessionClosed:
                # Not before all that was delivered is received, as a session that is over may have more.
                break
            except SlimError as error:
                if calm and isinstance(error, MessageLost):
                    self._gap(session, part, error)
                continue
            what, sender, number = message.payload[:64].split(b"/")[:3]
            if what == b"ask":
                await stage.limited(self, "reply", message.reply(b"re/%s/%s/" % (sender, number)))
            elif what == b"say":
                part.heard.append((int(sender), int(number), stage.world.now))
                stage.look_at_speaker(self, int(sender))
        if part.over is None:
            part.over = stage.world.now
        why = session.closed_because
        if calm and isinstance(why, ParticipantDisconnected) and why.cause != "left":
            stage.ledger.found("abrupt", f"session {session.number} of {self.number} ended: {why}")

    def _gap(self, session: Session, part: Part, error: MessageLost) -> None:
        """Only who has begun to go may have holes for good, in what it says and in what it hears."""
        ledger = self._stage.ledger
        speaker = ledger.part(session.number, number_of(Name.parse(error.source)))
        if part.over is None and speaker.over is None:
            ledger.found("gap", f"session {session.number}: {self.number} heard: {error}")

    def next_number(self, session: int) -> int:
        self._counts[session] = self._counts.get(session, 0) + 1
        return self._counts[session]


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
        self.nodes: list[SimHost] = []
        self.backbone: SimHost | None = None
        """The host on which all nodes stand, where there is one."""
        self.controller: SimHost | None = None
        self.issuer: Issuer | None = None
        """Of the tokens of all, where there is one."""
        self.moderator: SimHost | None = None
        """The host of a scripted moderator, where there is one."""
        self.porter: SimHost | None = None
        """That of an application that stays in its group: one whose last member leaves is over (`session.md`
        9.2)."""
        self.ordered: dict[str, Member] = {}
        """Channels that a controller was asked for, and who is to lead them."""
        self.cast: list[Member] = []
        self.calls: set[asyncio.Task[Any]] = set()
        """Those that have not ended."""
        self.failed_invitations: dict[tuple[int, int], Held] = {}
        """By session and guest: who invited it, and heard that it failed."""
        self.wrong_clocks: set[SimHost] = set()
        """Hosts whose clock on the wall was set by a fault."""
        self._asleep: dict[str, list[tuple[float, float]]] = {}
        self._asleep_since: dict[str, float] = {}

    async def assemble(self) -> None:
        world, scenario = self.world, self.scenario
        options: dict[str, Any] = {"high_water": 4096, "patience": 0.3} if scenario.profile.small else {}
        names = ["node", *(f"node{number}" for number in range(1, scenario.profile.nodes))]
        if scenario.profile.backbone:
            self.nodes = await world.backbone("backbone", *names, **options)
            self.backbone = world.host("backbone")
        elif scenario.profile.controlled:
            self.nodes = await world.controller("controller", *names, **options)
            self.controller = world.host("controller")
        elif len(names) == 1:
            self.nodes = [await world.node("node", **options)]
        else:
            self.nodes = await world.peers(*names, **options)
        if scenario.profile.issued:
            self.issuer = world.issuer(lifetime=scenario.profile.lifetime, leeway=LEEWAY)
        for number in range(scenario.applications):
            shares = scenario.profile.shared and number == 1
            host = world.host("host0" if shares else f"host{number}", **options)
            node = self.nodes[number % len(self.nodes)]
            line = world.line(host, node)
            line.jitter, line.loss = scenario.profile.jitter, 0.0
            settings = AppSettings(inbox=16) if scenario.profile.small else None
            identity = self._identity(number, host)
            app = await host.application(name_of(number), node, settings=settings, identity=identity)
            member = Member(number, host, node, app, identity, self)
            self.cast.append(member)
            host.call(member.accept(), f"accepting of {number}")
        if scenario.profile.moderated:
            self.moderator, self.porter = world.host("moderator"), world.host("porter")
        for member in self.cast:
            for other in self.cast:
                if other is not member:
                    await member.app.set_route(other.name)
            world.line(member.host, member.node).loss = scenario.profile.loss

    def _identity(self, number: int, host: SimHost) -> Identity:
        name = str(name_of(number))
        if self.issuer is not None:
            return self.issuer.identity(name, host)
        return host.identity(name, self.scenario.profile.lifetime or None)

    @property
    def servers(self) -> list[SimHost]:
        """Nodes, what they stand on or obey, who leads a group by a script, and who issues tokens."""
        issuer = None if self.issuer is None else self.issuer.host
        others = (self.backbone, self.controller, self.moderator, issuer)
        return [*self.nodes, *(host for host in others if host is not None)]

    def look_at_speaker(self, listener: Member, number: int) -> None:
        """Who hears somebody whose token ran out so long ago that nothing of before can be on its way?"""
        if (
            self.issuer is None
            or number >= len(self.cast)
            or listener.host in self.wrong_clocks
            or listener.host.name in self._asleep
        ):
            return
        out = self.issuer.host.wall() - self.cast[number].identity[0].expires_at - LEEWAY
        if out > ROUND + SLACK:
            text = f"{listener.number} hears {number}, whose token ran out {out:.3f} s ago"
            self.ledger.found("expired", text)

    def led_by_order(self, member: Member, held: Held) -> bool:
        """Whether `member` leads this session because a controller said so."""
        return self.ordered.get("/".join(held.session.dst.strings)) is member

    def call(self, member: Member, what: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begin a call there that ends in its documented time."""
        self.keep(member.host.call(self.limited(member, what, coroutine), what))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Wait for it before the end."""
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    def sleeps(self, host: SimHost) -> None:
        """A host stands still from now on, if it did not before."""
        self._asleep_since.setdefault(host.name, self.world.now)

    def slept(self, host: SimHost) -> None:
        """A host stood still until now, if it did."""
        since = self._asleep_since.pop(host.name, None)
        if since is not None:
            self._asleep.setdefault(host.name, []).append((since, self.world.now))

    async def limited(self, member: Member, what: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await a call: it ends in its time, and fails with typed errors only."""
        began = self.world.now
        try:
            async with asyncio.timeout(CALL):
                return await coroutine
        except SlimError:
            return None
        except TimeoutError:
            pass
        except Exception as error:
            self.ledger.found("untyped", f"{what} raised {type(error).__name__}: {error}")
        finally:
            asleep = self._asleep.get(member.host.name, ())
            awake = (
                self.world.now
                - began
                - sum(until - max(began, since) for since, until in asleep if until > began)
            )
            limit = TIMES.get(what, CALL) + SLACK
            if member.host.up and awake > limit:
                text = f"{what} of {member.number} at {began:.3f} took {awake:.3f} s, not {limit:g}"
                self.ledger.found("alone" if what == "alone" else "late", text)
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
