from __future__ import annotations

import importlib.util

import pytest

import gateway
from gateway.newer_bindings import _INSTEAD


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("get_global_service", "an application is Slim(name, provider, verifier)"),
        ("SessionConfig", "SessionConfiguration.PointToPoint"),
        ("new_insecure_client_config", "await app.connect"),
    ],
)
def test_a_name_of_1_x_is_answered_with_what_stands_for_it(name: str, says: str) -> None:
    assert not hasattr(gateway, name)
    with pytest.raises(
        AttributeError, match=f"^module 'gateway' has no attribute '{name}': that is of"
    ) as caught:
        getattr(gateway, name)
    assert says in str(caught.value)


def test_any_other_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gateway' has no attribute 'Sesion'$"):
        gateway.Sesion  # noqa: B018


def test_no_name_is_told_twice_or_is_here() -> None:
    names = [name for some in _INSTEAD.values() for name in some]
    assert len(names) == len(set(names))
    assert not set(names) & set(gateway.__all__)


@pytest.mark.skipif(
    importlib.util.find_spec("slim_bindings") is None, reason="slim-bindings has no wheel here"
)
def test_what_is_told_about_are_names_of_the_original() -> None:
    import slim_bindings

    assert [name for some in _INSTEAD.values() for name in some if not hasattr(slim_bindings, name)] == []
