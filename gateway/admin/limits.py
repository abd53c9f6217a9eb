"""The limits of a node as rows: what is in force, how much of it is taken, and how often it refused."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

from gateway.admin.rows import CertificateRow, LimitRow
from gateway.node.node import Node
from gateway.security.expiry import DAY


def limit_rows(node: Node) -> tuple[LimitRow, ...]:
    """All of them. Of limits of one peer or address, `used` is what the one with most has."""
    plane = node.data_plane
    keeper, shares, waiting = plane.doorkeeper, plane.control.shares, plane.waiting
    refusals, slowed = plane.door.refusals, keeper.sending.slowed
    sent = keeper.sending.most(plane.surroundings.clock())
    memory, (used, most) = node.memory, descriptors()
    return (
        LimitRow("connections", keeper.connections, keeper.callers, refusals["connections"]),
        LimitRow(
            "connections per address",
            keeper.connections_per_address,
            keeper.most_of_one_address,
            refusals["connections_per_address"],
        ),
        LimitRow("subscriptions", shares.most, shares.total, shares.refusals["node"]),
        LimitRow("subscriptions per peer", shares.most_of_peer, shares.largest_held, shares.refusals["peer"]),
        LimitRow(
            "applications per peer",
            shares.most_applications,
            shares.largest_applications,
            shares.refusals["applications"],
        ),
        LimitRow(
            "messages per second",
            keeper.sending.messages_per_second,
            sent[0] if keeper.sending.messages_per_second else None,
            slowed["messages_per_second"],
        ),
        LimitRow(
            "bytes per second",
            keeper.sending.bytes_per_second,
            sent[1] if keeper.sending.bytes_per_second else None,
            slowed["bytes_per_second"],
        ),
        LimitRow("waiting bytes", waiting.limit, waiting.size, waiting.dropped),
        LimitRow(
            "memory bytes",
            None if memory is None else memory.limit,
            None if memory is None else memory.used,
            slowed["memory"],
        ),
        LimitRow("descriptors", most, used, plane.no_descriptor),
    )


def certificate_rows(node: Node, now: float) -> tuple[CertificateRow, ...]:
    """The certificates that the node shows at `now` (Unix seconds), the first to end first."""
    return tuple(
        CertificateRow(one.name, one.where, one.ends, (one.ends - now) / DAY, one.problem(now))
        for one in sorted(node.certificates, key=lambda one: one.ends)
    )


def descriptors() -> tuple[int, int]:
    """Open descriptors of the process, 0 where the system does not tell, and how many it may have."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd")), most
    return 0, most
