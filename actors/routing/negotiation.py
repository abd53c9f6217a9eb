"""Link negotiation (`dataplane.md` 4): who dialled, and which version each side speaks."""

from __future__ import annotations

import re
import uuid
from typing import NamedTuple

from actors.messages.wire import LinkNegotiation

OUR_VERSION = "1.4.0"
"""The level of the wire family that we implement, never our own package version."""

ACKS_SINCE = (1, 2, 0)
"""Peers from this version on acknowledge subscriptions."""

Version = tuple[int, int, int]

_SEMVER = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+][0-9A-Za-z.+-]{0,64})?")


def parse_version(text: str) -> Version | None:
    """The three numbers of a semantic version; None when it is not one."""
    match = _SEMVER.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def acknowledges(version: Version | None) -> bool:
    """Whether a peer of this (possibly unknown) version acknowledges our subscriptions."""
    return version is not None and version >= ACKS_SINCE


class Outcome(NamedTuple):
    """What to do about a link message: an answer to send, and whether the peer is now known."""

    reply: LinkNegotiation | None = None
    accepted: bool = False


class Negotiator:
    """One connection's negotiation. `link_id` is ours when we dialled, else the peer's once it told it.

    Anything invalid, repeated, or from the wrong side is ignored in silence.
    """

    __slots__ = ("_dialled", "link_id", "peer_version")

    def __init__(self, dialled_as: str | None = None) -> None:
        self._dialled = dialled_as is not None
        self.link_id = dialled_as
        self.peer_version: Version | None = None

    def opening(self) -> LinkNegotiation | None:
        """What the dialling side sends first; None on the accepting side. A new stream starts over."""
        if not self._dialled or self.link_id is None:
            return None
        self.peer_version = None
        return LinkNegotiation(self.link_id, OUR_VERSION)

    def handle(self, message: LinkNegotiation) -> Outcome:
        """Take a link message of the peer's."""
        version = parse_version(message.slim_version)
        if version is None or self.peer_version is not None or message.is_reply != self._dialled:
            return Outcome()
        if self._dialled:
            if message.link_id != self.link_id:
                return Outcome()
            self.peer_version = version
            return Outcome(accepted=True)
        if not _is_uuid4(message.link_id):
            return Outcome()
        self.link_id, self.peer_version = message.link_id, version
        return Outcome(LinkNegotiation(message.link_id, OUR_VERSION, is_reply=True), accepted=True)


def _is_uuid4(text: str) -> bool:
    try:
        return len(text) <= 45 and uuid.UUID(text).version == 4
    except ValueError:
        return False
