"""Lists in pages: how many lines of what is asked for, where to go on, and how much work one turn may do.

    page(candidates, limit, wanted) ── PER_TURN candidates a turn of the loop ──► at most `limit` of them

A page looks at SCANNED candidates at most. With a search it may be short, or empty, and have a `next` all the
same: the next request goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from actors.record import record

API = "/api/v1"
"""Where everything but health and metrics is."""
LIMIT = 100
MOST = 1000
PER_TURN = 100
"""Candidates looked at in one turn of the loop."""
SCANNED = 20_000
"""Candidates looked at for one page."""

T = TypeVar("T")
Position = tuple[int, ...]
"""Where a candidate stands in its list; they ascend."""


class BadQuery(ValueError):
    """What was asked for cannot be read. The text says why."""


@record
class Query(NamedTuple):
    """What part of a list is wanted."""

    limit: int = LIMIT
    after: Position = ()
    """Where the page before ended."""
    prefix: str = ""
    """What the name begins with."""

    @classmethod
    def read(cls, limit: str = "", cursor: str = "", name: str = "") -> Query:
        """As texts of a URL. Raises BadQuery."""
        if limit and not (limit.isascii() and limit.isdigit() and len(limit) < 7 and 1 <= int(limit) <= MOST):
            raise BadQuery(f"limit: expected a number from 1 to {MOST}")
        parts = cursor.split(".") if cursor else []
        if len(parts) > 3 or not all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts):
            raise BadQuery("cursor: expected the `next` of the page before")
        if len(name) > 512:
            raise BadQuery("name: at most 512 characters")
        return cls(int(limit) if limit else LIMIT, tuple(map(int, parts)), name)


@record
class Page(NamedTuple, Generic[T]):
    """Some lines of a list, and where the rest begins."""

    items: list[T]
    next: Position | None

    @property
    def cursor(self) -> str | None:
        """`next` as a text for the next request."""
        return None if self.next is None else ".".join(map(str, self.next))


async def page(
    candidates: Iterable[tuple[Position, T]], limit: int, wanted: Callable[[T], bool] | None = None
) -> Page[T]:
    """The first `limit` candidates that are wanted, a part of the work in each turn of the loop."""
    found: list[T] = []
    last: Position = ()
    seen = 0
    async for position, one in in_turns(candidates):
        if len(found) == limit or seen == SCANNED:
            return Page(found, last)
        seen, last = seen + 1, position
        if wanted is None or wanted(one):
            found.append(one)
    return Page(found, None)


async def in_turns(many: Iterable[T], per_turn: int = PER_TURN) -> AsyncIterator[T]:
    """One after another, so that the loop does its other work after each `per_turn`.

    What is iterated over has to bear changes meanwhile.
    """
    left = per_turn
    for one in many:
        if not left:
            left = per_turn
            await asyncio.sleep(0)
        left -= 1
        yield one


def chunks(many: list[T], size: int) -> Iterator[list[T]]:
    """In lists of at most `size`."""
    for at in range(0, len(many), size):
        yield many[at : at + size]
