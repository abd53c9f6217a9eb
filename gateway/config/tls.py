"""The `tls` section of a listener or a link (`api.md` 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.section import Material, Section, texts
from identity.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SpireSource:
    """Certificates and authorities from a SPIFFE Workload API."""

    socket_path: str | None = None
    target_spiffe_id: str | None = None
    jwt_audiences: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()

    @classmethod
    def read(cls, section: Section) -> SpireSource:
        """The members of a section; its `type` is read, and its end checked, by the caller."""
        return cls(
            section.take("socket_path", str, None),
            section.take("target_spiffe_id", str, None),
            texts(section, "jwt_audiences"),
            texts(section, "trust_domains"),
        )


@dataclass(frozen=True, slots=True)
class SpiffePeers:
    """Peers are to show X.509 SVIDs: which trust domains, and which identity of them, by default any."""

    trust_domains: tuple[str, ...] = ()
    """Empty: the domain of the agent's own identity."""
    spiffe_id: str | None = None


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS of a listener or a link. `insecure`: none at all."""

    insecure: bool = False
    insecure_skip_verify: bool = False
    certificate: Material | None = None
    key: Material | None = field(default=None, repr=False)
    ca: Material | None = None
    client_ca: Material | None = None
    include_system_ca_certs_pool: bool = True
    tls_version: str = "tls1.3"
    reload_interval: float | None = None
    spire: SpireSource | None = None
    """The own certificate comes from this agent."""
    ca_spire: SpireSource | None = None
    """The authorities to check peers by come from this agent."""
    peers: SpiffePeers | None = None
    """Check peers by their SPIFFE ID, not by a host name."""

    @classmethod
    def read(cls, section: Section | None) -> TlsConfig:
        """Both published spellings: nested sources, and the older flat keys."""
        if section is None:
            return cls()
        certificate, key, spire = _source(section)
        ca, ca_spire, servers = _authorities(section, "ca_source", "ca_file", "ca_pem")
        client_ca, client_spire, clients = _authorities(
            section, "client_ca", "client_ca_file", "client_ca_pem"
        )
        version = section.take("tls_version", str, "tls1.3")
        if version not in ("tls1.2", "tls1.3"):
            raise ConfigError(
                f'{section.at("tls_version")}: "tls1.2" or "tls1.3", got {version!r}', field="tls_version"
            )
        reload_interval = section.seconds("reload_interval", 0.0) or None
        made = cls(
            insecure=section.take("insecure", bool, False),
            insecure_skip_verify=section.take("insecure_skip_verify", bool, False),
            certificate=certificate,
            key=key,
            ca=ca,
            client_ca=client_ca,
            include_system_ca_certs_pool=section.take("include_system_ca_certs_pool", bool, True),
            tls_version=version,
            reload_interval=reload_interval,
            spire=spire,
            ca_spire=ca_spire or client_spire,
            peers=servers or clients,
        )
        section.end()
        return made


def _source(section: Section) -> tuple[Material | None, Material | None, SpireSource | None]:
    """An own certificate and its key."""
    nested = section.section("source")
    flat_cert = _material(section, "cert_file", "cert_pem")
    flat_key = _material(section, "key_file", "key_pem")
    certificate, key, spire = flat_cert, flat_key, None
    if nested is not None:
        kind = nested.take("type", str, "file")
        if kind == "spire":
            spire = SpireSource.read(nested)
        elif kind in ("file", "pem"):
            cert_text, key_text = nested.take("cert", str, None), nested.take("key", str, None)
            certificate = _as(kind, cert_text)
            key = _as(kind, key_text)
        elif kind != "none":
            raise ConfigError(
                f'{nested.at("type")}: "file", "pem" or "spire", got {kind!r}', field=nested.at("type")
            )
        nested.end()
    if (certificate is None) != (key is None):
        missing = "key" if key is None else "certificate"
        raise ConfigError(f"{section.at('source')}: the {missing} is missing", field=section.at("source"))
    return certificate, key, spire


def _authorities(
    section: Section, key: str, file_key: str, pem_key: str
) -> tuple[Material | None, SpireSource | None, SpiffePeers | None]:
    """Authorities to check peers by. Those of a SPIFFE trust domain check SPIFFE IDs: what an agent gives,
    and a file or text with `trust_domains` (several, if each authority in it names its own)."""
    nested = section.section(key)
    flat = _material(section, file_key, pem_key)
    if nested is None:
        return flat, None, None
    kind = nested.take("type", str, "file")
    material, spire, peers = None, None, None
    if kind == "spire":
        spire = SpireSource.read(nested)
        peers = SpiffePeers(spire.trust_domains, spire.target_spiffe_id)
    elif kind in ("file", "pem"):
        member = "path" if kind == "file" else "data"
        material = _as(kind, nested.take(member, str, None))
        if material is None:
            raise ConfigError(f"{nested.at(member)}: required", field=nested.at(member))
        domains = texts(nested, "trust_domains")
        expected = nested.take("target_spiffe_id", str, None)
        if domains:
            peers = SpiffePeers(domains, expected)
        elif expected:
            raise ConfigError(
                f"{nested.at('target_spiffe_id')}: give trust_domains as well, with its trust domain",
                field=nested.at("target_spiffe_id"),
            )
    elif kind != "none":
        raise ConfigError(
            f'{nested.at("type")}: "file", "pem" or "spire", got {kind!r}', field=nested.at("type")
        )
    nested.end()
    return material or flat, spire, peers


def _material(section: Section, file_key: str, pem_key: str) -> Material | None:
    path, text = section.take(file_key, str, None), section.take(pem_key, str, None)
    return Material(path=path) if path else Material(text=text) if text else None


def _as(kind: str, value: str | None) -> Material | None:
    if value is None:
        return None
    return Material(path=value) if kind == "file" else Material(text=value)
