"""Fixtures of the tests with originals."""

from __future__ import annotations

from tests.gateway.http2.conftest import certificate

__all__ = ["certificate"]
