"""JSON Web Tokens: the provider that signs and the verifier that checks (`identity.md` 3.1, 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from identity.claims import ClaimRules
from identity.encoding import Malformed
from identity.errors import ConfigError, InvalidToken
from identity.jose import jws
from identity.jose.key_set import KeySet, read_signing_key
from identity.jose.keys import Key, KeyData
from identity.jwks import IssuerKeys
from identity.key_source import ConfiguredKeys, KeyContent, KeySource
from identity.log import logger
from identity.message_key import PUBKEY_CLAIM, new_pubkey
from identity.mls_key import BOUND, is_unbound
from identity.options import optional_text, seconds, text, texts
from identity.protocols import Claims, KeysMissing
from identity.randomness import ambient
from identity.variant import Variant
from identity.verified import VerifiedTokens
from identity.vouched_token import AUTHORITIES, is_vouched

if TYPE_CHECKING:
    from identity.spiffe.vouching import Authorities, Vouched

TOKEN_REUSE = 5.0
"""Seconds a provider hands out one token before it signs the next (`identity.md` 1.1)."""

SUBJECT = "callboard"
"""The subject of the tokens that a link signs when its configuration names none."""

REGISTERED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf"})


class JwtProvider(Variant):
    """Tokens signed with a private key (`identity.md` 3.1).

    A token is handed out again for up to `token_reuse` seconds, never past 2/3 of `duration`, and
    not after the key file changed. Without a `subject` one is made up, which the log tells. `key_id`
    goes into the header as `kid`, for verifiers with a key set. Raises ConfigError.
    """

    private_key: Key
    duration: timedelta
    issuer: str | None
    audience: Sequence[str] | None
    subject: str | None
    key_id: str | None
    token_reuse: float

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
        self._id = text(subject, "subject") if subject is not None else _own_subject()
        self._issuer = optional_text(issuer, "issuer")
        self._audience = texts(audience, "audience")
        self._kid = optional_text(key_id, "key_id")
        if not isinstance(duration, timedelta) or duration < timedelta(seconds=1):
            raise ConfigError("duration must be a timedelta of a second or more", field="duration")
        self._duration = int(duration.total_seconds())
        self._reuse = min(seconds(token_reuse, "token_reuse"), self._duration * 2 / 3)
        self._key = KeyContent(private_key, "private_key", read_signing_key)
        self._pubkey = new_pubkey()
        self._token = ""
        self._token_made = 0.0
        self._token_generation = 0

    @classmethod
    def configured(cls, **given: Any) -> Self:
        """`duration` is in seconds here, by default an hour; the subject is by default SUBJECT."""
        lifetime = timedelta(seconds=given.pop("duration", 3600.0))
        return cls(duration=lifetime, **{"subject": SUBJECT, **given})

    async def initialize(self) -> None:
        """Nothing to open: the key was read at construction."""

    async def close(self) -> None:
        """Nothing to release."""

    def get_id(self) -> str:
        """The configured subject."""
        return self._id

    @property
    def generation(self) -> int:
        """Grows with each key that replaced another."""
        return self._key.generation

    def get_token(self, now: float) -> str:
        """A token for a message sent at `now`, signed at most `token_reuse` seconds before."""
        self._key.current(now)
        fresh = self._token and 0 <= now - self._token_made < self._reuse
        if not fresh or self._token_generation != self._key.generation:
            self._token = self._make({PUBKEY_CLAIM: self._pubkey}, now)
            self._token_made = now
            self._token_generation = self._key.generation
        return self._token

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """A new token that carries `claims`; a `pubkey` among them stands in for this object's own.

        Raises ConfigError when the claims have no JSON form, or one has a registered name (`exp`, `sub`...).
        """
        if taken := sorted(REGISTERED_CLAIMS & set(claims)):
            raise ConfigError(f"{', '.join(taken)} cannot be a custom claim", field="claims")
        return self._make({PUBKEY_CLAIM: self._pubkey, **claims}, now)

    def _make(self, custom: Mapping[str, Any], now: float) -> str:
        key = self._key.current(now)
        header = {"typ": "JWT", "alg": key.algorithm.value}
        if self._kid is not None:
            header["kid"] = self._kid
        issued = int(now)
        registered = {
            "iss": self._issuer,
            "sub": self._id,
            "aud": list(self._audience) or None,
            "exp": issued + self._duration,
            "iat": issued,
            "nbf": issued,
        }
        claims = {name: value for name, value in registered.items() if value is not None}
        try:
            return jws.sign(key, header, {**claims, **custom})
        except Malformed as error:
            raise ConfigError(f"the claims are {error}", field="claims") from error


class JwtVerifier:
    """Checks signed tokens with the keys of a source and the rules for claims.

    Verified tokens are remembered (bounded) until they expire or the keys change.

    Not thread-safe: one event loop owns it.
    """

    takes_unbound_keys = False
    """Whether a token without `pubkey` counts as the credential of an MLS leaf."""

    def __init__(self, keys: KeySource, rules: ClaimRules, x509_bundle: str | None = None) -> None:
        """`x509_bundle` names the authorities of SVIDs that vouch for keys (`identity.spiffe.vouching`)."""
        self._authorities: Authorities | None = None
        if x509_bundle is not None:
            from identity.spiffe.vouching import Authorities  # on use: it brings X.509

            self._authorities = Authorities(x509_bundle)
        self._source = keys
        self._rules = rules
        self._verified: VerifiedTokens[bool] = VerifiedTokens()
        self._generation = keys.generation

    async def initialize(self) -> None:
        """Start what keeps the keys fresh. Waits for no network: the first token does."""
        await self._source.initialize()

    async def close(self) -> None:
        """End what keeps the keys fresh, and forget what was verified with them."""
        self._verified.clear()
        await self._source.close()

    @property
    def generation(self) -> int:
        """Grows whenever the keys change."""
        return self._source.generation

    def try_verify(self, token: str, now: float) -> None:
        """Check a token at `now`.

        Raises InvalidToken, or KeysMissing when keys that could tell have to be fetched first.
        """
        keys = self._keys(now)
        if keys is not None and self._verified.get(token, now):
            return
        if is_vouched(token):
            self.try_get_claims(token, now)
            return
        opened, claims = self._open(token)
        if keys is None:
            if self._source.may_refresh():
                raise KeysMissing
            raise self._without_keys()
        try:
            self._accept(token, opened, claims, keys, now)
        except InvalidToken as refusal:
            if refusal.rule == "unknown_key" and self._source.may_refresh():
                raise KeysMissing from None
            raise

    def try_get_claims(self, token: str, now: float) -> Claims:
        """Check a token and return its claims. Raises as `try_verify`."""
        if is_vouched(token):
            said = _inside(token)
            return self._vouched(said, self.try_get_claims(said.token, now), now)
        self.try_verify(token, now)
        return jws.payload_of(token)

    async def verify(self, token: str, now: float) -> None:
        """Check a token at `now`; fetches keys when they are not at hand. Raises InvalidToken."""
        try:
            self.try_verify(token, now)
            return
        except KeysMissing:
            await self._source.refreshed(now)
        if is_vouched(token):
            said = _inside(token)
            self._vouched(said, await self.get_claims(said.token, now), now)
            return
        keys = self._keys(now)
        if keys is None:
            raise self._without_keys()
        self._accept(token, *self._open(token), keys, now)

    async def get_claims(self, token: str, now: float) -> Claims:
        """Check a token and return its claims. Raises as `verify`."""
        await self.verify(token, now)
        if is_vouched(token):
            return self.try_get_claims(token, now)
        return jws.payload_of(token)

    def _vouched(self, said: Vouched, claims: Claims, now: float) -> Claims:
        """The claims of a token that an SVID vouches for; the inner one is verified. Raises InvalidToken."""
        if self._authorities is not None:
            return self._authorities.check(said, claims, now)
        if self.takes_unbound_keys:
            return claims
        raise InvalidToken(
            "an X.509-SVID vouches for the key, and there is nothing to judge it by: the authorities belong "
            "into svid_bundle.pem beside the keys, or x509_bundle names their file",
            rule="vouched",
        )

    def _without_keys(self) -> InvalidToken:
        why = f": {self._source.trouble}" if self._source.trouble else ""
        return InvalidToken(f"the issuer's keys cannot be had at present{why}", rule="keys_unavailable")

    def _keys(self, now: float) -> KeySet | None:
        """The present keys. Tokens verified with others are forgotten."""
        keys = self._source.current(now)
        if self._source.generation != self._generation:
            self._generation = self._source.generation
            self._verified.clear()
        return keys

    def _open(self, token: str) -> tuple[jws.Jws, Claims]:
        """The parts of a token; nobody's keys are fetched for the token of another issuer."""
        opened = jws.parse(token)
        claims = jws.claims_of(opened.payload)
        self._rules.check_issuer(claims)
        return opened, claims

    def _accept(self, token: str, opened: jws.Jws, claims: Claims, keys: KeySet, now: float) -> None:
        jws.check_signature(opened, keys.candidates(opened.algorithm, opened.kid, claims))
        lifetime = self._rules.check(claims)
        lifetime.check(now)
        self._verified.remember(token, *lifetime, True)

    def __repr__(self) -> str:
        return f"JwtVerifier(issuer={self._rules.issuer!r}, verified={len(self._verified)})"


