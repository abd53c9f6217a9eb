"""TLS as each transport takes it: credentials of the gRPC library, or contexts of the standard library.

Both are made of a source (`gateway.security.material`) and ask it again for each new handshake, so what was
replaced serves the next connection and open ones stay.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.alarm import Alarm
from gateway.config import TlsConfig
from gateway.http2.errors import PeerIdentityRefused
from gateway.security.material import TlsSource
from gateway.surroundings import current as surroundings
from identity.authorities import load_system_authorities
from identity.errors import AuthError, ConfigError, SlimError
from identity.log import logger
from identity.spiffe import TlsMaterial

if TYPE_CHECKING:
    import grpc

# The gRPC library


def grpc_server_credentials(source: TlsSource) -> grpc.ServerCredentials:
    """Credentials of a listener; the source is started. Raises ConfigError or AuthError.

    Where peers are known by SPIFFE IDs the server has to call `source.check_peer` for each call. The library
    cannot refuse all handshakes: when an agent takes our identity back, the last one is shown until it ends.
    """
    import grpc

    def configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(material.private_key, material.certificate_chain)], root_certificates=material.trust_bundle
        )

    last, alarm = source.material(), Alarm()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        try:
            material = source.material()
        except SlimError as error:
            if alarm.is_due(surroundings().clock()):
                logger.warning("TLS goes on with what it had", cause=str(error))
            return None
        if material == last:
            return None
        last = material
        return configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        configuration(last), fetch, require_client_authentication=source.wants_certificate
    )


def grpc_client_credentials(tls: TlsConfig, source: TlsSource) -> grpc.ChannelCredentials:
    """Credentials of one channel of a link; the source is started. Raises ConfigError or AuthError."""
    import grpc

    if tls.insecure_skip_verify:
        raise ConfigError(
            "tls.insecure_skip_verify: the gRPC library cannot skip verification; "
            'use "transport": "fast", or trust the certificate with ca_source',
            field="tls.insecure_skip_verify",
        )
    if source.checks_spiffe_ids:
        raise ConfigError(
            "tls.ca_source: the gRPC library cannot check a server's SPIFFE ID; "
            'use "transport": "fast", or a plain file of authorities and certificates with host names',
            field="tls.ca_source",
        )
    material = source.material()
    return grpc.ssl_channel_credentials(
        material.trust_bundle, material.private_key, material.certificate_chain
    )


# The standard library


def server_context(tls: TlsConfig, source: TlsSource) -> ssl.SSLContext:
    """The context of a listener; the source is started. Raises ConfigError or AuthError.

    A handshake that begins after the material changed is made with a new context.
    """
    outer, shown = _server_context(tls, source), source.material()
    current, alarm = outer, Alarm()

    def choose(connection: Any, _name: str | None, _context: ssl.SSLContext) -> int | None:
        nonlocal current, shown
        try:
            material = source.material()
            if material != shown:
                current, shown = _server_context(tls, source), material
        except SlimError as error:
            if alarm.is_due(surroundings().clock()):
                logger.warning("TLS handshakes are refused", cause=str(error))
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = current
        return None

    outer.sni_callback = choose
    return outer


def client_context(tls: TlsConfig, source: TlsSource) -> ssl.SSLContext:
    """The context of one connection of a link; the source is started. Raises ConfigError or AuthError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    material = source.material()
    _prepare(context, tls, material)
    if source.checks_spiffe_ids:
        context.check_hostname = False
        context.sslobject_class = _checking(source.check_peer)
    elif material.trust_bundle is None or tls.include_system_ca_certs_pool:
        load_system_authorities(context)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.sslobject_class = ssl.SSLObject
    return context


def _server_context(tls: TlsConfig, source: TlsSource) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _prepare(context, tls, source.material())
    if source.wants_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    if source.checks_spiffe_ids:
        context.sslobject_class = _checking(source.check_peer)
    return context


def _prepare(context: ssl.SSLContext, tls: TlsConfig, material: TlsMaterial) -> None:
    version = ssl.TLSVersion.TLSv1_2 if tls.tls_version == "tls1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = version
    context.set_alpn_protocols(["h2"])
    _load_certificate(context, material)
    if material.trust_bundle is not None:
        context.load_verify_locations(cadata=material.trust_bundle.decode("ascii"))


def _checking(check: Callable[[bytes], None]) -> type[ssl.SSLObject]:
    """A kind of connection whose handshake fails unless `check` takes the peer's chain (PEM)."""

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            try:
                check(_peer_chain(self))
            except AuthError as error:
                raise PeerIdentityRefused(str(error)) from error

    return Checked


def _peer_chain(connection: ssl.SSLObject) -> bytes:
    """The certificates that the peer sent, leaf first, as PEM."""
    inner: Any = getattr(connection, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):
        # Public from Python 3.13 on; before that only the object within has it.
        return "".join(certificate.public_bytes() for certificate in inner.get_unverified_chain()).encode()
    leaf = connection.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(leaf).encode() if leaf else b""


def _load_certificate(context: ssl.SSLContext, material: TlsMaterial) -> None:
    if material.certificate_chain is None or material.private_key is None:
        return
    with _in_memory(material.certificate_chain + b"\n" + material.private_key) as path:
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
