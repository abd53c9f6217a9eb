"""Options and fixtures that every test file may use."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from importlib import import_module

import pytest
from hypothesis import settings
from loguru import logger

# Tests look at the log by sinks of their own; loguru's first would mix it into what commands print.
logger.remove()
for floor in ("identity", "actors", "gateway"):
    import_module(floor)
    logger.enable(floor)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell Ctrl-C is ignored, and would be by each command that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Many tests start commands: where the environment keeps no bytecode, as in many images of containers, each
# would compile all of us again, for longer than it then runs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Nodes of tests are not found by commands of whoever runs the tests. Paths of sockets have to be short.
RUN = tempfile.mkdtemp(prefix="callboard-test-")
os.environ["CALLBOARD_RUN"] = RUN
atexit.register(shutil.rmtree, RUN, ignore_errors=True)

# The same examples every time, and no deadline for a single one: a red run means a change, not the weather.
# `--long` explores afresh.
settings.register_profile("default", derandomize=True, deadline=None)
settings.register_profile("long", deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the long form of property and soak tests")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="long form; run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
