"""`callboard status | connections | sessions | routes | actors`: what a running node shows."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.cli.admin import add_node_choice, chosen_node
from gateway.cli.columns import (
    GREEN,
    RED,
    YELLOW,
    Column,
    as_json,
    bytes_of,
    key,
    lasted,
    number,
    paint,
    pairs,
    size,
    table,
    terminal_width,
)
from gateway.cli.commands import HELP
from gateway.cli.environment import refuse_idle
from gateway.cli.parsing import whole_number
from identity.text import harmless

if TYPE_CHECKING:
    from gateway.admin.client import AdminClient

EVERY = 2.0
"""Seconds between two looks of --watch."""
ROWS = 1000
"""Rows of a table unless more are asked for."""


def _name(row: Mapping[str, Any]) -> str:
    return harmless(row["name"] + (f"/{row['id'].zfill(16)[:4]}" if row["id"] else ""))


def _slowest(row: Mapping[str, Any]) -> str:
    return f"{1000 * row['slowest_turn']:.1f}" if "slowest_turn" in row else ""


def _per_second(row: Mapping[str, Any]) -> str:
    """Beside what it may, where there is a limit."""
    used, bound = f"{row.get('messages_per_second', 0):.0f}", row.get("messages_bound")
    return used if bound is None else f"{used} of {bound}"


def _counted(figure: str, need: int) -> Column:
    """What a session counts."""
    return Column(figure, lambda row: str(row["figures"].get(figure, "-")), need, right=True)


def _to(row: Mapping[str, Any]) -> str:
    return harmless(f"node {row['node']}" if row["node"] else row["peer"])


CONNECTIONS = (
    number("connection"),
    key("kind"),
    key("role", need=3),
    Column("peer", _to),
    number("names"),
    number("frames_in", "in"),
    number("frames_out", "out"),
    Column("in/s", _per_second, 2, right=True),
    bytes_of("bytes_per_second", "bytes/s", need=3),
    bytes_of("backlog", "waiting", need=1),
    number("dropped", need=2),
    key("identity", need=4),
    bytes_of("bytes_in", "bytes in", need=5),
    bytes_of("bytes_out", "bytes out", need=6),
    key("version", need=7),
)
SESSIONS = (
    key("application"),
    number("session"),
    key("kind", need=1),
    key("destination"),
    number("members"),
    number("epoch", need=2),
    _counted("unacknowledged", 3),
    _counted("lag", 4),
    _counted("retransmissions", 5),
)
ROUTES = (
    Column("name", _name),
    number("connection"),
    key("rank"),
    number("subscriptions", need=1),
)
ACTORS = (
    key("address"),
    key("kind"),
    key("name", need=3),
    key("state"),
    number("depth", "waiting"),
    number("handled"),
    Column("slowest ms", _slowest, 1, right=True),
    number("restarts", need=1),
    number("failures", need=2),
    number("refused", need=4),
)
ELSEWHERE = "no sessions here: a node routes by headers, and knows those of its own process only"
LISTS: tuple[tuple[str, Sequence[Column], str], ...] = (
    ("connections", CONNECTIONS, "address, identity or name"),
    ("sessions", SESSIONS, "application or peer"),
    ("routes", ROUTES, "name"),
    ("actors", ACTORS, "kind or name"),
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser."""
    status = commands.add_parser("status", description="How a running node is, on one page.")
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--watch", action="store_true", help=f"again every {EVERY:g} seconds, until Ctrl-C")
    add_node_choice(status)
    status.set_defaults(run=show_status)
    for what, columns, searched in LISTS:
        listing = commands.add_parser(what, description=f"Show {HELP[what]}.")
        listing.add_argument("search", nargs="?", default="", help=f"only those whose {searched} begins so")
        listing.add_argument("--json", action="store_true", help="for programs: every row with all it has")
        listing.add_argument(
            "--most", metavar="N", type=whole_number, default=ROWS, help=f"rows at most (default: {ROWS})"
        )
        add_node_choice(listing)
        listing.set_defaults(run=show_list, what=what, columns=columns)


