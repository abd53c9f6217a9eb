"""Keys of our own: peers and a backbone (`backbone.md`), and limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.routing.shares import NODE_BOUND, PEER_BOUND
from gateway.config.address import split
from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section
from gateway.config.tls import TLS, TlsConfig
from identity.errors import ConfigError

PEERS = Table(
    "peers",
    Key("loopback", "nodes of this machine may come in", Kind.SWITCH,
        shown="true unless another key is given"),
    Key("identities", "TLS identities that may come in: SPIFFE IDs, or names in client certificates",
        Kind.TEXTS, shown="none"),
    Key("subjects", "subjects of tokens, or users, that may come in; auth of the listener proves them",
        Kind.TEXTS, shown="none"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PeersConfig:
    """Who may come in as a node, in place of an application."""

    loopback: bool | None = None
    """None: where no other key is given. The rules by name then take a node of this machine for anybody."""
    identities: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    @classmethod
    def read(cls, section: Section | None) -> PeersConfig:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return cls()
        return cls(**PEERS.read(section))


BACKBONE = Table(
    "backbone",
    Key("url", "nats://HOST:PORT or tls://HOST:PORT, several with commas", required=True,
        example="nats://127.0.0.1:4222"),
    Key("tls", "encryption, as of a client", Kind.SECTION, inner=TLS, reader=TlsConfig.read),
    Key("credentials", "a credentials file"),
    Key("nkey", "a file of an nkey seed"),
    Key("username", "a user of the NATS servers"),
    Key("password", "and its password", Kind.SECRET),
    Key("token", "a token that the NATS servers take", Kind.SECRET),
    Key("require_mls", "payloads that do not look encrypted from end to end stay off the backbone",
        Kind.SWITCH, False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """Where NATS is, and who we are there."""

    urls: tuple[str, ...]
    tls: TlsConfig = field(default_factory=TlsConfig)
    credentials: str | None = None
    nkey: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    require_mls: bool = False

    @classmethod
    def read(cls, section: Section | None) -> BackboneConfig | None:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return None
        where, values = section.at("url"), BACKBONE.read(section)
        urls = tuple(url.strip() for url in (values.pop("url") or "").split(",") if url.strip())
        if not urls:
            raise ConfigError(f"{where}: required, such as nats://127.0.0.1:4222", field=where)
        for url in urls:
            parts, _ = split(url, where)
            if parts.scheme not in ("nats", "tls") or not parts.hostname:
                raise ConfigError(f"{where}: expected nats://HOST:PORT or tls://HOST:PORT", field=where)
            if parts.username is not None:
                # A URL is shown in logs and lists.
                raise ConfigError(f"{where}: say user and password by their own keys", field=where)
        ways = [key for key in ("credentials", "nkey", "username", "token") if values[key]]
        if len(ways) > 1:
            raise ConfigError(
                f"{section.at(ways[1])}: one way to say who we are: {' or '.join(ways)}",
                field=section.at(ways[1]),
            )
        if (values["username"] is None) != (values["password"] is None):
            raise ConfigError(
                f"{section.at('username')}: username and password belong together",
                field=section.at("username"),
            )
        return cls(urls, **values)


CONNECTIONS = 10_000

LIMITS = Table(
    "limits",
    Key("subscriptions", "names that all peers together may subscribe to", Kind.COUNT, NODE_BOUND),
    Key("subscriptions_per_peer", "names that one peer may subscribe to", Kind.COUNT, PEER_BOUND),
    Key("applications_per_peer", "applications that one peer, a TCP connection, may bring", Kind.COUNT,
        shown="as its subscriptions"),
    Key("connections", "streams that others have open; one more is refused", Kind.COUNT, CONNECTIONS),
    Key("connections_per_address", "of these, from one address", Kind.COUNT, shown="no limit"),
    Key("messages_per_second", "that may come over one connection; a faster one has to wait", Kind.COUNT,
        shown="no limit"),
    Key("bytes_per_second", "that may come over one connection; a faster one has to wait", Kind.COUNT,
        shown="no limit"),
    Key("memory", "bytes of memory at which senders are held back, until it is 90 % of that", Kind.COUNT,
        shown="85 % of the container's"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What anybody may have of the node; None: no limit of its own."""

    subscriptions: int = NODE_BOUND
    subscriptions_per_peer: int = PEER_BOUND
    applications_per_peer: int | None = None
    connections: int = CONNECTIONS
    connections_per_address: int | None = None
    messages_per_second: int | None = None
    bytes_per_second: int | None = None
    memory: int | None = None

    @classmethod
    def read(cls, section: Section | None) -> LimitsConfig:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return cls()
        made = cls(**LIMITS.read(section))
        if made.subscriptions_per_peer > made.subscriptions:
            where = section.at("subscriptions_per_peer")
            raise ConfigError(f"{where}: at most those of all peers, {made.subscriptions}", field=where)
        return made
