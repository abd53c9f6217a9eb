"""Where a verifier's and a signer's keys come from: the protocol, and the sources that need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.jose.key_set import KeySet, read_keys
from identity.jose.keys import MAX_KEY_BYTES, Algorithm, Key, KeyData, KeyFormat, check_key
from identity.log import logger
from identity.watch import WatchedFile

T = TypeVar("T")


class KeySource(Protocol):
    """Gives a verifier its present keys."""

    async def initialize(self) -> None:
        """Start what keeps the keys fresh. Idempotent."""

    async def close(self) -> None:
        """End it. Idempotent."""

    @property
    def generation(self) -> int:
        """Grows whenever the keys change: what was verified before must be verified again."""

    def current(self, now: float) -> KeySet | None:
        """The keys that are good at `now` (Unix seconds); None when none are at hand. Never waits."""

    @property
    def trouble(self) -> str:
        """Why there are no fresher keys, in words; empty when nothing went wrong."""

    def may_refresh(self) -> bool:
        """Whether `refreshed` would try at all: a source that has just tried says no."""

    async def refreshed(self, now: float) -> KeySet | None:
        """The keys after an attempt to get fresher ones. Raises AuthError when it was not initialized."""


class KeyContent(Generic[T]):
    """What a configured `Key` points at, as `read` understands it: a text, or a file that is followed.

    Raises ConfigError naming `field`.
    """

    def __init__(self, key: Key, field: str, read: Callable[[bytes, Algorithm, KeyFormat], T]) -> None:
        check_key(key, field)
        algorithm, format = key.algorithm, key.format
        self._file: WatchedFile[T] | None = None
        if isinstance(key.key, KeyData.File):
            path = key.key.path

            def read_file(content: bytes) -> T:
                if algorithm.symmetric and format is KeyFormat.Pem and content.endswith(b"\n"):
                    # Kept, since original peers keep it; but the other side may hold the text without.
                    logger.warning("the newline at the end of a file is part of the HMAC key", path=str(path))
                return read(content, algorithm, format)

            self._file = WatchedFile(path, read_file, max_bytes=MAX_KEY_BYTES, field=field)
            return
        assert isinstance(key.key, KeyData.Content)
        try:
            self._value = read(_encoded(key.key.content), algorithm, format)
        except Malformed as error:
            raise ConfigError(f"{field}: {error}", field=field) from None

    @property
    def generation(self) -> int:
        """Grows with each new content of the file."""
        return 0 if self._file is None else self._file.generation

    def current(self, now: float) -> T:
        """The key or keys at `now` (Unix seconds), from the file's newest good content."""
        return self._value if self._file is None else self._file.get(now)


class ConfiguredKeys:
    """The keys to verify with that a configured `Key` points at. Raises ConfigError naming `field`."""

    def __init__(self, key: Key, field: str) -> None:
        self._content = KeyContent(key, field, read_keys)
        if not self._content.current(0.0):
            # Only at the start: a followed file that becomes an empty set revokes everything.
            losses = self._content.current(0.0).losses()
            raise ConfigError(f"{field}: a key set without any usable key{losses}", field=field)

    async def initialize(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    @property
    def generation(self) -> int:
        return self._content.generation

    def current(self, now: float) -> KeySet:
        """The keys, from the file's newest good content."""
        return self._content.current(now)

    @property
    def trouble(self) -> str:
        """None: a file that cannot be read leaves the keys that were there."""
        return ""

    def may_refresh(self) -> bool:
        """There is nothing fresher than what `current` gives."""
        return False

    async def refreshed(self, now: float) -> KeySet:
        """As `current`."""
        return self.current(now)


def _encoded(content: str) -> bytes:
    try:
        encoded = content.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("not Unicode text") from None
    if len(encoded) > MAX_KEY_BYTES:
        raise Malformed(f"larger than {MAX_KEY_BYTES} bytes")
    return encoded
