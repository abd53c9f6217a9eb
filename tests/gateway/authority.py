"""Certificates for host names, as a company's own authority issues them."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOUR = 3600.0


class Issued(NamedTuple):
    """A certificate and its key, PEM."""

    cert: str
    key: str

    def write(self, directory: Path, name: str = "own") -> tuple[str, str]:
        """Put both into files; their paths."""
        paths = directory / f"{name}.crt", directory / f"{name}.key"
        paths[0].write_text(self.cert)
        paths[1].write_text(self.key)
        return str(paths[0]), str(paths[1])


class HostAuthority:
    """One self-signed authority."""

    def __init__(self, name: str = "authority") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._root = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), HOUR)

    @property
    def pem(self) -> str:
        """What those who trust this authority are given."""
        return self._root.public_bytes(Encoding.PEM).decode()

    def issue(self, *names: str, ttl: float = HOUR) -> Issued:
        """A certificate for these host names, by default the loopback ones; below 0, `ttl` makes it ended."""
        hosts: list[x509.GeneralName] = [
            x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
            for name in names or ("localhost", "127.0.0.1")
        ]
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one of many")])
        made = self._sign(subject, key, x509.SubjectAlternativeName(hosts), ttl)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Issued(made.public_bytes(Encoding.PEM).decode(), text.decode())

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, ttl: float
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=2))
            .not_valid_after(now + datetime.timedelta(seconds=ttl))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
