"""Keys to verify with: PEM, JWK, JWKS, and the bundle file of spiffe-helper (`identity.md` 3.2 to 3.6).

What cannot be used safely is left out of a set, one key at a time, so that a bad key does not spoil the
others: unknown types, keys for encryption, weak and symmetric keys, and keys that come with
their private half. A single key that cannot be used is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from identity.encoding import Malformed, b64_decode, b64url_decode, parse_object
from identity.errors import InvalidToken
from identity.jose.key_material import (
    CONFIGURABLE,
    PrivateKey,
    PublicKey,
    SigningKey,
    VerificationKey,
    algorithms_for,
    check_rsa,
    min_hmac_bytes,
)
from identity.jose.keys import Algorithm, KeyFormat, SignatureAlgorithm

MAX_KEYS = 256
"""Entries of one key set, usable or not. A document with more is refused whole."""

LONGEST_KID = 80
"""Characters of a key's name that are shown."""

SIGNATURE_USES = frozenset({None, "sig"})
"""Values of `use` in the key set of an OpenID issuer."""
FILE_USES = frozenset({None, "sig", "jwt-svid"})
"""Values of `use` in configured key sets, which may be SPIFFE bundles (`identity.md` 3.6)."""

_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth")
_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
# `identity.md` 6.1; the whole id is checked, so that nothing but a SPIFFE ID is matched to a trust domain.
_SPIFFE_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_PEM_ENVELOPE = re.compile(rb"\s*-----BEGIN ")


class KeySet:
    """The keys a verifier may use, and the rule that chooses among them.

    With `pinned` the set is one configured key and a `kid` in a token is only text. Otherwise a token that
    names a `kid` is checked with the key of that name alone, and one without `kid` with each key that
    fits its algorithm. A set read from a map of trust domains uses the keys of the domain of `sub`.
    `left_out` says why other keys of the document are not in the set, by their `kid` or number.
    """

    __slots__ = ("_by_domain", "_keys", "_pinned", "left_out")

    def __init__(
        self,
        keys: Sequence[VerificationKey],
        *,
        pinned: bool = False,
        by_domain: Mapping[str, Sequence[VerificationKey]] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.left_out = left_out or {}
        self._keys = tuple(keys)
        self._pinned = pinned
        self._by_domain = None if by_domain is None else {d: tuple(k) for d, k in by_domain.items()}

    def candidates(
        self, algorithm: SignatureAlgorithm, kid: str | None, claims: Mapping[str, Any]
    ) -> tuple[VerificationKey, ...]:
        """The keys to try on a token with this header and these (unverified) claims.

        Raises InvalidToken with rule "unknown_key" when there are none, which a fresher set may change,
        and "algorithm", "ambiguous_key" or "trust_domain" when the token itself is at fault.
        """
        keys = self._keys if self._by_domain is None else self._of_domain(claims.get("sub"))
        if self._pinned:
            fitting = tuple(key for key in keys if algorithm in key.algorithms)
            if not fitting:
                raise InvalidToken("signed with another algorithm than configured", rule="algorithm")
            return fitting
        if kid is None:
            fitting = tuple(key for key in keys if algorithm in key.algorithms)
            if not fitting:
                raise InvalidToken(
                    f"no key of the set fits the token's algorithm{self.losses()}", rule="unknown_key"
                )
            return fitting
        named = [key for key in keys if key.kid == kid]
        if not named and kid in self.left_out:
            raise InvalidToken(
                f"the key of the token's kid is left out of the set: {self.left_out[kid]}", rule="unknown_key"
            )
        if not named:
            raise InvalidToken(f"no key of the set has the token's kid{self.losses()}", rule="unknown_key")
        fitting = tuple(key for key in named if algorithm in key.algorithms)
        if not fitting:
            raise InvalidToken("the key of this kid is for another algorithm", rule="algorithm")
        if any(not key.same_material(fitting[0]) for key in fitting[1:]):
            # RFC 7517 section 4.5 asks for distinct names: each could stand in for the other.
            raise InvalidToken("several keys of the set have the token's kid", rule="ambiguous_key")
        return fitting[:1]

    def losses(self) -> str:
        """How many keys are left out and why the first of them is, to end a sentence; empty for none."""
        if not self.left_out:
            return ""
        which, why = next(iter(self.left_out.items()))
        return f" ({len(self.left_out)} left out of it: {which[:LONGEST_KID]!r} is {why})"

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self._keys)!r})"

    def _of_domain(self, subject: object) -> tuple[VerificationKey, ...]:
        assert self._by_domain is not None
        match = _SPIFFE_ID.fullmatch(subject) if isinstance(subject, str) else None
        if match is None:
            raise InvalidToken("the keys are per trust domain, and sub is no SPIFFE ID", rule="trust_domain")
        if match[1] not in self._by_domain:
            raise InvalidToken("no keys are known for the trust domain of sub", rule="trust_domain")
        return self._by_domain[match[1]]


