"""What a peer can be expected to do, by generation (`session.md` 12)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from actors.record import record


class PeerGeneration(Enum):
    """The generations whose behaviour differs, as far as a peer's messages give them away."""

    UNKNOWN = "0.7 - 1.2"
    PINGING = "1.0 - 1.2"
    CURRENT = "1.3 - 1.4"


@record
class Traits(NamedTuple):
    """One generation's behaviour."""

    answers_ping: bool
    """Silence in a liveness round means that it is gone."""
    answers_leave: bool
    """As a moderator it answers LEAVE_REQUEST; silence is an error and not a habit."""


TRAITS: dict[PeerGeneration, Traits] = {
    PeerGeneration.UNKNOWN: Traits(answers_ping=False, answers_leave=False),
    PeerGeneration.PINGING: Traits(answers_ping=True, answers_leave=True),
    PeerGeneration.CURRENT: Traits(answers_ping=True, answers_leave=True),
}


def generation(claims: Mapping[str, Any]) -> PeerGeneration:
    """What the claims of a token tell: from 1.3 on every token carries the public key."""
    custom = claims.get("custom_claims")
    if "pubkey" in claims or (isinstance(custom, Mapping) and "pubkey" in custom):
        return PeerGeneration.CURRENT
    return PeerGeneration.UNKNOWN
