"""Fixtures for tests of whole applications."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from tests.gateway.app_stage import AppStage
from tests.gateway.stage import TRANSPORTS, NodeStage


@pytest.fixture(params=["in one process", "server"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[AppStage]:
    made = AppStage(request.param)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def process() -> AsyncIterator[AppStage]:
    """A stage in one data plane."""
    made = AppStage("in one process")
    await made.start()
    yield made
    await made.close()


@pytest.fixture(params=TRANSPORTS)
async def node_stage(request: pytest.FixtureRequest) -> AsyncIterator[NodeStage]:
    """A node that is up, on each transport in turn."""
    made = NodeStage(request.param)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged at WARNING and above, as text with its fields."""
    found: list[str] = []
    sink = logger.add(found.append, level="WARNING", format="{message} {extra}")
    yield found
    logger.remove(sink)
