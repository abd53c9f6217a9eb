"""Which algorithm tokens are signed with whose public key stands in a file."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file
from identity.jose.keys import MAX_KEY_BYTES, Algorithm

_BY_CURVE = {"secp256r1": Algorithm.ES256, "secp384r1": Algorithm.ES384}


def algorithm_of(path: str, field: str) -> str:
    """The usual algorithm of a public key, PEM. Raises ConfigError naming `field`."""
    try:
        key = load_pem_public_key(read_file(path, max_bytes=MAX_KEY_BYTES).data)
    except (Malformed, ValueError) as error:
        why = error if isinstance(error, Malformed) else "no public key in PEM"
        raise ConfigError(f"{field} {path}: {why}", field=field) from None
    found = None
    if isinstance(key, ec.EllipticCurvePublicKey):
        found = _BY_CURVE.get(key.curve.name)
    elif isinstance(key, rsa.RSAPublicKey):
        found = Algorithm.RS256
    elif isinstance(key, ed25519.Ed25519PublicKey):
        found = Algorithm.EdDSA
    if found is None:
        raise ConfigError(f"{field} {path}: a key that no algorithm here is for", field=field)
    return str(found.value)
