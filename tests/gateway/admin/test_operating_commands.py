"""What the commands of operators print, asked of real nodes by their sockets: one, and three peers."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.client import AdminRefused, AdminUnreachable
from gateway.cli import parser
from gateway.cli.columns import Column, key, lasted, number, size, table
from gateway.cli.environment import said
from gateway.cli.explain import NotAsked, walk_page
from gateway.cli.status import CONNECTIONS, SESSIONS, status_page
from gateway.cli.trace import trace_line
from identity.errors import ConfigError
from tests.gateway.admin.conftest import Run, Running
from tests.gateway.admin.operated import ALICE, BOB, OTHER, Operated, reaches
from tests.gateway.admin.test_server import application, echo

PAGE = {
    "node": "east", "version": "1.0", "state": "serving", "uptime": 7200.0, "listeners": ["127.0.0.1:46357"],
    "connections": 3, "accepted": 2, "names": 5, "actors": 9, "mailboxes": 0, "failures": 0, "restarts": 0,
    "waiting_bytes": 2048, "waiting_bound": 1 << 28, "loop_lag": 0.0015, "memory": 0, "descriptors": 20,
    "descriptors_bound": 1024, "backbone": None, "controllers": [],
    "limits": [{"limit": "subscriptions", "bound": 10, "used": 10, "refused": 0}],
    "certificates": [],
}  # fmt: skip


class Commands:
    """Runs commands as `main` does, beside the nodes that they ask."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *words: str) -> tuple[int, str]:
        """The exit code, and what was printed. Raises what `main` would say in a sentence."""
        arguments: argparse.Namespace = parser().parse_args(words)
        arguments.said = said(words)
        self._capsys.readouterr()
        code = await asyncio.to_thread(arguments.run, arguments)
        return int(code or 0), self._capsys.readouterr().out


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    made = Operated()
    async with made.held:
        yield made


async def talking(operated: Operated, running: Running) -> None:
    """alice and bob at one node."""
    operated.nodes["n1"] = running.node
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n1")


# One node


async def test_a_node_alone_needs_not_be_named(run_node: Run, command: Commands, operated: Operated) -> None:
    async with run_node() as running:
        await talking(operated, running)
        code, page = await command("status")
        assert code == 0
        assert f"listens on   {running.node.addresses[0]}" in page
        assert "connections  2, of which 2 were opened by others" in page
        told = json.loads((await command("status", "--json"))[1])
        assert (told["state"], told["connections"], told["others"]) == ("serving", 2, [])


async def test_lists_are_tables_for_people_and_json_for_programs(
    run_node: Run, command: Commands, operated: Operated
) -> None:
    async with run_node() as running:
        await talking(operated, running)
        _, connections = await command("connections")
        lines = connections.splitlines()
        assert lines[0].split()[:5] == ["CONNECTION", "KIND", "ROLE", "PEER", "NAMES"]
        assert [line.split()[1:3] for line in lines[1:]] == [["edge", "application"]] * 2
        _, routes = await command("routes", "org/demo/b")
        assert [line.split()[0].rpartition("/")[0] for line in routes.splitlines()[1:]] == ["org/demo/bob"]
        rows = json.loads((await command("routes", "--json"))[1])
        assert {row["name"] for row in rows} == {"org/demo/alice", "org/demo/bob"}
        assert "RouteTable" in (await command("actors"))[1]
        assert (await command("routes", "nobody"))[1] == "no routes that begin with 'nobody'\n"
        assert (await command("sessions"))[1].startswith("no sessions here: ")


async def test_sessions_of_the_process_are_listed_with_their_three_figures(
    run_node: Run, command: Commands
) -> None:
    async with (
        run_node() as running,
        application("org/ns/alice", running.node.data_plane) as alice,
        application("org/ns/bob", running.node.data_plane) as bob,
        bob.serve(echo),
        alice.group("org/ns/channel", invite=["org/ns/bob"]),
    ):
        rows = json.loads((await command("sessions", "org/ns/alice", "--json"))[1])
    lines = table(
        [row | {"figures": row["figures"] | {"lag": 7}} for row in rows], SESSIONS, None
    ).splitlines()
    assert lines[0].split()[-3:] == ["UNACKNOWLEDGED", "LAG", "RETRANSMISSIONS"]
    assert lines[1].split()[-3:] == ["0", "7", "0"]
    # A session that failed counts none of them.
    assert table([rows[0] | {"figures": {"failed": 1}}], SESSIONS, None).split()[-3:] == ["-"] * 3


async def test_a_long_list_is_cut_and_says_so(run_node: Run, command: Commands) -> None:
    async with run_node() as running:
        for _ in range(1100):
            running.node.data_plane.system.inbox(lambda message, sender: None)
        _, some = await command("actors", "--most", "3")
        assert some.splitlines()[4:] == ["... and more: search for some, or show more of them by --most 30"]
        rows = json.loads((await command("actors", "--json", "--most", "5000"))[1])
        assert len(rows) == len({row["address"] for row in rows}) > 1100


