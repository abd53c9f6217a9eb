"""Naming a key in a configuration: algorithm, format, and where it is (`identity.md` 3.5, `api.md` 2).

These objects only point. `identity.jose.key_set` reads what they point at for verifiers, `identity.jwt` for
signers; both say at construction what is wrong.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import ClassVar, TypeAlias

from identity.errors import ConfigError

MAX_KEY_BYTES = 512 * 1024
"""The largest key file or key text. A key set of 256 keys has about 150 KiB."""


class Algorithm(Enum):
    """The signature algorithms of tokens (RFC 7518, RFC 8037). There is no `none`."""

    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"
    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    EdDSA = "EdDSA"

    @property
    def symmetric(self) -> bool:
        """True for HMAC: the key that checks a token also makes one."""
        return self.value.startswith("HS")


class SvidAlgorithm(Enum):
    """What a JWT-SVID may be signed with besides (`identity.md` 6.3); no `Key` can be configured with it."""

    ES512 = "ES512"


SignatureAlgorithm: TypeAlias = Algorithm | SvidAlgorithm


class KeyFormat(Enum):
    """How the key is written down. For the HS algorithms `Pem` means: the text itself is the key."""

    Pem = "Pem"
    Jwk = "Jwk"
    Jwks = "Jwks"


class KeyData:
    """Where the key is: `KeyData.File(path)`, followed while it changes, or `KeyData.Content(content)`."""

    File: ClassVar[type[_File]]
    Content: ClassVar[type[_Content]]

    __slots__ = ()


class _File(KeyData):
    __slots__ = ("_path",)
    __match_args__ = ("path",)

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, (str, Path)) or not str(path):
            raise ConfigError("path must be a text that is not empty", field="path")
        self._path = str(path)

    @property
    def path(self) -> str:
        return self._path

    def __repr__(self) -> str:
        return f"KeyData.File({self._path!r})"


class _Content(KeyData):
    __slots__ = ("_content",)
    __match_args__ = ("content",)

    def __init__(self, content: str) -> None:
        if not isinstance(content, str) or not content:
            raise ConfigError("content must be a text that is not empty", field="content")
        self._content = content

    @property
    def content(self) -> str:
        return self._content

    def __repr__(self) -> str:
        return f"KeyData.Content(<{len(self._content)} characters>)"


KeyData.File = _File
KeyData.Content = _Content


class Key:
    """A key to sign or verify with. The attributes can be set until the key is handed to a variant."""

    __slots__ = ("algorithm", "format", "key")
    __match_args__ = ("algorithm", "format", "key")

    def __init__(self, algorithm: Algorithm, format: KeyFormat, key: KeyData) -> None:
        self.algorithm = algorithm
        self.format = format
        self.key = key

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, {self.format}, {self.key!r})"


def check_key(key: Key, field: str) -> None:
    """Raise ConfigError naming `field` unless the three parts of `key` have the right types."""
    if not isinstance(key, Key):
        raise ConfigError(f"{field} must be a Key", field=field)
    for name, kind in (("algorithm", Algorithm), ("format", KeyFormat), ("key", KeyData)):
        if not isinstance(getattr(key, name), kind):
            raise ConfigError(f"{field}.{name} must be a {kind.__name__}", field=f"{field}.{name}")
