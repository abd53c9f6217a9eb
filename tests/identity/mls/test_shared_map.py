from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.mls.shared_map import MAX_CHANGES, SharedMap

Steps = list[tuple[str, int]]
steps = st.lists(st.tuples(st.sampled_from(["set", "delete", "copy"]), st.integers(0, 150)), max_size=400)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_behaves_as_a_dict_and_copies_are_independent(actions: Steps) -> None:
    ours: SharedMap[int, str] = SharedMap()
    model: dict[int, str] = {}
    kept: list[tuple[SharedMap[int, str], dict[int, str]]] = []
    for number, (action, key) in enumerate(actions):
        if action == "set":
            ours[key] = model[key] = str(number)
        elif action == "delete" and key in model:
            del ours[key], model[key]
        elif action == "copy":
            kept.append((ours, dict(model)))
            ours = ours.copy()
    for mapping, expected in [*kept, (ours, model)]:
        assert dict(mapping.items()) == expected
        assert len(mapping) == len(expected)
        assert all(mapping.get(key) == expected.get(key) for key in range(151))


def test_many_changes_become_the_bulk_of_the_next_copy() -> None:
    ours: SharedMap[int, int] = SharedMap()
    for key in range(MAX_CHANGES + 1):
        ours[key] = key
    copy = ours.copy()
    copy[-1] = 1
    assert copy.copy()._changes == {-1: 1}


def test_key_that_is_not_there_cannot_be_deleted() -> None:
    ours: SharedMap[int, int] = SharedMap()
    with pytest.raises(KeyError):
        del ours[1]
