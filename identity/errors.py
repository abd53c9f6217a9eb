"""The root of all errors, and those that configuration, tokens and cryptography raise.

SlimError
├── ConfigError (ValueError)      the caller gave something unusable; names the field
├── AuthError                     who you are was not proved
│   ├── InvalidToken              a token was refused; says which rule
│   └── UntrustedPeer             a good token of somebody we do not trust
└── CryptoError
    └── MlsError                  the root of `identity.mls.errors`

The other branches (links, sessions, delivery) stand in `actors/errors.py`; `gateway` hands on both.
No error's text ever holds a token, a key or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable

_BY_NAME: dict[str, type[SlimError]] = {}


class SlimError(Exception):
    """Root of everything this project raises on purpose.

    A subclass is registered by its name, wherever it is declared: that is what it travels under. Two of one
    name are refused with a TypeError, when the second is declared.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        other = _BY_NAME.get(cls.__name__, cls)
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"two errors travel as {cls.__name__}: {other.__module__}.{other.__qualname__} "
                f"and {cls.__module__}.{cls.__qualname__}"
            )
        _BY_NAME[cls.__name__] = cls


def names_of_error(kind: type[SlimError]) -> list[str]:
    """The names of an error's class and of its bases, nearest first, up to SlimError and without it."""
    return [base.__name__ for base in kind.__mro__ if issubclass(base, SlimError) and base is not SlimError]


def error_class(names: Iterable[str]) -> type[SlimError]:
    """The class of the first of these names that this process knows; SlimError if it knows none."""
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), SlimError)


class ConfigError(SlimError, ValueError):
    """A configuration that cannot work. `field` names the argument or key at fault, if one is."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class AuthError(SlimError):
    """Identity could not be proved or checked."""


class InvalidToken(AuthError):
    """A token was refused. `rule` is a short stable word for the check that failed, such as "expired"."""

    def __init__(self, message: str, *, rule: str = "invalid") -> None:
        super().__init__(message)
        self.rule = rule


class UntrustedPeer(AuthError):
    """A valid proof of an identity that this side is not configured to trust."""


class CryptoError(SlimError):
    """A cryptographic operation failed."""


class MlsError(CryptoError):
    """Root of all errors of the MLS library (`identity.mls.errors`)."""
