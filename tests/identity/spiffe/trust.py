"""A trust domain for tests: an X.509 authority, JWT signing keys, and what they issue."""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from identity.encoding import b64url_encode
from identity.spiffe.proto import workload_pb2 as pb

HOUR = 3600.0
_EKU = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def der_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def jwk(key: ec.EllipticCurvePublicKey, kid: str, **members: Any) -> dict[str, Any]:
    numbers = key.public_numbers()
    x, y = (b64url_encode(number.to_bytes((key.key_size + 7) // 8)) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": f"P-{key.key_size}", "x": x, "y": y, "kid": kid, "use": "jwt-svid", **members}


def key_usage(*, sign: bool, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certify,
        crl_sign=certify,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """Everything a trust domain signs with. Several may claim the same name: then they are rivals."""

    def __init__(self, name: str = "example.org", *, kid: str = "k1") -> None:
        self.name = name
        self.id = f"spiffe://{name}"
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.jwt_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self.certificate(self.key, ca=True, uris=[self.id], root=True)

    def certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        uris: Sequence[str] = (),
        ttl: float = HOUR,
        start: float = -60.0,
        root: bool = False,
        eku: Sequence[x509.ObjectIdentifier] | None = _EKU,
        critical_unknown: bool = False,
        issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    ) -> x509.Certificate:
        """Any certificate, signed by this authority unless `issuer` says otherwise."""
        now = datetime.datetime.now(datetime.UTC)
        root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"root of {self.name}")])
        name = root_name if root else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one of many")])
        signer = issuer[1] if issuer else self.key
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer[0].subject if issuer else root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(seconds=start))
            .not_valid_after(now + datetime.timedelta(seconds=ttl))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(key_usage(sign=not ca, certify=ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        if eku is not None and not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        if critical_unknown:
            strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
            builder = builder.add_extension(strange, critical=True)
        return builder.sign(signer, hashes.SHA256())

    def svid(self, path: str = "/web", **options: Any) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        return self.certificate(key, uris=[self.id + path], **options), key

    def x509_message(self, path: str = "/web", *, hint: str = "", **options: Any) -> pb.X509SVID:
        leaf, key = self.svid(path, **options)
        return pb.X509SVID(
            spiffe_id=self.id + path,
            x509_svid=leaf.public_bytes(Encoding.DER),
            x509_svid_key=der_key(key),
            bundle=self.root_der,
            hint=hint,
        )

    def token(
        self,
        audience: Sequence[str] | str = ("slim",),
        *,
        path: str = "/web",
        ttl: float = HOUR,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        body = {"sub": self.id + path, "aud": audience, "exp": int(time.time() + ttl), **claims}
        present = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(
            present, self.jwt_key, algorithm="ES256", headers={"kid": self.kid, **(headers or {})}
        )

    @property
    def root_der(self) -> bytes:
        return self.root.public_bytes(Encoding.DER)

    def jwks(self) -> bytes:
        return json.dumps({"keys": [jwk(self.jwt_key.public_key(), self.kid)]}).encode()

    def spiffe_bundle(self, **members: Any) -> bytes:
        entry = {"kty": "EC", "use": "x509-svid", "x5c": [base64.b64encode(self.root_der).decode()]}
        return json.dumps({"keys": [entry, jwk(self.jwt_key.public_key(), self.kid)], **members}).encode()
