"""Time, chance and threads come from `gateway.surroundings`: new uses of the system's own are refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_floors import ROOT, modules

CLOCKS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns", "sleep"}
BANNED = {
    "time": CLOCKS,
    "os": {"urandom", "getrandom"},
    "uuid": {"uuid1", "uuid4"},
    "asyncio": {"to_thread"},
    "threading": {"Thread", "Timer"},
    "datetime": {"now", "utcnow", "today"},
}
WHOLLY = {"random", "secrets", "concurrent"}
"""Modules of which nothing may be used."""

ALLOWED = {
    "a default where a caller hands in no clock": {
        "gateway/controller/access.py",
        "gateway/controller/audit.py",
        "gateway/controller/desk.py",
        "gateway/security/auth.py",
        "gateway/security/material.py",
        "identity/cloud/aws/client.py",
        "identity/cloud/aws/sts.py",
        "identity/cloud/azure/client.py",
        "identity/cloud/gcp/client.py",
        "identity/cloud/slim.py",
        "identity/spiffe/jwt_svid.py",
        "identity/spiffe/slim.py",
    },
    "a default where a caller hands in no randomness": {
        "identity/mls/cipher_suite.py",
        "identity/mls/group.py",
        "identity/mls/hpke.py",
        "identity/randomness.py",
    },
    "talks to servers outside over real sockets, which no World has": {
        "identity/cloud/exchange.py",
        "identity/jwks.py",
        "identity/spiffe/background.py",
        "identity/spiffe/blocking.py",
        "identity/spiffe/workload_api.py",
    },
    "a first token that a constructor has to wait for": {"gateway/node/identity_use.py"},
    "looks from outside at a loop that stands still": {"gateway/node/loop_watch.py"},
    "a command of ours": {
        "gateway/cli/cast.py",
        "gateway/cli/demo.py",
        "gateway/cli/director.py",
        "gateway/cli/lines.py",
        "gateway/cli/network.py",
        "gateway/cli/token.py",
        "gateway/controller/process.py",
    },
    "processes beside an application, and their files, which no World has": {
        "gateway/moderation/disk.py",
        "gateway/moderation/process.py",
    },
    "the record itself": {"gateway/surroundings.py"},
    "the large commits that `Place.THREAD` names": {"actors/session/mls_session.py"},
    "stands in its place, to refuse it": {"gateway/testing/refusing.py"},
    "seeds, and what follows from them": {
        "gateway/testing/backbone.py",
        "gateway/testing/disk.py",
        "gateway/testing/host.py",
        "gateway/testing/line.py",
        "gateway/testing/network.py",
        "gateway/testing/process.py",
        "gateway/testing/real.py",
        "gateway/testing/world.py",
    },
}


def uses(tree: ast.AST) -> Iterator[str]:
    """What a module takes from the system's clock, chance and threads."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            module = node.module.split(".")[0]
            taken = {alias.name for alias in node.names}
            if module in WHOLLY:
                yield from (f"{module}.{name}" for name in taken)
            yield from (f"{module}.{name}" for name in taken & BANNED.get(module, set()))
            if module == "datetime":
                bound |= {alias.asname or alias.name: "datetime" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = bound.get(node.value.id, "")
            if module in WHOLLY or node.attr in BANNED.get(module, set()):
                yield f"{module}.{node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "run_in_executor":
                yield "loop.run_in_executor"
            if node.func.attr == "generate" and not node.args and not node.keywords:
                yield f"{ast.unparse(node.func)}()"


def found() -> dict[str, set[str]]:
    """By file."""
    files = [path for floor in ("identity", "actors", "gateway") for path in modules(floor)]
    looked = {str(path.relative_to(ROOT)): set(uses(ast.parse(path.read_text()))) for path in files}
    return {name: names for name, names in looked.items() if names}


def test_time_chance_and_threads_are_handed_in() -> None:
    allowed = set().union(*ALLOWED.values())
    wrong = {name: names for name, names in found().items() if name not in allowed}
    assert not wrong, f"take them from gateway.surroundings: {wrong}"


def test_nobody_is_allowed_what_he_does_not_do() -> None:
    idle = set().union(*ALLOWED.values()) - found().keys()
    assert not idle


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.monotonic()",
        "import time as clock\nclock.time()",
        "from time import monotonic",
        "import os\nclock = os.urandom",
        "import random\nrandom.random()",
        "from secrets import token_bytes",
        "from datetime import datetime\ndatetime.now()",
        "import uuid\nuuid.uuid4()",
        "import asyncio\nasyncio.to_thread",
        "loop.run_in_executor(None, work)",
        "Ed25519PrivateKey.generate()",
    ],
)
def test_each_way_to_the_system_is_seen(text: str) -> None:
    assert list(uses(ast.parse(text)))


@pytest.mark.parametrize("text", ["loop.time()", "asyncio.sleep(1)", "random(32)", "secrets.epoch"])
def test_what_is_handed_in_is_not(text: str) -> None:
    assert not list(uses(ast.parse(text)))