def read_keys(content: bytes, algorithm: Algorithm, format: KeyFormat) -> KeySet:
    """The keys of a configured `Key`, tied to its algorithm. Raises Malformed, saying why.

    A key set is tied by its own `alg` members, or by type and curve where a key has none; with an HS
    algorithm it may hold symmetric keys of that algorithm, and then nothing else.
    """
    match format:
        case KeyFormat.Pem:
            if algorithm.symmetric:
                return KeySet([VerificationKey(_hmac_text(content), frozenset({algorithm}))], pinned=True)
            return KeySet([_pinned(_public_pem(content), algorithm)], pinned=True)
        case KeyFormat.Jwk:
            jwk = parse_object(content)
            key = _symmetric_jwk(jwk, algorithm) if algorithm.symmetric else public_jwk(jwk, FILE_USES)
            return KeySet([key.tied_to(algorithm)], pinned=True)
        case KeyFormat.Jwks if algorithm.symmetric:
            return _symmetric_set(parse_object(content), algorithm)
        case KeyFormat.Jwks:
            document = parse_object(content)
            # A trust domain may be called "keys", but its key set is a text.
            if isinstance(document.get("keys"), list):
                return key_set(document, FILE_USES)
            return helper_bundle(document)


def key_set(document: Mapping[str, Any], uses: frozenset[str | None] = SIGNATURE_USES) -> KeySet:
    """The usable keys of a JWKS document (RFC 7517 section 5). An empty set is one: everything is revoked.

    Raises Malformed when `keys` is not an array or has more than MAX_KEYS entries.
    """
    keys, left_out = _usable(key_entries(document), lambda jwk: public_jwk(jwk, uses))
    return KeySet(keys, left_out=left_out)


def helper_bundle(document: Mapping[str, Any]) -> KeySet:
    """The keys of spiffe-helper's JWT bundle file: trust domain name to base64 of a JWKS (`identity.md` 3.6).

    Raises Malformed when one of the domains has no name of one, or cannot be read.
    """
    by_domain: dict[str, list[VerificationKey]] = {}
    left_out: dict[str, str] = {}
    for domain, encoded in document.items():
        if not isinstance(encoded, str):
            raise Malformed("neither a key set nor a map from trust domain to base64 key set")
        if not _TRUST_DOMAIN.fullmatch(domain):
            raise Malformed(f"a key set of {domain[:80]!r}, which is no name of a trust domain")
        entries = key_entries(parse_object(b64_decode(encoded)))
        by_domain[domain], lost = _usable(entries, lambda jwk: public_jwk(jwk, FILE_USES))
        left_out |= lost
    keys = [key for domain_keys in by_domain.values() for key in domain_keys]
    if len(keys) > MAX_KEYS:
        raise Malformed(f"more than {MAX_KEYS} keys")
    return KeySet(keys, by_domain=by_domain, left_out=left_out)


def read_signing_key(content: bytes, algorithm: Algorithm, format: KeyFormat) -> SigningKey:
    """The key that a `Jwt` provider signs with (`identity.md` 3.1). Raises Malformed, saying why."""
    if format is KeyFormat.Jwk:
        return _signing_jwk(parse_object(content), algorithm)
    if format is KeyFormat.Jwks:
        raise Malformed("a key set; a key to sign with is given alone, as PEM or JWK")
    if algorithm.symmetric:
        return SigningKey(_hmac_text(content), algorithm)
    if b"PRIVATE KEY-----" not in content:
        raise Malformed("not a private key in PEM")
    try:
        private = cast(PrivateKey, load_pem_private_key(content, password=None))
        public = private.public_key()
    except TypeError:  # what the library says when a passphrase is missing
        raise Malformed("an encrypted private key; decrypt it first") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("not a private key in PEM") from None
    _pinned(public, algorithm)
    return SigningKey(private, algorithm)


