"""What one node knows about two names: the evidence that `gateway.admin.explain` judges.

Plain values, which travel as JSON: a command asks several nodes and judges what they say together. Nothing
here is secret, and nothing is from inside a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from actors.record import record


@record
class WayFacts(NamedTuple):
    """A connection to which a name leads at a node."""

    connection: int
    rank: str
    """One of "local", "edge", "peer", "by hand", or "backbone"."""
    peer: str = ""
    """Its address."""
    role: str = "unknown"
    """What the other end said it is: "application", "node", or "unknown"."""
    node: str = ""
    """The id of the node at the other end, if it is one of ours."""
    down: str = ""
    """Why it has no stream now."""
    dropped: int = 0
    """Messages that it did not take because it was slow."""
    malformed: int = 0
    """Messages from it that were not of this protocol."""
    ids: tuple[str, ...] = ()
    """Instance ids of the name there, in hex; some of them where there are many."""
    full_for: float = 0.0
    """Seconds for which its outbox has been full and did not drain."""
    backlog: int = 0
    """Bytes that wait for it."""


@record
class EndFacts(NamedTuple):
    """Why a name is not there, or what went wrong about it."""

    at: float
    """Unix seconds."""
    cause: str
    connection: int


@record
class NameFacts(NamedTuple):
    """What a node knows of a name."""

    name: str
    ways: tuple[WayFacts, ...] = ()
    """In the order in which they are tried."""
    left: EndFacts | None = None
    """Who had it last, and is gone."""
    refused: EndFacts | None = None
    """The last subscription of it, or route to it, that was not taken."""


@record
class RulingFacts(NamedTuple):
    """A rule by name does not let a connection do something with one of the two names."""

    connection: int
    who: str
    """Who is at its other end, as it proved."""
    action: str
    """One of "publish" or "invite"."""
    name: str
    rule: str
    """Where the rule stands, and its line."""


@record
class NeighbourFacts(NamedTuple):
    """Another node: one that is dialled, or that came in."""

    node: str
    endpoint: str
    """Empty where the other node called."""
    state: str
    """One of "joined" (a peer), "linked" (no node of ours), or what became of it."""
    cause: str = ""
    since: float = 0.0
    """When it was lost, in Unix seconds; 0: it was never there."""


@record
class RefusalFacts(NamedTuple):
    """An application said why it refuses another one."""

    by: str
    of: str
    """Both with their instance ids."""
    reason: str
    at: float
    """Unix seconds."""


@record
class StrangerFacts(NamedTuple):
    """A connection that sends what this node cannot read, and told no name."""

    connection: int
    peer: str
    version: str
    malformed: int


@record
class NodeFacts(NamedTuple):
    """All that one node knows about two names."""

    node: str
    now: float
    """Unix seconds."""
    source: NameFacts
    target: NameFacts
    state: str = ""
    """Why it takes no calls; empty while it does."""
    versions: str = ""
    """Those of the wire that it speaks."""
    neighbours: tuple[NeighbourFacts, ...] = ()
    backbone: str | None = None
    """Why its backbone is down; empty while it is up, None without one."""
    controllers: tuple[str, ...] = ()
    """Those that it does not reach."""
    refusals: tuple[RefusalFacts, ...] = ()
    """Between the two names, the latest first."""
    strangers: tuple[StrangerFacts, ...] = ()
    rulings: tuple[RulingFacts, ...] = ()
    """What those who have one of the names may not do with the other one."""
    label: str = ""
    """What people call it, where nobody gave it an id."""

    @property
    def called(self) -> str:
        """For people."""
        return self.label or self.node

    @classmethod
    def read(cls, value: Any) -> NodeFacts:
        """What a node answered. Raises ValueError when that cannot be."""
        made: NodeFacts = _read(cls, value)
        return made


def _read(kind: Any, value: Any) -> Any:
    """A record from a JSON object, whoever made it up. What a later version added is left out."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{kind.__name__}: expected an object")
    known = {name: hint for name, hint in _hints(kind).items() if name in value}
    try:
        return kind(**{name: _member(hint, value[name]) for name, hint in known.items()})
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None


_LARGEST = 1e12
"""Of any number: a time can be written, in seconds, and what is no number is none of these."""
_hints = cache(get_type_hints)


def _member(hint: Any, value: Any) -> Any:
    """A member of a record. Raises TypeError and ValueError."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise TypeError("expected a list")
        return tuple(_member(get_args(hint)[0], one) for one in value)
    if value is None and NoneType in get_args(hint):
        return None
    (kind,) = [one for one in get_args(hint) if one is not NoneType] or [hint]
    if hasattr(kind, "_fields"):
        return _read(kind, value)
    if type(value) is not kind and not (type(value) is int and kind is float):
        raise TypeError(f"expected {kind.__name__}")
    if kind is not str and not -_LARGEST < value < _LARGEST:
        raise ValueError("expected a number of this world")
    return kind(value)
