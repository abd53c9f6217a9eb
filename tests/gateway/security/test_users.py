"""Files of users with hashed passwords: pure reading, and a listener that asks by one."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import AuthConfig, Section
from gateway.security.auth import basic_header, server_auth
from gateway.security.users import PasswordHash, checked_user, load_users, parse_users, write_users
from identity.encoding import Malformed
from identity.errors import ConfigError, InvalidToken
from tests.gateway.planes import TRANSPORTS
from tests.gateway.security.test_auth import let_in

ALICE, BOB = (PasswordHash.make(each, b"salt" * 4) for each in (b"of alice", b"of bob"))


def test_a_hash_fits_its_password_alone_and_survives_its_text() -> None:
    again = PasswordHash.read(ALICE.text())
    assert again == ALICE
    assert again.fits(b"of alice")
    assert not again.fits(b"of bob")
    assert "of alice" not in ALICE.text() + repr(ALICE)


@given(st.binary(max_size=200))
def test_any_bytes_are_users_or_refused_in_words(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert all(users and ":" not in users for users in parse_users(data))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alice", "line 1: expected USER:HASH"),
        (":x", "line 1: expected USER:HASH"),
        (f"a\x1b[2J:{ALICE.text()}", "line 1: a character of the user's name cannot be printed"),
        ("# who\n\nalice:secret", "line 3: expected USER:scrypt"),
        (f"a:{ALICE.text()}\na:{ALICE.text()}", "line 2: this user stands there twice"),
        (f"a:{ALICE.text().replace('$14$', '$30$')}", "parameters that are not taken"),
        ("a:scrypt$14$8$1$AA$!!", "line 1: the hash is damaged"),
    ],
)
def test_a_broken_file_is_refused_and_not_quoted(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why.replace("$", r"\$")) as refused:
        parse_users(text.encode())
    assert "secret" not in str(refused.value)


def test_a_written_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_users(str(path), {"alice": ALICE})
    write_users(str(path), {"alice": ALICE, "bob": BOB})
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_users(str(path)) == {"alice": ALICE, "bob": BOB}
    assert [each.name for each in tmp_path.iterdir()] == ["users"]


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", " a", "#a"])
def test_no_users(user: str) -> None:
    with pytest.raises(Malformed):
        checked_user(user)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_listener_lets_in_who_is_in_its_file(transport: str, tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_users(str(path), {"alice": ALICE, "bob": BOB})
    demanded = {"type": "basic", "file": str(path)}

    async def tried(username: str, password: str) -> bool:
        shown = {"type": "basic", "username": username, "password": password}
        return await let_in(demanded, shown, transport)

    assert await tried("alice", "of alice")
    assert await tried("bob", "of bob")
    assert not await tried("alice", "of bob")
    assert not await tried("carol", "of alice")


async def test_a_right_password_is_hashed_once_and_a_removed_user_is_out(tmp_path: Path) -> None:
    path, now = tmp_path / "users", [0.0]
    write_users(str(path), {"alice": ALICE, "bob": BOB})
    gate = server_auth(AuthConfig.read(Section({"type": "basic", "file": str(path)}, "auth")))
    assert gate is not None
    gate._clock = lambda: now[0]  # type: ignore[attr-defined]
    headers = {"authorization": basic_header("alice", "of alice")}
    assert await gate.check(headers) == "alice"
    began = time.perf_counter()
    for _ in range(50):
        assert await gate.check(headers) == "alice"
    assert time.perf_counter() - began < 0.5
    write_users(str(path), {"bob": BOB})
    now[0] += 5
    with pytest.raises(InvalidToken, match="basic authentication failed"):
        await gate.check(headers)
    path.write_text("broken")
    now[0] += 5
    assert await gate.check({"authorization": basic_header("bob", "of bob")}) == "bob"


def test_a_file_and_a_user_exclude_each_other_and_a_missing_file_is_said() -> None:
    both = {"type": "basic", "file": "x", "username": "u", "password": "p"}
    with pytest.raises(ConfigError, match=r"auth\.username: the users are those of the file"):
        AuthConfig.read(Section(both, "auth"))
    with pytest.raises(ConfigError, match="/nowhere/users: No such file"):
        server_auth(AuthConfig.read(Section({"type": "basic", "file": "/nowhere/users"}, "auth")))
