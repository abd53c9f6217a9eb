"""Groups in bad weather: who is in, who is told, and who hears whom afterwards.

Each test is a history that once left members apart: `World.end` finds members that disagree, too.
"""

from __future__ import annotations

import asyncio

import pytest

from actors.messages.wire import MessageType
from actors.names import Name
from gateway import Session, SessionClosed, SessionConfiguration, Slim, SlimError
from gateway.testing import SimHost, World

ROOM = Name("org", "cast", "room")
WHO = tuple(Name("org", "cast", each) for each in ("anna", "bert", "cleo", "dora"))
BOTH = pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])


class Person:
    """An application that takes what it is invited to and notes what it hears."""

    def __init__(self, host: SimHost, app: Slim) -> None:
        self.host, self.app = host, app
        self.heard: list[bytes] = []
        self.session: Session | None = None
        self.ended: SlimError | None = None
        host.call(self._accept(), "accepting")

    @property
    def there(self) -> Session:
        """Its side of the group."""
        assert self.session is not None
        return self.session

    @property
    def known(self) -> set[str]:
        """The members, by its own list."""
        return {name.strings[2] for name in self.there.members}

    async def _accept(self) -> None:
        async for session in self.app.sessions():
            self.take(session)

    def take(self, session: Session) -> None:
        self.session, self.ended = session, None
        self.host.call(self._read(session), "reading")

    async def _read(self, session: Session) -> None:
        while True:
            try:
                self.heard.append((await session.get_message()).payload)
            except SessionClosed as error:
                self.ended = error
                return
            except SlimError:
                # One message, or one member: there may be more.
                continue

    async def found(self, *, mls: bool) -> Session:
        """A group, with this one as its moderator."""
        session = await self.app.create_session(ROOM, SessionConfiguration.Group(1.0, 8, mls))
        self.take(session)
        return session

    async def invite(self, *others: Person) -> None:
        for other in others:
            await self.app.set_route(other.app.local_name.without_id())
            await (await self.there.invite(other.app.local_name.without_id()))

    async def say(self, text: bytes) -> None:
        """Say it; it returns when all members have it."""
        await (await self.there.publish(text))


async def people(world: World, *hosts: str) -> list[Person]:
    """One on each of these hosts, with one node for all."""
    node = await world.node()
    return [
        Person(world.host(host), await world.host(host).application(name, node))
        for host, name in zip(hosts, WHO, strict=False)
    ]


async def asleep(world: World, person: Person, seconds: float) -> None:
    """A laptop that sleeps, and whose connection is broken when it wakes."""
    line = world.line(person.host, "node")
    person.host.freeze()
    line.cut()
    await asyncio.sleep(seconds)
    line.mend()
    person.host.thaw()


async def group(world: World, *, mls: bool, invited: int = 3) -> list[Person]:
    """Four on hosts of their own; the first leads a group of itself and of those `invited`."""
    persons = await people(world, "one", "two", "three", "four")
    await persons[0].found(mls=mls)
    await persons[0].invite(*persons[1 : 1 + invited])
    return persons


async def all_hear_all(*members: Person) -> None:
    """What anybody says, everybody else hears, and their lists are equal."""
    for number, member in enumerate(members):
        text = b"from %d" % number
        before = [other.heard.count(text) for other in members]
        await member.say(text)
        await asyncio.sleep(1.0)
        heard = [other.heard.count(text) for other in members]
        assert heard == [count + (other is not member) for other, count in zip(members, before, strict=True)]
    assert len({frozenset(member.known) for member in members}) == 1


@BOTH
@pytest.mark.parametrize("order", [(1, 2, 3), (2, 1, 3), (3, 2, 1)], ids=str)
async def test_members_in_one_process_and_elsewhere_hear_one_another(
    world: World, mls: bool, order: tuple[int, ...]
) -> None:
    persons = await people(world, "here", "here", "there", "elsewhere")
    await persons[0].found(mls=mls)
    for number in order:
        await persons[0].invite(persons[number])
    await all_hear_all(*persons)


# a. Who was dropped is told


@BOTH
async def test_a_member_that_slept_for_a_minute_learns_that_it_is_out(world: World, mls: bool) -> None:
    anna, bert, cleo, dora = await group(world, mls=mls)
    await asleep(world, dora, 70.0)
    await asyncio.sleep(30.0)
    assert anna.known == {"anna", "bert", "cleo"}
    assert "removed by the moderator" in str(dora.ended)
    with pytest.raises(SlimError):
        await dora.say(b"is anybody there")
    await all_hear_all(anna, bert, cleo)
    # It may come in again.
    await anna.invite(dora)
    await all_hear_all(anna, bert, cleo, dora)


async def test_a_member_that_speaks_and_is_out_learns_it_at_once(world: World) -> None:
    _, _, _, dora = await group(world, mls=False)
    await asleep(world, dora, 70.0)
    await asyncio.sleep(1.0)
    handle = await dora.there.publish(b"where was I")
    await asyncio.sleep(1.0)
    assert dora.ended is not None
    with pytest.raises(SlimError):
        await handle


