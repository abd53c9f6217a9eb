"""Fake clouds for each test, and an environment without any cloud's variables."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tests.identity.cloud.fake_clouds import FakeClouds

CLOUD_VARIABLES = ("AWS_", "AZURE_", "S2IAM_", "GOOGLE_", "GCE_", "IDENTITY_", "MSI_", "BOTO_")


@pytest.fixture
async def clouds() -> AsyncIterator[FakeClouds]:
    async with FakeClouds("aws", "gcp", "azure") as running:
        yield running


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakeClouds]:
    """A second host, which must never see a request."""
    async with FakeClouds() as running:
        yield running


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path) -> pytest.MonkeyPatch:
    """The process environment without clouds and with an empty home."""
    for name in list(os.environ):
        if name.startswith(CLOUD_VARIABLES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch
