"""What peers choose to be called stands in the log: as one short line each, and not a thousand of them."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest
from loguru import logger

from actors.alarm import BURST
from actors.messages.wire import DiscoveryRequest, MessageType
from actors.names import Name
from gateway.telemetry.tracing import log_to_stderr
from tests.faults.forger import Forger
from tests.faults.test_session_strangers import figures
from tests.gateway.worlds import World, name

SAID = "\x1b[2Jeve\nCRITICAL | all is lost\u202e"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Any:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    log_to_stderr("INFO", format="{time} | {level} | {message} {extra}")
    yield written
    logger.configure(patcher=lambda record: None)
    logger.remove()


async def test_strangers_fill_no_log_and_draw_nothing_on_the_terminal(log: io.StringIO) -> None:
    world = World("server", strict=False)
    await world.start()
    try:
        bob = await world.app("bob")
        target = name("bob")
        before = log.getvalue().count("\n")
        async with Forger(world.endpoint, Name("org", "evil", "eve", 7), lambda: "no token") as eve:
            for number in range(300):
                source = Name("org", SAID + "x" * 10_000, str(number), number + 1)
                await eve.say(
                    eve.says(target, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(), source=source)
                )
            await eve.settled()
            async with asyncio.timeout(10.0):
                while (await figures(bob))["unverified"] < 300:  # noqa: ASYNC110 (counters have no event)
                    await asyncio.sleep(0.01)
        written = log.getvalue()
    finally:
        await world.close()
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert r"\x1b[2Jeve" in written
    lines = written.splitlines()[before:]
    warnings = [line for line in lines if "| WARNING" in line]
    assert 1 <= len(warnings) <= 3 * BURST
    assert max(map(len, lines)) < 3000
    assert not any(line.startswith("CRITICAL") for line in lines)
