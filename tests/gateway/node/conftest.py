"""A data plane to try, in strict mode."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.node.data_plane import DataPlane


@pytest.fixture
async def plane() -> AsyncIterator[DataPlane]:
    made = DataPlane(strict=True)
    yield made
    await made.close(0.5)
