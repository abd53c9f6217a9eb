"""Fixtures of whole applications, for faults that show in them."""

from __future__ import annotations

from tests.gateway.conftest import process, stage

__all__ = ["process", "stage"]
