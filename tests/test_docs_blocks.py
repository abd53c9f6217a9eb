"""Each block of docs/ is run by a test, or says here why not: commands and pieces of programs.

Whole programs, with what they print, are those of `test_docs.py`; `docs/testing.md` is the plugin's test's.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gateway import IdentityProvider, IdentityVerifier, Request, Slim
from gateway.cli import parser
from gateway.node.data_plane import DataPlane
from tests.gateway.cli.processes import free_addresses, playing, running
from tests.newcomer import Block, blocks

DOCS = Path(__file__).resolve().parents[1] / "docs"
LIMIT = 60.0
FIRST_HOUR = "first-hour"
TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

DRAWING = "a drawing"
PIECES = {
    ("README", "`session.md` 6.6"): "a table, of which tests/test_citations.py is the test",
    ("configuration", "callboard start --config"): "tests/gateway/cli/test_config.py",
    ("design", "gateway/    the outside"): DRAWING,
    ("design", "message ──► shell"): DRAWING,
    ("design", "tell ──► mailbox"): DRAWING,
    ("design", "DataPlane ──┬──"): DRAWING,
    ("design", "stream in ──► link"): DRAWING,
    ("design", "Session.publish ──"): DRAWING,
    ("design", "link ── FramesIn"): DRAWING,
    ("errors", "SlimError"): "made of the classes, test_docs.py",
    ("first-hour", "callboard start --listen"): "here",
    ("first-hour", "async with application("): "here",
    ("index", "\n```{toctree}"): "the list of pages, test_docs.py",
    ("moderators", "openssl rand 32"): "tests/gateway/moderation, which makes such keys and journals",
    ("network", "callboard start --insecure"): "here",
    ("network", "await app.run_server("): "here",
    ("network", "pip install 'callboard[nats]'"): "takes NATS: tests/gateway/links/test_nats.py",
    ("network", "    backbone:"): "the keys, tests/gateway/links/test_nats.py",
    ("porting", "import gateway as"): "test_docs.py",
    ("porting", "from gateway import compat"): "test_docs.py",
    ("moderators", "from gateway import Name, Script"): "test_docs.py",
    ("admin", "callboard start --listen"): "tests/gateway/admin",
    ("admin", "node         slim/0"): "what it printed once, tests/pictures.py",
    ("admin", "# --admin-token-file"): "tests/gateway/admin/test_start.py",
    ("operating", "connection opened"): "tests/gateway/node/test_access_log.py",
    ("operating", "slim.request"): DRAWING,
    ("operating", "listening on"): "tests/gateway/cli/test_commands.py",
    ("operating", "umask 077; sqlite3"): "takes the program sqlite3",
    ("operating-commands", "$ callboard explain"): "tests/gateway/cli/test_operate.py",
    ("operating-commands", "$ callboard trace"): "tests/gateway/cli/test_operate.py",
    ("who-comes-in", "callboard pki init"): "tests/gateway/cli/test_pki.py",
    ("who-comes-in", "callboard user add"): "tests/gateway/cli/test_doors.py",
    ("who-comes-in", "callboard start …"): "tests/gateway/cli/test_doors.py",
    ("who-comes-in", "# allow or deny"): "tests/gateway/security/test_rules.py",
    ("who-comes-in", "WARNING refused"): "tests/gateway/security/test_door.py",
    ("running-a-controller", "callboard controller"): "tests/gateway/cli/test_controller.py",
    ("running-a-controller", "callboard start --insecure"): "tests/gateway/cli/test_controller.py",
}
"""By page and beginning: by what it is run, or why it is not."""

PAGES = sorted(page for page in DOCS.glob("*.md") if page.stem != "testing")


def pieces(page: Path) -> list[Block]:
    """The blocks that are no whole programs, and not what a program prints."""
    found: list[Block] = []
    before = ""
    for block in blocks(page.read_text()):
        if not ("asyncio.run(" in block.text or (block.kind == "text" and "asyncio.run(" in before)):
            found.append(block)
        before = block.text
    return found


def piece(page: str, beginning: str) -> str:
    (found,) = (block.text for block in pieces(DOCS / f"{page}.md") if block.text.startswith(beginning))
    return found


def test_each_block_is_run_or_says_why_not() -> None:
    there = {(page.stem, block.text) for page in PAGES for block in pieces(page)}
    for page, text in there:
        assert any(page == which and text.startswith(first) for which, first in PIECES), text
    for which, first in PIECES:
        assert any(page == which and text.startswith(first) for page, text in there), first


COMMANDS = [
    pytest.param(line, id=f"{page.stem}: {line[:60]}")
    for page in PAGES
    for block in pieces(page)
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
    if line.startswith("callboard ") and "…" not in line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line: str) -> None:
    """Its names and options are; what it does is shown by the test of its page."""
    _, *words = shlex.split(re.split(r"   | #", line)[0])
    parser().parse_args(words)


def test_the_service_of_the_first_hour_in_processes_of_its_own() -> None:
    page = (DOCS / f"{FIRST_HOUR}.md").read_text()
    (program,) = (block.text for block in blocks(page) if "asyncio.run(" in block.text)
    head = program.split("async def main()")[0]
    _, *start = shlex.split(piece("first-hour", "callboard start --listen"))
    with running(*start[:2], "127.0.0.1:0", *start[3:]) as node:
        address = node.until(r"listening on (\S+)")[1]
        asking = piece("first-hour", "async with application(").replace("127.0.0.1:46357", address)
        connect = next(line.strip() for line in asking.splitlines() if ".connect(" in line)
        serving = (
            'async with application("shop/front/orders") as till:\n'
            f'    {connect}\n    print("ready", flush=True)\n'
            "    await till.serve(take_order, codec=JSON)\n"
        )

        def whole(body: str) -> list[str]:
            indented = textwrap.indent(body, " " * 4)
            return [
                sys.executable,
                "-c",
                f"{head}async def main() -> None:\n{indented}\nasyncio.run(main())\n",
            ]

        with playing(program=whole(serving)) as service:
            service.until("ready")
            said = subprocess.run(
                whole(f"{asking}        print(answer.payload.decode())\n"),
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
    assert (said.returncode, said.stdout, said.stderr) == (0, '{"total":3}\n', "")


async def test_the_network_of_two_nodes_and_an_application_that_is_a_third() -> None:
    printed = ("127.0.0.1:46357", "127.0.0.1:46358", "127.0.0.1:46359")
    free = dict(zip(printed, free_addresses(3), strict=True))

    def here(text: str) -> str:
        return re.sub(r"127\.0\.0\.1:4635\d", lambda found: free[found[0]], text)

    def application(name: str) -> Slim:
        secret = "a shared secret of at least thirty-two bytes"
        pair = (kind.SharedSecret(name, secret) for kind in (IdentityProvider, IdentityVerifier))
        return Slim(name, *pair, data_plane=DataPlane())

    async def echo(request: Request[bytes]) -> bytes:
        return request.payload

    joining = here(piece("network", "await app.run_server("))
    with contextlib.ExitStack() as held:
        for line in here(piece("network", "callboard start --insecure")).splitlines():
            held.enter_context(running(*shlex.split(line)[1:])).until("listening on")
        async with application("org/demo/third") as app, application("org/demo/client") as client:
            await eval(compile(joining, str(DOCS), "exec", flags=TOP_LEVEL_AWAIT), {"app": app})
            await client.connect(f"http://{free[printed[1]]}")
            await client.set_route("org/demo/third")
            async with app.serve(echo), client.session("org/demo/third") as session:
                assert (await session.request(b"hello")).payload == b"hello"
            for each in (app, client):
                await each.close(0.5)
                await each.data_plane.close(0.5)