async def test_a_connection_is_kicked(run_node: Run, command: Commands, operated: Operated) -> None:
    async with run_node() as running:
        operated.nodes["n1"] = running.node
        await (await operated.original("n1")).subscribed(BOB)
        (index,) = running.node.data_plane.links
        assert (await command("kick", str(index), "--cause", "enough"))[0] == 0
        async with asyncio.timeout(5):
            while running.node.data_plane.links:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ended = running.node.data_plane.routes.past.when_left(BOB.key)
        assert ended is not None
        assert ended.cause == "enough"
        with pytest.raises(AdminRefused, match="there is no connection 999: callboard connections shows"):
            await command("kick", "999")


async def test_a_node_is_told_to_end(run_node: Run, command: Commands) -> None:
    async with run_node() as running:
        assert (await command("drain"))[1] == (
            "slim/0 takes no calls any more, and ends when its applications have left, within seconds\n"
        )
        assert running.drained == 1


async def test_a_message_is_seen(run_node: Run, command: Commands, operated: Operated) -> None:
    async with run_node() as running:
        operated.nodes["n1"] = running.node
        alice = await operated.application(ALICE, "n1", route=BOB)
        looking = asyncio.create_task(command("trace", "org/demo/bob", "--count", "1", "--for", "10"))
        async with asyncio.timeout(10):
            while running.node.data_plane.routes.tap is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        opening = asyncio.create_task(alice.session(BOB, timeout=0.1, max_retries=1)._open())
        code, line = await looking
        assert code == 0
        assert " -> org/demo/bob  discovery request  session " in line
        assert line.endswith("-> nobody  dropped: nobody has the name\n")
        await asyncio.gather(opening, return_exceptions=True)
        _, nothing = await command("trace", "org/demo/carol", "--for", "0.05")
        assert nothing == "no message from or to org/demo/carol in 0.05 s\n"


async def test_names_that_are_none_are_refused(command: Commands) -> None:
    for words in (("explain", "bob", "org/demo/alice"), ("trace", "bob")):
        with pytest.raises(ConfigError, match="a name is organisation/namespace/application, got 'bob'"):
            await command(*words)


# Which node


