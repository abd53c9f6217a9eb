"""Claims of SLIM inside JWT-SVIDs (`identity.md` 4).

A JWT-SVID is made by the agent and cannot carry claims of the workload. What the workload does choose is the
audience, so the claims travel as one more audience: `slim-claims:` and the base64 of a JSON object.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from identity.encoding import Malformed, b64_decode, compact_json, parse_object
from identity.record import record

PREFIX = "slim-claims:"
MAX_CLAIMS_BYTES = 16 * 1024


@record
class SplitAudience(NamedTuple):
    """The audiences of a token with the claims taken out."""

    audience: list[str]
    custom_claims: dict[str, Any]


def claims_audience(claims: Mapping[str, Any]) -> str:
    """The audience entry that carries `claims`.

    Raises Malformed when they have no JSON form of at most 16 KiB.
    """
    document = compact_json(dict(claims))
    if len(document) > MAX_CLAIMS_BYTES:
        raise Malformed(f"claims of {len(document)} bytes are larger than {MAX_CLAIMS_BYTES}")
    return PREFIX + base64.b64encode(document).decode()


def split_audience(audience: Iterable[str]) -> SplitAudience:
    """Take the claims out of a token's audiences and merge them in their order.

    An entry that does not decode to an object is an ordinary audience and stays.
    """
    rest: list[str] = []
    claims: dict[str, Any] = {}
    for entry in audience:
        decoded = _decode(entry)
        if decoded is None:
            rest.append(entry)
        else:
            claims.update(decoded)
    return SplitAudience(rest, claims)


def _decode(entry: str) -> dict[str, Any] | None:
    if not entry.startswith(PREFIX):
        return None
    try:
        return parse_object(b64_decode(entry.removeprefix(PREFIX)))
    except Malformed:
        return None
