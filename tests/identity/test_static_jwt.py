"""The token in a file: rotation of every kind, broken moments, expiry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from identity.errors import AuthError, ConfigError
from identity.jose.keys import Algorithm
from identity.protocols import Provider
from identity.static_jwt import StaticJwtProvider
from tests.identity.key_samples import encode

NOW = 1_800_000_000


def token(**claims: Any) -> str:
    given = {"sub": "spiffe://example.org/app", "exp": NOW + 600, **claims}
    return encode({name: value for name, value in given.items() if value is not ...}, Algorithm.HS256)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "jwt_svid.token"
    file.write_text(token())
    return file


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message} {extra}")
    yield lines
    logger.remove(sink)


def replace(path: Path, content: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(content)
    os.replace(new, path)


def test_hands_out_the_content(path: Path) -> None:
    provider = StaticJwtProvider(str(path))
    assert isinstance(provider, Provider)
    assert provider.get_token(NOW) == path.read_text()
    assert provider.get_id() == "spiffe://example.org/app"


def test_white_space_around_the_token_is_dropped(path: Path) -> None:
    path.write_text(f"\n  {token()}\r\n")
    assert StaticJwtProvider(str(path)).get_token(NOW) == token()


def test_follows_rename_symlink_and_write_in_place(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    provider = StaticJwtProvider(str(link))
    replace(path, token(n=1))
    assert provider.get_token(NOW) == token(n=1)
    other = tmp_path / "other"
    other.write_text(token(n=22))
    (tmp_path / "link2").symlink_to(other)
    (tmp_path / "link2").rename(link)
    assert provider.get_token(NOW + 1) == token(n=22)
    other.write_text(token(n=333))
    assert provider.get_token(NOW + 2) == token(n=333)


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n",
        "a.b",
        "a.b.c",
        "....",
        token()[:50],
        token()[:-43],
        "x" * 70_000,
        "\0" * 9,
        token() + "." + token(),
        "é.é.é",
    ],
)
def test_a_broken_moment_leaves_the_last_token(path: Path, content: str, warnings: list[str]) -> None:
    provider = StaticJwtProvider(str(path))
    good = provider.get_token(NOW)
    replace(path, content)
    assert provider.get_token(NOW + 1) == good
    assert provider.get_token(NOW + 2) == good
    assert len(warnings) == 1
    replace(path, token(n=1))
    assert provider.get_token(NOW + 3) == token(n=1)


def test_an_expired_token_is_never_handed_out(path: Path, warnings: list[str]) -> None:
    provider = StaticJwtProvider(str(path))
    provider.get_token(NOW + 599)
    for age in (600, 601, 700):
        with pytest.raises(AuthError, match="has expired"):
            provider.get_token(NOW + age)
    assert len(warnings) == 1
    replace(path, token(exp=NOW + 9999))
    assert provider.get_token(NOW + 701) == token(exp=NOW + 9999)


def test_a_token_without_expiry_is_handed_out(path: Path) -> None:
    replace(path, token(exp=...))
    StaticJwtProvider(str(path)).get_token(NOW * 2)


def test_a_new_subject_is_warned_of_and_does_not_change_the_id(path: Path, warnings: list[str]) -> None:
    provider = StaticJwtProvider(str(path))
    replace(path, token(sub="other"))
    assert provider.get_token(NOW) == provider.get_token(NOW + 5) == token(sub="other")
    assert provider.get_id() == "spiffe://example.org/app"
    assert [line for line in warnings if "another subject" in line] == warnings
    assert len(warnings) == 1


async def test_claims_cannot_be_added(path: Path) -> None:
    provider = StaticJwtProvider(str(path))
    await provider.initialize()
    with pytest.raises(ConfigError, match="SharedSecret, Jwt or Spire"):
        await provider.get_token_with_claims({"pubkey": "x"}, NOW)
    await provider.close()


@pytest.mark.parametrize("content", ["", "nonsense", token(sub=...), token(sub=""), None])
def test_no_usable_token_at_construction(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        StaticJwtProvider(str(path))
    assert caught.value.field == "path"


def test_no_path() -> None:
    with pytest.raises(ConfigError):
        StaticJwtProvider("")


def test_no_log_or_repr_shows_the_token(path: Path, warnings: list[str]) -> None:
    provider = StaticJwtProvider(str(path))
    replace(path, token(sub="other")[:-5])
    provider.get_token(NOW)
    text = "".join(warnings) + repr(provider) + repr(provider._file.last)
    assert token().split(".")[1] not in text
    assert token().split(".")[2] not in text
