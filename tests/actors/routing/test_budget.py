"""Waiting bytes: counted once, bounded, the slowest dropped first."""

from __future__ import annotations

from actors.routing.budget import ByteBudget


class Waiting:
    """Has `size` bytes on a budget that it can give up."""

    def __init__(self, budget: ByteBudget, size: int) -> None:
        self.budget, self.size = budget, size
        budget.add(size)
        budget.waits(self)

    def shed(self) -> int:
        self.budget.add(-self.size)
        dropped, self.size = int(self.size > 0), 0
        return dropped


def test_a_shared_payload_counts_once_and_until_the_last_one_released_it() -> None:
    node = ByteBudget()
    one, two = ByteBudget(parent=node), ByteBudget(parent=node)
    payload = bytes(1000)
    for budget in (one, one, two):
        budget.share(payload)
    assert (one.size, two.size, node.size) == (1000, 1000, 1000)
    one.release(payload)
    one.release(payload)
    assert (one.size, two.size, node.size) == (0, 1000, 1000)
    two.release(payload)
    assert node.size == 0


def test_the_slowest_shed_first_and_only_as_many_as_it_takes() -> None:
    node = ByteBudget(limit=100)
    slow, middle, fast = (Waiting(node, 50) for _ in range(3))
    node.progressed(slow)
    node.progressed(middle)
    node.progressed(fast)
    node.progressed(slow)
    assert node.over
    node.relieve()
    assert (slow.size, middle.size, fast.size) == (50, 0, 50)
    assert (node.size, node.dropped) == (100, 1)


def test_a_connection_over_its_own_budget_takes_nothing_from_others() -> None:
    node = ByteBudget(limit=1000)
    greedy, other = ByteBudget(100, node), ByteBudget(100, node)
    bystander, culprit = Waiting(other, 80), Waiting(greedy, 150)
    assert greedy.over
    greedy.relieve()
    assert (bystander.size, culprit.size) == (80, 0)
    assert (greedy.dropped, other.dropped, node.dropped) == (1, 0, 0)


def test_a_node_over_its_budget_takes_from_any_connection() -> None:
    node = ByteBudget(limit=100)
    early, late = ByteBudget(100, node), ByteBudget(100, node)
    slow, fresh = Waiting(early, 60), Waiting(late, 60)
    assert late.over
    late.relieve()
    assert (slow.size, fresh.size) == (0, 60)
    assert node.figures() == {"bytes": 60, "limit": 100, "dropped": 1}


def test_who_has_nothing_waiting_is_not_asked() -> None:
    node = ByteBudget(limit=10)
    gone = Waiting(node, 50)
    node.settled(gone)
    node.relieve()
    assert gone.size == 50
