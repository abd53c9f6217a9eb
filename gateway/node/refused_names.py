"""The log of subscriptions that a node refused, or that a peer of it did not take.

Whoever asks is told in the acknowledgement, and asks again and again: of one connection a line in half a
minute is a warning, and a few in a second of all; the rest is written at DEBUG (`actors.alarm`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from actors.alarm import RETRY_PAUSE, SourceAlarms
from actors.names import Name
from gateway.node.doorkeeper import BY_RULES
from identity.log import logger


class _Caller(Protocol):
    @property
    def peer(self) -> str:
        """Where a link leads."""


class RefusedNames:
    """Of one node; `links` are those that are open, by index."""

    def __init__(self, links: Mapping[int, _Caller], clock: Callable[[], float]) -> None:
        self._links, self._clock = links, clock
        self._alarms = SourceAlarms(RETRY_PAUSE)

    def tell(self, name: Name, connection: int, cause: str) -> None:
        """A subscription of `name`, by or over a connection, came to nothing."""
        if cause.startswith(BY_RULES):
            # A line of the door, with the rule.
            return
        level, more = self._alarms.level(connection, self._clock())
        link = self._links.get(connection)
        peer = link.peer if link is not None else None
        fields = {"conn": connection, "peer": peer, "name": name.short, "cause": cause}
        logger.log(level, f"subscription refused{more}", **fields)
