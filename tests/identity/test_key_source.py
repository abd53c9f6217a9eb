"""Configured keys: a text stays, a file is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from identity.errors import ConfigError
from identity.jose.keys import MAX_KEY_BYTES, Algorithm, Key, KeyData, KeyFormat
from identity.key_source import ConfiguredKeys, KeyContent
from tests.identity.key_samples import content, jwk, jwks, public_pem, verifying

ES256 = Algorithm.ES256


def length(data: bytes, algorithm: Algorithm, format: KeyFormat) -> int:
    return len(data)


async def test_a_text_is_read_once_and_never_refreshed() -> None:
    keys = ConfiguredKeys(verifying(ES256), "public_key")
    await keys.initialize()
    assert keys.current(0) is keys.current(99)
    assert await keys.refreshed(99) is keys.current(99)
    assert not keys.may_refresh()
    assert keys.generation == 0
    await keys.close()


def test_later_changes_of_the_key_object_do_not_count() -> None:
    key = content(ES256, "12345")
    made = KeyContent(key, "key", length)
    key.key = KeyData.Content("1")
    assert made.current(0) == 5


def test_a_file_is_followed_and_counts_generations(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks(jwk(ES256, kid="a")))
    keys = ConfiguredKeys(Key(ES256, KeyFormat.Jwks, KeyData.File(path)), "public_key")
    (tmp_path / "new").write_text(jwks(jwk(ES256, kid="b"), jwk(ES256, 1, kid="c")))
    os.replace(tmp_path / "new", path)
    assert len(keys.current(1)) == 2
    assert keys.generation == 1


@pytest.mark.parametrize("text", ["x" * (MAX_KEY_BYTES + 1), "é" * (MAX_KEY_BYTES // 2 + 1), "\udc00"])
def test_texts_that_are_too_large_or_no_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyContent(content(ES256, text), "key", length)
    assert caught.value.field == "key"


def test_large_files(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(public_pem(ES256) + " " * MAX_KEY_BYTES)
    with pytest.raises(ConfigError, match="larger than"):
        ConfiguredKeys(Key(ES256, KeyFormat.Pem, KeyData.File(path)), "public_key")
