"""What becomes of sessions whose members' tokens run out, are dated wrongly, or come late."""

from __future__ import annotations

import asyncio

import pytest

from actors.names import Name
from gateway import HandshakeFailed, Slim
from gateway.testing import Issuer, World
from identity.errors import AuthError

CHANNEL = "org/demo/channel"
LIFE = 60.0


async def cast(world: World, issuer: Issuer | None, **subjects: str) -> list[Slim]:
    """Applications at one node, by their tokens' subjects; the first knows the way to all others."""
    node = await world.node()
    apps = []
    for name, subject in subjects.items():
        host = world.host(name)
        pair = host.identity(subject) if issuer is None else issuer.identity(subject, host)
        apps.append(await world.application(f"org/demo/{name}", node, identity=pair))
    for name in list(subjects)[1:]:
        await apps[0].set_route(f"org/demo/{name}")
    return apps


@pytest.mark.parametrize("given", [True, False])
async def test_a_credential_for_a_commit_that_came_to_nothing_is_not_shown_when_it_has_run_out(
    world: World, given: bool
) -> None:
    issuer = world.issuer(lifetime=LIFE)
    alice, bob, _, carol = await cast(
        world, issuer, alice="alice", bob="service", twin="service", carol="carol"
    )
    async with alice.group(CHANNEL, invite=["org/demo/bob"], mls=True) as group:
        there = await bob.listen_for_session()
        await asyncio.sleep(LIFE * 2 / 3)
        with pytest.raises(HandshakeFailed, match="unique_identity"):
            await (await group.invite(Name.parse("org/demo/twin")))
        await asyncio.sleep(4 * LIFE)
        if not given:
            # Then the one that it came in with must do.
            world.line("alice", issuer.host).cut()
        await (await group.invite(Name.parse("org/demo/carol")))
        world.line("alice", issuer.host).mend()
        newcomer = await carol.listen_for_session()
        await (await group.publish(b"to all"))
        for each in (there, newcomer):
            assert (await each.get_message()).payload == b"to all"


async def test_a_group_that_a_clock_in_the_future_founded_takes_members_when_the_clock_is_right(
    world: World,
) -> None:
    alice, bob, carol = await cast(world, None, alice="alice", bob="bob", carol="carol")
    world.host("alice").skew(+600)
    world.host("bob").skew(+600)
    async with alice.group(CHANNEL, invite=["org/demo/bob"], mls=True) as group:
        await bob.listen_for_session()
        await (await group.remove(Name.parse("org/demo/bob")))
        world.host("alice").skew(-600)
        await (await group.invite(Name.parse("org/demo/carol")))
        newcomer = await carol.listen_for_session()
        assert set(newcomer.members) == set(group.members)


async def test_who_could_not_connect_for_want_of_a_token_connects_when_there_is_one(world: World) -> None:
    issuer = world.issuer(lifetime=LIFE)
    bob, alice = await cast(world, issuer, bob="bob", alice="alice")
    await bob.disconnect("sim://node")
    issuer.refuse("bob")
    await asyncio.sleep(LIFE)
    for _ in range(2):
        with pytest.raises(AuthError, match="expired"):
            await bob.connect("sim://node")
        assert not bob.data_plane.dialled()
    issuer.allow("bob")
    await asyncio.sleep(2)
    await bob.connect("sim://node")
    await alice.set_route("org/demo/bob")
    async with alice.session("org/demo/bob") as session:
        await (await session.publish(b"hello"))
        assert (await (await bob.listen_for_session()).get_message()).payload == b"hello"


async def test_what_is_published_without_a_token_says_so(world: World) -> None:
    issuer = world.issuer(lifetime=LIFE)
    alice, bob = await cast(world, issuer, alice="alice", bob="bob")
    async with alice.session("org/demo/bob") as session:
        await (await session.publish(b"one"))
        await bob.listen_for_session()
        issuer.refuse("alice")
        await asyncio.sleep(LIFE)
        with pytest.raises(AuthError, match="expired"):
            await (await session.publish(b"two"))
        issuer.allow("alice")
