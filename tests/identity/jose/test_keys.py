"""The objects that name a key in a configuration."""

from __future__ import annotations

import pytest

from identity.errors import ConfigError
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat, check_key


def test_names_are_those_of_the_original() -> None:
    assert [a.name for a in Algorithm] == (
        [
            "HS256",
            "HS384",
            "HS512",
            "ES256",
            "ES384",
            "RS256",
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "EdDSA",
        ]
    )
    assert [f.name for f in KeyFormat] == ["Pem", "Jwk", "Jwks"]


def test_key_attributes_can_be_read_and_set() -> None:
    key = Key(Algorithm.RS256, KeyFormat.Pem, KeyData.File("a.pem"))
    key.algorithm = Algorithm.ES256
    assert (key.algorithm, key.format) == (Algorithm.ES256, KeyFormat.Pem)


def test_key_data_matches_by_position() -> None:
    match KeyData.File("a.pem"):
        case KeyData.Content():
            pytest.fail("not a content")
        case KeyData.File(path):
            assert path == "a.pem"
    match KeyData.Content("text"):
        case KeyData.Content(text):
            assert text == "text"
    assert isinstance(KeyData.Content("text"), KeyData)


def test_key_data_is_read_only() -> None:
    with pytest.raises(AttributeError):
        KeyData.File("a").path = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        KeyData.Content("a").content = "b"  # type: ignore[misc]


def test_repr_shows_no_content() -> None:
    key = Key(Algorithm.HS256, KeyFormat.Pem, KeyData.Content("very-secret"))
    assert "very-secret" not in repr(key)


@pytest.mark.parametrize("make", [KeyData.File, KeyData.Content])
@pytest.mark.parametrize("value", ["", None, 5])
def test_unusable_key_data(make: type, value: object) -> None:
    with pytest.raises(ConfigError):
        make(value)


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (None, "public_key"),
        ("pem", "public_key"),
        (Key("RS256", KeyFormat.Pem, KeyData.File("a")), "public_key.algorithm"),  # type: ignore[arg-type]
        (Key(Algorithm.RS256, "Pem", KeyData.File("a")), "public_key.format"),  # type: ignore[arg-type]
        (Key(Algorithm.RS256, KeyFormat.Pem, "a"), "public_key.key"),  # type: ignore[arg-type]
    ],
)
def test_check_names_the_part_at_fault(key: Key, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_key(key, "public_key")
    assert caught.value.field == field
