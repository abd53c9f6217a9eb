"""The `tls` section of a listener or a link (`api.md` 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Material, Section
from identity.errors import ConfigError

_AGENT = (
    Key("socket_path", "the Workload API of a SPIFFE agent", shown="$SPIFFE_ENDPOINT_SOCKET"),
    Key("target_spiffe_id", "which identity: of our own as a source, of the peer as an authority"),
    Key("jwt_audiences", "read with the rest of a `spire` section; TLS has no audiences", Kind.TEXTS),
    Key("trust_domains", "whose authorities", Kind.TEXTS, shown="that of our own identity"),
)
_NONE = Table("none")
SOURCE = Table(
    "source",
    Key("type", "where the own certificate comes from", default="file"),
    variants={
        "file": Table(
            "file",
            Key("cert", "file of a certificate chain, PEM"),
            Key("key", "file of its private key, PEM"),
        ),
        "pem": Table("pem", Key("cert", "the chain itself"), Key("key", "the key itself", Kind.SECRET)),
        "spire": Table("spire", *_AGENT),
        "none": _NONE,
    },
)
_BY_ID = (
    Key("trust_domains", "peers show SPIFFE IDs of these domains instead of host names", Kind.TEXTS),
    Key("target_spiffe_id", "and this ID", shown="any"),
)
AUTHORITIES = Table(
    "authorities",
    Key("type", "where the authorities come from", default="file"),
    variants={
        "file": Table("file", Key("path", "file of certificates, PEM"), *_BY_ID),
        "pem": Table("pem", Key("data", "the certificates themselves"), *_BY_ID),
        "spire": Table("spire", *_AGENT),
        "none": _NONE,
    },
)
TLS = Table(
    "tls",
    Key("insecure", "no TLS at all", Kind.SWITCH, False),
    Key("source", "the own certificate; a listener needs one", Kind.SECTION, inner=SOURCE),
    Key("ca_source", "of a link: authorities that a server is checked by", Kind.SECTION, inner=AUTHORITIES),
    Key(
        "client_ca", "of a listener: demand client certificates, of these authorities",
        Kind.SECTION, inner=AUTHORITIES,
    ),
    Key(
        "include_system_ca_certs_pool", "of a link: authorities of the system count too", Kind.SWITCH, True
    ),
    Key("insecure_skip_verify", "of a link: take any server certificate", Kind.SWITCH, False),
    Key("tls_version", "the oldest version that is spoken", default="tls1.3", choices=("tls1.2", "tls1.3")),
    Key(
        "reload_interval", "files are read again for a new handshake, at most this often",
        Kind.SECONDS, 0.0, shown="each time",
    ),
    Key(
        "reload_client_ca_file", "of a listener", Kind.SWITCH, False,
        without_effect="files of authorities are always read again, as reload_interval says",
    ),
    Key("cert_file", "older: source.cert"),
    Key("cert_pem", "older: source.cert, as text"),
    Key("key_file", "older: source.key"),
    Key("key_pem", "older: source.key, as text", Kind.SECRET),
    Key("ca_file", "older: ca_source.path"),
    Key("ca_pem", "older: ca_source.data"),
    Key("client_ca_file", "older: client_ca.path"),
    Key("client_ca_pem", "older: client_ca.data"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpireSource:
    """Certificates and authorities from a SPIFFE Workload API."""

    socket_path: str | None = None
    target_spiffe_id: str | None = None
    jwt_audiences: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: dict[str, Any]) -> SpireSource:
        """From what a section of type `spire` says."""
        return cls(**{name: values[name] for name in cls.__slots__})


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

    @property
    def names_material(self) -> bool:
        """Whether anything is said of certificates or authorities."""
        return any((self.certificate, self.ca, self.client_ca, self.spire, self.ca_spire, self.peers))

    @classmethod
    def read(cls, section: Section | None) -> TlsConfig:
        """Both published spellings: nested sources, and the older flat keys. Raises ConfigError."""
        if section is None:
            return cls()
        nested = {key: section.section(key) for key in ("source", "ca_source", "client_ca")}
        values = TLS.read(section)
        certificate, key, spire = _source(nested["source"], values, section.at("source"))
        ca, ca_spire, servers = _authorities(nested["ca_source"], values, "ca_file", "ca_pem")
        client_ca, client_spire, clients = _authorities(
            nested["client_ca"], values, "client_ca_file", "client_ca_pem"
        )
        made = cls(
            insecure=values["insecure"],
            insecure_skip_verify=values["insecure_skip_verify"],
            certificate=certificate,
            key=key,
            ca=ca,
            client_ca=client_ca,
            include_system_ca_certs_pool=values["include_system_ca_certs_pool"],
            tls_version=values["tls_version"],
            reload_interval=values["reload_interval"] or None,
            spire=spire,
            ca_spire=ca_spire or client_spire,
            peers=servers or clients,
        )
        if made.insecure and made.names_material:
            section.note("insecure", "certificates and authorities are named beside it, and not used")
        return made


def _variant(section: Section, table: Table) -> tuple[str, dict[str, Any]]:
    """The `type` of a section and what it says besides. Raises ConfigError."""
    kind = table.key("type").read(section)
    found = table.variants.get(kind)
    if found is None:
        raise ConfigError(
            f'{section.at("type")}: "file", "pem" or "spire", got {kind!r}', field=section.at("type")
        )
    return kind, found.read(section)


def _source(
    nested: Section | None, flat: dict[str, Any], where: str
) -> tuple[Material | None, Material | None, SpireSource | None]:
    """An own certificate and its key."""
    certificate, key = _material(flat, "cert_file", "cert_pem"), _material(flat, "key_file", "key_pem")
    spire = None
    if nested is not None:
        kind, values = _variant(nested, SOURCE)
        if kind == "spire":
            spire = SpireSource.of(values)
        elif kind != "none":
            certificate, key = _as(kind, values["cert"]), _as(kind, values["key"])
    if (certificate is None) != (key is None):
        missing = "key" if key is None else "certificate"
        raise ConfigError(f"{where}: the {missing} is missing", field=where)
    return certificate, key, spire


def _authorities(
    nested: Section | None, flat: dict[str, Any], file_key: str, pem_key: str
) -> tuple[Material | None, SpireSource | None, SpiffePeers | None]:
    """Authorities to check peers by. Those of a SPIFFE trust domain check SPIFFE IDs: what an agent gives,
    and a file or text with `trust_domains` (several, if each authority in it names its own)."""
    older = _material(flat, file_key, pem_key)
    if nested is None:
        return older, None, None
    kind, values = _variant(nested, AUTHORITIES)
    if kind == "none":
        return older, None, None
    if kind == "spire":
        spire = SpireSource.of(values)
        return older, spire, SpiffePeers(spire.trust_domains, spire.target_spiffe_id)
    member = "path" if kind == "file" else "data"
    if values[member] is None:
        raise ConfigError(f"{nested.at(member)}: required", field=nested.at(member))
    domains, expected = values["trust_domains"], values["target_spiffe_id"]
    if expected and not domains:
        raise ConfigError(
            f"{nested.at('target_spiffe_id')}: give trust_domains as well, with its trust domain",
            field=nested.at("target_spiffe_id"),
        )
    return _as(kind, values[member]), None, SpiffePeers(domains, expected) if domains else None


def _material(values: dict[str, Any], file_key: str, pem_key: str) -> Material | None:
    path, text = values[file_key], values[pem_key]
    return Material(path=path) if path else Material(text=text) if text else None


def _as(kind: str, value: str | None) -> Material | None:
    if value is None:
        return None
    return Material(path=value) if kind == "file" else Material(text=value)
