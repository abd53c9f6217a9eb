"""Arguments of providers and verifiers: kept, read-only, shown unless secret or left as they are."""

from __future__ import annotations

from typing import Any

import pytest

from identity.variant import Variant


class Plain(Variant, secrets=("pin",)):
    def __init__(self, name: str, pin: str = "", *, size: int = 1, **more: Any) -> None:
        if size < 0:
            raise ValueError(f"{self.name} is too small")


class Derived(Plain):
    def __init__(self, title: str) -> None:
        super().__init__(title, "0000")


def test_arguments_are_attributes_and_match_by_position() -> None:
    made = Plain("a", "1234", colour="red")
    assert (made.name, made.pin, made.size) == ("a", "1234", 1)
    assert Plain.__match_args__ == ("name", "pin")
    for name in ("name", "pin", "size"):
        with pytest.raises(AttributeError, match=f"{name} is read-only"):
            setattr(made, name, "other")


def test_repr_shows_what_was_given_and_no_secret() -> None:
    assert repr(Plain("a")) == "Plain(name='a')"
    text = repr(Plain("a", "1234", size=2, colour="red"))
    assert text == "Plain(name='a', pin=<hidden>, size=2, colour='red')"


def test_a_subclass_has_its_own_arguments_and_those_of_its_base() -> None:
    made = Derived("t")
    assert (made.title, made.name, made.pin) == ("t", "t", "0000")
    assert repr(made) == "Derived(title='t', name='t', pin=<hidden>)"


def test_wrong_calls_and_values_fail_at_construction() -> None:
    with pytest.raises(TypeError, match="name"):
        Plain()
    with pytest.raises(ValueError, match="a is too small"):
        Plain("a", size=-1)
    assert Plain.configured(name="b").name == "b"
