"""The controller with original nodes: registration, names, routes, and a group led by an original."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.gateway.controller.stage import client, controller
from tests.interop.harness import Process, free_port

pytestmark = pytest.mark.originals
pytest.importorskip("slim_bindings", reason="the originals do not install here")

SECRET = "a-shared-secret-of-more-than-32-bytes"
WAIT = 40.0


class ControlledNode(Process):
    """An original node that registers at a controller, with applications in its process."""

    def __init__(self, folder: Path, id: str, southbound: str, *names: str) -> None:
        self.port = free_port()
        self.id = id
        file = folder / f"{id.replace('/', '-')}.yaml"
        # JSON is YAML.
        file.write_text(
            json.dumps(
                {
                    "services": {
                        id: {
                            "dataplane": {
                                "servers": [
                                    {
                                        "endpoint": f"127.0.0.1:{self.port}",
                                        "tls": {"insecure": True},
                                        "metadata": {"local_endpoint": "127.0.0.1"},
                                    }
                                ],
                                "clients": [],
                            },
                            "controller": {
                                "clients": [{"endpoint": f"http://{southbound}", "tls": {"insecure": True}}],
                                "token_provider": {
                                    "type": "shared_secret",
                                    "id": "control-plane",
                                    "data": SECRET,
                                },
                            },
                        }
                    }
                }
            )
        )
        super().__init__(
            f"original {id}", sys.executable, "-m", "tests.interop.controlled_node", str(file), *names
        )
        self.told: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.launch()
        self._tasks.append(asyncio.create_task(self._reading()))

    async def tells(self, **expected: Any) -> dict[str, Any]:
        """Wait for a line with these fields."""
        async with asyncio.timeout(WAIT):
            while True:
                for line in self.told:
                    if expected.items() <= line.items():
                        return line
                self._news.clear()
                await self._news.wait()

    async def _reading(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.told.append(json.loads(line))
            self._news.set()


async def until(true: Callable[[], Any]) -> Any:
    """What a coroutine function returns once it is something."""
    async with asyncio.timeout(WAIT):
        while not (found := await true()):  # noqa: ASYNC110 (what is asked is another process's)
            await asyncio.sleep(0.05)
        return found


async def reported(call: Any) -> None:
    """Await an order. The original node waits two seconds for its moderator's report, whatever goes on."""
    try:
        assert (await call).success
    except grpc.aio.AioRpcError as error:
        if error.details() != "no report of the moderator at slim/0":
            raise


async def test_a_group_led_by_an_original_at_an_original_node(tmp_path: Path) -> None:
    from controller.v1 import controller_pb2
    from controlplane.v1 import controlplane_pb2

    names = ("org/test/moderator", "org/test/guest")
    async with (
        controller() as made,
        ControlledNode(tmp_path, "slim/0", made.southbound, *names) as node,
        client(made.northbound) as stub,
    ):
        await node.tells(app="org/test/guest")

        async def known() -> bool:
            try:
                listed = await stub.ListSubscriptions(controlplane_pb2.Node(id="slim/0"))
            except grpc.aio.AioRpcError:
                return False
            return {"moderator", "guest"} <= {one.component_2 for one in listed.entries}

        await until(known)
        request = controlplane_pb2.CreateChannelRequest(
            moderators=["org/test/moderator"], channel_name="org/test/stage"
        )
        created = await stub.CreateChannel(request, WAIT)
        assert created.channel_id == "org/test/stage"
        await node.tells(session="org/test/moderator")
        guest = {"channel_name": "org/test/stage", "participant_name": "org/test/guest"}
        await reported(stub.AddParticipant(controller_pb2.AddParticipantRequest(**guest), WAIT))
        await node.tells(session="org/test/guest")
        listed = await stub.ListParticipants(
            controller_pb2.ListParticipantsRequest(channel_name="org/test/stage")
        )
        if "org/test/guest" in listed.participant_name:
            await reported(stub.DeleteParticipant(controller_pb2.DeleteParticipantRequest(**guest), WAIT))
            await node.tells(ended="org/test/guest")
        await stub.DeleteChannel(controller_pb2.DeleteChannelRequest(channel_name="org/test/stage"), WAIT)
        await node.tells(ended="org/test/moderator")
        assert not (await stub.ListChannels(controller_pb2.ListChannelsRequest())).channel_name


async def test_routes_between_two_original_nodes_are_acknowledged(tmp_path: Path) -> None:
    from controlplane.v1 import controlplane_pb2

    async with (
        controller() as made,
        ControlledNode(tmp_path, "slim/0", made.southbound) as one,
        ControlledNode(tmp_path, "slim/1", made.southbound, "org/test/guest") as two,
        client(made.northbound) as stub,
    ):
        await two.tells(app="org/test/guest")

        async def applied() -> bool:
            listed = (await stub.ListRoutes(controlplane_pb2.RouteListRequest())).entries
            return any(
                route.source == one.id
                and route.dest == two.id
                and route.name.startswith("org/test/guest")
                and route.status == "APPLIED"
                and route.automatic
                for route in listed
            )

        await until(applied)
