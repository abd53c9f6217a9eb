"""Nodes of one id that take the place of one another, again and again.

Original nodes do not tell one run from the next, so the latest to register has the place (`controller.md` 4).
A node that is started again takes it once; two that live take it from one another for as long as they do, and
what a controller orders reaches now the one, now the other.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from actors.alarm import RETRY_PAUSE, SourceAlarms

WINDOW = 300.0
"""Seconds in which places that are taken count together."""
TIMES = 3
"""So many in WINDOW are worth a warning: more than a node that is started anew and whose lines break."""
NODES = 256
"""Nodes of which it is known when their place was taken."""


class Rivals:
    """When the place of each node was taken by another stream of its id."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()
        self._alarms = SourceAlarms(RETRY_PAUSE)

    def took(self, node: str, now: float) -> bool:
        """A stream took the place of one that was open still. Returns whether people are to be told now."""
        times = self._taken.setdefault(node, deque(maxlen=TIMES))
        self._taken.move_to_end(node)
        if len(self._taken) > NODES:
            self._taken.popitem(last=False)
        times.append(now)
        return len(times) == TIMES and now - times[0] <= WINDOW and self._alarms.is_due(node, now)
