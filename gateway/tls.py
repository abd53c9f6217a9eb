"""TLS from configuration: PEM material, checked, and turned into what each transport takes (`api.md` 3.1).

Files are read again for every new handshake of a listener, so a certificate that was replaced on disk
serves the next connection and open ones stay.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.config import Material, TlsConfig
from identity.errors import ConfigError


class TlsMaterial(NamedTuple):
    """PEM bytes: own certificate chain and key, and the authorities to check the peer by."""

    certificate: bytes | None = None
    key: bytes | None = None
    roots: bytes | None = None

    def __repr__(self) -> str:
        has = [field for field, value in zip(self._fields, self, strict=True) if value is not None]
        return f"TlsMaterial({', '.join(has)})"


MaterialSource = Callable[[], TlsMaterial]
"""Where material comes from now: files, texts, or a SPIFFE source. Raises ConfigError."""


def server_material(tls: TlsConfig) -> TlsMaterial:
    """A listener's material from its configuration. Raises ConfigError naming what is wrong."""
    return TlsMaterial(
        _certificates(tls.certificate, "tls.source.cert"),
        _private_key(tls.key, "tls.source.key"),
        _certificates(tls.client_ca, "tls.client_ca"),
    )


def client_material(tls: TlsConfig) -> TlsMaterial:
    """A link's material from its configuration. Raises ConfigError naming what is wrong."""
    return TlsMaterial(
        _certificates(tls.certificate, "tls.source.cert"),
        _private_key(tls.key, "tls.source.key"),
        _certificates(tls.ca, "tls.ca_source"),
    )


def _certificates(material: Material | None, where: str) -> bytes | None:
    if material is None:
        return None
    data = material.load(where)
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError as exc:
        raise ConfigError(
            f"{where}: {material.path or 'the text'} holds no PEM certificate", field=where
        ) from exc
    return data


def _private_key(material: Material | None, where: str) -> bytes | None:
    if material is None:
        return None
    data = material.load(where)
    try:
        load_pem_private_key(data, None)
    except (ValueError, TypeError) as exc:
        raise ConfigError(
            f"{where}: {material.path or 'the text'} holds no unencrypted PEM private key", field=where
        ) from exc
    return data


# The gRPC library


def grpc_server_credentials(source: MaterialSource, *, client_certificates: bool) -> grpc.ServerCredentials:
    """Credentials of a listener. Raises ConfigError."""

    def configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(material.key, material.certificate)], root_certificates=material.roots
        )

    first = source()
    last = first

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        try:
            material = source()
        except ConfigError:
            return None  # the file is being replaced: the last good material serves on
        if material == last:
            return None
        last = material
        return configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        configuration(first), fetch, require_client_authentication=client_certificates
    )


def grpc_client_credentials(tls: TlsConfig, source: MaterialSource) -> grpc.ChannelCredentials:
    """Credentials of a link. Raises ConfigError."""
    if tls.insecure_skip_verify:
        raise ConfigError(
            "tls.insecure_skip_verify: the gRPC library cannot skip verification; "
            'use "transport": "fast", or trust the certificate with ca_source',
            field="tls.insecure_skip_verify",
        )
    material = source()
    return grpc.ssl_channel_credentials(material.roots, material.key, material.certificate)


# The standard library


def server_context(tls: TlsConfig, source: MaterialSource) -> ssl.SSLContext:
    """The context of a listener. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    material = source()
    _prepare(context, tls, material)
    if material.roots is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsConfig, source: MaterialSource) -> ssl.SSLContext:
    """The context of a link. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    material = source()
    _prepare(context, tls, material)
    if material.roots is None or tls.include_system_ca_certs_pool:
        context.load_default_certs()
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _prepare(context: ssl.SSLContext, tls: TlsConfig, material: TlsMaterial) -> None:
    version = ssl.TLSVersion.TLSv1_2 if tls.tls_version == "tls1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = version
    context.set_alpn_protocols(["h2"])
    load_certificate(context, material)
    if material.roots is not None:
        context.load_verify_locations(cadata=material.roots.decode())


def load_certificate(context: ssl.SSLContext, material: TlsMaterial) -> None:
    """Let new handshakes of `context` show this certificate. Raises ConfigError when key and chain differ."""
    if material.certificate is None or material.key is None:
        return
    with _in_memory(material.certificate + b"\n" + material.key) as path:
        try:
            context.load_cert_chain(path)
        except ssl.SSLError as exc:
            raise ConfigError(
                "tls.source: certificate and key do not belong together", field="tls.source"
            ) from exc


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path that holds `data` while the block runs: the ssl module reads keys from paths only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("callboard-tls", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    try:
        yield file.name
    finally:
        os.unlink(file.name)
