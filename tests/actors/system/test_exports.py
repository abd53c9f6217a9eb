"""The names that the actor system offers: what its package hands on, no more and no less."""

from __future__ import annotations

from actors import system
from tests.exports import handed_on


def test_the_public_names() -> None:
    assert sorted(system.__all__) == sorted(handed_on(system))