async def test_without_a_node_it_is_said_how_to_start_one(
    command: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLBOARD_RUN", str(tmp_path))
    for words in (("status",), ("explain", "a/b/c", "a/b/d"), ("drain",)):
        with pytest.raises(ConfigError, match=r"start one \(callboard start\), or say --admin"):
            await command(*words)


async def test_among_several_nodes_one_is_named(run_node: Run, command: Commands) -> None:
    async with run_node(node_id="east"), run_node(node_id="west"):
        with pytest.raises(ConfigError, match=r"several nodes .*: east, west: say --node NAME"):
            await command("status")
        assert "node         west, " in (await command("status", "--node", "west"))[1]


async def test_a_node_elsewhere_is_asked_by_its_address(
    run_node: Run, command: Commands, tmp_path: Path
) -> None:
    async with run_node() as running:
        address = running.base.removeprefix("http://")
        assert "state        serving" in (await command("status", "--admin", address))[1]
    with pytest.raises(AdminUnreachable, match=f"{address} does not answer"):
        await command("status", "--admin", address)
    async with run_node({"token": "a-token-of-operators"}) as running:
        with pytest.raises(AdminRefused, match=r"a token is needed: .*--admin-token-file FILE"):
            await command("status", "--admin", running.base.removeprefix("http://"))


# Explained over several nodes


async def peers(run_node: Run, held: AsyncExitStack, operated: Operated) -> list[Running]:
    """Three nodes, each a peer of those before it."""
    made: list[Running] = []
    for name in ("n1", "n2", "n3"):
        clients: list[dict[str, Any]] = [
            {"endpoint": f"http://{one.node.addresses[0]}", "peer": True, "tls": {"insecure": True}}
            for one in made
        ]
        server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
        dataplane = {"servers": [server], "clients": clients}
        running = await held.enter_async_context(run_node(node_id=name, dataplane=dataplane))
        operated.nodes[name] = running.node
        made.append(running)
    return made


async def test_all_nodes_of_the_machine_are_asked(
    run_node: Run, command: Commands, operated: Operated
) -> None:
    async with AsyncExitStack() as held:
        made = await peers(run_node, held, operated)
        await operated.application(ALICE, "n1", route=BOB)
        await operated.application(BOB, "n3")
        await operated.until(reaches)
        code, page = await command("explain", "org/demo/alice", "org/demo/bob")
        assert code == 0
        assert "  holds    n1 hands it to its peer n3, which has told org/demo/bob" in page
        assert page.endswith("asked: n1, n2, n3\n")

        # By address, one alone says what it does not know, and whom to ask.
        address = made[0].base.removeprefix("http://")
        code, page = await command("explain", "org/demo/alice", "org/demo/bob", "--admin", address)
        assert code == 0
        assert "org/demo/bob is registered at n3" in page
        assert page.startswith("org/demo/alice -> ")
        asked = page.splitlines()[-1]
        assert asked.startswith("asked: n1, ")
        assert "n2" in asked
        assert "n3" in asked

        carol = await operated.application(ALICE, "n2", OTHER, route=BOB)
        opening = carol.session(BOB, timeout=0.1, max_retries=1)._open()
        await asyncio.gather(opening, return_exceptions=True)
        code, text = await command("explain", "org/demo/alice", "org/demo/bob", "--json")
        told = json.loads(text)
        assert (code, told["missing"], told["asked"]) == (1, True, ["n1", "n2", "n3"])
        assert "its token is made with another secret" in told["verdict"]


async def test_an_address_where_nobody_answers_is_named(
    run_node: Run, command: Commands, operated: Operated
) -> None:
    async with run_node() as running:
        await talking(operated, running)
        address = running.base.removeprefix("http://")
        code, page = await command(
            "explain", "org/demo/alice", "org/demo/bob", "--admin", f"{address},127.0.0.1:1"
        )
        assert code == 0
        assert "not asked: 127.0.0.1:1: 127.0.0.1:1 does not answer" in page
        assert f"asked: the node at {running.node.addresses[0]}" in page


# How it looks


def test_columns_that_do_not_fit_are_left_out_the_least_needed_first() -> None:
    rows = [dict.fromkeys(("peer", "kind", "role", "identity", "version"), "x" * 9) | {"node": ""}]
    widths = {width: max(map(len, table(rows, CONNECTIONS, width).splitlines())) for width in (80, 100, 120)}
    assert all(found <= width for width, found in widths.items())
    assert widths[80] < widths[120]
    assert "VERSION" in table(rows, CONNECTIONS, None)
    assert "VERSION" not in table(rows, CONNECTIONS, 80)


def test_what_is_needed_stays_however_narrow_it_is() -> None:
    columns = (key("name"), Column("more", lambda row: "x" * 30, need=1))
    assert table([{"name": "y" * 20}], columns, 5) == f"NAME\n{'y' * 20}"


def test_numbers_stand_on_the_right_and_what_is_not_there_is_a_dash() -> None:
    rows = [{"name": "a", "count": 1}, {"name": "", "count": 1000}, {"name": None, "count": None}]
    assert table(rows, (key("name"), number("count")), None).splitlines() == [
        "NAME  COUNT",
        "a         1",
        "-      1000",
        "-         -",
    ]


def test_what_others_chose_is_harmless() -> None:
    shown = table([{"name": "a\x1b[2Jb\n"}], (key("name"),), None)
    assert shown == "NAME\na\\x1b[2Jb\\n"
    row = {
        "time": 0.0, "source": "a\x1b", "destination": "b", "kind": "msg", "session": 1, "message": 2,
        "size": 3, "by": 4, "to": [5], "dropped": "", "more": 7,
    }  # fmt: skip
    assert trace_line(row) == (
        "... 7 more before this one\n00:00:00.000  a\\x1b -> b  msg  session 1 message 2, 3 B  conn 4 -> 5"
    )


def test_the_page_of_a_node_says_what_is_wrong_with_it() -> None:
    page = status_page(PAGE, [])
    assert page.splitlines()[:3] == [
        "node         east, callboard 1.0",
        "state        serving for 2 h",
        "listens on   127.0.0.1:46357",
    ]
    assert "limit" not in page
    sick = PAGE | {
        "failures": 1,
        "restarts": 1,
        "limits": [{"limit": "subscriptions", "bound": 10, "used": 10, "refused": 4}],
        "backbone": {"url": "nats://n:4222", "state": "down", "connection": 2},
        "controllers": [{"endpoint": "http://c:50052", "state": "down"}],
        "certificates": [
            {"name": "n", "days": 40.5, "problem": ""},
            {"name": "o", "days": -1.0, "problem": "the certificate of o (tls) has expired"},
        ],
    }
    peer = {"node": "west", "endpoint": "http://w:1", "state": "dialling", "cause": "connection refused"}
    assert status_page(sick, [peer]).splitlines()[-6:] == [
        "peer         west (http://w:1): dialling, connection refused",
        "backbone     nats://n:4222: down",
        "controller   http://c:50052: down",
        "limit        subscriptions: refused 4 so far, the bound is 10",
        "certificate  n: 40 days left",
        "certificate  the certificate of o (tls) has expired",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_walk_fits_the_terminal(width: int) -> None:
    from gateway.admin.explain import explain
    from tests.gateway.admin.test_explain import ALICE_AT, joined, node

    walk = explain([node(source=(ALICE_AT,), neighbours=joined("n2"))])
    page = walk_page(walk, [NotAsked("127.0.0.1:1", "it does not answer, for a reason that is long")], width)
    assert max(map(len, page.splitlines())) <= width


def test_sizes_and_times_are_as_people_read_them() -> None:
    assert [size(count) for count in (0, 1023, 1536, 5 << 20, 1 << 45)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "32.0 TiB",
    ]  # fmt: skip
    assert [lasted(seconds) for seconds in (0.4, 119, 120, 7200, 2e5)] == [
        "0 s", "119 s", "2 min", "2 h", "2 d",
    ]  # fmt: skip
