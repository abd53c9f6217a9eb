"""The three floors: imports point downwards only (gateway -> actors -> identity), and never in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "identity": {"actors", "gateway", "thespian", "msgpack"},
    "actors": {"gateway", "grpc", "google", "socket", "ssl", "httpx"},
    "gateway": set(),
}

LINES = 650
"""Of a module that somebody wrote by hand."""


def modules(floor: str) -> list[Path]:
    return sorted(p for p in (ROOT / floor).rglob("*.py") if not p.name.endswith(("_pb2.py", "_pb2_grpc.py")))


def imports(path: Path) -> set[str]:
    """Top-level packages that a module imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_floor_imports_nothing_from_above(floor: str) -> None:
    wrong = {str(p.relative_to(ROOT)): bad for p in modules(floor) if (bad := imports(p) & FORBIDDEN[floor])}
    assert not wrong


def test_asyncio_on_the_actors_floor_only_in_the_system() -> None:
    wrong = [
        str(p.relative_to(ROOT))
        for p in modules("actors")
        if p.relative_to(ROOT).parts[1] != "system" and "asyncio" in imports(p)
    ]
    assert not wrong


def test_mls_is_pure() -> None:
    allowed = {"cryptography", "identity"}
    banned = {"asyncio", "time", "random", "secrets", "socket", "loguru", "httpx", "grpc"}
    wrong = {
        str(p): bad
        for p in modules("identity")
        if "mls" in p.parts and (bad := imports(p) & banned - allowed)
    }
    assert not wrong


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of_ours() -> dict[str, set[str]]:
    """Each module of the floors, and the modules of them that it imports. Under TYPE_CHECKING counts too."""
    paths = {module_name(path): path for floor in FORBIDDEN for path in modules(floor)}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & paths.keys()
                named |= inner if len(inner) == len(node.names) else {node.module, *inner}
        found[name] = (named & paths.keys()) - {name}
    return found


def test_no_modules_import_one_another_in_a_circle() -> None:
    try:
        TopologicalSorter(imports_of_ours()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_no_file_is_too_long_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for floor in FORBIDDEN
        for path in modules(floor)
        if (lines := path.read_text().count("\n")) > LINES
    }
    assert not long


def test_there_is_something_to_walk() -> None:
    assert all(modules(floor) for floor in FORBIDDEN)
    assert "actors.system.cell" in imports_of_ours()["actors.system.loop"]


TWICE = {
    "Group": "`SessionConfiguration.Group` as published, and the group of RFC 9420",
    "Key": "a key of a token, as published, and a key of a configuration, as its documents say",
    "Slim": "today's, and that of the packages up to 0.6, which their programs import by this name",
}


def test_a_class_name_is_used_once() -> None:
    places: dict[str, list[str]] = {}
    for path in (path for floor in FORBIDDEN for path in modules(floor)):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1}.keys() == TWICE.keys()
