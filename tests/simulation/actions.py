"""What applications do: open, invite, talk, leave, close."""

from __future__ import annotations

import asyncio

from actors.names import Name
from gateway import Session, SessionConfiguration, SessionType, SlimError
from tests.simulation.ledger import Sent
from tests.simulation.scenario import Step
from tests.simulation.stage import Held, Member, Stage, number_of

INTERVAL, RETRIES = 1.0, 8


class Actions:
    """A method for each verb of a step."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._cast = stage, stage.cast
        self._world, self._ledger = stage.world, stage.ledger
        self._groups = 0

    def do_open(self, step: Step) -> None:
        member = self._stage.member(step.one)
        if member is not None:
            other = self._cast[(member.number + 1 + step.two % (len(self._cast) - 1)) % len(self._cast)]
            self._stage.call(member, "open", self._open(member, other))

    async def _open(self, member: Member, other: Member) -> None:
        config = SessionConfiguration.PointToPoint(INTERVAL, RETRIES, self._stage.scenario.mls)
        session = await member.app.create_session(other.name, config)
        member.hold(session, leads=True)
        await session.established

    def do_group(self, step: Step) -> None:
        member = self._stage.member(step.one)
        if member is not None:
            self._groups += 1
            invited = [other for other in self._cast if other is not member and step.size >> other.number & 1]
            self._stage.call(member, "group", self._group(member, self._groups, invited))

    async def _group(self, member: Member, number: int, invited: list[Member]) -> None:
        config = SessionConfiguration.Group(INTERVAL, RETRIES, self._stage.scenario.mls)
        session = await member.app.create_session(Name("org", "cast", f"group{number}"), config)
        member.hold(session, leads=True)
        for handle in [await session.invite(other.name) for other in invited]:
            await self._stage.limited("invite", handle.wait())

    def do_invite(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is not None:
            member, held = chosen
            if held.session.session_type is SessionType.Group:
                self._stage.call(member, "invite", self._invite(held, self._cast[step.two % len(self._cast)]))

    async def _invite(self, held: Held, other: Member) -> None:
        await (await held.session.invite(other.name))

    def do_remove(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is None:
            return
        member, held = chosen
        others = [name for name in held.session.members if name != member.app.local_name]
        if held.session.session_type is SessionType.Group and others:
            self._stage.call(member, "remove", self._remove(member, held, others[step.two % len(others)]))

    async def _remove(self, member: Member, held: Held, name: Name) -> None:
        removed = number_of(name)
        part = self._ledger.part(held.session.number, removed, self._world.now)
        if part.over is None:
            part.over = self._world.now
        await (await held.session.remove(name))

    def do_leave(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step)) is not None and not chosen[1].leads:
            member, held = chosen
            member.over(held.session)
            self._stage.call(member, "leave", held.session.close(20.0).wait())

    def do_close(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is not None:
            member, held = chosen
            self._all_over(held.session)
            self._stage.call(member, "close", held.session.close(20.0).wait())

    def _all_over(self, session: Session) -> None:
        for part in self._ledger.parts.get(session.number, {}).values():
            if part.over is None:
                part.over = self._world.now

    def do_give_up(self, step: Step) -> None:
        """Begin to open a session, and lose interest at once or a little later."""
        member = self._stage.member(step.one)
        if member is None:
            return
        other = self._cast[(member.number + 1) % len(self._cast)]

        async def give_up() -> None:
            opening = asyncio.ensure_future(self._open(member, other))
            await asyncio.sleep(step.size % 100 / 1000)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

        self._stage.call(member, "give up", give_up())

    def do_burst(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step)) is not None:
            self._stage.call(chosen[0], "publish", self.publish(*chosen, 1 + step.size % 40, 20))

    def do_large(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step)) is not None:
            self._stage.call(chosen[0], "publish", self.publish(*chosen, 1 + step.size % 3, 100_000))

    async def publish(self, member: Member, held: Held, count: int, size: int) -> None:
        session = held.session
        handles = []
        for _ in range(count):
            # Who is alone has nobody to talk to.
            if session.closed or len(session.members) < 2:
                break
            audience = frozenset(number_of(name) for name in session.members) - {member.number}
            number = member.next_number(session.number)
            sent = Sent(number, self._world.now, audience)
            self._ledger.part(session.number, member.number, self._world.now).sent.append(sent)
            head = b"say/%d/%d/" % (member.number, number)
            handles.append((sent, await session.publish(head.ljust(size, b"."))))
        for sent, handle in handles:
            try:
                await handle
                sent.acknowledged = self._world.now
            except SlimError as error:
                sent.failed = type(error).__name__

    def do_request(self, step: Step) -> None:
        chosen = self._stage.chosen(step)
        if chosen is not None and chosen[1].session.session_type is SessionType.PointToPoint:
            self._stage.call(chosen[0], "request", self._ask(*chosen))

    async def _ask(self, member: Member, held: Held) -> None:
        number = member.next_number(held.session.number)
        answer = await held.session.request(b"ask/%d/%d/" % (member.number, number), 20.0)
        if answer.payload != b"re/%d/%d/" % (member.number, number):
            self._ledger.found("answer", f"{member.number} asked {number} and got {answer.payload[:40]!r}")

    def do_pause(self, step: Step) -> None:
        """Nothing happens for a while."""
