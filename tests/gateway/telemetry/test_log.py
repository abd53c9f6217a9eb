"""The log as text and as JSON, beside whatever the application logs itself."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger as sinks

from gateway.telemetry.log import JsonFormat, TextFormat, log_to_stderr, may_colour
from identity.errors import ConfigError
from identity.log import logger, with_fields

ROOT = Path(__file__).parents[3]
HERE = f"callboard.{__name__}"


def run(program: str, **environ: str) -> str:
    """What a program leaves on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=environ or None,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("DEBUG", "callboard")
    return caplog


def test_a_line_has_its_module_its_place_and_all_fields(records: pytest.LogCaptureFixture) -> None:
    logger.bind(session=3).warning("link is {}", "down", cause="no answer", conn=5)
    [record] = records.records
    assert (record.name, record.levelname) == (HERE, "WARNING")
    assert Path(record.pathname).name == Path(__file__).name
    assert record.getMessage() == "link is down session=3 cause='no answer' conn=5"


def test_text_that_a_peer_chose_is_no_format(records: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    sink = sinks.add(seen.append, format="{message} {extra}")
    sinks.enable(__name__)
    try:
        logger.warning("refused {}", "{cause.__class__} %s {0}", cause="{x}\x1b[2J")
    finally:
        sinks.remove(sink)
    assert records.records[0].getMessage() == "refused {cause.__class__} %s {0} cause={x}\\x1b[2J"
    assert seen[0].startswith("refused {cause.__class__} %s {0} {'cause': '{x}")
    assert "\x1b" not in seen[0]


@pytest.mark.parametrize(
    ("value", "shown"), [(5, "5"), ("", "''"), ("a=b", "'a=b'"), ("a\nb", r"'a\nb'"), ("é", "é")]
)
def test_a_value_is_one_word_or_quoted(value: object, shown: str) -> None:
    assert with_fields("x", {"k": value}) == f"x k={shown}"


def test_both_forms(records: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("a handler failed", peer="org/ns/bob")
    [record] = records.records
    text = TextFormat(thread_names=True).format(record)
    assert f" ERROR   MainThread {__name__}: a handler failed peer=org/ns/bob\nTraceback" in text
    assert text.endswith("ValueError: why")
    said = json.loads(JsonFormat().format(record))
    assert said["message"] == "a handler failed"
    assert said["fields"] == {"peer": "org/ns/bob"}
    assert (said["level"], said["name"], said["thread"]) == ("ERROR", __name__, "MainThread")
    assert said["exception"].endswith("ValueError: why")


def test_a_record_of_somebody_else_is_shown_too() -> None:
    record = logging.LogRecord("callboard.mine", logging.INFO, "f", 1, "%d of %d", (1, 2), None)
    assert TextFormat(colours=True).format(record).endswith("INFO    mine: 1 of 2")
    assert json.loads(JsonFormat().format(record))["message"] == "1 of 2"


@pytest.mark.parametrize(
    ("terminal", "environ", "colours"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours(terminal: bool, environ: dict[str, str], colours: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    assert may_colour(stream, environ) is colours


FIRST = """
import gateway, logging, loguru, sys
from identity.log import logger
names = {"__name__": "gateway.x", "logger": logger}
exec("def say(level): getattr(logger, level)(level)", names)
say = names["say"]
"""


def test_warnings_of_a_library_are_seen_unasked() -> None:
    assert run(FIRST + "say('info'); say('warning')") == "warning\n"


def test_an_application_sets_level_and_form_as_of_any_library() -> None:
    program = (
        "logging.basicConfig(format='%(name)s|%(message)s')\n"
        "logging.getLogger('callboard').setLevel('INFO')\n"
        "say('debug'); say('info')"
    )
    assert run(FIRST + program) == "callboard.gateway.x|info\n"


def test_a_level_that_is_none() -> None:
    with pytest.raises(ConfigError, match="log level: one of trace, debug, info, warning, error, got 'loud'"):
        log_to_stderr("loud")


def test_init_tracing_leaves_the_sinks_of_an_application() -> None:
    program = (
        "loguru.logger.remove(); loguru.logger.add(sys.stderr, format='mine: {message}')\n"
        "gateway.init_tracing({'log_level': 'info'}); loguru.logger.debug('hello'); say('info')"
    )
    mine, ours = run(FIRST + program).splitlines()
    assert mine == "mine: hello"
    assert ours.endswith("gateway.x: info")


def test_s2iam_debugging_prints() -> None:
    program = "from identity.cloud.environment import log_to; log_to(None)('asking the metadata server')"
    assert run(program, S2IAM_DEBUGGING="true") == "s2iam: asking the metadata server\n"
    assert run(program, S2IAM_DEBUGGING="false") == ""
