"""What a session asks of end-to-end encryption, and the order in which commits apply (`session.md` 11).

A session without MLS has no `Crypto` and runs none of this. The implementation works on handshake messages
that are complete MLSMessage structures; which of them travels where is the session's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from actors.names import Name


class Addition(NamedTuple):
    """What one Add yields: the commit for the members, the Welcome for the new one."""

    commit: bytes
    welcome: bytes


class Crypto(Protocol):
    """The MLS group of one session, seen from one member. Every method may raise CryptoError.

    A failed method leaves the group as it was. The implementation has its own clock and randomness, checks
    credentials with the application's verifier, and must not wait for anything.
    """

    def wants_credential(self) -> bool:
        """Whether `credential` must be called before the next create, key_package, add or remove."""

    def claims(self) -> dict[str, Any]:
        """The claims that the next credential token must carry: the leaf's public key."""

    def credential(self, token: str) -> None:
        """Take the token that stands in our leaf from now on."""

    def create(self) -> None:
        """Found the group, with us alone in it (moderator)."""

    def key_package(self) -> bytes:
        """A fresh key package, to be used once (participant)."""

    def add(self, name: Name, key_package: bytes) -> Addition:
        """Commit an Add, apply it, and remember which leaf `name` has (moderator)."""

    def remove(self, name: Name) -> bytes:
        """Commit a Remove of that member's leaf and apply it (moderator)."""

    def join(self, welcome: bytes) -> None:
        """Enter the group (participant)."""

    def process(self, commit: bytes) -> None:
        """Apply a commit of the moderator. One that removes us ends our ability to encrypt and decrypt."""

    def encrypt(self, blob: bytes) -> bytes:
        """A PrivateMessage of the current epoch."""

    def decrypt(self, source: Name, blob: bytes) -> bytes:
        """The clear text of a PrivateMessage; each opens once. The caller has recognised duplicates."""

    @property
    def epoch(self) -> int:
        """The current epoch."""

    @property
    def fingerprint(self) -> str:
        """Equal for all members of an epoch; to be compared out of band."""

    def close(self) -> None:
        """Forget all secrets. Idempotent."""


CryptoFactory = Callable[[], Crypto]
"""Makes the Crypto of one new session."""

_WAITING = 64


class CommitOrder:
    """Commits in the order of their ids (`session.md` 11.5). `last` starts at the Welcome's id.

    Commits that wait for a predecessor are bounded; one too far ahead is not kept, it will come again.
    """

    def __init__(self) -> None:
        self.last = 0
        """The id of the newest commit that is in force; 0: no Welcome yet."""
        self._waiting: dict[int, bytes] = {}

    def knows(self, commit_id: int) -> bool:
        """Whether this commit is in force or waits for a predecessor."""
        return self.last > 0 and (commit_id <= self.last or commit_id in self._waiting)

    def hold(self, commit_id: int, content: bytes) -> None:
        """A commit that is not known came in."""
        if 0 < self.last < commit_id <= self.last + _WAITING:
            self._waiting[commit_id] = content

    def next(self) -> bytes | None:
        """The commit that follows the last one, if it is here. Call `applied` or `refused` about it."""
        return self._waiting.get(self.last + 1)

    def applied(self) -> None:
        self.last += 1
        del self._waiting[self.last]

    def refused(self) -> None:
        """It was no good; perhaps another copy is."""
        del self._waiting[self.last + 1]
