"""Somebody who has the sources, an interpreter, an empty home, and does what the README says, in its order.

`python -m tests.newcomer [VERSION ...]` does it with each Python that is found (or those named: 3.12), the
programs of docs/ after it, and prints how long what took.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.gateway.cli.processes import Command, free_addresses
from tests.identity.key_samples import Algorithm, jwk, jwks, private_pem

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FENCED = r"^```(\w*)\n(.*?)^```$"
INDENTED = r"^    [^\n]*\n(?:\n*    [^\n]*\n)*"
EXPORT = 'export SLIM_SHARED_SECRET="a shared secret of at least thirty-two bytes"\n\n'
LIMIT = 60.0
INSTALLING = 600.0
KEPT = ("PIP_", "SSL_", "LANG")
"""Variables that a newcomer keeps begin with these: where packages come from."""


class Block(NamedTuple):
    kind: str
    """`python`, `text`, or `` where it is indented."""
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in the order printed."""
    found = re.finditer(f"{FENCED}|({INDENTED})", page, re.MULTILINE | re.DOTALL)
    return [Block(each[1] or "", each[2] or re.sub("^    ", "", each[3], flags=re.M)) for each in found]


def interpreter(version: str) -> str | None:
    """A Python of that version on this machine, or None."""
    beside = map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))
    for python in filter(None, (shutil.which(f"python{version}"), *beside)):
        if (
            subprocess.run([python, "--version"], capture_output=True, timeout=LIMIT, check=False).returncode
            == 0
        ):
            return python
    return None


