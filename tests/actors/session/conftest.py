from __future__ import annotations

import pytest

from tests.actors.session.stage import Player, Stage, make_pair


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def pair(stage: Stage) -> tuple[Player, Player]:
    """Alice, who called, and bob; reliable, 1 s and 5 retries."""
    return make_pair(stage)
