"""A network on virtual time, for tests of programs that talk (`docs/testing.md`).

async def test_answers(world):
    node = await world.node()
    ...
    node.kill()

With the package comes a plugin for pytest: `world` is a fixture, `weather` a marker.
"""

from gateway.testing.errors import Deadlock, Leftovers, Livelock, NotInWorld, TooLong, WorldError
from gateway.testing.host import SimHost
from gateway.testing.issuer import Issuer
from gateway.testing.line import Line
from gateway.testing.world import World

__all__ = [
    "Deadlock",
    "Issuer",
    "SimHost",
    "Leftovers",
    "Line",
    "Livelock",
    "NotInWorld",
    "TooLong",
    "World",
    "WorldError",
]
