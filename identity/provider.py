"""The two halves of an identity, as applications configure them (`api.md` 2).

    IdentityProvider.SharedSecret | StaticJwt | Jwt | Spire       makes tokens
    IdentityVerifier.SharedSecret | Jwt | Spire                   checks them

The variants are the providers and verifiers themselves: they implement the protocols of `identity.protocols`.
A configuration that cannot work fails at construction with a ConfigError that names the field.
Arguments are read-only attributes, and no repr shows a secret.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from identity.claims import ClaimRules
from identity.errors import ConfigError
from identity.jose.keys import Key
from identity.jwks import IssuerKeys
from identity.jwt import TOKEN_REUSE, JwtProvider, JwtVerifier
from identity.key_source import ConfiguredKeys, KeySource
from identity.options import optional_text, seconds, texts
from identity.protocols import Claims, RotatingProvider, Verifier
from identity.shared_secret import (
    CLOCK_SKEW,
    VALIDITY_WINDOW,
    SharedSecretProvider,
    SharedSecretVerifier,
    check_identity,
)
from identity.static_jwt import StaticJwtProvider

T = TypeVar("T")


class _Argument(Generic[T]):
    """A constructor argument that can be read and not set. `secret` keeps it out of the repr."""

    def __init__(self, *, secret: bool = False) -> None:
        self.secret = secret
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = instance.__dict__["_arguments"][self._name]
        return value

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise AttributeError(f"{self._name} is read-only: make a new object")


class _Variant:
    """What all variants have in common: their arguments, kept as given."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def _keep(self, **arguments: object) -> None:
        self.__dict__["_arguments"] = arguments

    def _renew(self, name: str, value: object) -> None:
        """Keep another value of an argument that was replaced while running."""
        self.__dict__["_arguments"][name] = value

    def __repr__(self) -> str:
        def shown(name: str, value: object) -> str:
            hidden = getattr(type(self), name).secret
            return f"{name}=<hidden>" if hidden else f"{name}={value!r}"

        arguments = self.__dict__["_arguments"].items()
        text = ", ".join(shown(name, value) for name, value in arguments if value is not None)
        return f"{type(self).__qualname__}({text})"


class IdentityProvider(_Variant, ABC):
    """Makes the tokens of one application: choose a variant, such as `IdentityProvider.SharedSecret(...)`."""

    SharedSecret: ClassVar[type[_SharedSecretProvider]]
    StaticJwt: ClassVar[type[_StaticJwtProvider]]
    Jwt: ClassVar[type[_JwtProvider]]
    Spire: ClassVar[type[_SpireProvider]]

    @abstractmethod
    async def initialize(self) -> None:
        """See `identity.protocols.Provider.initialize`."""

    @abstractmethod
    async def close(self) -> None:
        """See `identity.protocols.Provider.close`."""

    @abstractmethod
    def get_id(self) -> str:
        """See `identity.protocols.Provider.get_id`."""

    @property
    @abstractmethod
    def generation(self) -> int:
        """See `identity.protocols.RotatingProvider.generation`."""

    @abstractmethod
    def get_token(self, now: float) -> str:
        """See `identity.protocols.Provider.get_token`."""

    @abstractmethod
    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """See `identity.protocols.Provider.get_token_with_claims`."""


class IdentityVerifier(_Variant, ABC):
    """Checks the tokens of others: choose a variant, such as `IdentityVerifier.SharedSecret(...)`."""

    SharedSecret: ClassVar[type[_SharedSecretVerifier]]
    Jwt: ClassVar[type[_JwtVerifier]]
    Spire: ClassVar[type[_SpireVerifier]]

    @abstractmethod
    async def initialize(self) -> None:
        """See `identity.protocols.Verifier.initialize`."""

    @abstractmethod
    async def close(self) -> None:
        """See `identity.protocols.Verifier.close`."""

    @abstractmethod
    def try_verify(self, token: str, now: float) -> None:
        """See `identity.protocols.Verifier.try_verify`."""

    @abstractmethod
    def try_get_claims(self, token: str, now: float) -> Claims:
        """See `identity.protocols.Verifier.try_get_claims`."""

    @abstractmethod
    async def verify(self, token: str, now: float) -> None:
        """See `identity.protocols.Verifier.verify`."""

    @abstractmethod
    async def get_claims(self, token: str, now: float) -> Claims:
        """See `identity.protocols.Verifier.get_claims`."""


