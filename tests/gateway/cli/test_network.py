"""`callboard demo network`: the Procfile's network as processes, with the published programs."""

from __future__ import annotations

import pytest

from gateway.cli.director import DemoFailed
from gateway.cli.network import Programs, play
from tests.network import PROCFILE, published


async def test_the_published_programs_make_a_group_on_three_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    programs = published()
    if programs is None:
        pytest.skip("the published guides are not here (CALLBOARD_GUIDES)")
    assert await play(PROCFILE, programs) == 0
    said = capsys.readouterr().out
    assert "api   Channel created with ID: agncty/namespace/" in said
    assert "NOT_FOUND: there is no channel agncty/namespace/group_channel; make it first" in said
    assert "Subscription created successfully with ID: agncty/namespace/group_channel@http://" in said
    assert "participant_3 is in epoch 3" in said
    assert "3 messages sent, 6 delivered" in said


async def test_a_program_that_says_something_else_fails_the_demo() -> None:
    with pytest.raises(DemoFailed, match="not said: Channel created"):
        await play(PROCFILE, Programs(create="print('nothing')"))