class Newcomer:
    """One reader with an environment of their own. What they did, and the seconds it took, is in `done`."""

    def __init__(self, folder: Path, python: str, own: str | None = None) -> None:
        """`folder` is empty, `python` an interpreter, `own` one that has the package already."""
        self.checkout, self.home, self.desk = (folder / name for name in ("callboard", "home", "desk"))
        self.python = python
        self.done: list[tuple[str, float]] = []
        for each in (self.home, self.desk):
            each.mkdir()
        ignored = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "build", "dist")
        shutil.copytree(ROOT, self.checkout, ignore=ignored)
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        self.environ = {**kept, "HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        self.own = Path(own) if own else self.desk / "own/bin/python"
        """What runs programs and `callboard`: an environment with the package alone."""
        self._echo = ""
        self._held = contextlib.ExitStack()
        self._address = ""

    def follow(self, page: str, only: tuple[str, ...] = ("",)) -> None:
        """Do what each block of the README says, in its order, or each that begins with one of `only`.

        Raises AssertionError with what was said when a block is not as printed.
        """
        with self._held:
            for block, (beginning, act) in zip(blocks(page), FOLLOWED, strict=True):
                if callable(act) and beginning.startswith(only):
                    act(self, block.text)

    def call(self, *command: object, limit: float = LIMIT, **environ: str) -> str:
        """Run to its end, at the desk: what it printed. It has to end well."""
        words = [str(word) for word in command]
        environ = {**self.environ, **environ}
        process = subprocess.Popen(
            words,
            cwd=self.desk,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, errors = process.communicate(timeout=limit)
        finally:
            # With what it started: an installer goes on writing otherwise.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, f"{shlex.join(words)}:\n{printed}{errors}"
        return printed

    def start(self, *command: object, folder: Path | None = None, **environ: str) -> Command:
        """Start what goes on; it is told to end when the reader is done, or by the exit stack's owner."""
        bare = [
            f"{name}={value}" for name, value in {**self.environ, **environ, "PYTHONUNBUFFERED": "1"}.items()
        ]
        program = ("env", "-i", f"--chdir={folder or self.desk}", *bare, *map(str, command))
        started = Command(program=program)

        def end() -> None:
            started.process.send_signal(signal.SIGTERM)
            try:
                started.process.wait(LIMIT)
            finally:
                started.process.kill()

        self._held.callback(end)
        return started

    def callboard(self, line: str) -> list[str]:
        """A printed command line as words, without the remark beside it."""
        name, *words = shlex.split(line.split("   ")[0])
        assert name == "callboard"
        return [str(self.own.with_name("callboard")), *words]

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.done.append((what, time.monotonic() - began))

    # What a block is answered by, in the order of the README.

    def make_demo(self, text: str) -> None:
        assert text.startswith("make demo ")
        make = ("make", "-C", self.checkout, f"PYTHON={self.python}")
        with self.timed("make install"):
            self.call(*make, "install", limit=INSTALLING)
        with self.timed("make demo, installed"):
            said = self.call(*make, "demo")
        assert "closed" in said, said
        with self.timed("pip install . in another environment"):
            self.call(self.python, "-m", "venv", "own")
            lock = self.checkout / "requirements.lock"
            pip = (self.own, "-m", "pip", "install", "--quiet")
            self.call(*pip, "-c", lock, self.checkout, "pytest", limit=INSTALLING)
        assert str(self.desk) in self.call(self.own, "-c", "import gateway; print(gateway.__file__)")

    def program(self, text: str) -> None:
        self._echo = self._echo or text
        with self.timed("a program of the README, its answer"):
            said = self.call(self.own, "-c", text)
        assert said in ("echo: hello\n", '{"sum":6}\n')

    def start_node(self, text: str) -> None:
        (self._address,) = free_addresses(1)
        line = text.strip().replace("127.0.0.1:46357", self._address)
        with self.timed("a node, until it listens"):
            self.start(*self.callboard(line)).until("listening on")

    def in_processes_of_their_own(self, text: str) -> None:
        """The first program in two halves, each with the printed lines."""
        lines = textwrap.indent(text.replace("127.0.0.1:46357", self._address), " " * 8)
        head, main = self._echo.split("async def main()")
        serving = '    async with application("org/demo/bob") as app:\n{}        await app.serve(echo)\n'
        asking = (
            '    async with application("org/demo/alice") as app:\n{}'
            '        async with app.session("org/demo/bob") as session:\n'
            '            print((await session.request(b"hello")).payload.decode())\n'
        )
        connect = f"{lines.splitlines()[0]}\n"
        assert "app.connect" in connect
        assert "asyncio.run(main())" in main
        halves = [
            f"{head}async def main() -> None:\n{half}\nasyncio.run(main())\n"
            for half in (serving.format(connect), asking.format(lines))
        ]
        with self.timed("the same in two processes, the answer"):
            self.start(self.own, "-c", halves[0], SLIM_LOG_LEVEL="info")
            said = self.call(self.own, "-c", halves[1])
        assert said == "echo: hello\n"

    def three_terminals(self, text: str) -> None:
        """As printed, but for the port: the node of the block before has the printed one."""
        exported = _exported(text)
        start, listen, send = (line for line in text.splitlines() if line.startswith("callboard"))
        (address,) = free_addresses(1)
        with self.timed("three terminals, the answer"):
            self.start(*self.callboard(start), "--listen", address, **exported).until("listening on")
            connect = f"http://{address}"
            self.start(*self.callboard(listen), **exported, SLIM_CONNECT=connect).until("listening as")
            said = self.call(*self.callboard(send), **exported, SLIM_CONNECT=connect)
        assert said == "hello\n"

    def network(self, text: str) -> None:
        exported = _exported(text)
        names = ("NORTHBOUND", "SOUTHBOUND", "NODE_0", "NODE_1")
        self._ports = {**dict(zip(names, free_addresses(4), strict=True)), **exported}
        up, nodes = (line for line in text.splitlines() if line.startswith("callboard"))
        with self.timed("a network, until its nodes are connected"):
            started = self.start(*self.callboard(up), folder=self.checkout, **self._ports)
            for mark in ("northbound on", "leading"):
                started.until(mark, LIMIT)
            limit = time.monotonic() + LIMIT
            while self._told(nodes).count(" CONNECTED") < 2:
                assert time.monotonic() < limit
                time.sleep(0.2)

    def channel(self, text: str) -> None:
        guest, *orders = text.replace("127.0.0.1:46358", self._ports["NODE_1"]).splitlines()
        with self.timed("a channel made, joined and closed"):
            member = self.start(*self.callboard(guest), **self._ports)
            member.until("waiting to be invited", LIMIT)
            said = [self._told(line) for line in orders]
            assert "org/demo/guest" in said[2]
            member.until("closed by the moderator", LIMIT)

    def scripted(self, text: str) -> None:
        with self.timed("the scripted moderator"):
            python, script = (self.checkout / word for word in text.split())
            self.call(python, script)

    def testing(self, text: str) -> None:
        program = self._echo.replace("asyncio.run(main())", "")
        (self.desk / "test_agent.py").write_text(f"{program}\n\n{text}")
        with self.timed("the test on virtual time"):
            assert "1 passed" in self.call(self.own, "-m", "pytest", "-q", "test_agent.py")

    def porting(self, text: str) -> None:
        self.call(self.own, "-c", f"{text}\nslim_bindings.Slim, slim_bindings.Name")

    def tokens(self, text: str) -> None:
        (self.desk / "key.pem").write_text(private_pem(Algorithm.ES256))
        (self.desk / "keys.json").write_text(jwks(jwk(Algorithm.ES256)))
        inspect, mint, verify = (self.callboard(line.replace("FILE", "token")) for line in text.splitlines())
        with self.timed("a token made, read and verified"):
            (self.desk / "token").write_text(self.call(*mint))
            assert "app" in self.call(*inspect)
            assert "app" in self.call(*verify)

    def configuration(self, text: str) -> None:
        whole = (
            json.loads(text)
            if text.startswith("{")
            else {"endpoint": "https://node:1", **json.loads(f"{{{text}}}")}
        )
        imports = "import json, sys; from gateway.config import ClientConfig"
        self.call(self.own, "-c", f"{imports}; ClientConfig.read(json.loads(sys.argv[1]))", json.dumps(whole))

    def targets(self, text: str) -> None:
        for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
            self.call("make", "--dry-run", "-C", self.checkout, target)

    def examples(self) -> None:
        """Each identity example, as the section about identity says."""
        for path in sorted((self.checkout / "examples/identity").glob("*.py")):
            if path.stem not in ("conversation", "stand_ins"):
                with self.timed(f"examples/identity/{path.name}"):
                    assert "proved to be" in self.call(self.own, path)

    def pages(self) -> None:
        """The programs of docs/, each in a process of its own: what they print is what is printed."""
        for page in sorted((self.checkout / "docs").glob("*.md")):
            programs = [block.text for block in blocks(page.read_text()) if "asyncio.run(" in block.text]
            if programs and page.stem != "testing":
                with self.timed(f"the programs of docs/{page.name}: {len(programs)}"):
                    printed = [self.call(self.own, "-c", text) for text in programs]
                texts = [block.text for block in blocks(page.read_text()) if block.kind == "text"]
                assert [said for said in printed if said not in ("", *texts)] == []

    def _told(self, line: str) -> str:
        """`callboard ctl ...` to this reader's controller."""
        name, ctl, *words = self.callboard(line)
        assert ctl == "ctl"
        return self.call(name, ctl, "-s", self._ports["NORTHBOUND"], *words)


def _exported(text: str) -> dict[str, str]:
    return dict(re.findall(r'^export (\w+)="(.*)"$', text, re.MULTILINE))


FOLLOWED: tuple[tuple[str, Callable[[Newcomer, str], None] | str], ...] = (
    ("make demo", Newcomer.make_demo),
    ("import asyncio\nfrom gateway import Identity", Newcomer.program),
    ("import asyncio\nfrom typing import Any", Newcomer.program),
    ("callboard start --listen", Newcomer.start_node),
    ("await app.connect(", Newcomer.in_processes_of_their_own),
    (f"{EXPORT}callboard start", Newcomer.three_terminals),
    (f"{EXPORT}callboard up", Newcomer.network),
    ("callboard chat", Newcomer.channel),
    (".venv/bin/python examples/scripted_moderator.py", Newcomer.scripted),
    ("async def test_an_agent", Newcomer.testing),
    ("import gateway as slim_bindings", Newcomer.porting),
    ("--shared-secret TEXT", "options of commands that other blocks call"),
    ("callboard token inspect", Newcomer.tokens),
    ('{"endpoint"', Newcomer.configuration),
    ('"tls": {"source"', Newcomer.configuration),
    ("gateway/    the outside", "a drawing of the floors"),
    ("stream in -> Connection", "a drawing of a message's way"),
    ("make test ", Newcomer.targets),
)
"""How each block of the README begins, in its order, and what the reader does, or why nothing."""


def table(version: str, done: list[tuple[str, float]]) -> str:
    """Markdown: what took how long."""
    rows = [f"| {what} | {seconds:.1f} |" for what, seconds in done]
    return "\n".join([f"| Python {version} | seconds |", "|---|---|", *rows])


def main(versions: list[str]) -> None:
    for version in versions or VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"Python {version}: not on this machine\n")
            continue
        with tempfile.TemporaryDirectory() as folder:
            reader = Newcomer(Path(folder), python)
            reader.follow((ROOT / "README.md").read_text())
            reader.examples()
            reader.pages()
            said = reader.call(reader.own, "--version").strip()
        print(f"{table(said.removeprefix('Python '), reader.done)}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
