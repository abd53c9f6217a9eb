"""`callboard bench`: what things cost here, measured now.

compare    the same workloads on Callboard and on slim-bindings 1.4.1, side by side, with ratios
stages     what each stage of a message's path costs: codec, actor hop, transport, tokens
mls        the MLS library beside the primitives it needs
"""

from __future__ import annotations

import argparse
import importlib.util

from gateway.runner import run
from identity.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "bench",
        help="measure",
        description="Measure here. Figures vary; ratios of one run mean most.",
    )
    kinds = command.add_subparsers(metavar="WHAT", required=True)
    compare = kinds.add_parser("compare", help="beside slim-bindings 1.4.1, where it installs")
    compare.add_argument("--scale", type=float, default=1.0, help="how much of everything (1.0: minutes)")
    compare.add_argument("--mls", action="store_true", help="only what concerns MLS")
    compare.add_argument("--mixed", action="store_true", help="add originals through our node")
    compare.set_defaults(run=_compare)
    stages = kinds.add_parser("stages", help="what each stage of the path costs")
    stages.set_defaults(run=_stages)
    mls = kinds.add_parser("mls", help="the MLS library beside its primitives")
    mls.add_argument("--sizes", default="2,10,100,1000", metavar="N,N", help="group sizes")
    mls.set_defaults(run=_mls)


def _compare(arguments: argparse.Namespace) -> int:
    from gateway.bench.compare import compare
    from gateway.bench.processes import Side

    sides = [Side("callboard", "callboard")]
    if importlib.util.find_spec("slim_bindings") is None:
        print("slim-bindings is not installed (pip install slim-bindings==1.4.1): Callboard alone\n")
    else:
        sides.insert(0, Side("originals", "originals"))
        if arguments.mixed:
            sides.append(Side(node="callboard", applications="originals"))
    print(run(compare(sides, scale=arguments.scale, mls=arguments.mls)))
    return 0


def _stages(_: argparse.Namespace) -> int:
    from gateway.bench import actors, codec, http2, identity

    print(codec.table(codec.measure()))
    print(actors.table(run(actors.measure())))
    print(http2.table(http2.measure()))
    print(identity.table(identity.measure()))
    return 0


def _mls(arguments: argparse.Namespace) -> int:
    from gateway.bench import mls

    try:
        sizes = [int(part) for part in arguments.sizes.split(",")]
    except ValueError as exc:
        raise ConfigError(f"--sizes wants numbers, got {arguments.sizes!r}", field="sizes") from exc
    print(mls.table(mls.run(sizes)))
    return 0