async def test_a_member_that_missed_a_commit_learns_that_it_is_out(world: World) -> None:
    anna, bert, cleo, dora = await group(world, mls=True, invited=2)
    away = asyncio.ensure_future(asleep(world, cleo, 14.0))
    await asyncio.sleep(1.0)
    await anna.invite(dora)
    await away
    await asyncio.sleep(30.0)
    assert "removed by the moderator" in str(cleo.ended)
    await all_hear_all(anna, bert, dora)


@BOTH
async def test_a_welcome_that_came_too_late_is_taken_back(world: World, mls: bool) -> None:
    anna, bert, cleo, dora = await group(world, mls=mls, invited=2)
    line = world.line(dora.host, "node")
    line.lose(MessageType.GROUP_ACK, 1000)
    with pytest.raises(SlimError):
        await anna.invite(dora)
    # Nobody awaits it any more, and it takes itself for a member.
    line.mend()
    await asyncio.sleep(30.0)
    assert "removed by the moderator" in str(dora.ended)
    await all_hear_all(anna, bert, cleo)


# b. Who missed a change comes up to date


async def test_a_member_that_missed_an_invitation_comes_up_to_date(world: World) -> None:
    anna, bert, cleo, dora = await group(world, mls=False, invited=2)
    away = asyncio.ensure_future(asleep(world, cleo, 11.0))
    await asyncio.sleep(1.0)
    await anna.invite(dora)
    await away
    await asyncio.sleep(10.0)
    await all_hear_all(anna, bert, cleo, dora)


async def test_a_member_that_missed_a_removal_comes_up_to_date(world: World) -> None:
    anna, bert, cleo, dora = await group(world, mls=False)
    away = asyncio.ensure_future(asleep(world, cleo, 11.0))
    await asyncio.sleep(1.0)
    await (await anna.there.remove(WHO[3]))
    await away
    await asyncio.sleep(10.0)
    assert dora.ended is not None
    await all_hear_all(anna, bert, cleo)


async def test_a_member_that_missed_that_another_came_back_hears_it(world: World) -> None:
    anna, bert, cleo, dora = await group(world, mls=False)
    await dora.say(b"before")
    away = asyncio.ensure_future(asleep(world, cleo, 15.0))
    await asyncio.sleep(1.0)
    await (await anna.there.remove(WHO[3]))
    await anna.invite(dora)
    await away
    await asyncio.sleep(40.0)
    members = [person for person in (anna, bert, cleo, dora) if person.ended is None]
    assert {anna, bert, dora} <= set(members)
    await all_hear_all(*members)


# e, f. An invitee that does not answer


@BOTH
async def test_who_never_comes_in_holds_up_nobody_and_is_on_no_list(world: World, mls: bool) -> None:
    anna, bert, cleo, dora = await group(world, mls=mls, invited=1)
    await anna.app.set_route(WHO[2])
    world.line(cleo.host, "node").lose(MessageType.GROUP_WELCOME, 1000)
    lost = await anna.there.invite(WHO[2])
    seen: list[set[str]] = []

    async def look() -> None:
        while True:
            seen.append(anna.known)
            await asyncio.sleep(0.1)

    looking = asyncio.ensure_future(look())
    await anna.invite(dora)
    with pytest.raises(SlimError):
        await lost
    await asyncio.sleep(70.0)
    looking.cancel()
    assert all("cleo" not in known for known in seen)
    await all_hear_all(anna, bert, dora)


# h. Disconnecting and connecting


@BOTH
@pytest.mark.parametrize("who", [0, 1], ids=["moderator", "member"])
@pytest.mark.parametrize("seconds", [0.0, 8.0])
async def test_a_group_goes_on_where_an_application_connects_anew(
    world: World, mls: bool, who: int, seconds: float
) -> None:
    persons = await group(world, mls=mls, invited=2)
    person, dora = persons[who], persons.pop()
    await person.app.disconnect("sim://node")
    await asyncio.sleep(seconds)
    await person.app.connect({"endpoint": "sim://node"})
    await asyncio.sleep(1.0)
    await all_hear_all(*persons)
    await persons[0].invite(dora)
    await all_hear_all(*persons, dora)


@pytest.mark.parametrize("who", [0, 1], ids=["moderator", "member"])
async def test_without_a_new_connection_the_session_ends(world: World, who: int) -> None:
    persons = await group(world, mls=False, invited=2)
    await persons[who].app.disconnect("sim://node")
    await asyncio.sleep(80.0)
    assert persons[who].ended is not None
    others = [person for person in persons[:3] if person is not persons[who]]
    if who:
        await all_hear_all(*others)
    else:
        assert all(person.ended is not None for person in others)


@BOTH
@pytest.mark.parametrize("who", [0, 1], ids=["initiator", "responder"])
async def test_two_go_on_where_one_connects_anew(world: World, mls: bool, who: int) -> None:
    anna, bert = await people(world, "one", "two")
    await anna.app.set_route(WHO[1])
    anna.take(await anna.app.create_session(WHO[1], SessionConfiguration.PointToPoint(1.0, 8, mls)))
    await anna.there.established
    person = (anna, bert)[who]
    await person.app.disconnect("sim://node")
    await person.app.connect({"endpoint": "sim://node"})
    await all_hear_all(anna, bert)
