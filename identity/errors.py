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


class SlimError(Exception):
    """Root of everything this project raises on purpose."""


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
