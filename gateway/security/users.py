"""A file of users with hashed passwords, for basic authentication (RFC 7617).

    # callboard user add users alice
    alice:scrypt$14$8$1$c2FsdHNhbHRzYWx0c2E$...

A line is a user and what `hashlib.scrypt` makes of its password: log2 of the cost, block size, parallelism,
salt and hash (base64 without padding). Lines that are empty or begin with # are left alone. The cost of a
check (some 50 ms and 16 MiB) is paid in a thread, and once for each password that was right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from identity.encoding import Malformed
from identity.files import read_file, reason_of

USERS_BYTES = 1024 * 1024
"""Of a file."""
PASSWORD_BYTES = 1024
COST, BLOCK, PARALLEL = 14, 8, 1
"""Of new hashes: 2**14 rounds over 16 MiB."""
_SALT, _LENGTH = 16, 32
_COSTS, _BLOCKS, _PARALLELS = range(10, 19), range(1, 17), range(1, 5)
"""What a line may ask for: more would be a way to stop the node."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password."""

    cost: int
    block: int
    parallel: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def make(cls, password: bytes, salt: bytes) -> PasswordHash:
        """Of a new password; `salt` is random. Takes some 50 ms."""
        return cls(COST, BLOCK, PARALLEL, salt, _scrypt(password, salt, COST, BLOCK, PARALLEL))

    @classmethod
    def read(cls, text: str) -> PasswordHash:
        """As it stands in a file. Raises Malformed, which quotes nothing of it."""
        parts = text.split("$")
        if len(parts) != 6 or parts[0] != "scrypt":
            raise Malformed(
                "expected USER:scrypt$COST$BLOCK$PARALLEL$SALT$HASH, as `callboard user add` writes"
            )
        try:
            cost, block, parallel = map(int, parts[1:4])
            salt, digest = map(_decoded, parts[4:])
        except (ValueError, binascii.Error):
            raise Malformed("the hash is damaged") from None
        if not (
            cost in _COSTS and block in _BLOCKS and parallel in _PARALLELS and salt and len(digest) == _LENGTH
        ):
            raise Malformed("the hash has parameters that are not taken")
        return cls(cost, block, parallel, salt, digest)

    def fits(self, password: bytes) -> bool:
        """Whether it is that password's. Takes some 50 ms; others may run meanwhile in other threads."""
        made = _scrypt(password, self.salt, self.cost, self.block, self.parallel)
        return hmac.compare_digest(made, self.digest)

    def text(self) -> str:
        """As it stands in a file."""
        numbers = f"{self.cost}${self.block}${self.parallel}"
        return f"scrypt${numbers}${_encoded(self.salt)}${_encoded(self.digest)}"


def parse_users(data: bytes) -> Mapping[str, PasswordHash]:
    """The users of a file. Raises Malformed naming the line; nothing of a line is quoted."""
    users: dict[str, PasswordHash] = {}
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, separator, kept = line.strip().partition(":")
        if not (user and separator):
            raise Malformed(f"line {number}: expected USER:HASH, as `callboard user add` writes")
        if not user.isprintable():
            raise Malformed(f"line {number}: a character of the user's name cannot be printed")
        if user in users:
            raise Malformed(f"line {number}: this user stands there twice")
        try:
            users[user] = PasswordHash.read(kept)
        except Malformed as error:
            raise Malformed(f"line {number}: {error}") from None
    return users


def checked_user(user: str) -> str:
    """A name that a user may have. Raises Malformed."""
    if not user or ":" in user or not user.isprintable() or user != user.strip() or user.startswith("#"):
        raise Malformed("a user is a text without colon or line break that does not begin with #")
    return user


def load_users(path: str) -> Mapping[str, PasswordHash]:
    """The users of the file at `path`. Raises Malformed."""
    return parse_users(read_file(path, max_bytes=USERS_BYTES).data)


def write_users(path: str, users: Mapping[str, PasswordHash]) -> None:
    """Put a new file in the place of the old one, at once, readable by its owner alone. Raises OSError."""
    text = "".join(f"{user}:{kept.text()}\n" for user, kept in users.items())
    replace_file(path, text.encode())


def replace_file(path: str, data: bytes) -> None:
    """Write a file of secrets (0600) beside `path`, and rename it there.

    Raises OSError saying which; the old file stays, and nothing else.
    """
    beside = Path(f"{path}.new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path}: {reason_of(error)}") from error


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    n = 1 << cost
    memory = 128 * block * (n + parallel) + 1024 * 1024
    return hashlib.scrypt(password, salt=salt, n=n, r=block, p=parallel, maxmem=memory, dklen=_LENGTH)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
