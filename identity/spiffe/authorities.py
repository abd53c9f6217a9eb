"""The public keys that sign JWT-SVIDs, and the algorithms each of them may be used with (`identity.md` 6.3).

The algorithm is never taken from a token alone: the key's type and curve, and its `alg` where it states one,
decide which are possible. Symmetric keys and EdDSA do not exist here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from identity.encoding import b64url_decode
from identity.jose.key_material import check_rsa

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_MAX_MEMBER = 2048
"""Characters of one number of a JWK; an RSA modulus of 8192 bits has 1366."""

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_EC_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_ALGORITHMS = frozenset(f"{family}{bits}" for family in ("RS", "PS") for bits in _HASHES)

ALGORITHMS = _RSA_ALGORITHMS | frozenset(_EC_ALGORITHMS.values())
"""All algorithms that a JWT-SVID may use."""


class JwtAuthority(NamedTuple):
    """One key of a JWT bundle."""

    public_key: PublicKey
    algorithms: frozenset[str]
    """What tokens signed with this key may state as their algorithm."""


def authority_of(key: PublicKey, alg: str | None = None) -> JwtAuthority:
    """The authority made of a public key, pinned to `alg` if given. Raises ValueError when unusable."""
    if isinstance(key, rsa.RSAPublicKey):
        check_rsa(key)
        fitting = _RSA_ALGORITHMS
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _EC_ALGORITHMS:
        fitting = frozenset({_EC_ALGORITHMS[key.curve.name]})
    else:
        raise ValueError("a key of a type that cannot sign JWT-SVIDs")
    if alg is None:
        return JwtAuthority(key, fitting)
    if alg not in fitting:
        raise ValueError("a key whose 'alg' does not fit its type")
    return JwtAuthority(key, frozenset({alg}))


def authority_from_jwk(jwk: Mapping[str, Any]) -> JwtAuthority:
    """The authority in a JWK of type RSA or EC.

    Raises ValueError for other types, broken keys, and keys that show their private half: everybody could
    sign with these.
    """
    if "d" in jwk:
        raise ValueError("a key that shows its private half")
    alg = jwk.get("alg")
    if alg is not None and not isinstance(alg, str):
        raise ValueError("a key whose 'alg' is not a text")
    try:
        return authority_of(_public_key(jwk), alg)
    except (TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError("a key with impossible values") from exc


def verify_signature(authority: JwtAuthority, algorithm: str, signature: bytes, signed: bytes) -> bool:
    """Whether `signature` fits; False as well if the authority may not be used with `algorithm`."""
    if algorithm not in authority.algorithms:
        return False
    key, digest = authority.public_key, _HASHES[algorithm[2:]]
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_ecdsa_der(signature, key.key_size), signed, ec.ECDSA(digest))
        elif algorithm.startswith("PS"):
            pss = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
            key.verify(signature, signed, pss, digest)
        else:
            key.verify(signature, signed, padding.PKCS1v15(), digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _public_key(jwk: Mapping[str, Any]) -> PublicKey:
    match jwk.get("kty"):
        case "RSA":
            return rsa.RSAPublicNumbers(
                e=int.from_bytes(_octets(jwk, "e")), n=int.from_bytes(_octets(jwk, "n"))
            ).public_key()
        case "EC":
            curve = _EC_CURVES.get(str(jwk.get("crv")))
            if curve is None:
                raise ValueError("a key on a curve that JWT-SVIDs do not use")
            x, y = _octets(jwk, "x"), _octets(jwk, "y")
            if not len(x) == len(y) == (curve.key_size + 7) // 8:
                raise ValueError("a key with coordinates of a wrong length")
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
        case _:
            raise ValueError("a key of a type that JWT-SVIDs do not use")


def _octets(jwk: Mapping[str, Any], member: str) -> bytes:
    value = jwk.get(member)
    if not isinstance(value, str) or not value or len(value) > _MAX_MEMBER:
        raise ValueError(f"a key without a usable {member!r}")
    return b64url_decode(value)


def _ecdsa_der(signature: bytes, key_bits: int) -> bytes:
    """JWS carries r and s as two integers of the curve's size (RFC 7518, 3.4); the library wants DER."""
    size = (key_bits + 7) // 8
    if len(signature) != 2 * size:
        raise ValueError("wrong length")
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
