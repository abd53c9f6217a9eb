"""Groups that applications lead by themselves, as a controller sees them through their node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from actors.messages.routing import ConnectionState
from actors.messages.session import GroupBegun, Membership
from actors.messages.wire import GroupFigures, GroupLed
from actors.names import Name
from actors.routing.table import SubscriptionTable
from actors.system import LoopSystem
from gateway import SessionConfiguration
from gateway.codec import InboundParser, encode_record
from gateway.node import group_reports
from gateway.node.group_reports import GroupReports
from tests.gateway.controller.stage import PATIENCE, client, controller
from tests.gateway.node.test_controlled import Company, modules, node, own, until


async def shown(stub: Any) -> list[Any]:
    _, c = modules()
    return list((await stub.ListChannels(c.ListChannelsRequest())).groups)


def test_the_frame_reads_as_it_was_written() -> None:
    group = GroupLed(3, Name("o", "n", "c"), Name("o", "n", "m", 1), (Name("o", "n", "a", 2),), 5)
    counted = group._replace(figures=GroupFigures(4, 2**40, 0))
    for one in (group, group._replace(members=(), epoch=0, over=True), counted):
        assert InboundParser(1).parse(encode_record(one)) == one


async def test_a_group_is_shown_with_its_members_and_epoch_and_goes_with_its_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_reports, "PERIOD", 0.2)
    async with (
        controller() as made,
        node(made.southbound) as one,
        client(made.northbound) as stub,
        Company() as company,
    ):
        lead, ann = [await company.app(f"org/ns/{who}", one.address) for who in ("lead", "ann")]
        await own(stub, "slim/0", "org/ns/lead", "org/ns/ann")
        session = await lead.create_session(
            "org/ns/stage", SessionConfiguration.Group(0.2, 5, mls_enabled=True)
        )

        async def alone() -> Any:
            return [g for g in await shown(stub) if len(g.members) == 1]

        (group,) = await until(alone)
        assert (group.channel_name, group.read_only, group.node_id) == ("org/ns/stage", True, "slim/0")
        await lead.set_route("org/ns/ann")
        await (await session.invite("org/ns/ann"))

        async def both() -> Any:
            return [g for g in await shown(stub) if len(g.members) == 2 and g.epoch]

        (group,) = await until(both)
        assert [one.rpartition("/")[0] for one in (*group.moderators, *sorted(group.members))] == [
            "org/ns/lead",
            "org/ns/ann",
            "org/ns/lead",
        ]
        await ann.close()
        await lead.close()

        async def none() -> bool:
            return not await shown(stub)

        await until(none)


class Wire:
    """A link that keeps what is written on it."""

    def __init__(self) -> None:
        self.written: list[GroupLed] = []
        self.told = asyncio.Event()

    def transmit(self, records: Sequence[GroupLed]) -> None:
        self.written.extend(records)
        self.told.set()


async def test_only_nodes_of_ours_are_told_and_only_while_they_are_there() -> None:
    loop = asyncio.get_running_loop()
    system = LoopSystem(loop=loop)
    original, ours, lost = links = [Wire(), Wire(), Wire()]
    reports = GroupReports(system, loop, dict(enumerate(links)), SubscriptionTable().view)  # type: ignore[arg-type]
    for index, detail in enumerate(("1.4.0", "1.4.0 node", "1.4.0 node")):
        reports.dialled(ConnectionState(index, "negotiated", detail))
    reports.dialled(ConnectionState(2, "lost", "reset"))
    lead = Name("o", "n", "lead", 1)
    session = system.inbox(lambda message, sender: system.tell(sender, Membership(1, (lead,)), session))
    system.tell(reports.inbox, GroupBegun(session, lead, Name("o", "n", "c")))
    async with asyncio.timeout(PATIENCE):
        await ours.told.wait()
    assert [one.moderator for one in ours.written] == [lead]
    assert original.written == lost.written == []
    reports.close()
    await system.shutdown()
