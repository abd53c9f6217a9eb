"""A network on virtual time, for tests of programs that talk (`docs/testing.md`).

async def test_answers(world):
    node = await world.node()
    ...
    node.kill()

With the package comes a plugin for pytest: `world` is a fixture, `weather` a marker. Each name is imported
when it is first used: pytest loads the plugin for all tests of an environment, and few of them take a World.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from identity.on_use import names_on_use

if TYPE_CHECKING:
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

__getattr__, __dir__ = names_on_use(
    globals(),
    {
        "gateway.testing.errors": (
            "Deadlock",
            "Leftovers",
            "Livelock",
            "NotInWorld",
            "TooLong",
            "WorldError",
        ),
        "gateway.testing.host": ("SimHost",),
        "gateway.testing.issuer": ("Issuer",),
        "gateway.testing.line": ("Line",),
        "gateway.testing.world": ("World",),
    },
)
