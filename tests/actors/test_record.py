from __future__ import annotations

import operator
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple
from unittest.mock import ANY

import pytest

from actors.messages import routing, session, wire
from actors.messages.routing import Congested, Drained, Echo, Reattach
from actors.messages.wire import GroupAck, Ping
from actors.record import is_record_class, knows_its_type, record
from actors.routing import control
from actors.session import effects
from gateway.http2 import events


def records(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__ and is_record_class(value):
            yield value


@pytest.mark.parametrize(
    "module", [wire, routing, session, effects, control, events], ids=lambda m: m.__name__
)
def test_every_record_knows_its_type(module: ModuleType) -> None:
    found = list(records(module))
    assert found
    assert [kind.__name__ for kind in found if not knows_its_type(kind)] == []


def test_records_of_the_same_fields_differ_by_type() -> None:
    same = [Congested(1), Drained(1), Reattach(1)]
    assert len(set(same)) == len({hash(value) for value in same}) == 3
    assert Congested(1) != Drained(1)
    assert not operator.eq(Congested(1), Drained(1))
    assert len({Ping(), GroupAck(), Echo()}) == 3
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
