"""What a session asks of end-to-end encryption, and the order in which commits apply (`session.md` 11).

A session without MLS has no `Crypto` and runs none of this. The implementation works on handshake messages
that are complete MLSMessage structures; which of them travels where is the session's business.

Three operations take long in a large group: joining, removing, and adding with a renewed credential. They
are *steps*, a generator that says, wherever it pauses, where it wants to go on. Nothing is computed behind a
core's back: the core asks its shell with an effect to let the `Computation` go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeVar

from actors.names import Name
from actors.record import record
from identity.errors import CryptoError

T = TypeVar("T")


class Place(Enum):
    """Where the next part of a long operation is to run."""

    THREAD = "a thread"
    """It computes for long and touches nothing but its own."""
    LOOP = "a later turn"
    """It touches what belongs to the application's loop."""


Computing = Generator[Place, None, T]
"""A long operation. It returns at once, without a pause, when it is not long after all."""


def at_once(operation: Callable[[], T]) -> Computing[T]:
    """An operation that is never long."""
    yield from ()
    return operation()


class KeysWanted(CryptoError):
    """Credentials cannot be judged before the keys of their issuer are fetched. Nothing has changed: have the
    verifier look at these tokens, each at its time, then repeat the operation."""

    def __init__(self, tokens: tuple[tuple[str, float], ...]) -> None:
        super().__init__(f"the keys that prove {len(tokens)} credentials are not at hand")
        self.tokens = tokens


class ClearText(CryptoError):
    """A message that is not encrypted, in a session that is (`session.md` 11.6)."""

    def __init__(self, source: Name) -> None:
        super().__init__(
            f"{source} sends clear text into an encrypted session; SLIM before 1.0.1 does: upgrade it"
        )
        self.source = source


@record
class Addition(NamedTuple):
    """What one Add yields: the commit for the members, the Welcome for the new one."""

    commit: bytes
    welcome: bytes


class Crypto(Protocol):
    """The MLS group of one session, seen from one member. Every method may raise CryptoError.

    A failed method leaves the group as it was. The implementation has its own clock and randomness, checks
    credentials with the application's verifier, and must not wait for anything: KeysWanted says that a
    credential can be judged only later. Between two steps of one operation encrypt and decrypt may be called,
    and close, but no other.
    """

    def wants_credential(self) -> bool:
        """Whether `credential` is to be called before the next create, key_package, add or remove: there is
        none, or (moderator) half of its token's life is over."""

    def has_credential(self) -> bool:
        """Whether there is one: it would do if a new one cannot be had."""

    def claims(self) -> dict[str, Any]:
        """The claims that the next credential token must carry: the leaf's public key."""

    def credential(self, token: str) -> None:
        """Take the token that stands in our leaf from now on, in a group from our next commit on."""

    def create(self) -> None:
        """Found the group, with us alone in it (moderator)."""

    def key_package(self) -> bytes:
        """A fresh key package, to be used once (participant)."""

    def add(self, name: Name, key_package: bytes, subject: str | None = None) -> Computing[Addition]:
        """Commit an Add, apply it, and remember which leaf `name` has (moderator).

        `subject` is what the token says that the key package came with; None: nothing to compare."""

    def remove(self, name: Name) -> Computing[bytes]:
        """Commit a Remove of that member's leaf and apply it (moderator)."""

    def join(self, welcome: bytes, moderator: Name, subject: str | None = None) -> Computing[None]:
        """Enter the group of `moderator`, whose token says `subject` (participant)."""

    def process(self, commit: bytes, added: Name | None = None) -> None:
        """Apply a commit of the moderator, by which `added` comes in, if it adds somebody. One that removes
        us ends our ability to encrypt and decrypt.

        Raises CryptoError, before anything is computed, for what is no commit of the moderator's leaf, and
        for one that holds anything but one Add or one Remove, by value."""

    def encrypt(self, blob: bytes) -> bytes:
        """A PrivateMessage of the current epoch."""

    def decrypt(self, source: Name, blob: bytes, subject: str | None = None) -> bytes:
        """The clear text of a PrivateMessage; each opens once. The caller has recognised duplicates.

        It came in the name of `source`, with a token of `subject`: whoever wrote it must be that member.
        Raises ClearText for what is no PrivateMessage at all."""

    def wrote(self, source: Name, blob: bytes) -> bool:
        """Whether a message that may have been opened before names the leaf of `source` as its sender."""

    @property
    def epoch(self) -> int | None:
        """The current epoch, the last one after the end; None before there is a group."""

    @property
    def fingerprint(self) -> str:
        """Equal for all members of an epoch; to be compared out of band. Empty before there is a group."""

    def close(self) -> None:
        """Forget all secrets. Idempotent."""


@record
class KeptGroup(NamedTuple):
    """An MLS group as it is kept: everything secret in it, and whose leaf is whose."""

    snapshot: bytes
    speakers: tuple[tuple[Name, int], ...]

    def __repr__(self) -> str:
        return f"KeptGroup({len(self.snapshot)} bytes, {len(self.speakers)} speakers)"


class KeepableCrypto(Crypto, Protocol):
    """A moderator's group that can be kept outside of the process, and gone on with in another one."""

    def kept(self) -> KeptGroup | None:
        """The group as it is now; None before it is founded."""

    def resume(self, kept: KeptGroup, generation: int) -> None:
        """Go on with a group that was kept, as its moderator. Messages begin with `generation` of its epoch.

        Raises CryptoError for what cannot be a group."""

    @property
    def generation(self) -> int:
        """That of our next message in the current epoch; 0 before there is a group."""


CryptoFactory = Callable[[], Crypto]
"""Makes the Crypto of one new session."""


class Computation:
    """A Crypto operation under way: `advance` it wherever `place` says, until that is None."""

    __slots__ = ("_begin", "_steps", "attempts", "error", "place", "result")

    def __init__(self, begin: Callable[[], Computing[Any]]) -> None:
        self._begin = begin
        self._steps: Computing[Any] | None = None
        self.place: Place | None = Place.LOOP
        self.result: Any = None
        self.error: CryptoError | None = None
        self.attempts = 0

    def begin(self) -> None:
        """Start, or start again: to the first pause, or to the end."""
        self.attempts += 1
        self.error = None
        self._steps = None
        self.advance()

    def advance(self) -> None:
        """Go on to the next pause, or to the end, which is a result or an error."""
        try:
            if self._steps is None:
                self._steps = self._begin()
            self.place = next(self._steps)
        except StopIteration as end:
            self.place, self.result = None, end.value
        except CryptoError as error:
            self.place, self.error = None, error

    def __repr__(self) -> str:
        return f"Computation(place={self.place}, attempts={self.attempts})"
