"""Link negotiation (`dataplane.md` 4): who dialled, and which version each side speaks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import NamedTuple

from actors.messages.wire import Introduction, LinkNegotiation, Role
from actors.record import record

OUR_VERSION = "1.4.0"
"""The level of the wire family that we implement, never our own package version."""

ACKS_SINCE = (1, 2, 0)
"""Peers from this version on acknowledge subscriptions."""

Version = tuple[int, int, int]

Admit = Callable[[Introduction], str]
"""Why a node that calls is not let in; nothing when it is."""

NOBODY = Introduction(Role.UNKNOWN)
"""An end that says nothing about itself."""

_SEMVER = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+][0-9A-Za-z.+-]{0,64})?")


def parse_version(text: str) -> Version | None:
    """The three numbers of a semantic version; None when it is not one."""
    match = _SEMVER.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def acknowledges(version: Version | None) -> bool:
    """Whether a peer of this (possibly unknown) version acknowledges our subscriptions."""
    return version is not None and version >= ACKS_SINCE


NODE_ID_BOUND = 256
"""Characters of a node's id."""


@record
class Outcome(NamedTuple):
    """What to do about a link message: an answer to send, and whether the peer is now known."""

    reply: LinkNegotiation | None = None
    accepted: bool = False
    node: Introduction | None = None
    """The other end is a node of ours, and may be one of this node's peers."""
    refusal: str = ""
    """It is one, but is not let in, or does not let us in: what to tell people, before the link is closed."""


class Negotiator:
    """One connection's negotiation. `link_id` is ours when we dialled, else the peer's once it told it.

    Anything invalid, repeated, or from the wrong side is ignored in silence. `introduction` is what this end
    says about itself; `admit` says why a node that calls is not let in, or nothing.
    """

    __slots__ = ("_admit", "_dialled", "_introduction", "link_id", "peer_role", "peer_version")

    def __init__(
        self,
        dialled_as: str | None = None,
        introduction: Introduction = NOBODY,
        admit: Admit = lambda introduction: "this node has no peers",
    ) -> None:
        self._dialled = dialled_as is not None
        self._introduction = introduction
        self._admit = admit
        self.link_id = dialled_as
        self.peer_version: Version | None = None
        self.peer_role = Role.UNKNOWN

    def opening(self) -> LinkNegotiation | None:
        """What the dialling side sends first; None on the accepting side. A new stream starts over."""
        if not self._dialled or self.link_id is None:
            return None
        self.peer_version, self.peer_role = None, Role.UNKNOWN
        return LinkNegotiation(self.link_id, OUR_VERSION, introduction=self._said())

    def keepalive(self) -> LinkNegotiation:
        """What a node link says so as not to be silent: what it said before, which changes nothing."""
        return LinkNegotiation(self.link_id or "", OUR_VERSION, is_reply=not self._dialled)

    def handle(self, message: LinkNegotiation) -> Outcome:
        """Take a link message of the peer's."""
        version = parse_version(message.slim_version)
        if version is None or self.peer_version is not None or message.is_reply != self._dialled:
            return Outcome()
        if self._dialled:
            if message.link_id != self.link_id:
                return Outcome()
            self.peer_version = version
            node = self._node(message.introduction)
            return Outcome(accepted=True, node=node, refusal=node.refusal if node is not None else "")
        if not _is_uuid4(message.link_id):
            return Outcome()
        self.link_id, self.peer_version = message.link_id, version
        node = self._node(message.introduction)
        # Who says nothing about itself is told nothing: originals get what they always got.
        said = self._said() if message.introduction is not None else None
        refusal = self._admit(node) if node is not None else ""
        if said is not None:
            # The token is for those whom we call.
            said = said._replace(token="", refusal=refusal)
        reply = LinkNegotiation(message.link_id, OUR_VERSION, is_reply=True, introduction=said)
        return Outcome(reply, accepted=True, node=node, refusal=refusal)

    def _said(self) -> Introduction | None:
        return self._introduction if self._introduction.role is not Role.UNKNOWN else None

    def _node(self, introduction: Introduction | None) -> Introduction | None:
        """The other end where both are nodes."""
        if introduction is None:
            return None
        self.peer_role = introduction.role
        if introduction.role is not Role.NODE or self._introduction.role is not Role.NODE:
            return None
        return introduction if 0 < len(introduction.node_id) <= NODE_ID_BOUND else None


def _is_uuid4(text: str) -> bool:
    try:
        return len(text) <= 45 and uuid.UUID(text).version == 4
    except ValueError:
        return False
