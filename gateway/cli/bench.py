"""`callboard bench`: what things cost here, measured now.

compare    the same workloads on Callboard and on slim-bindings 1.4.1, side by side, with ratios
node       the node alone, driven by prepared bytes, beside the original one
stages     what each stage of a message's path costs: codec, actor hop, transport, tokens
mls        the MLS library beside the primitives it needs
hops       what a hop between nodes costs, over a peer and over NATS
routes     the route table as it grows: CPU per connection and subscription, bytes per name
instructions, paired    this checkout beside an older revision: `tests/benchmarks/README.md`

The benchmarks are beside the tests (`tests/benchmarks`), so that they work from a checkout only.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gateway
from gateway.cli.parsing import number, whole_number
from gateway.node.runner import run
from identity.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "bench",
        description="Measure here. Figures vary; ratios of one run mean most.",
    )
    kinds = command.add_subparsers(metavar="WHAT", required=True)
    compare = kinds.add_parser("compare", help="beside slim-bindings 1.4.1, where it installs")
    compare.add_argument("--scale", type=number, default=1.0, help="how much of everything (1.0: minutes)")
    only = compare.add_mutually_exclusive_group()
    only.add_argument("--mls", action="store_true", help="only what concerns MLS")
    only.add_argument("--mixed", action="store_true", help="only originals, through both nodes")
    compare.set_defaults(run=_compare)
    node = kinds.add_parser("node", help="the node alone: CPU per message, memory per connection")
    node.add_argument("--scale", type=number, default=1.0, help="how much of everything (1.0: a minute)")
    node.set_defaults(run=_node)
    stages = kinds.add_parser("stages", help="what each stage of the path costs")
    stages.set_defaults(run=_stages)
    mls = kinds.add_parser("mls", help="the MLS library beside its primitives")
    mls.add_argument("--sizes", default="2,10,100,1000", metavar="N,N", help="group sizes")
    mls.set_defaults(run=_mls)
    hops = kinds.add_parser("hops", help="CPU of a hop over a peer and over NATS, beside one node")
    hops.add_argument("--scale", type=number, default=1.0, help="how much of everything (1.0: five minutes)")
    hops.set_defaults(run=_hops)
    routes = kinds.add_parser("routes", help="the route table as it grows")
    routes.set_defaults(run=_routes)
    instructions = kinds.add_parser("instructions", help="instructions per message, counted by valgrind")
    instructions.add_argument("--base", metavar="REV", help="count this revision too, and show the ratios")
    instructions.add_argument(
        "--row", action="append", default=[], metavar="PATTERN", help='only such rows, as "lone*"; repeatable'
    )
    instructions.add_argument("--scale", type=number, default=1.0, help="how many messages (1.0: minutes)")
    instructions.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    instructions.set_defaults(run=_instructions)
    paired = kinds.add_parser("paired", help="CPU per message beside an older revision, in pairs")
    paired.add_argument("--base", metavar="REV", required=True, help="the revision to measure beside it")
    paired.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="PATTERN",
        help='only such workloads, as "node-*"; repeatable',
    )
    paired.add_argument("--pairs", type=whole_number, default=9, help="pairs of runs (default: 9)")
    paired.add_argument("--scale", type=number, default=1.0, help="how much of everything (1.0: 20 minutes)")
    paired.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    paired.set_defaults(run=_paired)


def _check_checkout() -> None:
    """Make `tests.benchmarks` importable. Raises ConfigError where there is none beside the floors."""
    root = Path(gateway.__file__).resolve().parents[1]
    if not (root / "tests" / "benchmarks" / "__init__.py").is_file():
        raise ConfigError(
            "bench works from a checkout of the repository, which holds the benchmarks;"
            f" this is an installed package ({root})",
            field="bench",
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def _brokers() -> list[str]:
    """The brokers that can be measured here, the original first."""
    if importlib.util.find_spec("slim_bindings") is not None:
        return ["originals", "callboard"]
    _progress("slim-bindings is not installed (pip install slim-bindings==1.4.1): Callboard alone")
    return ["callboard"]


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _compare(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import compare
    from tests.benchmarks.processes import Side

    brokers = _brokers()
    scale = arguments.scale
    if not arguments.mixed:
        stages = compare.mls_stages(scale) if arguments.mls else compare.stages(scale)
        sides = [Side(broker, broker) for broker in brokers]
    elif "originals" in brokers:
        stages = compare.mixed_stages(scale)
        sides = [Side(broker, "originals") for broker in brokers]
    else:
        raise ConfigError("--mixed needs slim-bindings: pip install slim-bindings==1.4.1", field="mixed")
    print(run(compare.compare(sides, stages, _progress)))
    return 0


def _node(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import node

    print(run(node.measure(_brokers(), _progress, scale=arguments.scale)))
    return 0


def _stages(_: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import actors, codec, http2, identity

    print(codec.table(codec.measure()))
    print(actors.table(run(actors.measure())))
    print(http2.table(http2.measure()))
    print(identity.table(identity.measure()))
    return 0


def _mls(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import mls

    try:
        sizes = [int(part) for part in arguments.sizes.split(",")]
    except ValueError as exc:
        raise ConfigError(f"--sizes wants numbers, got {arguments.sizes!r}", field="sizes") from exc
    print(mls.table(mls.run(sizes)))
    return 0


def _hops(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import hops

    print(run(hops.measure(_progress, scale=arguments.scale)))
    return 0


def _routes(_: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import routes

    print(routes.report(asyncio.run(routes.measure(_progress))))
    return 0


def _instructions(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import instructions, trees

    instructions.profiler()
    with trees.base_of(arguments.base) as base:
        print(trees.heading(trees.HERE, base), flush=True)
        counting = instructions.measure(trees.HERE, base, rows=arguments.row, scale=arguments.scale)
        found = asyncio.run(counting)
    print(instructions.table(found))
    _write(arguments.json, instructions.records(found))
    return 0


def _paired(arguments: argparse.Namespace) -> int:
    _check_checkout()
    from tests.benchmarks import paired, trees

    if arguments.pairs < 1:
        raise ConfigError(f"--pairs wants at least 1, got {arguments.pairs}", field="pairs")
    stages = paired.chosen(arguments.workload, arguments.scale)
    with trees.checked_out(arguments.base) as base:
        print(trees.heading(trees.HERE, base), flush=True)
        found = run(paired.measure(trees.HERE, base, stages, _progress, pairs=arguments.pairs))
    print(paired.table(found))
    _write(arguments.json, paired.records(found))
    return 0


def _write(path: Path | None, records: Sequence[Mapping[str, Any]]) -> None:
    if path is not None:
        path.write_text(json.dumps(records, indent=2) + "\n")
