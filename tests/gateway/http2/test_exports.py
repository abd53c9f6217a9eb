"""The names that the transport offers: what its package hands on, no more and no less."""

from __future__ import annotations

from gateway import http2
from tests.exports import handed_on


def test_the_public_names() -> None:
    assert sorted(http2.__all__) == sorted(handed_on(http2))