class ConfiguredJwtVerifier(JwtVerifier, Variant):
    """Checks tokens signed with a private key (`identity.md` 3.2, 3.3).

    With `public_key` the key, or the key set, is configured; otherwise `autoresolve` fetches the keys of
    `issuer`, which is then needed, and each token must name it. What `issuer`, `audience` and `subject` say
    is compared where a token has the claim; `require_*` refuses tokens without it.

    Keyword arguments: `jwks_hosts` names other servers an issuer's keys may be on; `ca_file` is a PEM
    of the authorities to trust in place of the public ones; `mls_key="unbound"` takes tokens without a key in
    encrypted sessions (`identity.mls_key`); `x509_bundle` is a PEM of the authorities of SVIDs that vouch for
    the keys of static tokens, by default `svid_bundle.pem` beside the file of `public_key` where there is one
    (`identity.spiffe.vouching`). Raises ConfigError.
    """

    public_key: Key | None
    autoresolve: bool
    issuer: str | None
    audience: Sequence[str] | None
    subject: str | None
    require_iss: bool
    require_aud: bool
    require_sub: bool
    jwks_hosts: Sequence[str]
    ca_file: str | None
    mls_key: str
    x509_bundle: str | None

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
        mls_key: str = BOUND,
        x509_bundle: str | None = None,
    ) -> None:
        self.takes_unbound_keys = is_unbound(mls_key)
        rules = ClaimRules(
            issuer=optional_text(issuer, "issuer"),
            audience=texts(audience, "audience"),
            subject=optional_text(subject, "subject"),
            # Keys that were fetched for an issuer check that issuer's tokens and no others.
            require_iss=require_iss or public_key is None,
            require_aud=require_aud,
            require_sub=require_sub,
        )
        bundle = optional_text(x509_bundle, "x509_bundle")
        super().__init__(self._key_source(), rules, bundle or _bundle_beside(public_key))

    @classmethod
    def configured(cls, **given: Any) -> Self:
        """What is named is demanded too: a token that leaves it out is refused. No keys: the issuer's."""
        return cls(
            autoresolve="public_key" not in given,
            require_iss="issuer" in given,
            require_aud="audience" in given,
            require_sub="subject" in given,
            **given,
        )

    def _key_source(self) -> KeySource:
        if self.public_key is not None:
            return ConfiguredKeys(self.public_key, "public_key")
        if not self.autoresolve:
            raise ConfigError("give public_key, or autoresolve=True with an issuer", field="public_key")
        if self.issuer is None:
            raise ConfigError("autoresolve needs the issuer whose keys are to be fetched", field="issuer")
        return IssuerKeys(self.issuer, jwks_hosts=texts(self.jwks_hosts, "jwks_hosts"), ca_file=self.ca_file)

    __repr__ = Variant.__repr__


def _inside(token: str) -> Vouched:
    from identity.spiffe.vouching import opened  # on use: it brings X.509

    return opened(token)


def _bundle_beside(key: Key | None) -> str | None:
    """The X.509 authorities that spiffe-helper writes beside a file of keys, if they are there."""
    if key is None or not isinstance(key.key, KeyData.File):
        return None
    file = Path(key.key.path).with_name(AUTHORITIES)
    return str(file) if file.exists() else None


def _own_subject() -> str:
    """A subject for a provider that was given none: the instance id is made from it, so it stays the same."""
    subject = f"{SUBJECT}-{ambient()(8).hex()}"
    logger.warning("a Jwt provider without subject: its tokens name one that was made up", subject=subject)
    return subject