def _signing_jwk(jwk: Mapping[str, Any], algorithm: Algorithm) -> SigningKey:
    """A private JWK (RFC 7517, RFC 8037), or a symmetric one. Raises Malformed."""
    operations = jwk.get("key_ops", ["sign"])
    if not isinstance(operations, list) or "sign" not in operations:
        raise Malformed("a key for other operations than signing")
    half = {name: jwk[name] for name in jwk if name not in (*_PRIVATE_MEMBERS, "key_ops")}
    if algorithm.symmetric:
        _symmetric_jwk(half, algorithm)
        return SigningKey(_member(jwk, "k"), algorithm)
    public_jwk(half, FILE_USES).tied_to(algorithm)
    if "d" not in jwk:
        raise Malformed("a public JWK; a key to sign with has its private half, `d`")
    import jwt  # on use: few sign with a JWK

    try:
        private = cast(PrivateKey, jwt.PyJWK(dict(jwk), algorithm.value).key)
        return SigningKey(private, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: it may quote a part of the key.
        raise Malformed("a JWK whose private half is no key") from None


def key_entries(document: Mapping[str, Any]) -> list[Any]:
    """The entries of a key set, whatever they are. Raises Malformed for no array, or over MAX_KEYS."""
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise Malformed("a key set without an array `keys`")
    if len(entries) > MAX_KEYS:
        raise Malformed(f"more than {MAX_KEYS} keys")
    return entries


def _usable(
    entries: list[Any], read: Callable[[Mapping[str, Any]], VerificationKey]
) -> tuple[list[VerificationKey], dict[str, str]]:
    """The keys, and by kid (or number, from 1) why others are none."""
    keys, left_out = [], {}
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(read(entry))
        except Malformed as why:
            kid = entry.get("kid") if isinstance(entry, dict) else None
            left_out[kid if isinstance(kid, str) else f"no. {number}"] = str(why)
    return keys, left_out


def _pinned(public: PublicKey, algorithm: Algorithm) -> VerificationKey:
    return VerificationKey(public, algorithms_for(public)).tied_to(algorithm)


def _public_pem(content: bytes) -> PublicKey:
    if b"PRIVATE KEY-----" in content:
        raise Malformed("a private key where the public one belongs")
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            return cast(PublicKey, x509.load_pem_x509_certificate(content).public_key())
        return cast(PublicKey, load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("not a public key in PEM") from None


def _hmac_text(content: bytes) -> bytes:
    """An HMAC key is the text itself. A PEM in its place is the oldest algorithm confusion of all."""
    if not content:
        raise Malformed("an empty key")
    if _PEM_ENVELOPE.match(content):
        raise Malformed("a PEM document, which is no HMAC key; choose the algorithm that fits it")
    return content


def public_jwk(
    jwk: Any, uses: frozenset[str | None], allowed: frozenset[SignatureAlgorithm] = CONFIGURABLE
) -> VerificationKey:
    """One asymmetric JWK for one of `uses` and some of the `allowed` algorithms.

    (RFC 7517, RFC 7518 section 6, RFC 8037.) Raises Malformed.
    """
    kid = _check_jwk(jwk, uses)
    if any(member in jwk for member in _PRIVATE_MEMBERS):
        raise Malformed("a key that shows its private half, which proves nothing any more")
    try:
        public = _jwk_material(jwk)
    except Malformed as why:
        raise Malformed(f"not a usable RSA, EC or Ed25519 key: {why}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed("not a usable RSA, EC or Ed25519 key") from None
    fitting = algorithms_for(public, allowed)
    if "alg" in jwk:
        fitting = frozenset(a for a in fitting if a.value == jwk["alg"])
        if not fitting:
            raise Malformed("a key for an algorithm that does not fit it")
    return VerificationKey(public, fitting, kid)


def _jwk_material(jwk: Mapping[str, Any]) -> PublicKey:
    match jwk.get("kty"):
        case "RSA":
            n, e = (int.from_bytes(_member(jwk, name), "big") for name in ("n", "e"))
            if n.bit_length() > 1 << 16 or e.bit_length() > 64:
                raise Malformed("an RSA key with unusable numbers")
            public = RSAPublicNumbers(e, n).public_key()
            check_rsa(public)
            return public
        case "EC":
            curve = _CURVES.get(jwk["crv"]) if isinstance(jwk.get("crv"), str) else None
            x, y = _member(jwk, "x"), _member(jwk, "y")
            if curve is None or not len(x) == len(y) == (curve.key_size + 7) // 8:
                raise Malformed("an EC key of an unknown curve or a wrong length")
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
        case "OKP" if jwk.get("crv") == "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_member(jwk, "x"))
    raise Malformed("a key of an unknown type")


def _symmetric_jwk(jwk: Any, algorithm: Algorithm) -> VerificationKey:
    """One `oct` JWK for `algorithm`, as long as its hash at least. Raises Malformed."""
    kid = _check_jwk(jwk, SIGNATURE_USES)
    if jwk.get("kty") != "oct" or jwk.get("alg", algorithm.value) != algorithm.value:
        raise Malformed(f"not a symmetric key for {algorithm.value}")
    material = _member(jwk, "k")
    if len(material) < min_hmac_bytes(algorithm):
        raise Malformed(f"an HMAC key under {min_hmac_bytes(algorithm)} bytes")
    return VerificationKey(material, frozenset({algorithm}), kid)


def _symmetric_set(document: Mapping[str, Any], algorithm: Algorithm) -> KeySet:
    """A set of symmetric keys. One public key beside them spoils it: somebody publishes secrets."""
    return KeySet([_symmetric_jwk(entry, algorithm) for entry in key_entries(document)])


def _check_jwk(jwk: Any, uses: frozenset[str | None]) -> str | None:
    """The `kid` of a JWK that may verify signatures. Raises Malformed."""
    if not isinstance(jwk, dict):
        raise Malformed("a key that is not a JSON object")
    kid, use, operations = jwk.get("kid"), jwk.get("use"), jwk.get("key_ops", ["verify"])
    if kid is not None and not isinstance(kid, str):
        raise Malformed("a key whose kid is not a text")
    if not (use is None or isinstance(use, str)) or use not in uses:
        raise Malformed("a key for another use than signatures")
    if not isinstance(operations, list) or "verify" not in operations:
        raise Malformed("a key for other operations than verifying")
    return kid


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise Malformed(f"a key without {name}")
    return b64url_decode(value)
