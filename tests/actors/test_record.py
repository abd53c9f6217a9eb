from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import ANY

import pytest

import actors
import gateway
import identity
from actors.messages import session
from actors.messages.controlled import TableWanted
from actors.messages.controller import AddParticipant, DeleteParticipant, ListNodes
from actors.messages.routing import Congested, Drained, Echo, Reattach
from actors.messages.wire import GroupAck, Ping
from actors.record import is_record_class, knows_its_type, record


def records(floor: ModuleType) -> Iterator[type]:
    for found in walk_packages(floor.__path__, f"{floor.__name__}."):
        if found.name.rpartition(".")[2] == "__main__" or ".proto." in found.name:
            continue
        module = import_module(found.name)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__ and is_record_class(value):
                yield value


@pytest.mark.parametrize(
    ("floor", "least"), [(actors, 200), (gateway, 60), (identity, 20)], ids=["actors", "gateway", "identity"]
)
def test_every_record_knows_its_type(floor: ModuleType, least: int) -> None:
    found = set(records(floor))
    assert len(found) > least
    assert sorted(f"{kind.__module__}.{kind.__name__}" for kind in found if not knows_its_type(kind)) == []


def test_records_of_the_same_fields_differ_by_type() -> None:
    same = [Congested(1), Drained(1), Reattach(1)]
    assert len(set(same)) == len({hash(value) for value in same}) == 3
    assert Congested(1) != Drained(1)
    assert not operator.eq(Congested(1), Drained(1))
    assert len({Ping(), GroupAck(), Echo()}) == 3
    assert TableWanted() != ListNodes()
    assert AddParticipant("a/b/c", "d/e/f") != DeleteParticipant("a/b/c", "d/e/f")
    assert [Congested(1), (Ping(),)] != [Drained(1), (GroupAck(),)]


def test_a_record_equals_no_tuple_from_either_side() -> None:
    assert Congested(1) != (1,)
    assert not operator.eq((1,), Congested(1))
    assert Congested(1) == ANY


def test_equal_values_of_one_type_are_equal_and_hash_alike() -> None:
    assert Congested(1000) == Congested(1000)
    assert not operator.ne(Congested(1000), Congested(1000))
    assert hash(Congested(1000)) == hash(Congested(1000))
    assert Congested(1) != Congested(2)


def test_only_named_tuples_are_made_records() -> None:
    with pytest.raises(TypeError, match="not a NamedTuple"):
        record(int)

    class Bare(NamedTuple):
        x: int

    assert not knows_its_type(Bare)
    assert knows_its_type(record(Bare))


OLD_FIELDS = [
    (session.Listen, "port", "inbox"),
    (session.OpenSession, "port", "inbox"),
    (session.Adopt, "port", "inbox"),
    (session.Invite, "port", "inbox"),
    (session.RemoveMember, "port", "inbox"),
    (session.Watch, "port", "inbox"),
    (session.Unwatch, "port", "inbox"),
    (session.Adopted, "port", "inbox"),
    (session.SessionOpened, "room", "credit"),
    (session.SessionAnnounced, "room", "credit"),
    (session.Completed, "room", "credit"),
]


@pytest.mark.parametrize(("kind", "old", "name"), OLD_FIELDS)
def test_public_fields_go_by_their_old_names_too(kind: Any, old: str, name: str) -> None:
    fields = {field: field.upper() for field in kind._fields}
    value = kind(**fields)
    renamed_fields = {old if field == name else field: text for field, text in fields.items()}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert kind(**renamed_fields) == value
        assert getattr(value, old) == getattr(value, name) == name.upper()
        assert value._replace(**{old: 7}) == value._replace(**{name: 7})
    assert [warning.category for warning in seen] == [DeprecationWarning] * 3
    assert f"{old} is called {name} now" in str(seen[0].message)
    assert {warning.filename for warning in seen} == {__file__}
    with pytest.raises(TypeError, match="the same field"):
        kind(**fields, **{old: 1})


def test_current_names_do_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    assert session.Completed(1, credit=2).credit == session.Completed(1, (), (), 2).credit == 2
    with pytest.raises(TypeError):
        session.Completed(1, unknown=2)  # type: ignore[call-arg]
    assert list(recwarn) == []