def show_list(arguments: argparse.Namespace) -> int:
    """Print one of the lists."""
    if arguments.most < 1:
        refuse_idle(arguments, ("--most",), "below 1")
    most = max(1, arguments.most)
    with chosen_node(arguments) as admin:
        # One more than is shown: so that it is known whether there are more.
        rows = list(admin.items(f"/{arguments.what}", most=most + 1, name=arguments.search))
    more, rows = len(rows) > most, rows[:most]
    if arguments.json:
        print(as_json(rows))
        return 0
    if not rows:
        of = f" that begin with {arguments.search!r}" if arguments.search else ""
        print(ELSEWHERE if arguments.what == "sessions" else f"no {arguments.what}{of}")
        return 0
    print(table(rows, arguments.columns, terminal_width()))
    if more:
        print(f"... and more: search for some, or show more of them by --most {10 * most}")
    return 0


def show_status(arguments: argparse.Namespace) -> int:
    """Print the node's page, once or again and again."""
    with chosen_node(arguments) as admin:
        if arguments.json:
            print(as_json({**admin.get("/node"), "others": list(admin.items("/peers"))}))
            return 0
        _show_once(admin)
        waiting = threading.Event()
        while arguments.watch and not waiting.wait(EVERY):
            print("\x1b[H\x1b[2J" if terminal_width() is not None else "", end="")
            _show_once(admin)
    return 0


def _show_once(admin: AdminClient) -> None:
    print(status_page(admin.get("/node"), list(admin.items("/peers", most=64))), flush=True)


def status_page(node: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> str:
    """One page about a node."""
    state = node["state"]
    painted = paint(state, GREEN if state == "serving" else RED)
    lines = [
        ("node", f"{node['node']}, callboard {node['version']}"),
        ("state", f"{painted} for {lasted(node['uptime'])}"),
        ("listens on", ", ".join(node["listeners"]) or "nothing"),
        ("connections", f"{node['connections']}, of which {node['accepted']} were opened by others"),
        ("names", str(node["names"])),
        ("actors", _actors(node)),
        ("waiting", f"{size(node['waiting_bytes'])} of {size(node['waiting_bound'])} on all streams"),
        ("loop", f"{node['loop_lag'] * 1000:.0f} ms late at most in the last minute"),
        ("memory", size(node["memory"]) if node["memory"] else ""),
        ("descriptors", f"{node['descriptors']} of {node['descriptors_bound']}"),
    ]
    lines += [("peer", _peer(peer)) for peer in peers]
    if node["backbone"]:
        lines.append(("backbone", _up(node["backbone"]["url"], node["backbone"]["state"])))
    lines += [("controller", _up(one["endpoint"], one["state"])) for one in node["controllers"]]
    lines += [
        ("limit", paint(f"{one['limit']}: refused {one['refused']} so far{_bound(one['bound'])}", RED))
        for one in node["limits"]
        if one["refused"]
    ]
    lines += [("certificate", _certificate(one)) for one in node["certificates"]]
    return pairs(lines)


def _bound(bound: int | None) -> str:
    return f", the bound is {bound}" if bound is not None else ""


def _certificate(one: Mapping[str, Any]) -> str:
    days = max(0, int(one["days"]))
    text = f"{harmless(one['name'])}: {days} day{'' if days == 1 else 's'} left"
    return paint(harmless(one["problem"]), RED) if one["problem"] else text


def _actors(node: Mapping[str, Any]) -> str:
    text = f"{node['actors']}, {node['mailboxes']} messages in their mailboxes"
    if node["failures"]:
        text += paint(f", {node['failures']} failures, {node['restarts']} restarts", YELLOW)
    return text


def _peer(peer: Mapping[str, Any]) -> str:
    who = harmless(peer["node"] or peer["endpoint"])
    if peer["node"] and peer["endpoint"]:
        who += f" ({harmless(peer['endpoint'])})"
    return _up(who, peer["state"], peer["cause"], good="joined")


def _up(what: str, state: str, cause: str = "", good: str = "up") -> str:
    told = paint(state, GREEN if state in (good, "listening") else RED)
    return f"{what}: {told}" + (f", {harmless(cause)}" if cause and state != good else "")
