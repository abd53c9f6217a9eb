from __future__ import annotations

from actors.memo import Memo


def test_it_remembers_up_to_its_bound_and_then_starts_over() -> None:
    memo: Memo[str, int] = Memo(2)
    assert memo.remember("a", 1) == 1
    memo.remember("b", 2)
    assert (memo.get("a"), memo.get("b"), memo.get("c")) == (1, 2, None)
    memo.remember("c", 3)
    assert memo == {"c": 3}