# Shared secret


class _SharedSecretProvider(SharedSecretProvider, IdentityProvider):
    """Tokens made with a secret that all applications share (`identity.md` 2).

    Keyword arguments: `strict` refuses secrets under 32 bytes; `validity_window` seconds is how long the
    peers accept a token; `token_reuse` is how long one is handed out again (0 for peers with a replay
    cache). `clock_skew` says nothing here; it is taken so that one set of options serves both halves.
    """

    __match_args__ = ("identity", "shared_secret")
    identity = _Argument[str]()
    shared_secret = _Argument[str](secret=True)
    strict = _Argument[bool]()
    validity_window = _Argument[float]()
    clock_skew = _Argument[float]()
    token_reuse = _Argument[float]()

    def __init__(
        self,
        identity: str,
        shared_secret: str,
        *,
        strict: bool = False,
        validity_window: float = VALIDITY_WINDOW,
        clock_skew: float = CLOCK_SKEW,
        token_reuse: float = TOKEN_REUSE,
    ) -> None:
        super().__init__(
            identity,
            shared_secret,
            strict=strict,
            validity_window=validity_window,
            token_reuse=token_reuse,
        )
        self._keep(
            identity=identity,
            shared_secret=shared_secret,
            strict=strict,
            validity_window=validity_window,
            clock_skew=seconds(clock_skew, "clock_skew"),
            token_reuse=token_reuse,
        )

    def replace_secret(self, shared_secret: str) -> None:
        super().replace_secret(shared_secret)
        self._renew("shared_secret", shared_secret)

    __repr__ = IdentityProvider.__repr__


class _SharedSecretVerifier(SharedSecretVerifier, IdentityVerifier):
    """Checks tokens made with a secret that all applications share (`identity.md` 2).

    `identity` is compared with nothing: whoever holds the secret is accepted. Keyword arguments: `strict`
    refuses secrets under 32 bytes; a token is good from `clock_skew` seconds before its time to
    `validity_window` seconds after; `replay_cache` entries refuse tokens seen before (0: off).
    """

    __match_args__ = ("identity", "shared_secret")
    identity = _Argument[str]()
    shared_secret = _Argument[str](secret=True)
    strict = _Argument[bool]()
    validity_window = _Argument[float]()
    clock_skew = _Argument[float]()
    replay_cache = _Argument[int]()

    def __init__(
        self,
        identity: str,
        shared_secret: str,
        *,
        strict: bool = False,
        validity_window: float = VALIDITY_WINDOW,
        clock_skew: float = CLOCK_SKEW,
        replay_cache: int = 0,
    ) -> None:
        check_identity(identity)
        super().__init__(
            shared_secret,
            strict=strict,
            validity_window=validity_window,
            clock_skew=clock_skew,
            replay_cache=replay_cache,
        )
        self._keep(
            identity=identity,
            shared_secret=shared_secret,
            strict=strict,
            validity_window=validity_window,
            clock_skew=clock_skew,
            replay_cache=replay_cache,
        )

    def replace_secret(self, shared_secret: str, *, now: float, overlap: float = 0.0) -> None:
        super().replace_secret(shared_secret, now=now, overlap=overlap)
        self._renew("shared_secret", shared_secret)

    __repr__ = IdentityVerifier.__repr__


# JSON Web Tokens


class _StaticJwtProvider(StaticJwtProvider, IdentityProvider):
    """The token in a file that somebody else keeps fresh (`identity.md` 3.4)."""

    __match_args__ = ("path",)
    path = _Argument[str]()

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._keep(path=path)

    __repr__ = IdentityProvider.__repr__


