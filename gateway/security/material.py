"""Where the TLS material of one listener or link comes from, and how it stays new (`api.md` 3.1).

    files   read again for a new handshake, at most once in `reload_interval`
    texts   as they are
    spire   certificates and authorities of a SPIFFE agent, followed while it changes them

Nothing here touches a connection: whoever makes a handshake asks for the material, and connections that are
open keep theirs. While files do not fit together (somebody is writing them) the last good state stays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.config import Material, SpiffePeers, SpireSource, TlsConfig
from identity.authorities import plain_pem
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.log import logger
from identity.spiffe import (
    AsyncX509Source,
    SourceTls,
    SpiffeId,
    TlsMaterial,
    TrustDomain,
    X509BundleSet,
)
from identity.spiffe.errors import PySpiffeError, X509SourceError
from identity.spiffe.tls import trust_bytes
from identity.spiffe.x509_bundle import bundles_of_pem

START_SECONDS = 30.0
"""How long a listener or link waits for the first answer of a SPIFFE agent."""


class Side(Enum):
    """Which end of a connection: it decides what its authorities are called."""

    SERVER = "client_ca"
    CLIENT = "ca_source"


class TlsSource:
    """The material of one listener or link. `start` it, and `close` it when no handshake will come."""

    def __init__(self, tls: TlsConfig, side: Side, *, clock: Callable[[], float] = time.time) -> None:
        self._tls, self._side, self._clock = tls, side, clock
        self._authorities = tls.client_ca if side is Side.SERVER else tls.ca
        self._agents: dict[str | None, AsyncX509Source] = {}
        self._own: SourceTls | None = None
        self._expected = _spiffe_ids(tls.peers)
        self._domains = _trust_domains(tls.peers)
        self._read: TlsMaterial | None = None
        """The last good state of files and texts."""
        self._read_at = 0.0
        self._complained = ""

    @property
    def checks_spiffe_ids(self) -> bool:
        """Whether peers are known by their SPIFFE IDs, not by host names."""
        return self._tls.peers is not None

    @property
    def wants_certificate(self) -> bool:
        """Whether the peer has to show a certificate: a link always wants one, a listener if configured."""
        configured = self._authorities is not None or self._tls.ca_spire is not None
        return self._side is Side.CLIENT or configured

    async def start(self) -> None:
        """Open the streams of agents, and look once at everything.

        Raises ConfigError naming what is wrong, and X509SourceError (AuthError) when an agent has nothing for
        us.
        """
        if self._tls.insecure:
            return
        try:
            for wanted in filter(None, (self._tls.spire, self._tls.ca_spire)):
                if wanted.socket_path not in self._agents:
                    agent = AsyncX509Source(socket_path=wanted.socket_path)
                    self._agents[wanted.socket_path] = agent
                    await agent.start(START_SECONDS)
            if self._tls.spire is not None:
                chosen = self._tls.spire.target_spiffe_id
                self._own = SourceTls(
                    self._agent(self._tls.spire), spiffe_id=SpiffeId(chosen) if chosen else None
                )
            self.material()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the streams of agents. Idempotent."""
        agents, self._agents = self._agents, {}
        for agent in agents.values():
            await agent.close()

    def material(self) -> TlsMaterial:
        """The material for a handshake now.

        Raises ConfigError when a file was never usable, X509SourceError when an agent took an identity back
        or it ended.
        """
        made = self._from_files()
        if self._own is not None:
            own = self._own.material(self._clock())
            made = replace(made, certificate_chain=own.certificate_chain, private_key=own.private_key)
        if self._tls.ca_spire is not None:
            bundles = self._bundles(self._agent(self._tls.ca_spire))
            made = replace(made, trust_bundle=trust_bytes(bundles), bundles=bundles)
        return made

    def read_again(self) -> None:
        """Look at the files for the next handshake, however short ago they were read."""
        self._read_at = -math.inf

    def check_peer(self, chain: bytes) -> None:
        """Refuse a peer whose handshake showed `chain` (PEM, leaf first) unless we know its SPIFFE ID.

        Does nothing where peers are known by host names. Raises PySpiffeError (AuthError).
        """
        material = self.material()
        if material.bundles is not None:
            material.verify_peer(chain, self._clock(), expected=self._expected)

    def _agent(self, wanted: SpireSource) -> AsyncX509Source:
        agent = self._agents.get(wanted.socket_path)
        if agent is None:
            raise X509SourceError("the TLS source is not started, or closed")
        return agent

    def _bundles(self, agent: AsyncX509Source) -> X509BundleSet:
        domains = self._domains or (agent.svid.spiffe_id.trust_domain,)
        found = [bundle for domain in domains if (bundle := agent.get_bundle_for_trust_domain(domain))]
        if not found:
            names = ", ".join(domain.name for domain in domains)
            raise X509SourceError(f"the agent gives no X.509 bundle for {names}")
        return X509BundleSet.of(found)

    def _from_files(self) -> TlsMaterial:
        now = self._clock()
        if self._read is not None and 0 <= now - self._read_at < (self._tls.reload_interval or 0.0):
            return self._read
        self._read_at = now
        try:
            read = self._load()
        except ConfigError as error:
            if self._read is None:
                raise
            if str(error) != self._complained:
                self._complained = str(error)
                logger.warning("what was read before stays in use", cause=str(error))
            return self._read
        self._complained = ""
        self._read = read
        return read

    def _load(self) -> TlsMaterial:
        tls, where = self._tls, f"tls.{self._side.value}"
        certificate = _certificates(tls.certificate, "tls.source.cert")
        key = _private_key(tls.key, "tls.source.key")
        if certificate is not None and key is not None:
            leaf = x509.load_pem_x509_certificate(certificate)
            if load_pem_private_key(key, None).public_key() != leaf.public_key():
                raise ConfigError(
                    "tls.source: certificate and key do not belong together", field="tls.source"
                )
        roots = _certificates(self._authorities, where)
        bundles = None
        if roots is not None and self._domains:
            try:
                bundles = bundles_of_pem(roots, self._domains)
            except PySpiffeError as error:
                raise ConfigError(f"{where}: {error}", field=where) from error
            roots = trust_bytes(bundles)
        return TlsMaterial(certificate, key, roots, bundles)


def _certificates(material: Material | None, where: str) -> bytes | None:
    """The certificates of a file or text, PEM, without comments: libraries do not take each encoding."""
    if material is None:
        return None
    data = material.load(where)
    try:
        return plain_pem(data)
    except Malformed as exc:
        raise ConfigError(f"{where}: {material.path or 'the text'}: {exc}", field=where) from exc


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


def _spiffe_ids(peers: SpiffePeers | None) -> tuple[SpiffeId, ...]:
    if peers is None or peers.spiffe_id is None:
        return ()
    try:
        return (SpiffeId(peers.spiffe_id),)
    except PySpiffeError as error:
        raise ConfigError(f"tls target_spiffe_id: {error}", field="tls.target_spiffe_id") from error


def _trust_domains(peers: SpiffePeers | None) -> tuple[TrustDomain, ...]:
    if peers is None:
        return ()
    try:
        return tuple(TrustDomain.named(name) for name in peers.trust_domains)
    except PySpiffeError as error:
        raise ConfigError(f"tls trust_domains: {error}", field="tls.trust_domains") from error
