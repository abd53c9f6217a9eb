"""Figures of a data plane as a whole: what it counts beside its parts, and all of it at once."""

from __future__ import annotations

from typing import Any, Protocol

from actors.messages.routing import Gather, Status, StatusReport
from actors.routing.budget import ByteBudget
from actors.system import Address, LoopSystem
from actors.telemetry import Registry
from gateway.http2.limits import Counters
from gateway.node.peering import Peering


class Observed(Protocol):
    """A data plane, as it is needed here."""

    system: LoopSystem
    route_table: Address
    gateway: Address
    node_id: str
    peering: Peering
    waiting: ByteBudget
    telemetry: Registry


def register(telemetry: Registry, waiting: ByteBudget, http2: Counters) -> None:
    """Show what waits, and what HTTP/2 refused."""
    waiting.register(telemetry)
    telemetry.read_by("rule", "http2_refusals_total", "What a limit or rule refused.", lambda: http2.refusals)


async def status(plane: Observed) -> dict[str, Any]:
    """Figures of the route table, of each connection by index, of the actor system, and all counters."""
    table: StatusReport = await plane.system.ask(plane.route_table, Status(), 5.0)
    connections: StatusReport = await plane.system.ask(plane.gateway, Gather(), 5.0)
    return {
        "routes": table.figures,
        "connections": connections.figures,
        "node": plane.node_id,
        "peers": plane.peering.figures(),
        "waiting": {
            "bytes": plane.waiting.size,
            "limit": plane.waiting.limit,
            "dropped": plane.waiting.dropped,
        },
        "actors": plane.system.system_status(),
        "counters": plane.telemetry.figures(),
    }
