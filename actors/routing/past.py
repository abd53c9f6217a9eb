"""What a node remembers of what is no more, or never was: for people who ask why somebody is not reached.

    a name is gone ─────────► Past.left         by name, with the cause
    a subscription failed ──► Past.refused      by name, with the cause
    a node is lost ─────────► Past.link_lost    by node, with the cause
    an application refused ─► Past.tell         by who refused and who was refused, as the application said it

Nothing is decided by it. Time is an argument: seconds of a clock that only grows. Everything has a bound; the
oldest goes first, so that whoever invents names pushes out what is old, and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from actors.messages.wire import OF_NODES, Hint, HintReason
from actors.names import Key, Name
from actors.record import record

NAMES_BOUND = 4096
"""Names of which it is remembered that they are gone, and as many that were refused."""
NODES_BOUND = 1024
"""Nodes that were lost."""
TOLD_BOUND = 1024
"""Refusals of all applications together."""
TOLD_BY_ONE = 64
"""Refusals of one application: it could tell of thousands."""
TOLD_TIME = 300.0
"""Seconds for which a refusal counts. An application whose peers go on calling it says it again."""
CAUSE_BOUND = 256
"""Characters of a cause."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Latest(Generic[K, V]):
    """The latest values, each under its key, at most `bound` of them."""

    __slots__ = ("_bound", "_values")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: K, value: V) -> K | None:
        """Keep a value. Returns the key that had to go for it."""
        self._values[key] = value
        self._values.move_to_end(key)
        return self._values.popitem(last=False)[0] if len(self._values) > self._bound else None

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def drop(self, key: K) -> None:
        """Forget a key, if it is there."""
        self._values.pop(key, None)

    def values(self) -> list[V]:
        return list(self._values.values())


@record
class Ended(NamedTuple):
    """Why a name is not there, or a route to it."""

    at: float
    cause: str
    connection: int


@record
class ToldRefusal(NamedTuple):
    """An application, which has the name `about`, said why it refuses what `of` asks for."""

    about: Name
    of: Name
    reason: HintReason
    at: float


class Past:
    """Of one node. The writer of the table notes names, connections note what applications say."""

    __slots__ = ("_by_teller", "_left", "_nodes", "_refused", "_told")

    def __init__(self) -> None:
        self._left: Latest[Key, Ended] = Latest(NAMES_BOUND)
        self._refused: Latest[Key, Ended] = Latest(NAMES_BOUND)
        self._nodes: Latest[str, Ended] = Latest(NODES_BOUND)
        self._told: Latest[tuple[Name, Name], ToldRefusal] = Latest(TOLD_BOUND)
        self._by_teller: dict[Name, dict[Name, None]] = {}
        """Whom each refused, the earliest first."""

    # Names

    def left(self, name: Name, connection: int, cause: str, now: float) -> None:
        """The last connection that led to `name` does so no more."""
        self._left.put(name.key, Ended(now, cause[:CAUSE_BOUND], connection))

    def refused(self, name: Name, connection: int, cause: str, now: float) -> None:
        """A subscription of `name`, or a route to it, was not taken, or a peer did not take it."""
        self._refused.put(name.key, Ended(now, cause[:CAUSE_BOUND], connection))

    def when_left(self, key: Key) -> Ended | None:
        """Who was there, and is no more. Whether somebody is there now the table tells."""
        return self._left.get(key)

    def when_refused(self, key: Key) -> Ended | None:
        return self._refused.get(key)

    def link_lost(self, node_id: str, connection: int, cause: str, now: float) -> None:
        """The link to a node is gone; it may come back."""
        self._nodes.put(node_id, Ended(now, cause[:CAUSE_BOUND], connection))

    def when_lost(self, node_id: str) -> Ended | None:
        return self._nodes.get(node_id)

    # What applications say

    def tell(self, hint: Hint, now: float) -> None:
        """The application `hint.about` said why it refuses `hint.destination`.

        What a node says is no refusal of an application: the node itself knows it better.
        """
        if hint.reason in OF_NODES:
            return
        about, of = hint.about, hint.destination
        theirs = self._by_teller.setdefault(about, {})
        theirs.pop(of, None)
        theirs[of] = None
        if len(theirs) > TOLD_BY_ONE:
            self._forget(about, next(iter(theirs)))
        gone = self._told.put((about, of), ToldRefusal(about, of, hint.reason, now))
        if gone is not None:
            self._forget(*gone)

    def told(self, one: Key, other: Key, now: float) -> list[ToldRefusal]:
        """What applications of either name said about the other one, the latest first."""
        wanted = {(one, other), (other, one)}
        found = [
            told
            for told in self._told.values()
            if (told.about.key, told.of.key) in wanted and now - told.at <= TOLD_TIME
        ]
        return found[::-1]

    def figures(self) -> dict[str, int]:
        """How much is remembered."""
        return {"left": len(self._left), "refused": len(self._refused), "told": len(self._told)}

    def _forget(self, about: Name, of: Name) -> None:
        self._told.drop((about, of))
        theirs = self._by_teller.get(about)
        if theirs is not None:
            theirs.pop(of, None)
            if not theirs:
                del self._by_teller[about]
