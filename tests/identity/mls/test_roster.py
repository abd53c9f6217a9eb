from __future__ import annotations

import pytest

from identity.mls.errors import ValidationError
from identity.mls.roster import Roster


def test_identity_stands_for_one_member() -> None:
    roster = Roster()
    roster.enter(0, b"alice")
    roster.enter(1, b"bob")
    with pytest.raises(ValidationError, match="unique_identity"):
        roster.enter(2, b"alice")
    roster.enter(0, b"alicia")
    roster.enter(0, b"alicia")
    assert (roster.leaf_of(b"alice"), roster.leaf_of(b"alicia")) == (None, 0)
    roster.leave(0)
    roster.enter(2, b"alicia")
    assert dict(roster.members.items()) == {1: b"bob", 2: b"alicia"}


def test_copy_is_independent() -> None:
    roster = Roster()
    roster.enter(0, b"alice")
    copy = roster.copy()
    copy.leave(0)
    assert roster.leaf_of(b"alice") == 0
    assert copy.leaf_of(b"alice") is None
    with pytest.raises(KeyError):
        copy.leave(0)
