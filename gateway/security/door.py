"""Who was not let in at the door: counted by rule, and told to people with the address and the reason.

Callers cost nothing to invent: of one host a line a second for each reason, and a few of all together
(`actors.alarm`); the rest is counted, and written at DEBUG. What a caller says of itself is shown escaped, a
password or token never.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from actors.alarm import SourceAlarms
from actors.telemetry import Registry
from gateway.surroundings import current
from identity.log import logger


class DoorRule(StrEnum):
    """What a caller did not pass."""

    HANDSHAKE = "handshake"
    """TLS: no certificate, one of an unknown authority or out of its time, no version in common."""
    ALPN = "alpn"
    """TLS without HTTP/2."""
    AUTHENTICATION = "authentication"
    """A password or token that is missing or wrong."""
    IDENTITY = "identity"
    """A certificate that TLS takes, of a SPIFFE ID that is not wanted."""
    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    NODE = "node"
    """Somebody who calls as a node and is none of its peers."""
    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    INVITE = "invite"
    """What the rules by name do not allow."""


class Door:
    """Refusals of one node, at all its listeners."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._alarms = SourceAlarms()
        self.refusals: dict[str, int] = dict.fromkeys(DoorRule, 0)
        """By rule."""

    def register(self, telemetry: Registry) -> None:
        """Show what is counted here."""
        text = "Who was not let in, or not let do something."
        telemetry.read_by("rule", "door_refusals_total", text, lambda: self.refusals)

    def refused(self, rule: str, peer: str, cause: str, who: str = "") -> None:
        """Somebody at address `peer`, who is or says to be `who`, was not let in, or not let do something."""
        self.refusals[rule] = self.refusals.get(rule, 0) + 1
        now = (self._clock or current().clock)()
        level, more = self._alarms.level((host_of(peer), cause), now)
        fields = {"peer": peer, "rule": rule, "cause": cause}
        if who:
            fields["who"] = who
        logger.log(level, f"refused at the door{more}", **fields)


def host_of(peer: str) -> str:
    """The host of an address as streams tell it, without the port; the whole where there is none."""
    host, separator, port = peer.rpartition(":")
    if not (separator and port.isdigit()):
        return peer
    return host.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "").replace("%5D", "").strip("[]")
