"""`callboard bench`: what things cost here, measured now.

compare    the same workloads on Callboard and on slim-bindings 1.4.1, side by side, with ratios
node       the node alone, driven by prepared bytes, beside the original one
stages     what each stage of a message's path costs: codec, actor hop, transport, tokens
mls        the MLS library beside the primitives it needs
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

from gateway.node.runner import run
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
    only = compare.add_mutually_exclusive_group()
    only.add_argument("--mls", action="store_true", help="only what concerns MLS")
    only.add_argument("--mixed", action="store_true", help="only originals, through both nodes")
    compare.set_defaults(run=_compare)
    node = kinds.add_parser("node", help="the node alone: CPU per message, memory per connection")
    node.add_argument("--scale", type=float, default=1.0, help="how much of everything (1.0: a minute)")
    node.set_defaults(run=_node)
    stages = kinds.add_parser("stages", help="what each stage of the path costs")
    stages.set_defaults(run=_stages)
    mls = kinds.add_parser("mls", help="the MLS library beside its primitives")
    mls.add_argument("--sizes", default="2,10,100,1000", metavar="N,N", help="group sizes")
    mls.set_defaults(run=_mls)


def _brokers() -> list[str]:
    """The brokers that can be measured here, the original first."""
    if importlib.util.find_spec("slim_bindings") is not None:
        return ["originals", "callboard"]
    _progress("slim-bindings is not installed (pip install slim-bindings==1.4.1): Callboard alone")
    return ["callboard"]


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _compare(arguments: argparse.Namespace) -> int:
    from gateway.bench import compare
    from gateway.bench.processes import Side

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
    from gateway.bench import node

    print(run(node.measure(_brokers(), _progress, scale=arguments.scale)))
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
