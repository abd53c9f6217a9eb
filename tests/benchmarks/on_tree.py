"""Run a module upon the floors of a checkout: `python -P on_tree.py TREE MODULE ARGUMENT...`.

`gateway`, `actors` and `identity` are those of TREE; `tests.benchmarks` is the one beside this file, so that
one and the same workload drives an old tree and a new one. (-P keeps this folder, which has modules of
the floors' names, out of the path.)
"""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

FLOORS = ("identity", "actors", "gateway")


def bind(tree: Path) -> None:
    """Import the floors from `tree` and `tests` from here. Raises ImportError where Python would not."""
    sys.path.insert(0, str(tree))
    tests = Path(__file__).resolve().parents[1]
    spec = spec_from_file_location("tests", tests / "__init__.py", submodule_search_locations=[str(tests)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["tests"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tests"])
    for floor in FLOORS:
        found = find_spec(floor)
        if found is None or found.origin is None or not Path(found.origin).is_relative_to(tree):
            raise ImportError(f"{floor} would come from {found and found.origin}, not from {tree}")


if __name__ == "__main__":
    bind(Path(sys.argv[1]).resolve())
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
