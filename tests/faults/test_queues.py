"""The tables of `docs/queues.md` and the code: what holds things is there, with bound, policy and counter."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from actors.telemetry import PREFIX, TOTAL, Counts
from gateway.admin.door import AdminCounts
from tests.gateway.app_stage import AppStage

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/queues.md").read_text()
KINDS = {"deque", "OrderedDict", "Memo", "Queue"}
"""What a queue or a memory is made of."""
QUOTED = re.compile(r"`([^`]+)`")


class Held(NamedTuple):
    """A line of a table: where things are held, in which attributes, and the other cells."""

    path: str
    attributes: tuple[str, ...]
    rest: tuple[str, ...]


def lines(heading: str, where: int) -> list[Held]:
    """Those of the table under a heading; column `where` says where it is."""
    text = PAGE.split(f"## {heading}")[1].split("## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    found = []
    for cells in rows:
        path, *attributes = QUOTED.findall(cells[where])
        found.append(Held(path, tuple(attributes), tuple(cells[where + 1 :])))
    return found


QUEUES, MEMORIES = lines("Queues", 1), lines("Memories", 0)


def made() -> Iterator[tuple[str, str]]:
    """File and attribute (or variable) of each queue and memory that the code makes."""
    for floor in ("actors", "gateway", "identity"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            if {"stubs", "proto", "testing"}.isdisjoint(path.relative_to(ROOT).parts):
                yield from ((str(path.relative_to(ROOT)), name) for name in made_in(path))


def made_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if any(_makes(part) for part in ast.walk(value)):
            for target in targets:
                yield re.sub(r"\[.*", "", ast.unparse(target).removeprefix("self."))


def _makes(node: ast.AST) -> bool:
    """Whether it is a call that makes one, or a field that is made by one."""
    if not isinstance(node, ast.Call):
        return False
    makers = [node.func, *(one.value for one in node.keywords if one.arg == "default_factory")]
    names = {getattr(one, "id", getattr(one, "attr", "")) for one in makers}
    return not names.isdisjoint(KINDS)


def test_the_walk_finds_something() -> None:
    assert len(QUEUES) > 30
    assert len(MEMORIES) > 15
    assert ("actors/routing/pieces.py", "_jobs") in set(made())


def test_all_that_the_code_makes_is_in_a_table() -> None:
    listed = {(held.path, name) for held in QUEUES + MEMORIES for name in held.attributes}
    # Variables that hold one of these for a moment.
    passing = {("gateway/http2/messages.py", "waiting"), ("gateway/api/connecting.py", "queue")}
    assert set(made()) - listed - passing == set()


@pytest.mark.parametrize("held", QUEUES + MEMORIES, ids=lambda held: f"{held.path}:{held.attributes[0]}")
def test_what_a_table_names_is_in_the_code(held: Held) -> None:
    code = (ROOT / held.path).read_text()
    for name in held.attributes:
        assert re.search(rf"\b{name}\b", code), name


@pytest.mark.parametrize("held", QUEUES, ids=lambda held: f"{held.path}:{held.attributes[0]}")
def test_a_queue_has_a_bound_a_policy_and_a_test(held: Held) -> None:
    bound, policy, _, test = held.rest
    named = QUOTED.findall(bound)
    if named:
        path, name = named
        assert re.search(rf"^ *{name}\b.* = ", (ROOT / path).read_text(), re.MULTILINE), bound
    assert bound.strip()
    assert policy.strip()
    assert (ROOT / QUOTED.findall(test)[0]).is_file()


@pytest.mark.parametrize("held", MEMORIES, ids=lambda held: f"{held.path}:{held.attributes[0]}")
def test_a_memory_has_a_bound(held: Held) -> None:
    code = (ROOT / held.path).read_text()
    for name in QUOTED.findall(held.rest[0]):
        assert re.search(rf"\b{name}\b", code), name


@pytest.fixture
async def stage() -> AsyncIterator[AppStage]:
    stage = AppStage("server")
    await stage.start()
    yield stage
    await stage.close()


async def test_a_queue_that_loses_something_has_a_counter_that_is_told(stage: AppStage) -> None:
    await stage.app("alice")
    told = set((await stage.node.status())["counters"])
    # Those of the admin port are declared where it is used.
    kinds = {*Counts.__subclasses__(), AdminCounts}
    declared = {f"{PREFIX}_{kind.part}_{name}{TOTAL}" for kind in kinds for name in kind.helps}
    for held in QUEUES:
        counter = held.rest[2]
        if not counter.startswith("none: "):
            (name,) = QUOTED.findall(counter)
            assert f"{PREFIX}_{name}" in told | declared, name
        elif re.search("dropped|lose|forgotten|refused", held.rest[1]):
            # Whoever it is about is told, each time.
            assert re.search("hears|tells|told", counter), held
