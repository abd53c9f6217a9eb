"""What applications do: open, invite, talk, leave, close."""

from __future__ import annotations

import asyncio
from collections import Counter

from actors.names import Name
from gateway import (
    AuthError,
    CompletionHandle,
    HandshakeFailed,
    MessageUndelivered,
    Session,
    SessionConfiguration,
    SessionType,
    SlimError,
)
from tests.simulation.ledger import Sent
from tests.simulation.scenario import SAID, Step
from tests.simulation.stage import ASK, GRACE, INTERVAL, RETRIES, Held, Member, Stage, number_of

INSTANT = 1e-9
"""Seconds: after them all that a moment brought has happened."""


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
        held = member.held[-1]
        for other, handle in [(other, await self._asked(held, other)) for other in invited]:
            await self._stage.limited(member, "invite", self._joined(held, other, handle))

    def do_invite(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is not None:
            member, held = chosen
            if held.session.session_type is SessionType.Group:
                self._stage.call(member, "invite", self._invite(held, self._cast[step.two % len(self._cast)]))

    async def _invite(self, held: Held, other: Member) -> None:
        await self._joined(held, other, await self._asked(held, other))

    async def _asked(self, held: Held, other: Member) -> CompletionHandle:
        self._ledger.asked_back(held.session.number, other.number, self._world.now)
        try:
            return await held.session.invite(other.name)
        except BaseException:
            self._ledger.answered(held.session.number, other.number, self._world.now)
            raise

    async def _joined(self, held: Held, other: Member, handle: CompletionHandle) -> None:
        invitation = (held.session.number, other.number)
        try:
            await handle
        except HandshakeFailed as error:
            profile = self._stage.scenario.profile
            # To come in takes a token made for it, and an issuer may be away for a moment.
            if profile.calm and profile.lifetime and "no credential" not in str(error):
                self._ledger.found("barred", str(error))
            self._stage.failed_invitations[invitation] = held
            raise
        finally:
            self._ledger.answered(*invitation, self._world.now)
        self._stage.failed_invitations.pop(invitation, None)

    def do_remove(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is None:
            return
        member, held = chosen
        others = [name for name in held.session.members if name != member.app.local_name]
        if held.session.session_type is SessionType.Group and others:
            self._stage.call(member, "remove", self._remove(member, held, others[step.two % len(others)]))

    async def _remove(self, member: Member, held: Held, name: Name) -> None:
        removed = number_of(name)
        self._ledger.leaving(held.session.number, removed, self._world.now)
        await (await held.session.remove(name))
        self._ledger.left(held.session.number, removed, self._world.now)

    def do_leave(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step)) is not None and not chosen[1].leads:
            member, held = chosen
            if self._stage.led_by_order(member, held):
                return
            self._ledger.leaving(held.session.number, member.number, self._world.now)
            self._stage.call(member, "leave", self._leave(member, held))

    async def _leave(self, member: Member, held: Held) -> None:
        await held.session.close(GRACE)
        if held.moderated:
            # Who leads it asks everybody back, when it will.
            return
        self._ledger.left(held.session.number, member.number, self._world.now)

    def do_close(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step, leads=True)) is not None:
            member, held = chosen
            self._ledger.all_over(held.session.number, self._world.now)
            self._stage.call(member, "close", held.session.close(GRACE).wait())

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
            self._stage.call(chosen[0], "publish", self.publish(*chosen, 1 + step.size % SAID["burst"], 20))

    def do_large(self, step: Step) -> None:
        if (chosen := self._stage.chosen(step)) is not None:
            self._stage.call(chosen[0], "publish", self.publish(*chosen, 1 + step.size % 3, 100_000))

    async def publish(
        self, member: Member, held: Held, count: int, size: int, *, crowd: bool = False
    ) -> None:
        """Say something to whoever is there, and await what becomes of it."""
        handles = []
        for _ in range(count):
            # Who is alone has nobody to talk to.
            if held.session.closed or len(held.session.members) < 2:
                break
            handles.append(await self._say(member, held, size, crowd=crowd))
        for sent, handle in handles:
            await self._outcome(sent, handle)

    async def _say(
        self, member: Member, held: Held, size: int, *, crowd: bool = False
    ) -> tuple[Sent, CompletionHandle]:
        session, now = held.session, self._world.now
        audience = frozenset(number_of(name) for name in session.members) - {member.number}
        number = member.next_number(session.number)
        sent = Sent(number, now, audience, crowd=crowd)
        self._ledger.part(session.number, member.number).sent.append(sent)
        asyncio.get_running_loop().call_later(INSTANT, self._look_who_was_out, sent, session)
        head = b"say/%d/%d/" % (member.number, number)
        return sent, await session.publish(head.ljust(size, b"."))

    def _look_who_was_out(self, sent: Sent, session: Session) -> None:
        """Whose departure was on its way to the application when it spoke (`docs/sessions-and-groups.md`)."""
        if self._world.now - sent.at < 2 * INSTANT and not session.closed:
            sent.out = sent.audience.difference(map(number_of, session.members))

    async def _outcome(self, sent: Sent, handle: CompletionHandle) -> None:
        try:
            await handle
            sent.acknowledged = self._world.now
        except SlimError as error:
            sent.failed = type(error).__name__
            if not self._stage.scenario.profile.calm:
                return
            if isinstance(error, AuthError):
                self._ledger.found("undelivered", str(error))
            if not isinstance(error, MessageUndelivered):
                return
            if not error.missing or set(error.missing) - set(error.gone):
                self._ledger.found("undelivered", str(error))

    def do_chatter(self, step: Step) -> None:
        """All who are in the largest session talk at once."""
        held = [(member, held) for member in self._cast if member.host.up for held in member.sessions()]
        sizes = Counter(each.session.number for _, each in held)
        for member, each in held:
            if each.session.number == max(sizes, key=lambda number: (sizes[number], number)):
                talk = self.publish(member, each, 4 + step.size % SAID["chatter"], 10 + step.two % 2000)
                self._stage.call(member, "publish", talk)

    def do_crowd(self, step: Step) -> None:
        """Many tasks publish at once, more than there is room for; some lose interest while they wait."""
        if (chosen := self._stage.chosen(step)) is not None:
            self._stage.keep(chosen[0].host.call(self._crowd(*chosen, 4 + step.two % 28), "crowd"))

    async def _crowd(self, member: Member, held: Held, count: int) -> None:
        tasks = []
        for number in range(count):
            one = self._stage.limited(
                member, "crowd", self.publish(member, held, 1 + number % 3, 60_000, crowd=True)
            )
            tasks.append(asyncio.ensure_future(one))
            await asyncio.sleep(0.0004 * (number % 3))
        for task in tasks[2::5]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def do_alone(self, step: Step) -> None:
        """Take all others out of a group and talk on; later somebody is asked in, who must not hear that."""
        chosen = self._stage.chosen(step, leads=True)
        if chosen is not None and chosen[1].session.session_type is SessionType.Group:
            guest = self._cast[step.two % len(self._cast)] if step.size % 2 else None
            self._stage.keep(chosen[0].host.call(self._alone(*chosen, guest), "alone"))

    async def _alone(self, member: Member, held: Held, guest: Member | None) -> None:
        session = held.session
        if len(session.members) < 2:
            # What is said before the first one comes waits for it.
            return
        for name in session.members:
            if name != member.app.local_name and not session.closed:
                await self._stage.limited(member, "remove", self._remove(member, held, name))
        if session.closed or len(session.members) > 1:
            return
        talk = asyncio.ensure_future(self._stage.limited(member, "alone", self._talk_alone(member, held)))
        await asyncio.sleep(0.5)
        if guest is not None and guest is not member and not session.closed:
            await self._stage.limited(member, "invite", self._invite(held, guest))
        await talk

    async def _talk_alone(self, member: Member, held: Held) -> None:
        for sent, handle in [await self._say(member, held, 20) for _ in range(2)]:
            await self._outcome(sent, handle)

    def do_request(self, step: Step) -> None:
        chosen = self._stage.chosen(step)
        if chosen is not None and chosen[1].session.session_type is SessionType.PointToPoint:
            self._stage.call(chosen[0], "request", self._ask(*chosen))

    async def _ask(self, member: Member, held: Held) -> None:
        number = member.next_number(held.session.number)
        answer = await held.session.request(b"ask/%d/%d/" % (member.number, number), ASK)
        if answer.payload != b"re/%d/%d/" % (member.number, number):
            self._ledger.found("answer", f"{member.number} asked {number} and got {answer.payload[:40]!r}")
            what, sender, said = answer.payload[:64].split(b"/")[:3]
            if what == b"say":
                self._ledger.part(held.session.number, member.number).mistaken.add((int(sender), int(said)))

    def do_pause(self, step: Step) -> None:
        """Nothing happens for a while."""
