"""init_tracing: its configuration, and that the first call wins. Each program runs for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, init_tracing

PROGRAM = """
import asyncio, sys
import loguru
from gateway import init_tracing
from identity.log import FloorLog
names = dict(__name__="gateway.links.link", logger=FloorLog())
exec("def say(level, what): getattr(logger, level)(what)", names)
say = names["say"]
{}
"""


def run(text: str) -> tuple[str, str]:
    """Output and errors of a program that begins with the imports above."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(text)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"log_level": "loud"}, "log_level"),
        ({"log_levle": "info"}, 'did you mean "log_level"'),
        ({"filters": [5]}, "filters"),
        ({"filters": ["gateway=loud"]}, "log_level"),
        ({"opentelemetry": {"enabled": "yes"}}, "opentelemetry.enabled"),
        ({"opentelemetry": {"grpc": {"endpiont": "x"}}}, 'did you mean "endpoint"'),
        ({"opentelemetry": {"metrics_interval_secs": "often"}}, "metrics_interval_secs"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        init_tracing(config)


def test_it_takes_effect_when_called_and_may_be_awaited() -> None:
    _, errors = run(
        "done = init_tracing({'log_level': 'warn', 'filters': ['noisy=error']})\n"
        "say('info', 'quiet')\nsay('warning', 'heard')\n"
        "async def main(): await done; await init_tracing({'log_level': 'debug'})\n"
        "asyncio.run(main())\n"
        "say('debug', 'first call wins')\n"
    )
    assert "heard" in errors
    assert "quiet" not in errors
    assert "first call wins" not in errors


def test_levels_by_module() -> None:
    _, errors = run(
        "init_tracing({'log_level': 'error', 'filters': ['gateway.links=debug']})\nsay('debug', 'heard')"
    )
    assert "heard" in errors


def test_threads_are_shown_as_asked() -> None:
    shown = run("init_tracing({})\nsay('info', 'x')")[1]
    hidden = run("init_tracing({'display_thread_names': False})\nsay('info', 'x')")[1]
    assert "MainThread" in shown
    assert "MainThread" not in hidden


def test_export_without_the_extra_says_what_to_install() -> None:
    out, _ = run(
        "sys.modules['opentelemetry.sdk'] = None\n"
        "try:\n    init_tracing({'opentelemetry': {'enabled': True}})\n"
        "except ValueError as error:\n    print(error)\n"
    )
    assert "pip install 'callboard[tracing]'" in out


def test_export_begins_with_the_call() -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.grpc", reason="the extra `tracing` is not installed"
    )
    out, _ = run(
        "init_tracing({'opentelemetry': {'enabled': True, 'service_name': 'mine', "
        "'grpc': {'endpoint': 'http://127.0.0.1:1', 'tls': {'insecure': True}}}})\n"
        "from opentelemetry import trace\n"
        "from gateway.api import observing\n"
        "print(type(observing.current).__name__)\n"
        "print(trace.get_tracer_provider().resource.attributes['service.name'])\n"
    )
    assert out.split() == ["Telemetry", "mine"]
