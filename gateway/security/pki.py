"""A small authority of one's own: a CA, certificates for nodes and for clients, in one folder.

    ca.pem ca.key            the authority, 10 years; its key is wanted to renew and for nothing else
    node.pem node.key        a node, for the names and addresses at which it is called
    client.pem client.key    an application

Certificates hold for 90 days; each carries a SPIFFE ID beside its names, spiffe://callboard/node or
.../client (another trust domain may be given), so that rules by name and `peers` can mean it. Keys are ECDSA
P-256, files of keys 0600, and nothing that is there is written over but by `renew`.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.security.users import replace_file
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file, reason_of

DAYS = 90
"""Of a certificate."""
AUTHORITY_DAYS = 3650
HOSTS = ("localhost", "127.0.0.1", "::1")
TRUST_DOMAIN = "callboard"
KINDS = ("node", "client")
_EARLY = datetime.timedelta(minutes=5)
"""Clocks differ."""
_BYTES = 64 * 1024


class PkiFolder:
    """The files of one authority. `wall` is the time (Unix seconds)."""

    def __init__(self, path: str, wall: Callable[[], float]) -> None:
        self.path = Path(path)
        self._wall = wall

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return str(self.path / name)

    def init(self, hosts: Sequence[str], trust_domain: str = TRUST_DOMAIN) -> list[str]:
        """Make an authority and its two first certificates. Returns the files, in their order.

        Raises ConfigError where something is there already, or a host is none, and OSError.
        """
        names = _checked(hosts), _identity(trust_domain, "node")
        made = [f"{kind}.{end}" for kind in ("ca", *KINDS) for end in ("pem", "key")]
        there = [name for name in made if (self.path / name).exists()]
        if there:
            raise ConfigError(
                f"{self.path} has {', '.join(there)} already: take another folder, or `callboard pki renew`",
                field="pki",
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, subject = _new_key(), _subject(f"Callboard authority of {names[0][0].value}")
        builder = (
            self._builder(subject, subject, key, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        authority = builder.sign(key, hashes.SHA256())
        self._write("ca", key, authority)
        self._issue("node", authority, key, [*names[0], names[1]])
        self._issue("client", authority, key, [_identity(trust_domain, "client")])
        return made

    def renew(self, kinds: Sequence[str] = KINDS) -> list[str]:
        """Put new certificates, with new keys and the same names, in the place of these.

        Returns the files. Raises ConfigError where the authority is not there, or has ended, and OSError.
        """
        authority, key = self._certificate("ca"), self._key("ca")
        if authority.not_valid_after_utc <= self._now():
            raise ConfigError(f"{self.file('ca.pem')}: the authority has expired: make another", field="pki")
        made = []
        for kind in kinds:
            names = list(_names(self._certificate(kind)))
            self._issue(kind, authority, key, names)
            made += [f"{kind}.pem", f"{kind}.key"]
        return made

    def _issue(
        self,
        kind: str,
        authority: x509.Certificate,
        authority_key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
    ) -> None:
        key = _new_key()
        # Nodes dial one another, and a SPIFFE ID counts only in a certificate for both ends.
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            self._builder(_subject(kind), authority.subject, key, DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        self._write(kind, key, builder.sign(authority_key, hashes.SHA256()))

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _EARLY)
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self._wall()), datetime.UTC)

    def _write(self, kind: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        # The key first: a node that reads between the two keeps what it had, since they do not fit.
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace_file(self.file(f"{kind}.key"), private)
        replace_file(self.file(f"{kind}.pem"), certificate.public_bytes(Encoding.PEM))
        try:
            os.chmod(self.file(f"{kind}.pem"), 0o644)
        except OSError as error:
            raise OSError(error.errno, f"{self.file(f'{kind}.pem')}: {reason_of(error)}") from error

    def _certificate(self, kind: str) -> x509.Certificate:
        path = self.file(f"{kind}.pem")
        try:
            return x509.load_pem_x509_certificate(read_file(path, max_bytes=_BYTES).data)
        except (Malformed, ValueError) as error:
            why = error if isinstance(error, Malformed) else "no certificate in PEM"
            raise ConfigError(f"{path}: {why}", field="pki") from None

    def _key(self, kind: str) -> ec.EllipticCurvePrivateKey:
        path = self.file(f"{kind}.key")
        try:
            key = load_pem_private_key(read_file(path, max_bytes=_BYTES).data, None)
        except (Malformed, ValueError, TypeError) as error:
            why = error if isinstance(error, Malformed) else "no private key in PEM without a password"
            raise ConfigError(f"{path}: {why}", field="pki") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{path}: not a key that `callboard pki init` made", field="pki")
        return key


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _checked(hosts: Sequence[str]) -> list[x509.DNSName | x509.IPAddress]:
    """Names and addresses of a node. Raises ConfigError."""
    made: list[x509.DNSName | x509.IPAddress] = []
    for host in dict.fromkeys(hosts):
        try:
            made.append(x509.IPAddress(ip_address(host)))
            continue
        except ValueError:
            pass
        try:
            made.append(x509.DNSName(host))
        except ValueError:
            host = ""
        if not host or any(c in host for c in "/:@ \t") or not host.isprintable():
            raise ConfigError("--host: a DNS name or an address, without port", field="host")
    return made


def _identity(trust_domain: str, kind: str) -> x509.UniformResourceIdentifier:
    """Raises ConfigError."""
    from identity.spiffe.errors import PySpiffeError
    from identity.spiffe.spiffe_id import SpiffeId

    try:
        return x509.UniformResourceIdentifier(str(SpiffeId(f"spiffe://{trust_domain}/{kind}")))
    except PySpiffeError as error:
        raise ConfigError(f"--trust-domain: {error}", field="trust_domain") from None


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ConfigError(
            "a certificate without names, which `callboard pki init` did not make", field="pki"
        ) from None
