"""Errors of links, sessions and delivery."""

from __future__ import annotations

import pytest

from actors.errors import (
    MessageLost,
    MessageUndelivered,
    NobodyThere,
    NoRoute,
    ParticipantDisconnected,
    ParticipantExists,
    ParticipantNotFound,
    as_written,
)
from actors.names import Name


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("org/ns/bob/ffffffffffffffff", "org/ns/bob"),
        ("org/ns/bob/e36e40cfd705b939", "org/ns/bob/e36e"),
        ("org/ns/bob/36e40cfd705b939", "org/ns/bob/036e"),
        ("org/ns/bob/e36e", "org/ns/bob/e36e"),
        ("org/ns/bob", "org/ns/bob"),
        ("anybody", "anybody"),
    ],
)
def test_texts_have_names_as_people_write_them(printed: str, written: str) -> None:
    assert as_written(printed) == written
    lost = MessageUndelivered(2, (printed,), (printed,))
    assert (lost.missing, lost.gone) == ((printed,), (printed,))
    assert f"no acknowledgement from {written};" in str(lost)
    for error in (
        ParticipantExists(printed),
        ParticipantNotFound(printed),
        ParticipantDisconnected(printed, "left"),
        MessageLost(7, printed, 3),
        NoRoute(printed),
        NobodyThere(printed),
    ):
        assert f" {written}" in str(error)
        assert "ffff" not in str(error)


def test_names_as_written_are_those_of_names() -> None:
    for name in (Name("org", "ns", "bob"), Name("org", "ns", "bob", 2**63 + 5), Name("a", "b", "c", 2**57)):
        assert as_written(str(name)) == name.short
