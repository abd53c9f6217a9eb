"""What a sender says of where new members begin."""

from __future__ import annotations

import pytest

from actors.names import Name
from actors.session.beginnings import LONGEST, NAMED, beginning, mark
from actors.session.serial import MASK

BOB, CAROL, DAVE = Name("o", "n", "bob", 2), Name("o", "n", "carol", 3), Name("o", "n", "dave", 4)


def test_each_reads_its_own_beginning() -> None:
    text = mark({BOB: 9, CAROL: 12, DAVE: 9}, 15)
    assert [beginning(text, name) for name in (BOB, CAROL, DAVE)] == [9, 12, 9]
    assert beginning(text, Name("o", "n", "erin", 5)) is None


def test_one_identity_under_two_names_is_two_members() -> None:
    one, other = Name("o", "n", "one", 7), Name("o", "n", "other", 7)
    text = mark({one: 3, other: 5}, 6)
    assert (beginning(text, one), beginning(text, other)) == (3, 5)


def test_the_message_where_somebody_begins_need_not_say_so() -> None:
    assert mark({BOB: 9}, 9) == ""
    assert beginning(mark({BOB: 9, CAROL: 7}, 9), BOB) is None


def test_a_mark_is_bounded() -> None:
    many = {Name("o", "n", f"app{number}", number): number for number in range(10 * NAMED)}
    text = mark(many, MASK)
    assert len(text) < LONGEST
    assert sum(beginning(text, name) is not None for name in many) == NAMED


@pytest.mark.parametrize("start", ["", "-1", "x", "9" * 5000, "99999999999", str(MASK + 1), "١٢"])
def test_what_peers_say_wrongly_is_nothing(start: str) -> None:
    tag = mark({BOB: 9}, 10).partition(":")[2]
    assert beginning(f"{start}:{tag}", BOB) is None
    assert beginning(f"{tag};:;,", BOB) is None
