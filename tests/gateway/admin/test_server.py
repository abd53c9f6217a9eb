"""The admin port as a client sees it: health, figures, pages, orders."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.controlled import led_groups
from actors.messages.session import AppSettings, SessionConfig
from actors.messages.wire import SessionKind
from actors.names import Name
from actors.session.failed import FailedSession
from gateway import IdentityProvider, IdentityVerifier, Request, SessionConfiguration, Slim
from gateway.admin.client import AdminClient
from gateway.admin.view import session_row
from gateway.node import group_reports
from gateway.node.data_plane import DataPlane
from tests.gateway.admin.conftest import Run

SECRET = "a shared secret of at least thirty-two bytes"


def application(text: str, plane: DataPlane | None = None, settings: AppSettings | None = None) -> Slim:
    pair = (kind.SharedSecret(text, SECRET) for kind in (IdentityProvider, IdentityVerifier))
    return Slim(text, *pair, settings=settings, **({"data_plane": plane} if plane is not None else {}))


async def echo(request: Request[bytes]) -> bytes:
    return request.payload


async def test_health_and_the_node_are_shown_to_who_asks_on_loopback(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        assert [(await http.get(path)).text for path in ("/healthz", "/readyz")] == ["ok\n", "ok\n"]
        node = (await http.get("/api/v1/node")).json()
        assert (node["state"], node["listeners"]) == ("serving", running.node.addresses)
        running.node.data_plane.health.end("draining")
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "draining\n")
        assert (await http.get("/healthz")).status_code == 200


async def test_lists_come_in_pages(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        system = running.node.data_plane.system
        inboxes = [system.inbox(lambda message, sender: None) for _ in range(25)]
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = (await http.get("/api/v1/actors", params={"limit": 10, "cursor": cursor})).json()
            assert len(page["items"]) <= 10
            seen += [row["address"] for row in page["items"]]
            cursor = page["next"]
        assert len(seen) == len(set(seen)) == len(system.cells())
        assert {str(inbox) for inbox in inboxes} <= set(seen)
        tables = (await http.get("/api/v1/actors", params={"name": "RouteT"})).json()["items"]
        assert [row["kind"] for row in tables] == ["RouteTable"]


async def test_a_query_that_cannot_be_read_is_refused_in_words(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        for query in ({"limit": "0"}, {"limit": "x"}, {"cursor": "1.x"}, {"cursor": "-1"}, {"sort": "a"}):
            answer = await http.get("/api/v1/routes", params=query)
            assert answer.status_code == 400, query
            assert next(iter(query)) in answer.json()["error"]


async def test_commands_find_the_node_by_its_socket(run_node: Run) -> None:
    async with run_node() as running:
        assert running.admin.path is not None
        assert running.admin.path.stat().st_mode & 0o777 == 0o600

        def ask() -> tuple[Any, list[str], Any]:
            with AdminClient.find() as admin:
                kinds = [row["kind"] for row in admin.items("/actors", limit=1)]
                return admin.get("/node"), kinds, admin.post("/drain")

        node, kinds, drained = await asyncio.to_thread(ask)
        assert node["node"] == "slim/0"
        assert {"RouteTable", "Gateway"} <= set(kinds)
        assert (drained, running.drained) == ({"state": "draining"}, 1)
        path: Path = running.admin.path
    assert not path.exists()


async def test_a_connection_is_shown_and_can_be_kicked(run_node: Run) -> None:
    async with run_node() as running, running.local() as http, application("org/ns/alice") as alice:
        await alice.connect(f"http://{running.node.addresses[0]}")
        (row,) = (await http.get("/api/v1/connections", params={"name": "org/ns/ali"})).json()["items"]
        assert (row["kind"], row["role"], row["names"] > 0) == ("edge", "application", True)
        assert row["frames_in"] > 0
        (told,) = (await http.get("/api/v1/applications", params={"name": "org/ns/alice"})).json()["items"]
        assert (told["connection"], told["where"], told["peer"]) == (row["connection"], "edge", row["peer"])
        routes = (await http.get("/api/v1/routes", params={"name": "org/ns/"})).json()["items"]
        assert {(one["name"], one["rank"]) for one in routes} == {("org/ns/alice", "edge")}
        assert (await http.get("/api/v1/connections", params={"name": "org/ns/bob"})).json()["items"] == []

        one = f"/api/v1/connections/{row['connection']}"
        assert (await http.get(one)).json()["peer"] == row["peer"]
        gone = running.node.data_plane.links[row["connection"]]
        assert (await http.post(f"{one}/kick", json={"cause": "a test"})).status_code == 200
        async with asyncio.timeout(5):
            while running.node.data_plane.links.get(row["connection"]) is gone:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await http.post(f"{one}/kick")).status_code == 404
        assert (await http.get("/api/v1/connections/x")).status_code == 404


async def test_sessions_of_the_process_are_shown_with_what_they_count(run_node: Run) -> None:
    async with (
        run_node() as running,
        running.client() as http,
        application("org/ns/alice", running.node.data_plane) as alice,
        application("org/ns/bob", running.node.data_plane) as bob,
        bob.serve(echo),
        alice.group("org/ns/channel", invite=["org/ns/bob"]),
    ):
        page = (await http.get("/api/v1/sessions", params={"name": "org/ns/alice"})).json()
        (row,) = page["items"]
        assert (row["kind"], row["members"], row["epoch"]) == ("multicast", 2, None)
        assert row["figures"]["members"] == 2
        assert "ask them" in page["note"]
        (group,) = (await http.get("/api/v1/groups", params={"name": "org/ns/channel"})).json()["items"]
        assert (group["members"], group["peers"]) == (2, 0)
        assert (group["moderator"], group["group_members"]) == ("org/ns/alice", 2)
        here = (await http.get("/api/v1/applications")).json()["items"]
        assert {(one["name"], one["where"]) for one in here} >= {
            ("org/ns/alice", "here"),
            ("org/ns/bob", "here"),
        }


async def test_a_member_that_is_behind_shows_in_its_session_its_group_and_the_sums(run_node: Run) -> None:
    async with (
        run_node() as running,
        running.client() as http,
        application("org/ns/alice", running.node.data_plane) as alice,
        application("org/ns/bob", running.node.data_plane) as bob,
        application("org/ns/carol", running.node.data_plane, AppSettings(inbox=1)) as carol,
        asyncio.timeout(10),
    ):
        ends = [asyncio.create_task(one.listen_for_session()) for one in (bob, carol)]
        config = SessionConfiguration.Group(0.1, 100, mls_enabled=False)
        group = await alice.create_session("org/ns/channel", config)
        for name in ("org/ns/bob", "org/ns/carol"):
            await alice.set_route(name)
            await (await group.invite(name))
        _, behind = await asyncio.gather(*ends)

        async def shown() -> list[dict[str, int]]:
            (session,) = (await http.get("/api/v1/sessions", params={"name": "org/ns/alice"})).json()["items"]
            (row,) = (await http.get("/api/v1/groups", params={"name": "org/ns/channel"})).json()["items"]
            counters = (await http.get("/api/v1/counters", params={"name": "callboard_session_"})).json()
            sums = {one["name"].removeprefix("callboard_session_"): one["value"] for one in counters["items"]}
            summed = {
                "unacknowledged": sums["unacknowledged_messages"],
                "lag": sums["lag_messages"],
                "retransmissions": sums["retransmissions_total"],
            }
            return [{figure: told[figure] for figure in summed} for told in (session["figures"], row, summed)]

        idle = {"unacknowledged": 0, "lag": 0, "retransmissions": 0}
        assert await shown() == [idle] * 3
        handles = [await group.publish(b"x") for _ in range(5)]
        while not (told := (await shown())[0])["retransmissions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        # One is on its way to carol, who reads nothing.
        assert (told["unacknowledged"], told["lag"]) == (4, 4)
        for _ in handles:
            await behind.get_message()
        await asyncio.gather(*handles)
        session, row, summed = await shown()
        assert session == row == summed
        assert (row["unacknowledged"], row["lag"], row["retransmissions"] > 0) == (0, 0, True)


def test_a_session_that_failed_is_shown_with_nobody_in_it() -> None:
    config = SessionConfig(SessionKind.MULTICAST)
    over = FailedSession(7, Name("o", "n", "a", 1), Name("o", "n", "c"), config, "a test")
    about = [str(over.local), over.session_id, config.session_type.name, str(over.destination), over.epoch]
    row = session_row({**over.figures(), "about": about})
    assert row is not None
    assert (row.session, row.members, row.figures) == (7, 0, {"failed": 1})


async def test_a_group_led_elsewhere_shows_what_its_moderator_counts(
    run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_reports, "PERIOD", 0.1)
    monkeypatch.setattr(group_reports, "LOOK", 0.1)
    monkeypatch.setattr(led_groups, "EVERY", 0.1)
    async with (
        run_node() as running,
        running.client() as http,
        application("org/ns/alice", DataPlane()) as alice,
        application("org/ns/bob", DataPlane(), AppSettings(inbox=1)) as bob,
        asyncio.timeout(10),
    ):
        for app in (alice, bob):
            await app.connect(f"http://{running.node.addresses[0]}")
        end = asyncio.create_task(bob.listen_for_session())
        config = SessionConfiguration.Group(0.1, 100, mls_enabled=False)
        group = await alice.create_session("org/ns/channel", config)
        await alice.set_route("org/ns/bob")
        await (await group.invite("org/ns/bob"))
        behind = await end

        async def until(figures: Callable[[dict[str, Any]], bool]) -> None:
            while True:
                rows = (await http.get("/api/v1/groups", params={"name": "org/ns/channel"})).json()["items"]
                if rows and rows[0]["lag"] is not None and figures(rows[0]):
                    return
                await asyncio.sleep(0.02)

        await until(lambda row: (row["group_members"], row["unacknowledged"], row["lag"]) == (2, 0, 0))
        handles = [await group.publish(b"x") for _ in range(5)]
        await until(lambda row: row["unacknowledged"] == row["lag"] == 4 and row["retransmissions"] > 0)
        for _ in handles:
            await behind.get_message()
        await asyncio.gather(*handles)
        await until(lambda row: (row["unacknowledged"], row["lag"]) == (0, 0) and row["retransmissions"] > 0)


async def test_watchers_are_told_rates_and_slow_ones_are_let_go(run_node: Run) -> None:
    async with run_node() as running, running.client() as http, asyncio.timeout(10):
        running.admin.events._period = 0.01
        async with http.stream("GET", "/api/v1/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: rates"
            row = json.loads((await anext(lines)).removeprefix("data: "))
            assert (row["state"], row["connections"], row["frames_in"]) == ("serving", 0, 0.0)
            slow = running.admin.events.watch()
            assert slow is not None
            await slow.too_slow.wait()
            assert running.admin.counts.watchers_dropped == 1
        while len(running.admin.events):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_loop_that_stands_still_shows_in_lag_and_turns(run_node: Run) -> None:
    async with run_node() as running, running.client() as http, asyncio.timeout(10):
        system = running.node.data_plane.system
        assert (await http.get("/api/v1/node")).json()["slowest_turn"] < 0.2
        await asyncio.sleep(0.01)
        system.tell(system.inbox(lambda message, sender: time.sleep(0.3)), "stand still")
        lag, node = 0.0, {}
        while lag < 0.01:
            node = (await http.get("/api/v1/node")).json()
            lag = node["loop_lag"]
        assert node["slowest_turn"] >= 0.3
