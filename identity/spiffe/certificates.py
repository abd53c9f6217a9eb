"""X.509 certificates and private keys as bytes: DER and PEM, in memory and in files.

Chains arrive from the Workload API as DER certificates one behind the other, without separators or counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from identity.authorities import MAX_PEM_BYTES
from identity.encoding import Malformed
from identity.files import read_file
from identity.spiffe.errors import (
    LoadCertificateError,
    LoadPrivateKeyError,
    ParseCertificateError,
    ParsePrivateKeyError,
    StoreCertificateError,
    StorePrivateKeyError,
)

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

MAX_FILE_BYTES = MAX_PEM_BYTES
MAX_CHAIN = 16
MAX_AUTHORITIES = 1024

_SEQUENCE = 0x30
_KEY_FILE_MODE = 0o600


def parse_der_certificates(data: bytes, *, limit: int) -> list[x509.Certificate]:
    """The certificates that stand one behind the other in `data`, at most `limit`; none if it is empty.

    Raises ParseCertificateError.
    """
    certificates: list[x509.Certificate] = []
    for der in split_der(data, limit=limit):
        try:
            certificates.append(x509.load_der_x509_certificate(der))
        except (ValueError, x509.InvalidVersion) as exc:
            raise ParseCertificateError(
                f"certificate {len(certificates) + 1} is not an X.509 certificate in DER"
            ) from exc
    return certificates


def parse_pem_certificates(data: bytes, *, limit: int) -> list[x509.Certificate]:
    """The certificates in a PEM text, at least one and at most `limit`. Raises ParseCertificateError."""
    if data.count(b"-----BEGIN") > 2 * limit:
        raise ParseCertificateError(f"the PEM text has more than {limit} certificates")
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion) as exc:
        raise ParseCertificateError("the PEM text has no readable certificate") from exc
    if len(certificates) > limit:
        raise ParseCertificateError(f"{len(certificates)} certificates are more than {limit}")
    return certificates


def split_der(data: bytes, *, limit: int) -> list[bytes]:
    """Cut concatenated DER sequences apart. Raises ParseCertificateError."""
    parts: list[bytes] = []
    start = 0
    while start < len(data):
        if len(parts) == limit:
            raise ParseCertificateError(f"more than {limit} certificates in one place")
        end = _end_of_sequence(data, start)
        parts.append(data[start:end])
        start = end
    return parts


def _end_of_sequence(data: bytes, start: int) -> int:
    header = data[start : start + 2]
    if len(header) < 2 or header[0] != _SEQUENCE:
        raise ParseCertificateError(f"no DER certificate at byte {start}")
    body = start + 2
    length = header[1]
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ParseCertificateError(f"impossible DER length at byte {start}")
        length = int.from_bytes(data[body : body + count])
        body += count
    end = body + length
    if end > len(data):
        raise ParseCertificateError(f"the DER certificate at byte {start} is cut off")
    return end


def parse_der_private_key(data: bytes) -> PrivateKey:
    """An unencrypted PKCS#8 key in DER: RSA, EC or Ed25519. Raises ParsePrivateKeyError."""
    try:
        return _supported(load_der_private_key(data, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ParsePrivateKeyError("not an unencrypted PKCS#8 private key in DER") from exc


def parse_pem_private_key(data: bytes) -> PrivateKey:
    """An unencrypted private key in PEM: RSA, EC or Ed25519. Raises ParsePrivateKeyError."""
    try:
        return _supported(load_pem_private_key(data, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ParsePrivateKeyError("not an unencrypted private key in PEM") from exc


def _supported(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise ParsePrivateKeyError(f"a private key of type {type(key).__name__} cannot be used")
    return key


def key_belongs_to(key: PrivateKey, certificate: x509.Certificate) -> bool:
    """Whether `certificate` carries the public half of `key`."""
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == public.public_bytes(*form)


def certificate_bytes(certificates: Iterable[x509.Certificate], encoding: Encoding = Encoding.PEM) -> bytes:
    """The certificates one behind the other, as PEM texts or as DER."""
    return b"".join(certificate.public_bytes(encoding) for certificate in certificates)


def private_key_bytes(key: PrivateKey, encoding: Encoding = Encoding.PEM) -> bytes:
    """The key as unencrypted PKCS#8."""
    return key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())


def read_bounded(path: str | Path) -> bytes:
    """The content of a regular file of at most 4 MiB. Raises Malformed (ValueError), saying why not."""
    return read_file(path, max_bytes=MAX_FILE_BYTES).data


def load_certificates(
    path: str | Path, encoding: Encoding = Encoding.PEM, *, limit: int = MAX_CHAIN
) -> list[x509.Certificate]:
    """The certificates of a file. Raises LoadCertificateError or ParseCertificateError."""
    parse = parse_pem_certificates if encoding == Encoding.PEM else parse_der_certificates
    try:
        data = read_bounded(path)
    except Malformed as exc:
        raise LoadCertificateError(f"cannot read certificates from {str(path)!r}: {exc}") from exc
    return parse(data, limit=limit)


def load_private_key(path: str | Path, encoding: Encoding = Encoding.PEM) -> PrivateKey:
    """The private key of a file. Raises LoadPrivateKeyError or ParsePrivateKeyError."""
    parse = parse_pem_private_key if encoding == Encoding.PEM else parse_der_private_key
    try:
        data = read_bounded(path)
    except Malformed as exc:
        raise LoadPrivateKeyError(f"cannot read a private key from {str(path)!r}: {exc}") from exc
    return parse(data)


def save_certificates(path: str | Path, certificates: Sequence[x509.Certificate], encoding: Encoding) -> None:
    """Write certificates to a file. Raises StoreCertificateError."""
    try:
        Path(path).write_bytes(certificate_bytes(certificates, encoding))
    except OSError as exc:
        raise StoreCertificateError(f"cannot write certificates to {str(path)!r}: {exc}") from exc


def save_private_key(path: str | Path, key: PrivateKey, encoding: Encoding) -> None:
    """Write a private key to a file that only its owner may read. Raises StorePrivateKeyError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _KEY_FILE_MODE)
        with open(descriptor, "wb") as file:
            # An existing file keeps its old mode when it is opened.
            os.chmod(path, _KEY_FILE_MODE)
            file.write(private_key_bytes(key, encoding))
    except OSError as exc:
        raise StorePrivateKeyError(f"cannot write a private key to {str(path)!r}: {exc}") from exc
