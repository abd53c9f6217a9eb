"""A group that a scripted moderator leads, whose journal is on the disk of a host that loses its power."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from actors.messages.wire import SessionMessage
from actors.moderation.script import text
from actors.names import Name
from gateway import Script, Slim, SlimError
from gateway.testing.moderating import lead
from tests.simulation.post import Post
from tests.simulation.scenario import Step
from tests.simulation.stage import (
    CALL,
    INTERVAL,
    MODERATED,
    RETRIES,
    Held,
    Member,
    Stage,
    name_of,
    number_of,
)

BACK = 2.0
"""Seconds after which who is out is asked back."""


class Usher(Script):
    """Has all guests in, takes out whom a member names, and asks everybody back. It answers each fourth
    message, and keeps what it heard."""

    interval = INTERVAL
    max_retries = RETRIES
    guests: tuple[Name, ...] = ()
    answer = "say"
    last: list[list[int]]
    """What the latest of them keeps, for the test to look at."""

    def on_start(self) -> None:
        # A group after one that is over goes on with its state.
        self.state = self.state or []
        for name in self.guests:
            self.invite(name)

    def on_member_left(self, member: Name, reason: str) -> None:
        self._later(member)

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self._later(name)

    def on_timer(self, name: str) -> None:
        if all(member.without_id() != Name.parse(name) for member in self.members):
            self.invite(name)

    def on_message(self, message: SessionMessage) -> None:
        what, one, two = text(message)[:64].split("/")[:3]
        if what == "end":
            self.close()
        elif what == "out":
            for member in self.members:
                if number_of(member) == int(one):
                    self.remove(member)
        elif what == "say":
            self.state.append([message.session_id, int(one), int(two)])
            if len(self.state) % 4 == 0:
                self.publish(f"{self.answer}/{number_of(self.local)}/{len(self.state)}/")
        type(self).last = list(self.state)

    def _later(self, name: Name) -> None:
        self.schedule(BACK, "/".join(name.strings))


async def _stay(app: Slim) -> None:
    """Take up one session after the other, and hear what is said."""
    async for session in app.sessions():
        async for _ in session:
            pass


class ModeratedGroup:
    """Of one scenario, if its profile has one."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._script = Usher

    async def begin(self) -> None:
        """Its moderator begins, and begins again after each restart."""
        porter = self._stage.porter
        if porter is None:
            return
        number = len(self._cast)
        stays = name_of(number + 1)
        app = await porter.application(stays, self._stage.nodes[0])
        porter.call(_stay(app), "staying")
        guests = (stays, *(member.name for member in self._cast))
        given = {"guests": guests, "mls": self._stage.scenario.mls, "last": []}
        if any(step.verb in ("power", "fail_over") for step in self._stage.scenario.steps):
            # What it said last it may say again: it has forgotten that.
            given["answer"] = "word"
        self._script = type("Usher", (Usher,), given)
        name = "/".join(name_of(number).strings)
        self._stage.post = Post(
            self._stage.moderators[0],
            lambda on, stop: lead(
                on, name, MODERATED, self._script, f"sim://{self._stage.node_of(on).name}", stop
            ),
        )
        self._stage.post.begin()

    def _held(self) -> Iterator[tuple[Member, Held]]:
        """Those that members hold or held."""
        for member in self._cast:
            yield from ((member, held) for held in member.held if held.moderated)

    def _led(self) -> list[tuple[Member, Held]]:
        """Those that can be used."""
        return [(member, held) for member, held in self._held() if member.host.up and not held.session.closed]

    def do_turn_out(self, step: Step) -> None:
        """A member asks the moderator to take out another, or itself."""
        if led := self._led():
            member, held = led[step.one % len(led)]
            out = step.two % len(self._cast)
            self._ledger.leaving(held.session.number, out, self._world.now)
            self._stage.call(member, "publish", self._said(held, b"out/%d/0/" % out))

    def do_hand_over(self, step: Step) -> None:
        """Another process goes on with the group, on the same host or on another."""
        up = [host for host in self._stage.moderators if host.up]
        if self._stage.post is not None and up:
            self._stage.post.hand_over(up[step.one % len(up)])

    async def _said(self, held: Held, what: bytes) -> None:
        await (await held.session.publish(what))

    # In the end

    async def look(self) -> None:
        """All are in, in one session: who was out was asked back."""
        if self._stage.post is None:
            return
        if self._stage.scenario.profile.calm:
            for why in self._stage.post.failures:
                self._ledger.found("abrupt", f"the moderator failed: {why}")
        for member, held in self._led():
            # A wish that its sender has given up may come now, behind this.
            await member.host.call(self._stage.limited(member, "publish", self._said(held, b"here/0/0/")))
        await self._world.quiet()
        everybody = {*range(len(self._cast) + 2)}
        led = self._led()
        for member in self._cast:
            held = [each for who, each in led if who is member]
            if len(held) != 1:
                self._ledger.found("absent", f"{member.number} is in {len(held)} moderated groups")
            for each in held:
                if missing := everybody - {number_of(name) for name in each.session.members}:
                    self._ledger.found("absent", f"{member.number} does not see {missing}")
        if len({held.session.number for _, held in led}) > 1:
            self._ledger.found("absent", "its members are in several sessions")

    async def close(self) -> None:
        """A member asks for the end, and it comes. Then the ledger learns what the moderator heard."""
        if self._stage.post is None:
            return
        for member, held in self._led()[:1]:
            for each in self._cast:
                self._ledger.leaving(held.session.number, each.number, self._world.now)
            said = self._stage.limited(member, "publish", self._said(held, b"end/0/0/"))
            await member.host.call(said)
        tasks = [task for host in self._stage.moderators for task in host.tasks]
        _, running = await asyncio.wait(tasks, timeout=CALL)
        if running:
            self._ledger.found("absent", "the moderator does not end when a member says so")
        for number in sorted({held.session.number for _, held in self._held()}):
            part = self._ledger.part(number, len(self._cast))
            part.joined = 0.0
            part.heard = [(who, said, 0.0) for session, who, said in self._script.last if session == number]
