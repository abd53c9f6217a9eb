"""The admin port as a client sees it: health, figures, pages, orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.admin.client import AdminClient
from tests.gateway.admin.conftest import Run


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

        from asyncio import to_thread

        node, kinds, drained = await to_thread(ask)
        assert node["node"] == "slim/0"
        assert {"RouteTable", "Gateway"} <= set(kinds)
        assert (drained, running.drained) == ({"state": "draining"}, 1)
        path: Path = running.admin.path
    assert not path.exists()
