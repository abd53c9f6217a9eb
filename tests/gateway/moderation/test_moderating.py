"""`app.moderate`: a script leads a group of applications of this process."""

from __future__ import annotations

import asyncio

import pytest

from actors.messages.wire import SessionMessage
from actors.moderation import Script
from actors.moderation.script import text
from gateway import ConfigError, IdentityProvider, IdentityVerifier, Name, Slim
from identity.errors import SlimError
from tests.gateway.moderation.troupe import Mortal

SECRET = "a-shared-secret-of-more-than-32-bytes"


def application(name: str) -> Slim:
    full = f"org/test/{name}"
    pair = IdentityProvider.SharedSecret(full, SECRET), IdentityVerifier.SharedSecret(full, SECRET)
    return Slim(full, *pair)


class House(Script):
    """Invites ann and ben, greets them, removes who says "out", closes on "end"."""

    async def on_start(self) -> None:
        self.state = []
        await asyncio.sleep(0)
        for name in ("ann", "nobody", "ben"):
            self.invite(f"org/test/{name}")

    def on_member_joined(self, member: Name) -> None:
        self.publish(f"hello {member.strings[2]}")

    def on_invite_failed(self, name: Name, error: SlimError) -> None:
        self.state.append(name.strings[2])

    def on_message(self, message: SessionMessage) -> None:
        match text(message):
            case "out":
                self.remove(message.source)
            case "fail":
                raise RuntimeError
            case "end":
                self.publish(f"failed: {self.state}, left: {len(self.members)}")
                self.close()

    def on_member_left(self, member: Name, reason: str) -> None:
        self.publish(f"{member.strings[2]} is {reason}")


class Impatient(House):
    interval = 0.1
    max_retries = 3


async def test_a_script_leads_a_group_of_its_application() -> None:
    async with (
        asyncio.timeout(15),
        application("house") as house,
        application("ann") as ann,
        application("ben") as ben,
    ):
        group = await house.moderate("org/test/stage", Impatient).start()
        anns, bens = await asyncio.gather(ann.listen_for_session(), ben.listen_for_session())
        heard = [(await anns.get_message())[1] for _ in range(2)]
        assert heard == [b"hello ann", b"hello ben"]
        await (await bens.publish(b"out"))
        assert [(await anns.get_message())[1] for _ in range(2)] == [b"out", b"ben is removed"]
        await (await anns.publish(b"fail"))
        await (await anns.publish(b"end"))
        assert (await anns.get_message())[1] == b"failed: ['nobody'], left: 1"
        await group


async def test_leaving_the_block_closes_the_group() -> None:
    async with asyncio.timeout(15), application("house") as house, application("ann") as ann:
        async with house.moderate("org/test/stage", Impatient):
            session = await ann.listen_for_session()
            assert (await session.get_message())[1] == b"hello ann"
        with pytest.raises(SlimError, match="closed"):
            await session.get_message(5.0)


async def test_a_script_in_a_process_of_its_own_may_block_and_is_made_again_when_it_dies() -> None:
    async with asyncio.timeout(60), application("house") as house, application("ann") as ann:
        group = await house.moderate("org/test/stage", Mortal, process=True).start()
        session = await ann.listen_for_session()
        assert (await session.get_message())[1] == b"welcome"
        # What it dies on it gets again, once it is made again.
        for said, answer in (("block", "the first"), ("die", "another"), ("end", "another")):
            await (await session.publish(said.encode()))
            assert (await session.get_message())[1] == f"{said}: {answer}".encode()
        await group


async def test_a_class_that_no_other_process_can_find_is_refused() -> None:
    class Hidden(Script):
        pass

    async with application("house") as house:
        with pytest.raises(ConfigError, match="at the top of a module"):
            house.moderate("org/test/stage", Hidden, process=True)


async def test_what_is_no_script_is_refused() -> None:
    async with application("house") as house:
        with pytest.raises(ConfigError, match="subclass of Script"):
            house.moderate("org/test/stage", dict)