class _JwtProvider(JwtProvider, IdentityProvider):
    """Tokens signed with a private key (`identity.md` 3.1).

    Keyword arguments: `key_id` goes into the header as `kid`, for verifiers with a key set;
    `token_reuse` is how many seconds a token is handed out again.
    """

    __match_args__ = ("private_key", "duration", "issuer", "audience", "subject")
    private_key = _Argument[Key]()
    duration = _Argument[timedelta]()
    issuer = _Argument["str | None"]()
    audience = _Argument["Sequence[str] | None"]()
    subject = _Argument["str | None"]()
    key_id = _Argument["str | None"]()
    token_reuse = _Argument[float]()

    def __init__(
        self,
        private_key: Key,
        duration: timedelta,
        issuer: str | None = None,
        audience: Sequence[str] | None = None,
        subject: str | None = None,
        *,
        key_id: str | None = None,
        token_reuse: float = TOKEN_REUSE,
    ) -> None:
        super().__init__(
            private_key,
            duration,
            issuer=issuer,
            audience=audience,
            subject=subject,
            key_id=key_id,
            token_reuse=token_reuse,
        )
        self._keep(
            private_key=private_key,
            duration=duration,
            issuer=issuer,
            audience=audience,
            subject=subject,
            key_id=key_id,
            token_reuse=token_reuse,
        )

    __repr__ = IdentityProvider.__repr__


class _JwtVerifier(JwtVerifier, IdentityVerifier):
    """Checks tokens signed with a private key (`identity.md` 3.2, 3.3).

    With `public_key` the key, or the key set, is configured; otherwise `autoresolve` fetches the keys of
    `issuer`, which is then needed, and each token must name it. What `issuer`, `audience` and `subject` say
    is compared where a token has the claim; `require_*` refuses tokens without it.

    Keyword arguments: `jwks_hosts` names other servers an issuer's keys may be on; `ca_file` is a PEM
    of the authorities to trust in place of the public ones.
    """

    __match_args__ = (
        "public_key",
        "autoresolve",
        "issuer",
        "audience",
        "subject",
        "require_iss",
        "require_aud",
        "require_sub",
    )
    public_key = _Argument["Key | None"]()
    autoresolve = _Argument[bool]()
    issuer = _Argument["str | None"]()
    audience = _Argument["Sequence[str] | None"]()
    subject = _Argument["str | None"]()
    require_iss = _Argument[bool]()
    require_aud = _Argument[bool]()
    require_sub = _Argument[bool]()
    jwks_hosts = _Argument["Sequence[str]"]()
    ca_file = _Argument["str | None"]()

    def __init__(
        self,
        public_key: Key | None = None,
        autoresolve: bool = False,
        issuer: str | None = None,
        audience: Sequence[str] | None = None,
        subject: str | None = None,
        require_iss: bool = False,
        require_aud: bool = False,
        require_sub: bool = False,
        *,
        jwks_hosts: Sequence[str] = (),
        ca_file: str | None = None,
    ) -> None:
        self._keep(
            public_key=public_key,
            autoresolve=autoresolve,
            issuer=issuer,
            audience=audience,
            subject=subject,
            require_iss=require_iss,
            require_aud=require_aud,
            require_sub=require_sub,
            jwks_hosts=jwks_hosts,
            ca_file=ca_file,
        )
        resolving = public_key is None
        rules = ClaimRules(
            issuer=optional_text(issuer, "issuer"),
            audience=texts(audience, "audience"),
            subject=optional_text(subject, "subject"),
            # Keys that were fetched for an issuer check that issuer's tokens and no others.
            require_iss=require_iss or resolving,
            require_aud=require_aud,
            require_sub=require_sub,
        )
        super().__init__(self._key_source(), rules)

    def _key_source(self) -> KeySource:
        if self.public_key is not None:
            return ConfiguredKeys(self.public_key, "public_key")
        if not self.autoresolve:
            raise ConfigError("give public_key, or autoresolve=True with an issuer", field="public_key")
        if self.issuer is None:
            raise ConfigError("autoresolve needs the issuer whose keys are to be fetched", field="issuer")
        return IssuerKeys(self.issuer, jwks_hosts=texts(self.jwks_hosts, "jwks_hosts"), ca_file=self.ca_file)

    __repr__ = IdentityVerifier.__repr__


