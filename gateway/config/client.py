"""Where and how to dial (`api.md` 3.1)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from actors.names import Name
from gateway.config.address import SIMULATED, no_credentials, required, split, unix_path
from gateway.config.auth import AuthConfig, auth_table
from gateway.config.backoff import BACKOFF, Backoff
from gateway.config.keys import Key, Kind, Table
from gateway.config.proxy import PROXY, ProxyConfig
from gateway.config.section import Section
from gateway.config.tls import TLS, TlsConfig
from gateway.config.transport import MAX_MESSAGE_SIZE, TRANSPORT, Keepalive, metadata
from identity.errors import ConfigError
from identity.randomness import ambient

DIAL_TIMEOUT = 20.0
"""Seconds for a dial where neither `connect_timeout` nor `request_timeout` is set."""
ADDRESS_WAIT = 3.0
"""Seconds for a dial to one of several addresses, before the next is tried."""

_ONE_CALL = "a connection is one call here, which is never held back"

KEEPALIVE = Table(
    "keepalive of a link",
    Key("http2_keepalive", "time between pings in silence; 0: none", Kind.SECONDS, 20.0, shown="20s"),
    Key("timeout", "how long an answer may take", Kind.SECONDS, 10.0, shown="10s"),
    Key(
        "keep_alive_while_idle", "ping while there is no stream too", Kind.SWITCH, False,
        aliases=("permit_without_stream",),
    ),
    Key("tcp_keepalive", "time between TCP's own probes", Kind.SECONDS, 60.0, shown="60s"),
)  # fmt: skip


def _keepalive(section: Section | None) -> Keepalive:
    """A network that dies without a word is noticed: by default within half a minute."""
    values = KEEPALIVE.read(section or Section({}, "keepalive"))
    return Keepalive(
        ping=values["http2_keepalive"],
        timeout=values["timeout"],
        while_idle=values["keep_alive_while_idle"],
        tcp=values["tcp_keepalive"],
    )


CLIENT = Table(
    "client",
    Key("endpoint", "http://HOST:PORT, https://HOST:PORT or unix:///PATH", required=True,
        example="http://127.0.0.1:46358"),
    Key("alternatives", "further endpoints of the same service: the next is taken when one is gone",
        Kind.TEXTS, shown="none"),
    Key("tls", "encryption; absent: TLS with the authorities of the system", Kind.SECTION, inner=TLS,
        reader=TlsConfig.read),
    Key("auth", "what is shown when connecting", Kind.SECTION, inner=auth_table(), reader=AuthConfig.read),
    Key("origin", "the authority of requests, in place of the endpoint's"),
    Key("server_name", "the name that the certificate is checked for, in place of the endpoint's host"),
    Key("headers", "further headers of requests", Kind.MAP, shown="none"),
    Key("keepalive", "pings, which show a dead network", Kind.SECTION, inner=KEEPALIVE, reader=_keepalive),
    Key("connect_timeout", "how long a dial may take; with neither timeout, 20 s (4 s to a node)",
        Kind.SECONDS, 0.0, aliases=("connection_timeout",), shown="0s"),
    Key("request_timeout", "added to connect_timeout", Kind.SECONDS, 0.0, shown="0s"),
    Key("backoff", "when to dial again", Kind.SECTION, inner=BACKOFF, reader=Backoff.read),
    Key("link_id", "a UUID, version 4, by which the peer knows this link again", shown="random"),
    Key("max_message_size", "bytes of the largest message", Kind.COUNT, MAX_MESSAGE_SIZE),
    Key("proxy", "the way out through a proxy", Kind.SECTION, inner=PROXY, reader=ProxyConfig.read),
    TRANSPORT,
    Key("metadata", "free values, kept with the connection", Kind.FREE, shown="none"),
    Key("peer", "the other end is a node of ours, and this link one between peers", Kind.SWITCH, False),
    Key("announce", "the names of our edges are subscribed there: of one original node", Kind.SWITCH, False),
    Key("routes", "names, as org/ns/app or org/ns/app/5, whose messages leave by this link", Kind.TEXTS,
        shown="none"),
    Key("websocket_auth_query_param", "",
        not_ours="it belongs to the WebSocket transport, which is not spoken here: show a token by auth"),
    Key("compression", "", Kind.ANY, without_effect="messages are not compressed, by the original neither"),
    Key("rate_limit", "", Kind.ANY, without_effect=_ONE_CALL),
    Key("buffer_size", "", Kind.ANY, without_effect=_ONE_CALL),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where and how to dial."""

    endpoint: str
    alternatives: tuple[str, ...] = ()
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    origin: str | None = None
    server_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keepalive: Keepalive = field(default_factory=lambda: _keepalive(None))
    connect_timeout: float = 0.0
    request_timeout: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    link_id: str = field(default_factory=lambda: _new_link_id())
    max_message_size: int = MAX_MESSAGE_SIZE
    proxy: ProxyConfig | None = None
    transport: str = TRANSPORT.default
    metadata: Mapping[str, Any] = field(default_factory=dict)
    peer: bool = False
    announce: bool = False
    routes: tuple[Name, ...] = ()

    @classmethod
    def read(cls, value: object) -> ClientConfig:
        """Check a dict, or a Section. Raises ConfigError naming the key at fault."""
        section = value if isinstance(value, Section) else Section(value, "")
        endpoint = required(section, "endpoint", "http://127.0.0.1:46357")
        values = CLIENT.read(section) | {"endpoint": endpoint}
        values["alternatives"] = tuple(values["alternatives"])
        values["link_id"] = _link_id(values["link_id"], section.at("link_id"))
        values["metadata"] = metadata(values["metadata"], section.at("metadata"))
        values["routes"] = tuple(_route(text, section.at("routes")) for text in values["routes"])
        for key in ("websocket_auth_query_param", "compression", "rate_limit", "buffer_size"):
            del values[key]
        made = cls(**values)
        made._check(section)
        return made

    def _check(self, section: Section) -> None:
        """What keys say together. Raises ConfigError."""

        def refuse(key: str, text: str) -> None:
            raise ConfigError(f"{section.at(key)}: {text}", field=section.at(key))

        if self.auth.key is not None and self.auth.key.role != "encoding":
            refuse("auth.key.type", 'a client signs: give a key of type "encoding"')
        if self.proxy is not None and self.proxy.headers and self.transport == "grpc":
            refuse("proxy.headers", 'the gRPC library sends none; set "transport": "fast"')
        _target(self.endpoint, section.at("endpoint"))
        scheme = split(self.endpoint)[0].scheme
        for other in self.alternatives:
            _target(other, section.at("alternatives"))
            if (split(other)[0].scheme == "https") != (scheme == "https"):
                refuse("alternatives", "https:// for all of them and the endpoint, or for none")
        if scheme == "http" and self.tls.names_material and not self.tls.insecure:
            refuse(
                "endpoint",
                "http:// is not encrypted, but tls names certificates or authorities: write https://, or say "
                '"insecure": true in tls',
            )
        if scheme == "https" and self.tls.insecure:
            section.note("tls.insecure", "the connection is not encrypted, whatever https:// says")
        if self.peer and (self.announce or self.routes):
            refuse("peer", "peers tell one another their names: leave announce and routes out")

    def each(self) -> list[ClientConfig]:
        """One configuration for each address; with several, none is waited for as long as for one."""
        if not self.alternatives:
            return [self]
        wait = self.connect_timeout or (0.0 if self.request_timeout else ADDRESS_WAIT)
        return [
            replace(self, endpoint=endpoint, alternatives=(), connect_timeout=wait)
            for endpoint in dict.fromkeys((self.endpoint, *self.alternatives))
        ]

    @property
    def dial_timeout(self) -> float:
        """Seconds that a dial may take, until the peer has accepted the stream."""
        return self.connect_timeout + self.request_timeout or DIAL_TIMEOUT

    @property
    def plaintext(self) -> bool:
        """Whether the stream is not encrypted: said by `tls.insecure`, or by an http or unix endpoint."""
        return self.tls.insecure or split(self.endpoint)[0].scheme in ("http", "unix", SIMULATED)

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        return _target(self.endpoint, "endpoint")


def _target(endpoint: str, where: str) -> tuple[str, int] | str:
    parts, port = split(endpoint, where)
    no_credentials(parts, where)
    if path := unix_path(parts):
        return path
    if parts.scheme not in ("", "http", "https", SIMULATED) or not parts.hostname:
        raise ConfigError(
            f"{where}: expected http(s)://HOST:PORT or unix:///PATH, got {endpoint!r}", field=where
        )
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _new_link_id() -> str:
    return str(uuid.UUID(bytes=ambient()(16), version=4))


def _link_id(text: str | None, where: str) -> str:
    if text is None:
        return _new_link_id()
    try:
        valid = uuid.UUID(text).version == 4
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{where}: expected a UUID version 4, got {text!r}", field=where)
    return text


def _route(text: str, where: str) -> Name:
    try:
        return Name.parse(text)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}", field=where) from exc
