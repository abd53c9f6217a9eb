"""Work on very many names, done a piece at a time: between two pieces the others have their turn.

What one connection subscribed may be 65,536 names, what a node told many times that. To forget or to repeat
them takes seconds, and costs whoever causes it a few bytes: no turn of the route table does more of it than
a piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

PIECE = 128
"""Names of a piece: some 2 ms, with what others are told about them."""


class Roomy(Protocol):
    """A turn: `room` is how many names it may still work on."""

    room: int


T = TypeVar("T", bound=Roomy)
_Item = TypeVar("_Item")


class Pieces(Generic[T]):
    """Jobs that are not done yet, each with its piece in its turn.

    A job does a piece of at most `PIECE` names and returns how many it was; at the end 0.

    Bound: a job for each connection that is gone or came back, with no more names than the table's shares
    allow. None is dropped: messages would be routed to what is not forgotten.
    """

    def __init__(self) -> None:
        self._jobs: deque[Callable[[T], int]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, job: Callable[[T], int], turn: T) -> None:
        """Do the first piece now, if nobody waits and the turn has room. Nearly always that is all."""
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self.go_on(turn)

    def go_on(self, turn: T) -> None:
        """Do what `turn` has room for."""
        while self._jobs and turn.room > 0:
            job = self._jobs.popleft()
            done = job(turn)
            if done:
                turn.room -= done
                self._jobs.append(job)


def piece_of(items: list[_Item]) -> list[_Item]:
    """Take a piece away from `items`, the end first."""
    some = items[-PIECE:]
    del items[-PIECE:]
    return some
