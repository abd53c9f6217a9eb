"""The names that `identity.spiffe` hands on, and the tree of its errors."""

from __future__ import annotations

import inspect

import pytest

import identity.spiffe
from identity.errors import AuthError, ConfigError, InvalidToken, SlimError
from identity.spiffe import errors
from tests.exports import handed_on


def test_the_public_names() -> None:
    assert identity.spiffe.__all__ == sorted(handed_on(identity.spiffe))


def test_every_error_is_one_of_ours_and_stands_in_the_tree() -> None:
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
    ]
    assert len(kinds) > 30
    for kind in kinds:
        assert issubclass(kind, errors.PySpiffeError)
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.__doc__


def test_errors_fit_into_the_tree_of_the_floor() -> None:
    assert issubclass(errors.PySpiffeError, AuthError)
    assert issubclass(errors.PySpiffeError, SlimError)
    assert issubclass(errors.ArgumentError, ConfigError)
    assert issubclass(errors.JwtSvidError, InvalidToken)
    assert issubclass(errors.AuthorityNotFoundError, InvalidToken)


def test_the_published_package_has_the_same_names() -> None:
    theirs = pytest.importorskip("spiffe", reason="PyPI's spiffe has no wheel that fits this interpreter")
    assert set(theirs.__all__) <= set(identity.spiffe.__all__)
    for name in theirs.__all__:
        members = {member for member in dir(getattr(theirs, name)) if not member.startswith("_")}
        assert members <= set(dir(getattr(identity.spiffe, name))), name
