"""Issuers of a World: tokens that expire, are renewed or are not, and keys that change under way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.names import Name
from gateway import Session, Slim, SlimError
from gateway.testing import Issuer, World
from identity.errors import AuthError, InvalidToken

BOB = Name("org", "demo", "bob")


async def issued(world: World, issuer: Issuer, *names: str) -> list[Slim]:
    """Applications at one node, with tokens of this issuer."""
    node = await world.node()
    return [
        await world.application(text, node, identity=issuer.identity(text, world.host(name)))
        for name in names
        for text in [f"org/demo/{name}"]
    ]


async def opened(world: World, issuer: Issuer, **options: Any) -> tuple[Session, Session]:
    """Both ends of a session of alice's with bob."""
    alice, bob = await issued(world, issuer, "alice", "bob")
    await alice.set_route(BOB)
    session = await alice.session(BOB, **options).__aenter__()
    return session, await bob.listen_for_session()


async def said(one: Session, other: Session, what: bytes) -> None:
    await (await one.publish(what))
    assert (await other.get_message()).payload == what


@pytest.mark.parametrize("mls", [False, True])
async def test_tokens_are_renewed_for_as_long_as_a_session_lasts(world: World, mls: bool) -> None:
    one, other = await opened(world, world.issuer(lifetime=30.0, leeway=0.0), mls=mls)
    for number in range(20):
        await said(one, other, b"%d" % number)
        await asyncio.sleep(10)
    assert world.now > 200


async def test_who_does_not_reach_its_issuer_has_a_token_until_it_has_run_out(world: World) -> None:
    issuer = world.issuer(lifetime=60.0, leeway=20.0)
    alice, verifier = issuer.identity("alice", world.host("alice"))
    with pytest.raises(AuthError, match="no token yet"):
        alice.get_token(0.0)
    await alice.initialize()
    await verifier.initialize()
    token = alice.get_token(world.host("alice").wall())
    await verifier.verify(token, world.host("alice").wall())
    world.line("alice", issuer.host).cut()
    await asyncio.sleep(58)
    assert alice.get_token(world.host("alice").wall()) == token
    await asyncio.sleep(2)
    with pytest.raises(AuthError, match="expired and could not be renewed"):
        alice.get_token(world.host("alice").wall())
    # Others allow for a little more.
    verifier.try_verify(token, world.host("alice").wall())
    await asyncio.sleep(20)
    with pytest.raises(InvalidToken, match="expired"):
        verifier.try_verify(token, world.host("alice").wall())
    world.heal()
    await asyncio.sleep(2)
    verifier.try_verify(alice.get_token(world.host("alice").wall()), world.host("alice").wall())
    await alice.close()
    await verifier.close()


@pytest.mark.parametrize("verb", ["kill", "freeze", "refuse"])
async def test_a_message_waits_while_there_is_no_token_and_fails_where_none_comes(
    world: World, verb: str
) -> None:
    issuer = world.issuer(lifetime=10.0)
    one, other = await opened(world, issuer, timeout=1.0, max_retries=8)
    await said(one, other, b"before")
    match verb:
        case "kill":
            issuer.host.kill()
        case "freeze":
            issuer.host.freeze()
        case "refuse":
            issuer.refuse("org/demo/alice")
            issuer.refuse("org/demo/bob")
    await asyncio.sleep(11)
    waiting = await one.publish(b"waits")
    await asyncio.sleep(3)
    assert not waiting.done()
    match verb:
        case "kill":
            await issuer.host.restart()
        case "freeze":
            issuer.host.thaw()
        case "refuse":
            issuer.allow("org/demo/alice")
            issuer.allow("org/demo/bob")
    await waiting
    assert (await other.get_message()).payload == b"waits"
    issuer.refuse("org/demo/alice")
    await asyncio.sleep(11)
    with pytest.raises(AuthError, match="expired and could not be renewed"):
        await (await one.publish(b"nothing"))
    issuer.allow("org/demo/alice")


async def test_a_clock_that_was_wrong_when_a_token_came_does_not_delay_the_next(world: World) -> None:
    issuer, host = world.issuer(lifetime=60.0), world.host("alice")
    alice, _ = issuer.identity("alice", host)
    host.skew(-7200)
    await alice.initialize()
    await asyncio.sleep(50)
    host.skew(+7200)
    await asyncio.sleep(12)
    assert alice.get_token(host.wall())
    await alice.close()


async def test_a_session_goes_on_behind_new_keys_and_ends_with_keys_that_are_withdrawn(world: World) -> None:
    issuer = world.issuer(lifetime=60.0)
    one, other = await opened(world, issuer)
    await said(one, other, b"by the first key")
    issuer.rotate()
    await asyncio.sleep(45)
    await said(one, other, b"by the second")
    issuer.refuse("org/demo/alice")
    issuer.rotate(keep=False)
    await asyncio.sleep(50)
    with pytest.raises(SlimError):
        await (await one.publish(b"by a key that was withdrawn"))
    issuer.allow("org/demo/alice")
