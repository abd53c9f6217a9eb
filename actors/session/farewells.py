"""The last answers of a session, for those who ask again after its end (`session.md` 9.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from actors.messages.wire import SessionMessage
from actors.session.counts import SessionCounts

FAREWELLS = 256
"""How many are kept."""


class Farewells:
    """A bounded queue: the oldest answer makes way, and is counted."""

    __slots__ = ("_answers", "_counts")

    def __init__(self, counts: SessionCounts) -> None:
        self._answers: deque[SessionMessage] | None = None
        """There from the first on: most sessions end with one, or live."""
        self._counts = counts

    def append(self, answer: SessionMessage) -> None:
        if self._answers is None:
            self._answers = deque(maxlen=FAREWELLS)
        elif len(self._answers) == FAREWELLS:
            self._counts.farewells_dropped += 1
        self._answers.append(answer)

    def __iter__(self) -> Iterator[SessionMessage]:
        return iter(self._answers or ())
