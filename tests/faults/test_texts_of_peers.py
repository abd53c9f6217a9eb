"""What peers choose to be called stands in the log: as one short line each, and not a thousand of them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest

from actors.alarm import BURST
from actors.messages.wire import DiscoveryRequest, MessageType
from actors.names import Name
from gateway.telemetry.log import StderrHandler, log_to_stderr, no_log_on_stderr
from identity.log import logger
from identity.text import SHOWN
from tests.faults.forger import Forger
from tests.faults.test_session_strangers import figures
from tests.gateway.app_stage import AppStage, name

SAID = "\x1b[2Jeve\nCRITICAL | all is lost\u202e"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What programs of ours would show on standard error."""
    log_to_stderr("INFO")
    written = io.StringIO()
    [handler] = [one for one in logging.getLogger("callboard").handlers if isinstance(one, StderrHandler)]
    copy = logging.StreamHandler(written)
    copy.setFormatter(handler.formatter)
    logging.getLogger("callboard").addHandler(copy)
    yield written
    logging.getLogger("callboard").removeHandler(copy)
    no_log_on_stderr()


async def test_strangers_fill_no_log_and_draw_nothing_on_the_terminal(log: io.StringIO) -> None:
    stage = AppStage("server", strict=False)
    await stage.start()
    try:
        bob = await stage.app("bob")
        target = name("bob")
        before = log.getvalue().count("\n")
        async with Forger(stage.endpoint, Name("org", "evil", "eve", 7), lambda: "no token") as eve:
            for number in range(300):
                source = Name("org", SAID + "x" * 3_000, str(number), number + 1)
                await eve.say(
                    eve.says(target, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(), source=source)
                )
            await eve.settled()
            async with asyncio.timeout(10.0):
                while (await figures(bob))["unverified"] < 300:  # noqa: ASYNC110 (counters have no event)
                    await asyncio.sleep(0.01)
        written = log.getvalue()
    finally:
        await stage.close()
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert r"\x1b[2Jeve" in written
    lines = written.splitlines()[before:]
    warnings = [line for line in lines if " WARNING " in line]
    assert 1 <= len(warnings) <= 3 * BURST
    # Who it is of and why it was dropped: two texts that each are cut.
    assert max(map(len, lines)) < 2 * SHOWN + 300
    assert not any(line.startswith("CRITICAL") for line in lines)


@pytest.mark.parametrize("value", [Name("org", SAID, "x" * 10_000, 1), ValueError(SAID + "x" * 10_000)])
def test_a_field_of_any_type_is_one_short_line(value: object, log: io.StringIO) -> None:
    logger.warning("seen", peer=value, conn=3)
    assert r"\x1b[2Jeve\nCRITICAL" in log.getvalue()
    assert log.getvalue().count("\n") == 1
    assert len(log.getvalue()) < SHOWN + 300
    assert log.getvalue().endswith("conn=3\n")
