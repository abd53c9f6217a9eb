"""`callboard config` and `callboard start --config`, as their users meet them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway import IdentityProvider, IdentityVerifier, Name, Slim
from gateway.cli import main
from gateway.config.document import FILE_BOUND, Document
from tests.gateway.authority import HostAuthority
from tests.gateway.cli.processes import WAIT, Command, running

SECRET = "a-shared-secret-of-more-than-32-bytes"
HEAD = "services:\n  slim/0:\n    dataplane:\n"
PLAIN = f"{HEAD}      servers:\n        - endpoint: a:1\n          tls: {{insecure: true}}\n"

Run = Callable[..., Command]
Check = Callable[..., tuple[int, str, str]]
SERVER = "dataplane: {servers: [{endpoint: '127.0.0.1:0', tls: {insecure: true}}]}"


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts commands; all are gone after the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(running(*arguments))


@pytest.fixture
def check(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs `callboard config check` on a text: its exit code, output and errors."""
    for name in [name for name in os.environ if name.startswith("SLIM_")]:
        monkeypatch.delenv(name)

    def checked(text: str | bytes, *options: str) -> tuple[int, str, str]:
        path = tmp_path / "node.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        code = main(["config", "check", str(path), *options])
        out, err = capfd.readouterr()
        return code, out.replace(str(path), "node.yaml"), err.replace(str(path), "node.yaml")

    return checked


