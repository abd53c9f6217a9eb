"""Keys of every kind, made once per test run, and the forms they are written in."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat

HMAC_TEXT = "a text of more than sixty-four bytes, as HS512 keys should have at least........"

ASYMMETRIC = [a for a in Algorithm if not a.symmetric]


def private(kind: str, number: int = 0) -> Any:
    """A private key of a kind ("RS", "PS", "ES256", "ES384", "EdDSA"); `number` tells several apart."""
    return _private("RS" if kind == "PS" else kind, number)


@cache
def _private(kind: str, number: int) -> Any:
    if kind == "RS":
        return rsa.generate_private_key(65537, 2048)
    if kind == "EdDSA":
        return Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "ES256" else ec.SECP384R1())


def private_for(algorithm: Algorithm, number: int = 0) -> Any:
    name = algorithm.value
    return private(name[:2] if name[:2] in ("RS", "PS") else name, number)


def private_pem(algorithm: Algorithm, number: int = 0) -> str:
    if algorithm.symmetric:
        return HMAC_TEXT + "!" * number
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return str(private_for(algorithm, number).private_bytes(*form).decode())


def public_pem(algorithm: Algorithm, number: int = 0) -> str:
    if algorithm.symmetric:
        return HMAC_TEXT + "!" * number
    public = private_for(algorithm, number).public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(algorithm: Algorithm, number: int = 0, **members: Any) -> dict[str, Any]:
    """The public JWK, as PyJWT writes it, with `members` besides."""
    tool = pyjwt.get_algorithm_by_name(algorithm.value)
    key = tool.to_jwk(private_for(algorithm, number).public_key(), as_dict=True)
    key.pop("key_ops", None)
    return {**key, **members}


def private_jwk(algorithm: Algorithm) -> dict[str, Any]:
    """The private JWK, as PyJWT writes it."""
    key = pyjwt.get_algorithm_by_name(algorithm.value).to_jwk(private_for(algorithm), as_dict=True)
    key.pop("key_ops", None)
    return dict(key)


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": list(keys)})


def content(algorithm: Algorithm, text: str, format: KeyFormat = KeyFormat.Pem) -> Key:
    return Key(algorithm, format, KeyData.Content(text))


def signing(algorithm: Algorithm, number: int = 0) -> Key:
    return content(algorithm, private_pem(algorithm, number))


def verifying(algorithm: Algorithm, number: int = 0) -> Key:
    return content(algorithm, public_pem(algorithm, number))


def encode(claims: dict[str, Any], algorithm: Algorithm, number: int = 0, **header: Any) -> str:
    """A token made by PyJWT."""
    key = private_pem(algorithm, number)
    return pyjwt.encode(claims, key, algorithm.value, headers=header or None)