# SPIRE


class _SpireProvider(IdentityProvider):
    """JWT-SVIDs from the SPIFFE Workload API (`identity.md` 4). Not on Windows."""

    __match_args__ = ("socket_path", "target_spiffe_id", "jwt_audiences")
    socket_path = _Argument["str | None"]()
    target_spiffe_id = _Argument["str | None"]()
    jwt_audiences = _Argument["Sequence[str] | None"]()

    def __init__(
        self,
        socket_path: str | None = None,
        target_spiffe_id: str | None = None,
        jwt_audiences: Sequence[str] | None = None,
    ) -> None:
        self._keep(socket_path=socket_path, target_spiffe_id=target_spiffe_id, jwt_audiences=jwt_audiences)
        self._spire: RotatingProvider = _spiffe().SpireProvider(socket_path, target_spiffe_id, jwt_audiences)

    async def initialize(self) -> None:
        await self._spire.initialize()

    async def close(self) -> None:
        await self._spire.close()

    def get_id(self) -> str:
        return self._spire.get_id()

    @property
    def generation(self) -> int:
        return self._spire.generation

    def get_token(self, now: float) -> str:
        return self._spire.get_token(now)

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        return await self._spire.get_token_with_claims(claims, now)


class _SpireVerifier(IdentityVerifier):
    """Checks JWT-SVIDs with the bundles of the SPIFFE Workload API (`identity.md` 4). Not on Windows."""

    __match_args__ = ("socket_path", "target_spiffe_id", "jwt_audiences")
    socket_path = _Argument["str | None"]()
    target_spiffe_id = _Argument["str | None"]()
    jwt_audiences = _Argument["Sequence[str] | None"]()

    def __init__(
        self,
        socket_path: str | None = None,
        target_spiffe_id: str | None = None,
        jwt_audiences: Sequence[str] | None = None,
    ) -> None:
        self._keep(socket_path=socket_path, target_spiffe_id=target_spiffe_id, jwt_audiences=jwt_audiences)
        self._spire: Verifier = _spiffe().SpireVerifier(socket_path, target_spiffe_id, jwt_audiences)

    async def initialize(self) -> None:
        await self._spire.initialize()

    async def close(self) -> None:
        await self._spire.close()

    def try_verify(self, token: str, now: float) -> None:
        self._spire.try_verify(token, now)

    def try_get_claims(self, token: str, now: float) -> Claims:
        return self._spire.try_get_claims(token, now)

    async def verify(self, token: str, now: float) -> None:
        await self._spire.verify(token, now)

    async def get_claims(self, token: str, now: float) -> Claims:
        return await self._spire.get_claims(token, now)


def _spiffe() -> Any:
    """The SPIFFE half, loaded when it is wanted: it brings gRPC along."""
    if sys.platform == "win32":
        raise ConfigError("the SPIFFE Workload API is not available on Windows", field="socket_path")
    return importlib.import_module("identity.spiffe.slim")


IdentityProvider.SharedSecret = _SharedSecretProvider
IdentityProvider.StaticJwt = _StaticJwtProvider
IdentityProvider.Jwt = _JwtProvider
IdentityProvider.Spire = _SpireProvider
IdentityVerifier.SharedSecret = _SharedSecretVerifier
IdentityVerifier.Jwt = _JwtVerifier
IdentityVerifier.Spire = _SpireVerifier

# Tracebacks and reprs call the variants what their users call them.
for _base in (IdentityProvider, IdentityVerifier):
    for _variant in _base.__subclasses__():
        _variant.__name__ = next(name for name, value in vars(_base).items() if value is _variant)
        _variant.__qualname__ = f"{_base.__name__}.{_variant.__name__}"
