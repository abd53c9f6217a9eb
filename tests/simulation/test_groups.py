"""Groups in bad weather: who is in, who is told, and who hears whom afterwards.

Each test is a history that once left members apart: `World.end` finds members that disagree, too.
"""

from __future__ import annotations

import asyncio

import pytest

from actors.names import Name
from gateway import Session, SessionConfiguration, Slim, SlimError
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
            except SlimError as error:
                if session.over:
                    self.ended = error
                    return

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
