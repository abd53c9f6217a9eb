"""Certificate authorities in PEM files, for whatever checks TLS certificates by them.

People write comments between certificates, in any encoding, and editors put a byte order mark before them;
TLS libraries take some of that, fail on some, and skip the first certificate on some. So files are read here,
and libraries are given the certificates alone.
"""

from __future__ import annotations

import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

MAX_PEM_BYTES = 4 * 1024 * 1024
"""Of a file with certificates or a key. A bundle of all public authorities has 0.2 MiB."""
MAX_CERTIFICATES = 1024

SYSTEM_FILE = "SSL_CERT_FILE"
"""The variable that names the authorities to use in place of the system's."""


def plain_pem(data: bytes) -> bytes:
    """The certificates of a PEM text, one behind the other, and nothing else. Raises Malformed."""
    if data.count(b"-----BEGIN") > 2 * MAX_CERTIFICATES:
        raise Malformed(f"more than {MAX_CERTIFICATES} certificates")
    try:
        found = x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion):
        raise Malformed("no PEM certificate in it") from None
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)


def load_authorities(context: ssl.SSLContext, path: str, field: str) -> None:
    """Have a context trust the authorities of a file. Raises ConfigError naming `field`."""
    try:
        data = read_file(path, max_bytes=MAX_PEM_BYTES).data
        # The library is quicker, and takes certificates of its own age: whole system bundles come this way.
        pem = data if data.isascii() else plain_pem(data)
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (Malformed, ssl.SSLError) as error:
        raise ConfigError(f"{field} {path} cannot be used: {error}", field=field) from None


def context_of(path: str, field: str) -> ssl.SSLContext:
    """A context for clients that trusts the authorities of a file and no others. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_authorities(context, path, field)
    return context


def load_system_authorities(context: ssl.SSLContext) -> None:
    """Have a context trust the system's authorities, or those of SYSTEM_FILE. Raises ConfigError."""
    if path := os.environ.get(SYSTEM_FILE):
        # In place of the library, which would wait for a pipe.
        load_authorities(context, path, SYSTEM_FILE)
    else:
        context.load_default_certs()
