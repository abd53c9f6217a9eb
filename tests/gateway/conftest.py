"""Fixtures of the tests that set a stage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.stage import TRANSPORTS, Stage


@pytest.fixture(params=TRANSPORTS)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A node that is up, on each transport in turn."""
    made = Stage(request.param)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
