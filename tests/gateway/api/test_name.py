"""Names that applications make, and what becomes of them inside."""

from __future__ import annotations

from typing import Any

import pytest

from actors import names
from actors.messages import VOCABULARY
from gateway import Name, compat
from gateway.api.name import settled


def test_the_id_of_a_public_name_can_be_set_with_a_warning() -> None:
    name: Any = Name("a", "b", "c")
    with pytest.warns(DeprecationWarning, match="with_id") as seen:
        name.id = 7
    assert seen[0].filename == __file__
    assert name == names.Name("a", "b", "c", 7)
    assert hash(name) == hash(names.Name("a", "b", "c", 7))
    with (
        pytest.raises(ValueError, match="unsigned 64-bit"),
        pytest.warns(DeprecationWarning, match="with_id"),
    ):
        name.id = -1
    with pytest.raises(AttributeError, match="immutable"):
        name.key = b""


def test_the_compatibility_package_sets_ids_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    name: Any = compat.Name("a", "b", "c")
    name.id = 7
    older = compat.PyName("a", "b", "c")
    older.set_id(7)
    assert name == older == names.Name("a", "b", "c", 7)
    assert list(recwarn) == []


def test_every_name_is_an_instance_of_the_public_one() -> None:
    for kind in (Name, compat.Name, compat.PyName):
        assert isinstance(names.Name("a", "b", "c"), kind)
        assert not isinstance("a/b/c", kind)


def test_what_was_handed_in_does_not_change_later() -> None:
    name: Any = compat.Name("a", "b", "c", 1)
    kept = settled(name)
    name.id = 2
    assert (kept.id, type(kept)) == (1, names.Name)
    assert settled(kept) is kept


def test_a_public_name_travels_and_arrives_immutable() -> None:
    again = VOCABULARY.unpack(VOCABULARY.pack(Name("a", "b", "c", 1)))
    assert (type(again), again) == (names.Name, Name("a", "b", "c", 1))
