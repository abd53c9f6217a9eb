"""The record of time, chance, threads and networks, and who is asked for it."""

from __future__ import annotations

import asyncio
import contextvars
import random
import uuid

import pytest

from actors.names import Name
from gateway import IdentityProvider, IdentityVerifier, Slim
from gateway.config import ClientConfig, ServerConfig
from gateway.node.data_plane import DataPlane
from gateway.surroundings import SYSTEM, Draw, Surroundings, current, enter
from identity.errors import ConfigError

SECRET = "a shared secret of at least thirty-two bytes"


def seeded(seed: int) -> Surroundings:
    source = random.Random(seed)
    return Surroundings(random=source.randbytes, draw=Draw(source.randbytes))


def test_draws_stay_below_their_bound_and_reach_all_of_it() -> None:
    draw = Draw(random.Random(1).randbytes)
    assert {draw(6) for _ in range(500)} == set(range(6))
    assert 0 <= SYSTEM.fraction() < 1


def test_what_is_drawn_follows_from_the_randomness_handed_in() -> None:
    assert seeded(1).uuid4() == seeded(1).uuid4() != seeded(2).uuid4()
    assert seeded(1).fraction() == seeded(1).fraction() != seeded(2).fraction()
    assert uuid.UUID(seeded(1).uuid4()).version == 4


def test_the_machine_is_current_until_a_context_says_otherwise() -> None:
    assert current() is SYSTEM
    other = seeded(1)
    context = contextvars.copy_context()
    context.run(enter, other)
    assert context.run(current) is other
    assert current() is SYSTEM


def test_identities_made_in_a_context_are_drawn_from_its_randomness() -> None:
    def identity(seed: int) -> str:
        context = contextvars.copy_context()
        context.run(enter, seeded(seed))
        provider = context.run(IdentityProvider.SharedSecret, "alice", SECRET)
        return str(provider.get_id() + provider.get_token(1000.0))

    assert identity(1) == identity(1) != identity(2)


async def test_an_application_lives_in_the_data_plane_of_its_surroundings() -> None:
    def application(name: str) -> Slim:
        provider = IdentityProvider.SharedSecret(name, SECRET)
        return Slim(Name("org", "ns", name), provider, IdentityVerifier.SharedSecret(name, SECRET))

    async def made(name: str, surroundings: Surroundings) -> Slim:
        enter(surroundings)
        return application(name)

    here, there = seeded(1), seeded(2)
    one, two, three = [
        await asyncio.create_task(made(name, place))
        for name, place in (("one", here), ("two", here), ("three", there))
    ]
    assert one.data_plane is two.data_plane is not three.data_plane
    assert three.data_plane.surroundings is there
    for app in (one, two, three):
        await app.close()


async def test_a_host_of_a_simulated_network_is_not_looked_for_on_the_real_one() -> None:
    plane = DataPlane(strict=True)
    with pytest.raises(ConfigError, match="is a host of a World"):
        await plane.connect(ClientConfig.read({"endpoint": "sim://node"}))
    with pytest.raises(ConfigError, match="is a host of a World"):
        await plane.serve(ServerConfig.read({"endpoint": "sim://node"}))
    assert not plane.dialled()
    await plane.close(0.5)
