"""`callboard controller` and `callboard ctl` as processes, with a node that is only its end of the stream."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from gateway.cli import main
from tests.gateway.controller.stage import FakeNode

CALLBOARD = str(Path(sys.executable).with_name("callboard"))
WAIT = 30.0


async def callboard(*arguments: str, fails: bool = False, home: Path | None = None) -> str:
    """What a command prints, on standard error when it has to fail."""
    process = await asyncio.create_subprocess_exec(
        CALLBOARD,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"XDG_CONFIG_HOME": str(home or "/nonexistent"), "PATH": "/usr/bin:/bin"},
    )
    async with asyncio.timeout(WAIT):
        out, err = await process.communicate()
    assert bool(process.returncode) == fails, err.decode()
    return (err if fails else out).decode().strip()


@asynccontextmanager
async def controller(*options: str) -> AsyncIterator[tuple[str, str, asyncio.subprocess.Process]]:
    """A controller's two addresses, and its process."""
    process = await asyncio.create_subprocess_exec(
        CALLBOARD, "controller", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT):
            line = (await process.stdout.readline()).decode()
        north, south = (part.rpartition(" ")[2] for part in line.strip().split(", "))
        yield north, south, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


FREE = ("--northbound", "127.0.0.1:0", "--southbound", "127.0.0.1:0")


async def test_the_tree_of_the_tool_and_a_kill(tmp_path: Path) -> None:
    options = (*FREE, "--database", str(tmp_path / "state.db"))
    async with controller(*options) as (north, south, process):

        async def ctl(*words: str, fails: bool = False) -> str:
            return await callboard("ctl", "-s", north, *words, fails=fails)

        async with FakeNode(south) as node:
            await node.registered()
            await node.report("o/n/mod/5")
            assert "slim/0  CONNECTED" in await ctl("node", "list")
            assert json.loads(await ctl("-o", "json", "controller", "node", "ls"))[0]["id"] == "slim/0"
            missing = await ctl("participant", "add", "o/n/p", "-c", "o/n/c", fails=True)
            assert missing.startswith("callboard: NOT_FOUND: there is no channel o/n/c; make it first")
            assert await ctl("channel", "create", "o/n/c", "moderators=o/n/mod") == "o/n/c"
            assert await ctl("participant", "add", "o/n/p", "-c", "o/n/c") == "added"
            assert yaml.safe_load(await ctl("-o", "yaml", "channel", "list"))[0]["members"] == ["o/n/p"]
            assert "moderator  o/n/mod" in await ctl("channel", "show", "o/n/c")
            for words in (("show", "o/n/d"), ("delete", "o/n/d")):
                assert await ctl("channel", *words, fails=True) == (
                    "callboard: NOT_FOUND: there is no channel o/n/d; "
                    "callboard ctl channel list shows those there are"
                )
            target = tmp_path / "there.json"
            target.write_text('{"endpoint": "http://127.0.0.1:9"}')
            added = await ctl("route", "add", "a/b/c/3", "via", str(target), "-n", "slim/0")
            assert added == "slim/0:a/b/c/3->[http://127.0.0.1:9]"
            await node.command()
        process.kill()
        await process.wait()
    async with controller(*options) as (north, south, process):
        assert await ctl("participant", "ls", "-c", "o/n/c") == "PARTICIPANT\no/n/p"
        outline = json.loads(await ctl("-o", "json", "route", "outline"))
        assert [one["name"] for one in outline if one["name"]] == ["a/b/c/3"]
        assert await ctl("node", "forget", "slim/0") == (
            "node slim/0 is forgotten; if it still runs, it registers anew"
        )
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("node", "list", "-s", "127.0.0.1:1"), 1, "UNAVAILABLE: cannot connect to 127.0.0.1:1 ("),
        (("-s", "127.0.0.1:1", "route", "outline", "-o", "a"), 1, "cannot connect to 127.0.0.1:1 ("),
        (("node", "list", "-s", "no host"), 1, "UNAVAILABLE: cannot connect to no host ("),
        (("node", "list", "--timeout", "5"), 2, "--timeout: expected a duration"),
        (("config", "set", "timeout", "5"), 2, "timeout: expected a duration"),
        (("config", "set", "tls-insecure", "maybe"), 2, "tls-insecure: true or false, got 'maybe'"),
        (("node", "list", "--token-file", "binary"), 2, "binary: not a token"),
        (("--token-file", "empty", "node", "list"), 2, "empty: not a token"),
        (("node", "--token-file", "lines", "list"), 2, "lines: not a token"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    """Options of a call stand before the command and behind it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, content in (("binary", b"\xff"), ("empty", b""), ("lines", b"two\nlines\n")):
        Path(name).write_bytes(content)
    assert main(("ctl", *words)) == code
    err = capfd.readouterr().err
    assert err.startswith("callboard: ")
    assert says in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("config.yaml"))


def test_an_answer_is_shown_as_the_option_behind_the_command_says(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(("ctl", "config", "list", "-o", "json")) == 0
    assert main(("ctl", "-o", "json", "config", "list", "--output", "table")) == 0
    assert main(("ctl", "-o", "json", "config", "list")) == 0
    assert capfd.readouterr().out == "[]\nKEY  VALUE\n[]\n"


async def test_settings_are_remembered_and_kept_private(tmp_path: Path) -> None:
    await callboard("ctl", "config", "set", "basic-auth-creds", "alice:hush-hush", home=tmp_path)
    await callboard("ctl", "config", "set", "server", "127.0.0.1:1", home=tmp_path)
    shown = await callboard("ctl", "config", "list", home=tmp_path)
    assert "127.0.0.1:1" in shown
    assert "hush-hush" not in shown
    assert (tmp_path / "slimctl" / "config.yaml").stat().st_mode & 0o77 == 0
    said = await callboard("ctl", "node", "list", fails=True, home=tmp_path)
    assert "UNAVAILABLE: cannot connect to 127.0.0.1:1 (Connection refused); is a controller" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("northbound: {htpPort: 1}", 'unknown key "northbound.htpPort"; did you mean "httpPort"?'),
        ("northbound: {httpPort: 99999}", "northbound.httpPort: a port, got 99999"),
        ("southbound: {tls: {useSpiffe: true}}", "southbound.spire.socketPath: useSpiffe needs it"),
        (
            "northbound: {auth: {users: {a: {role: king, password: x}}}}",
            "reader, operator or admin, got 'king'",
        ),
        (
            "northbound: {auth: {users: {a: {password: '${env:NOT_SET_HERE}'}}}}",
            "line 1: the environment variable NOT_SET_HERE is not set",
        ),
        ("a: [", "not YAML"),
    ],
)
def test_a_bad_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    """Run in this process, to spend no time on starting many."""
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert main(["controller", "--config", str(file)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


async def test_a_broken_database_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    error = await callboard("controller", *FREE, "--database", str(file), fails=True)
    assert error == f"callboard: database.filePath: cannot use {file}: file is not a database"


async def test_the_stubs_have_a_path_and_import_from_it() -> None:
    path = await callboard("stubs", "path")
    program = (
        "from controlplane.v1 import controlplane_pb2, controlplane_pb2_grpc;"
        "from controller.v1 import controller_pb2, controller_pb2_grpc;"
        "from grpc_api import grpc_api_pb2;"
        "print(controller_pb2.Connection is grpc_api_pb2.Connection)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": path}
    )
    out, _ = await process.communicate()
    assert out == b"True\n"
    assert (Path(path) / "controlplane" / "v1" / "controlplane.proto").is_file()
