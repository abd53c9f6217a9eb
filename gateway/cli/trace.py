"""`callboard trace NAME`: the messages from and to one name, as a node routes them, each in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.cli.admin import add_node_choice, chosen_node
from gateway.cli.application import parse_name
from gateway.cli.columns import GREY, RED, YELLOW, paint, terminal_width
from gateway.cli.parsing import from_zero, number
from identity.text import harmless

SECONDS, LONGEST = 60.0, 3600.0
NARROW = 110
"""Characters of a terminal below which the numbers of messages are left out: a line stays one."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "trace",
        description="Show each message from and to a name as a node routes it, in one line: from whom, to "
        "whom, of what kind, by which connections, and why it is dropped. What is in it is never shown. A "
        "node shows 100 messages a second at most, and says how many more there were.",
    )
    command.add_argument("name", help="ORG/NS/APP, or one instance of it: ORG/NS/APP/ID")
    command.add_argument(
        "--for",
        dest="seconds",
        metavar="SECONDS",
        type=number,
        default=SECONDS,
        help=f"how long (default: {SECONDS:g}, at most {LONGEST:g})",
    )
    command.add_argument("--count", metavar="N", type=from_zero, default=0, help="end after so many messages")
    command.add_argument("--json", action="store_true", help="for programs: one object a line")
    add_node_choice(command)
    command.set_defaults(run=watch_messages)


def watch_messages(arguments: argparse.Namespace) -> int:
    """Print lines until the time is over."""
    name = parse_name(arguments.name, "NAME")
    wide = (terminal_width() or NARROW) >= NARROW
    asked = f"{'/'.join(name.strings)}/{name.id:x}" if name.has_id else "/".join(name.strings)
    count = 0
    with chosen_node(arguments) as admin:
        for kind, row in admin.events("/trace", name=asked, seconds=f"{arguments.seconds:g}"):
            if kind != "trace":
                break
            print(json.dumps(row) if arguments.json else trace_line(row, wide=wide), flush=True)
            count += 1
            if count == arguments.count:
                return 0
    if not count and not arguments.json:
        print(f"no message from or to {asked} in {arguments.seconds:g} s")
    return 0


def trace_line(row: Mapping[str, Any], *, wide: bool = True) -> str:
    """One message for people; with its numbers where there is room for them."""
    at = datetime.fromtimestamp(row["time"], UTC).strftime("%H:%M:%S.%f")[:-3]
    what = row["kind"].replace("_", " ")
    names = f"{harmless(row['source'])} -> {harmless(row['destination'])}"
    to = ", ".join(map(str, row["to"])) or "nobody"
    way = f"conn {row['by']} -> {to}" if row["by"] else f"-> {to}"
    numbers = f"session {row['session']} message {row['message']}, {row['size']} B"
    parts = [at, names, what, *([paint(numbers, GREY)] if wide else []), way]
    lines = ["  ".join(parts)]
    if row["dropped"]:
        lines[0] += "  " + paint(f"dropped: {harmless(row['dropped'])}", RED)
    if row["more"]:
        lines.insert(0, paint(f"... {row['more']} more before this one", YELLOW))
    return "\n".join(lines)
