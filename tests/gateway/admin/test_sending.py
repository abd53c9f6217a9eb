"""How fast peers send, by what was counted at two looks."""

from __future__ import annotations

import asyncio

from gateway.admin.sending import REMEMBERED, Sending
from tests.gateway.admin.conftest import Run
from tests.gateway.admin.operated import ALICE, BOB, Operated


def test_a_rate_is_that_between_two_looks_a_second_apart_at_least() -> None:
    sending = Sending()
    looks = [
        (10.0, 100, (10.0, 100.0)),  # the first: since it connected, at 0
        (10.5, 200, (200 / 10.5, 2000 / 10.5)),
        (12.0, 300, (100.0, 1000.0)),  # since the look at 10
        (12.5, 350, (100.0, 1000.0)),
        (22.0, 350, (5.0, 50.0)),
    ]
    for at, messages, expected in looks:
        assert sending.rates(1, messages, 10 * messages, since=0.0, now=at) == expected
    assert sending.rates(2, 5, 5, since=21.9, now=22.0) == (5.0, 5.0), "no second has passed"


def test_looks_are_remembered_for_so_many() -> None:
    sending = Sending()
    for index in range(REMEMBERED + 5):
        sending.rates(index, 1, 1, since=0.0, now=5.0)
    assert len(sending._looks) == 5


async def test_a_row_shows_what_a_peer_sends_beside_what_it_may(run_node: Run) -> None:
    operated = Operated()
    async with run_node(limits={"messages_per_second": 500}) as running, operated.held:
        operated.nodes["n1"] = running.node
        alice = await operated.application(ALICE, "n1", route=BOB)
        await operated.application(BOB, "n1")
        async with alice.session(BOB) as session, running.client() as http:
            for _ in range(20):
                await session.publish(b"x" * 1000)
            async with asyncio.timeout(10):
                while True:
                    rows = (await http.get("/api/v1/connections")).json()["items"]
                    busiest = max(rows, key=lambda row: row["bytes_per_second"])
                    if busiest["bytes_per_second"] > 5_000:
                        break
            assert busiest["messages_per_second"] >= 5
            assert (busiest["messages_bound"], busiest["bytes_bound"]) == (500, None)
            limits = (await http.get("/api/v1/node")).json()["limits"]
            used = {row["limit"]: row["used"] for row in limits}
            assert used["messages per second"] >= 5
            assert used["bytes per second"] is None
            actors = (await http.get("/api/v1/actors")).json()["items"]
            assert max(row["slowest_turn"] for row in actors) > 0
