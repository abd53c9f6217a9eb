"""A running Workload API server for each test that asks for one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.identity.spiffe.workload_server import WorkloadServer


@pytest.fixture
async def server() -> AsyncIterator[WorkloadServer]:
    # Not tmp_path: a unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spiffe") as directory:
        async with WorkloadServer(Path(directory)) as running:
            yield running
