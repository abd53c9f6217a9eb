"""`PyIdentityProvider` and `PyIdentityVerifier` of 0.3.6 to 0.6 (`api.md` 7).

What they make are today's providers and verifiers. Those versions took a token that somebody else issued for
encrypted sessions too, though it vouches for no key: so do these, with one warning (`identity.mls_key`).
"""

from __future__ import annotations

from typing import Any

from identity.mls_key import UNBOUND
from identity.provider import IdentityProvider, IdentityVerifier


class _Older(type):
    """Has the variants of a role that are not spelled out in the class."""

    _role: Any

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls._role, name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._role)


class PyIdentityProvider(metaclass=_Older):
    """`IdentityProvider` before 0.7."""

    _role = IdentityProvider

    @staticmethod
    def StaticJwt(path: str) -> IdentityProvider:
        """The token in a file. Raises ConfigError."""
        return IdentityProvider.StaticJwt(path, mls_key=UNBOUND)


class PyIdentityVerifier(metaclass=_Older):
    """`IdentityVerifier` before 0.7."""

    _role = IdentityVerifier

    @staticmethod
    def Jwt(*args: Any, **given: Any) -> IdentityVerifier:
        """As `IdentityVerifier.Jwt`. Raises ConfigError."""
        return IdentityVerifier.Jwt(*args, mls_key=UNBOUND, **given)
