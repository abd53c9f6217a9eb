"""The runs of nodes, in the order in which each was first met. Pure.

A node that was started anew takes the place of its former run at once, however long the connection of that
one lingers. When a run comes back whose place another one took, both live: two nodes have one id. The later
one keeps the place, for otherwise each would throw out the other for ever, and the earlier one is told.
"""

from __future__ import annotations

from collections.abc import Hashable

NODES_BOUND = 1024
"""Nodes whose runs are known; the one met longest ago is forgotten first."""
RUNS_BOUND = 8
"""Runs of one node that are known, the latest of them."""


class Incarnations:
    """Which run of a node may take the place of which.

    A run is what a node drew at its start, or what else it is known by.
    """

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Hashable, ...]] = {}

    def met(self, node: str, run: Hashable) -> None:
        """This run of a node is there."""
        known = self._runs.pop(node, ())
        self._runs[node] = known if run in known else (*known, run)[-RUNS_BOUND:]
        if len(self._runs) > NODES_BOUND:
            del self._runs[next(iter(self._runs))]

    def is_earlier(self, node: str, run: Hashable, than: Hashable) -> bool:
        """Whether `run` was met before the run `than`, so that it must not take the place of that one."""
        known = self._runs.get(node, ())
        return run in known and than in known and known.index(run) < known.index(than)
