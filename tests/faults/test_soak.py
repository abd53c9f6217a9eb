"""Honest traffic with churn, kills and hostile peers: a short form, and the soak (`tests/faults/soak`).

The environment's CALLBOARD_SOAK_MINUTES says how long the long form is.
"""

from __future__ import annotations

import os
from functools import partial

import pytest

from tests.faults.soak.run import SMALL, soak
from tests.faults.soak.verdict import complaints
from tests.interop.test_hostile import needs_proc

MINUTES = float(os.environ.get("CALLBOARD_SOAK_MINUTES", "30"))


@needs_proc
async def test_a_few_seconds_of_kills_and_hostile_peers() -> None:
    outcome = await soak(2.0, interval=2.0, beat=0.2, quiet=0.2, cast=SMALL)
    assert complaints(outcome, flat=False) == []
    assert outcome.attacks
    assert any(row.killed for row in outcome.rows)


@needs_proc
@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + 300)
async def test_a_soak() -> None:
    outcome = await soak(MINUTES * 60, say=partial(print, flush=True))
    assert complaints(outcome) == []
