"""Names that a peer chooses so that they meet in one slot of a table (`dataplane.md` 3).

Python hashes numbers, and tuples of them, alike in every process: who chooses the three component hashes of
a name, as every peer may, could choose as many of one hash value as he liked, and each new one would be
compared with all before it. What is counted here is comparisons; time is not measured.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from actors.messages.wire import ALL, ONE, Subscription
from actors.names import NO_ID, NO_INSTANCE, InstanceId, Name, key_of
from actors.routing.router import Router
from actors.routing.table import SubscriptionTable
from actors.routing.view import Rank
from actors.system import Address
from gateway.codec import InboundParser, encode_record

P1, P2, P5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
"""Constants of the hash of a tuple in CPython."""
MASK = 2**64 - 1
MODULUS = 2**61 - 1
"""A number below it is its own hash."""
FEW, MANY = 250, 500


def colliding(count: int) -> Iterator[tuple[int, int, int]]:
    """Component hashes whose tuples have one hash value in every CPython."""
    drawn = random.Random(1)
    target, found = drawn.getrandbits(64), 0
    while found < count:
        first = drawn.randrange(MODULUS)
        state = (P5 + first * P2) & MASK
        state = ((state << 31 | state >> 33) & MASK) * P1 & MASK
        second = (target - state) * pow(P2, -1, 2**64) & MASK
        if second < MODULUS:
            found += 1
            yield first, second, 7


class CountedKey(bytes):
    """A key of a table that counts how often it is compared with another of the same hash value."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


class FloodedKey(CountedKey):
    """What keys would be if they could be chosen to collide."""

    def __hash__(self) -> int:
        return 1


def comparisons(kind: type[CountedKey], count: int) -> int:
    """What subscribing and routing `count` chosen names compares."""
    CountedKey.compared = 0
    table, address = SubscriptionTable(), Address(1)
    table.attach(1, address, Rank.EDGE)
    router = Router(2, table.view)
    for hashes in colliding(count):
        table.add(Name.from_wire(kind(key_of(*hashes)), ("a", "b", "c"), NO_INSTANCE), 1, 0)
        # Another object: the same one would be found without a comparison.
        key = kind(key_of(*hashes))
        assert router.route(key, NO_INSTANCE, ONE) == router.route(key, NO_INSTANCE, ALL) == (1,)
    return CountedKey.compared


@pytest.mark.parametrize("hashes", [list(colliding(FEW))])
def test_chosen_names_collide_as_numbers_and_not_as_keys(hashes: list[tuple[int, int, int]]) -> None:
    assert len({hash(each) for each in hashes}) == 1
    parser, names = InboundParser(1), []
    for each in hashes:
        name = Name.from_wire(key_of(*each), ("a", "b", "c"), NO_INSTANCE)
        received = parser.parse(encode_record(Subscription(True, name, name)))
        assert isinstance(received, Subscription)
        names.append(received.destination)
    assert len({hash(name.key) for name in names}) == len({hash(name) for name in names}) == FEW


def test_ids_of_one_hash_value_do_not_collide_as_keys() -> None:
    ids = range(5, NO_ID, MODULUS)
    assert len({hash(id) for id in ids}) == 1
    instances: list[InstanceId] = [Name("a", "b", "c", id).instance for id in ids]
    assert len({hash(instance) for instance in instances}) == len(ids)


def test_chosen_names_cost_the_table_no_more_than_others() -> None:
    for count in (FEW, MANY):
        assert count <= comparisons(CountedKey, count) <= 10 * count
    # The count would tell: keys of one hash value are compared with all that came before.
    assert comparisons(FloodedKey, FEW) > FEW * FEW / 2
