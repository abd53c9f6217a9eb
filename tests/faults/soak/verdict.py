"""What of a soak's figures is not as it should be."""

from __future__ import annotations

from tests.faults.soak.run import Outcome

MOST_GROWTH = 1.1
"""Of a node's memory, from the first third of a run to its last."""
MOST_DESCRIPTORS = 4
"""That a node may have more when the attacks are over than before them."""
SLOWER = 2.0
"""Bystanders' p99 beside hostile peers against that without them, the rest being equal: calm rows."""


def complaints(outcome: Outcome, *, flat: bool = True) -> list[str]:
    """A line for each thing that is wrong; without `flat` not of what a short run cannot tell."""
    found = []
    if outcome.lost:
        found.append(f"{len(outcome.lost)} acknowledged messages were not received")
    if outcome.twice:
        found.append(f"{len(outcome.twice)} messages were received twice")
    if not all(row.acknowledged for row in outcome.rows):
        found.append("there was a time in which nothing was acknowledged")
    before, after = outcome.descriptors
    if after > before + MOST_DESCRIPTORS:
        found.append(f"descriptors of node a: {before} before, {after} after")
    if flat and outcome.growth() > MOST_GROWTH:
        found.append(f"memory of node a grew by a factor of {outcome.growth():.2f}")
    if flat and outcome.p99 > SLOWER * outcome.calm:
        found.append(f"bystanders' p99: {outcome.p99:.2f} ms, without hostile peers {outcome.calm:.2f} ms")
    return found
