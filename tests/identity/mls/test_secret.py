from __future__ import annotations

import pickle

import pytest

from identity.mls.secret import Secret

KEY = Secret(b"\x13key material that nobody may see")


def test_secret_shows_its_length_only() -> None:
    for shown in (repr(KEY), str(KEY), f"{KEY}", f"{KEY!r}", f"{[KEY]}"):
        assert "material" not in shown
        assert "Secret(33 bytes)" in shown


def test_secret_equals_the_same_bytes() -> None:
    assert Secret(b"abc") == Secret(b"abc")
    assert Secret(b"abc") == b"abc"
    assert Secret(b"abc") != Secret(b"abd")
    assert Secret(b"abc") != "abc"


def test_secret_is_neither_hashed_nor_pickled() -> None:
    with pytest.raises(TypeError):
        hash(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)
