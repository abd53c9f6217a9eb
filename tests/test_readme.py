"""The README, followed word by word: its programs, commands and configurations, and the files it names."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main, parser
from gateway.cli.parsing import commands_of
from gateway.config import ClientConfig
from identity.jose.keys import Algorithm
from tests.gateway.cli.processes import free_addresses, playing
from tests.identity.key_samples import jwk, jwks, private_pem

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
TESTS = [block for block in PYTHON if "async def test_" in block]
PROGRAMS = [
    block for block in PYTHON if block not in TESTS and not re.search(r"^await ", block, re.MULTILINE)
]
INDENTED = re.findall(
    r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL), re.M
)
LIMIT = 60.0
PRINTED = {'b"echo: "': "echo: hello\n", "codec=JSON": '{"sum":6}\n'}
"""By what stands in a program: what it prints."""


def commands(start: str) -> list[list[str]]:
    """The README's command lines that begin with `callboard START`, without the remarks beside them."""
    lines = [line.split("   ")[0] for line in INDENTED if line.startswith(f"callboard {start}")]
    return [shlex.split(line)[1:] for line in lines]


def callboard(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli", *arguments]


def run(command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environ, **more)


def test_there_are_programs_and_commands() -> None:
    assert len(PROGRAMS) >= 2
    assert len(PYTHON) > len(PROGRAMS) + len(TESTS) > len(PROGRAMS)
    assert all(commands(start) for start in ("start", "listen", "send", "token"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_and_says_nothing_on_stderr(program: str, tmp_path: Path) -> None:
    done = run([sys.executable, "-c", program], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    if "asyncio.run" in program:
        (said,) = (line for mark, line in PRINTED.items() if mark in program)
        assert done.stdout == said


@pytest.mark.parametrize("test", TESTS)
def test_a_test_passes_beside_the_first_program(test: str, tmp_path: Path) -> None:
    first = PROGRAMS[0].replace("asyncio.run(main())", "")
    (tmp_path / "test_it.py").write_text(f"{first}\n\n{test}")
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", [block for block in PYTHON if block not in PROGRAMS + TESTS])
def test_the_other_blocks_are_python(block: str) -> None:
    compile(block, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@contextlib.contextmanager
def running(command: list[str], environ: dict[str, str], first: str) -> Iterator[str]:
    """A command that goes on until it is told to stop; what its first line says behind `first`."""
    process = subprocess.Popen(
        command, text=True, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert first in line
        yield line.split(first, 1)[1].strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_three_terminals() -> None:
    """As written, but for the port."""
    exported = dict(re.findall(r'^    export (\w+)="(.*)"$', TEXT, re.MULTILINE))
    environ = {**os.environ, **exported}
    (start,) = (line for line in commands("start") if "--listen" not in line)
    (listen,) = commands("listen")
    (send,) = (line for line in commands("send") if "--wait-reply" in line)
    with running(callboard(*start, "--listen", "127.0.0.1:0"), environ, "listening on ") as address:
        environ["SLIM_CONNECT"] = f"http://{address}"
        with running(callboard(*listen), environ, "-- listening as org/demo/bob"):
            done = subprocess.run(
                callboard(*send), env=environ, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT
            )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.parametrize("runner", ["callboard", "honcho"])
def test_the_network_of_nodes(runner: str, tmp_path: Path) -> None:
    """As written, but for the ports."""
    section = TEXT.split("## A network\n")[1].split("\n## ")[0]
    assert "`honcho start`" in section
    ports = dict(zip(("NORTHBOUND", "SOUTHBOUND", "NODE_0", "NODE_1"), free_addresses(4), strict=True))
    exported = dict(re.findall(r'^    export (\w+)="(.*)"$', section, re.MULTILINE))
    more = {**exported, **ports, "DATABASE": str(tmp_path / "db"), "PORT": "1"}
    environ = {**os.environ, **more}
    text = section.replace("127.0.0.1:46358", ports["NODE_1"])
    lines = [shlex.split(line)[1:] for line in re.findall(r"^    (callboard .*)$", text, re.MULTILINE)]
    up, nodes, guest, *orders = lines

    def does(line: list[str]) -> str:
        where = ["-s", ports["NORTHBOUND"]] if line[0] == "ctl" else []
        done = subprocess.run(
            callboard(line[0], *where, *line[1:]), env=environ, capture_output=True, text=True, timeout=LIMIT
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    start = callboard(*up) if runner == "callboard" else [sys.executable, "-m", "honcho", "start"]
    ready = ("northbound on", f"listening on {ports['NODE_0']}", f"listening on {ports['NODE_1']}", "leading")
    with contextlib.ExitStack() as held:
        network = held.enter_context(playing(program=start, **more))
        for mark in ready:
            network.until(mark, LIMIT)
        limit = time.monotonic() + LIMIT
        while does(nodes).count(" CONNECTED") < 2:
            assert time.monotonic() < limit
        led = held.enter_context(playing(*guest, **more))
        led.until("waiting to be invited", LIMIT)
        results = [does(order) for order in orders]
        assert "org/demo/guest" in results[2]
        led.until("in org/demo/stage as org/demo/guest", LIMIT)
        led.until("closed by the moderator", LIMIT)


def test_tokens_by_hand(tmp_path: Path) -> None:
    """Minted with the key, inspected, and verified with its public half."""
    (tmp_path / "key.pem").write_text(private_pem(Algorithm.ES256))
    (tmp_path / "keys.json").write_text(jwks(jwk(Algorithm.ES256)))
    lines = {line[1]: callboard(*line) for line in commands("token")}
    assert list(lines) == ["inspect", "mint", "verify"]
    for verb in ("mint", "inspect", "verify"):
        done = run([part.replace("FILE", "token") for part in lines[verb]], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if verb == "mint":
            (tmp_path / "token").write_text(done.stdout)


@pytest.mark.parametrize("command", ["", "start", "demo", "listen", "send", "chat", "token", "bench"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Run in this process, to spend no time on starting many."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: callboard {command}".rstrip())
    assert err == ""


def test_the_flags_it_names_exist() -> None:
    helps = "".join(command.format_help() for command in _commands(parser()))
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    elsewhere = {"--keys", "--workspace-group-id"}  # of identity examples
    assert {flag for flag in spoken - elsewhere if flag not in helps} == set()


def _commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield top
    for below in commands_of(top).values():
        yield from _commands(below)


def test_the_files_and_targets_it_names_exist() -> None:
    named = set(re.findall(r"(?:examples|actors|gateway|identity|tests)/[\w./]*\w", TEXT)) - {
        "examples/identity/NAME.py"
    }
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"\bmake (\w+)\s*(?:#|`)", TEXT))
    assert {"demo", "test"} <= targets
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_configurations_are_understood() -> None:
    """Every key is known; what the files hold is not looked at."""
    objects = [
        json.loads(text) for text in re.findall(r"^(    \{\"endpoint\".*?\}\})$", TEXT, re.M | re.DOTALL)
    ]
    spiffe = re.findall(r"^(    \"tls\": \{\"source\".*?\}\})$", TEXT, re.MULTILINE | re.DOTALL)
    objects += [{"endpoint": "https://node:1", **json.loads("{" + text + "}")} for text in spiffe]
    assert len(objects) == 2
    for config in objects:
        ClientConfig.read(config)
