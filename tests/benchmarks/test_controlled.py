"""The bulk of the controller in small: that all is there and heard is asserted where it is measured."""

from __future__ import annotations

import pytest

from tests.benchmarks import controlled

pytestmark = pytest.mark.long


async def test_channels_and_what_each_costs() -> None:
    cost = await controlled.channels(2)
    assert cost.made == 2
    assert cost.seconds > 0
    assert set(cost.grown) == {"controller", "node 0", "node 1", "applications"}


async def test_routes_are_there_again_after_a_restart() -> None:
    asked, again = await controlled.routes(10)
    assert 0 < asked < controlled.LIMIT
    assert 0 < again < controlled.LIMIT
