"""A subscription that comes to nothing is a line of the log, and a thousand of them are a few."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from actors.alarm import RETRY_PAUSE
from actors.errors import SessionError
from actors.names import Name
from gateway.config.node import NodeConfig
from gateway.node.doorkeeper import BY_RULES
from gateway.node.node import Node
from gateway.node.refused_names import RefusedNames
from tests.gateway.api.test_waiting import ALICE, application


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(found.append, level="WARNING", format="{message} {extra}")
    yield found
    logger.remove(sink)


async def test_names_beyond_the_share_of_a_peer_are_one_warning(warnings: list[str]) -> None:
    service = {
        "dataplane": {"servers": [{"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}]},
        "limits": {"subscriptions": 70_000, "subscriptions_per_peer": 3},
    }
    node = Node(NodeConfig.read({"services": {"slim/0": service}}))
    (address,) = await node.start()
    try:
        async with application(ALICE) as alice:
            await alice.connect({"endpoint": f"http://{address}", "tls": {"insecure": True}})
            for fits in ("first", "second"):
                await alice.subscribe(Name.parse(f"org/more/{fits}"))
            for number in range(10):
                with pytest.raises(SessionError, match="this peer holds its 3 subscriptions"):
                    await alice.subscribe(Name.parse(f"org/more/n{number}"))
            told = [line for line in warnings if line.startswith("subscription refused")]
    finally:
        await node.close(0.1)
    assert len(told) == 1
    for part in (
        "'conn': ",
        "'peer': '127.0.0.1:",
        "'name': 'org/more/n",
        "this peer holds its 3 subscriptions",
    ):
        assert part in told[0]


def test_one_line_in_half_a_minute_for_each_connection(warnings: list[str]) -> None:
    now = 0.0
    refused = RefusedNames({}, lambda: now)
    for number in range(100):
        refused.tell(Name.parse(f"o/n/a{number}"), 7, "no ack from the peer")
    refused.tell(Name.parse("o/n/a"), 8, "no ack from the peer")
    now = RETRY_PAUSE + 1
    refused.tell(Name.parse("o/n/a"), 7, "no ack from the peer")
    assert [line.partition(" {")[0] for line in warnings] == [
        "subscription refused",
        "subscription refused (99 more were not told)",
        "subscription refused",
    ]


def test_what_the_rules_refuse_has_a_line_of_the_door(warnings: list[str]) -> None:
    RefusedNames({}, lambda: 0.0).tell(Name.parse("o/n/a"), 7, f"{BY_RULES} user eve subscribe to o/n/a")
    assert warnings == []