def test_check_says_what_the_node_will_do_and_no_secret(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    code, out, err = check(
        """
services:
  slim/east:
    group_name: g
    dataplane:
      servers:
        - endpoint: "0.0.0.0:46357"
          tls: {insecure: true}
          auth: {type: basic, username: ann, password: "${env:PASSWORD}"}
      clients:
        - endpoint: "http://b:1"
          auth: {basic: {username: ann, password: "${env:PASSWORD}"}}
          routes: [org/ns/app]
          proxy: {url: "http://u:hunter2@proxy:3128"}
    controller:
      clients: [{endpoint: "http://c:50052", headers: {x-key: hunter2}}]
      token_provider: {type: shared_secret, data: "hunter2 hunter2 hunter2 hunter2 hunter2"}
    backbone: {url: "nats://n:4222", token: hunter2}
runtime: {n_cores: 0, drain_timeout: 10s}
"""
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "node slim/east of group g",
        "listens on 0.0.0.0:46357 (no TLS, basic authentication)",
        "dials http://b:1 (no TLS, basic authentication, by the proxy proxy:3128, routes: org/ns/app)",
        "backbone nats://n:4222",
        "registers with http://c:50052 (no TLS)",
        "orders carry an identity (shared_secret)",
        "drains for 10 s at most",
        "node.yaml, line 19: runtime.n_cores: a node is one loop in one thread: use more of a machine by "
        "more nodes",
    ]


BAD = {
    "an unknown key": (
        PLAIN.replace("insecure", "insecur"),
        'node.yaml, line 6: unknown key "services.slim/0.dataplane.servers[0].tls.insecur"; '
        'did you mean "insecure"?',
    ),
    "a key of the top": (
        "servics: {}\n", 'node.yaml, line 1: unknown key "servics"; did you mean "services"?',
    ),
    "a type": (
        PLAIN.replace("a:1", "[1]"),
        "node.yaml, line 5: services.slim/0.dataplane.servers[0].endpoint: expected a text, got a list",
    ),
    "a secret of the wrong type": (
        f"{PLAIN}          auth: {{type: basic, username: u, password: 424242}}\n",
        "node.yaml, line 7: services.slim/0.dataplane.servers[0].auth.password: expected a text, "
        "got a number, which is a text in quotes only",
    ),
    "a certificate that is not there": (
        PLAIN.replace("{insecure: true}", "{source: {type: file, cert: /no/cert, key: /no/key}}"),
        "node.yaml, line 6: tls.source.cert: cannot read /no/cert: No such file or directory",
    ),
    "a token that is not there": (
        f"{HEAD}      clients:\n        - endpoint: http://a:1\n"
        "          auth: {type: static_jwt, file: /no/token}\n",
        "node.yaml, line 6: services.slim/0.dataplane.clients[0].auth.file: ",
    ),
    "nothing": ("", "node.yaml: services: expected one service, such as slim/0"),
    "a list": ("[1]", "node.yaml: expected keys at the top, such as services"),
    "no UTF-8": (b"a: 1\nb: \xff", "node.yaml, line 2: not UTF-8"),
    "10 MiB": (b"#" * 10 * FILE_BOUND, "node.yaml: larger than 1048576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_sentence_with_its_line(check: Check, text: str | bytes, sentence: str) -> None:
    code, out, err = check(text)
    assert (code, out) == (2, "")
    assert err.startswith(f"callboard: {sentence}")
    assert err.count("\n") == 1
    assert "424242" not in err


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_file_that_never_ends_is_refused_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "fifo"
    if kind == "fifo":
        os.mkfifo(path)
    began = time.monotonic()
    assert main(["start", "--config", str(path)]) == 2
    assert time.monotonic() - began < 5
    assert "not a regular file" in capfd.readouterr().err


def test_environment_and_options_win(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"services: {{slim/0: {{{SERVER}}}}}"
    monkeypatch.setenv("SLIM_NODE_ID", "from-environment")
    monkeypatch.setenv("SLIM_DRAIN", "7s")
    assert check(text)[1].splitlines() == [
        "node from-environment", "listens on 127.0.0.1:0 (no TLS)", "drains for 7 s at most",
    ]  # fmt: skip
    assert check(text, "--drain", "1s")[1].splitlines()[-1] == "drains for 1 s at most"
    code, _, err = check(text, "--drain", "soon")
    assert (code, err.startswith("callboard: --drain: expected a duration such as")) == (2, True)


def test_identity_flags_are_the_token_of_orders(check: Check) -> None:
    text = f"services: {{slim/0: {{{SERVER}}}}}"
    _, out, _ = check(text, "--shared-secret", SECRET, "--controller", "http://127.0.0.1:50052")
    assert "registers with http://127.0.0.1:50052 (no TLS)" in out
    assert "orders carry an identity (shared_secret)" in out
    assert SECRET not in out
    code, _, err = check(text, "--shared-secret", "short", "--controller", "http://127.0.0.1:50052")
    assert (code, "short" in err) == (2, False)
    assert "identity options: services.slim/0.controller.token_provider.data: a shared secret has at" in err
    # Without a controller it is for applications: the environment has it for all commands.
    assert check(text, "--shared-secret", "short")[0] == 0


def test_example_and_schema_are_printed(capfd: pytest.CaptureFixture[str], check: Check) -> None:
    assert main(["config", "example"]) == 0
    text = capfd.readouterr().out
    assert check(text)[:2] == (
        0, "node slim/0\nlistens on 127.0.0.1:46357 (no TLS)\ndrains for 5 s at most\n",
    )  # fmt: skip
    assert main(["config", "schema"]) == 0
    assert "services" in json.loads(capfd.readouterr().out)["properties"]


LISTENS = "    dataplane: {servers: [{endpoint: '127.0.0.1:0', tls: {insecure: true}}]}\n"

# Running


def application(text: str) -> Slim:
    secret = (text, SECRET)
    return Slim(
        Name.parse(text), IdentityProvider.SharedSecret(*secret), IdentityVerifier.SharedSecret(*secret),
        local_service=True,
    )  # fmt: skip


def addresses(node: Command, count: int) -> list[str]:
    node.until(rf"(?m)(^listening on \S+\s+){{{count}}}")
    return re.findall(r"listening on (\S+)", node.out)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for unix sockets, whose paths are short."""
    with tempfile.TemporaryDirectory(prefix="node") as folder:
        yield Path(folder)


async def test_nodes_of_files_listen_dial_route_and_drain(run: Run, short_path: Path) -> None:
    """Two nodes: each has two listeners, and dials one of the other's with a route."""
    authority = HostAuthority()
    cert, key = authority.issue().write(short_path)
    (short_path / "ca").write_text(authority.pem)
    async with application("org/file/alice") as alice, application("org/file/bob") as bob:
        inner, outer = short_path / "inner.yaml", short_path / "outer.yaml"
        inner.write_text(f"""
services:
  slim/inner:
    dataplane:
      servers:
        - {{endpoint: "127.0.0.1:0", tls: {{insecure: true}}}}
        - endpoint: "localhost:0"
          tls: {{source: {{type: file, cert: {cert}, key: {key}}}}}
      clients:
        # It is not there yet.
        - endpoint: "unix://{short_path}/outer"
          tls: {{insecure: true}}
          routes: [org/file/alice/{alice.id:x}]
tracing: {{log_level: info}}
""")
        node = run("start", "--config", str(inner))
        plain, secure = await asyncio.to_thread(addresses, node, 2)
        outer.write_text(f"""
services:
  slim/outer:
    dataplane:
      servers:
        - {{endpoint: "127.0.0.1:0", tls: {{insecure: true}}}}
        - {{endpoint: "unix://{short_path}/outer", tls: {{insecure: true}}}}
      clients:
        - endpoint: "https://localhost:{secure.rpartition(":")[2]}"
          tls: {{ca_source: {{type: file, path: {short_path}/ca}}}}
          routes: [org/file/bob, org/file/bob/{bob.id:x}]
runtime: {{drain_timeout: 2s}}
tracing: {{log_level: info}}
""")
        other = run("start", "--config", str(outer))
        at, _ = await asyncio.to_thread(addresses, other, 2)
        await asyncio.to_thread(other.until, r"connected endpoint=https://localhost")
        await asyncio.to_thread(node.until, "connected endpoint=unix://")
        await bob.connect({"endpoint": f"http://{plain}", "tls": {"insecure": True}})
        await alice.connect({"endpoint": f"http://{at}", "tls": {"insecure": True}})
        await alice.set_route(Name.parse("org/file/bob"))
        async with asyncio.timeout(WAIT), alice.session(Name.parse("org/file/bob")) as session:
            await session.publish(b"over two nodes")
            joined = await bob.listen_for_session()
            assert (await joined.get_message()).payload == b"over two nodes"
    for each in (other, node):
        each.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(each.end) == 0


def test_a_node_that_cannot_dial_yet_serves_and_ends(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(
        f"services:\n  slim/0:\n    {SERVER[:-1]}, clients: [{{endpoint: 'http://127.0.0.1:1'}}]}}\n"
    )
    node = run("start", "--config", str(path))
    addresses(node, 1)
    node.until("dialling goes on endpoint=http://127.0.0.1:1 cause=")
    node.process.send_signal(signal.SIGTERM)
    assert node.end() == 0


def test_a_listener_that_cannot_be_had_ends_the_node(run: Run, tmp_path: Path) -> None:
    other = run("start", "--insecure", "--listen", "127.0.0.1:0")
    (taken,) = addresses(other, 1)
    path = tmp_path / "node.yaml"
    path.write_text(
        f"services: {{slim/0: {{dataplane: {{servers: [{{endpoint: '127.0.0.1:0', tls: {{insecure: true}}}}, "
        f"{{endpoint: '{taken}', tls: {{insecure: true}}}}]}}}}}}"
    )
    node = run("start", "--config", str(path))
    assert node.end() == 1
    assert node.err.startswith(f"callboard: cannot listen on {taken}: ")
    assert node.err.endswith("; choose another endpoint\n")


def test_a_document_of_a_node_keeps_its_name() -> None:
    document = Document.parse("a: 1", "x.yaml")
    assert document.at("a", "text") == "x.yaml, line 1: text"
