"""`callboard explain FROM TO`: the walk of a message through nodes, up to the first step that is missing."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.record import record
from gateway.cli.admin import add_node_choice, chosen_node
from gateway.cli.application import parse_name
from gateway.cli.columns import GREEN, RED, YELLOW, as_json, paint, terminal_width
from identity.errors import ConfigError, SlimError
from identity.text import harmless

if TYPE_CHECKING:
    from gateway.admin.explain import Walk
    from gateway.admin.facts import NodeFacts

_COLOURS = {"holds": GREEN, "missing": RED, "unknown": YELLOW}
_WIDE = 100
"""Characters of a line where the output is no terminal."""


@record
class NotAsked(NamedTuple):
    """A node that did not answer, and why."""

    where: str
    cause: str


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "explain",
        description="Follow a message from FROM to TO: the steps that hold, and the first one that is "
        "missing, with its reason. All nodes of this user on this machine are asked; or the one called "
        "--node; or those at --admin, which takes several addresses with commas between. Each asks its "
        "peers, and these theirs, over the links between them. Ends with 1 when a step is missing.",
    )
    command.add_argument("source", metavar="FROM", help="ORG/NS/APP, or one instance of it: ORG/NS/APP/ID")
    command.add_argument("target", metavar="TO", help="likewise")
    command.add_argument("--json", action="store_true", help="for programs")
    add_node_choice(command)
    command.set_defaults(run=show_walk)


def show_walk(arguments: argparse.Namespace) -> int:
    """Ask the nodes, and print what they say together: 0 when nothing is missing, 1 when something is."""
    from gateway.admin.explain import explain

    asked = {
        "from": _asked(arguments.source, "FROM"),
        "to": _asked(arguments.target, "TO"),
    }
    facts, silent = _facts(arguments, asked)
    walk = explain(facts)
    if arguments.json:
        print(as_json(_walk_json(walk, silent)))
    else:
        print(walk_page(walk, silent, terminal_width() or _WIDE))
    return 1 if walk.missing is not None else 0


def _asked(text: str, flag: str) -> str:
    name = parse_name(text, flag)
    return f"{'/'.join(name.strings)}/{name.id:x}" if name.has_id else "/".join(name.strings)


def _facts(arguments: argparse.Namespace, asked: dict[str, str]) -> tuple[list[NodeFacts], list[NotAsked]]:
    """What each node says, each once. Raises what asking raised when none says anything."""
    from gateway.admin.facts import NodeFacts

    found: dict[str, NodeFacts] = {}
    behind: dict[str, NodeFacts] = {}
    """What nodes told of others that they asked: what one says itself counts more."""
    silent: list[NotAsked] = []
    failed: SlimError | None = None
    for where, choice in _choices(arguments):
        try:
            with chosen_node(choice) as admin:
                told = admin.get("/explain", **asked)
            facts = NodeFacts.read(told["facts"])
            others = [NodeFacts.read(one) for one in told.get("others", ())]
        except SlimError as error:
            failed = error
            silent.append(NotAsked(where, str(error)))
            continue
        except (ValueError, KeyError, TypeError):
            silent.append(NotAsked(where, "its answer is not that of a node of this version"))
            continue
        found.setdefault(facts.node, facts)
        behind.update((one.node, one) for one in others)
    if not found:
        raise failed or ConfigError(f"{silent[0].where}: {silent[0].cause}", field="admin")
    heard = [one for node, one in behind.items() if node not in found]
    return [*found.values(), *heard], silent


def _choices(arguments: argparse.Namespace) -> Iterator[tuple[str, argparse.Namespace]]:
    """Each node that is to be asked: one is chosen, or several addresses are given, or all of this user."""
    from gateway.admin.sockets import local_sockets

    addresses = [one for one in arguments.admin.split(",") if one]
    given = vars(arguments)
    for address in addresses:
        yield address, argparse.Namespace(**{**given, "admin": address})
    sockets = [] if addresses else local_sockets()
    if arguments.node or not sockets:
        if not addresses:
            yield arguments.node or "this machine", arguments
        return
    for path in sockets:
        yield path.stem, argparse.Namespace(**{**given, "admin": "", "node": path.stem})


def walk_page(walk: Walk, silent: list[NotAsked], width: int) -> str:
    """The walk for people."""
    lines = [f"{harmless(walk.source)} -> {harmless(walk.target)}", ""]
    for step in walk.steps:
        mark = f"{step.state:<7}"
        text = textwrap.wrap(harmless(step.text), max(20, width - 11), break_on_hyphens=False)
        lines.append(f"  {paint(mark, _COLOURS[step.state])}  {text[0]}")
        lines += [f"{' ' * 11}{more}" for more in text[1:]]
    lines += ["", *textwrap.wrap(f"asked: {', '.join(map(harmless, walk.asked))}", width)]
    for node in walk.unasked:
        who = harmless(node.node or node.endpoint)
        lines += textwrap.wrap(
            f"no answer from: {who} ({node.state}): say --admin with the address of its admin port", width
        )
    for one in silent:
        lines += textwrap.wrap(f"not asked: {harmless(one.where)}: {harmless(one.cause)}", width)
    return "\n".join(lines)


def _walk_json(walk: Walk, silent: list[NotAsked]) -> dict[str, Any]:
    return {
        "from": walk.source,
        "to": walk.target,
        "verdict": walk.verdict,
        "missing": walk.missing is not None,
        "steps": [step._asdict() for step in walk.steps],
        "asked": list(walk.asked),
        "not_asked": [node._asdict() for node in walk.unasked] + [one._asdict() for one in silent],
    }
