"""Where and how to listen (`api.md` 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.address import SIMULATED, no_credentials, required, split, unix_path
from gateway.config.auth import AuthConfig, auth_table
from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section
from gateway.config.tls import TLS, TlsConfig
from gateway.config.transport import MAX_MESSAGE_SIZE, MIB, TRANSPORT, Keepalive, metadata
from identity.errors import ConfigError
from identity.provider import IdentityVerifier

KEEPALIVE = Table(
    "keepalive of a listener",
    Key("time", "time between pings of a silent connection; 0: none", Kind.SECONDS, 30.0, shown="30s"),
    Key("timeout", "how long an answer may take", Kind.SECONDS, 20.0, shown="20s"),
    Key("max_connection_age", "a connection is asked to end after this", Kind.SECONDS, 7200.0, shown="2h"),
    Key("max_connection_age_grace", "and ended after this", Kind.SECONDS, 300.0, shown="5m"),
    Key("max_connection_idle", "a connection without a stream is kept this long", Kind.SECONDS, 3600.0,
        shown="1h"),
)  # fmt: skip


def _keepalive(section: Section | None) -> Keepalive:
    values = KEEPALIVE.read(section or Section({}, "keepalive"))
    return Keepalive(
        ping=values["time"],
        timeout=values["timeout"],
        max_connection_age=values["max_connection_age"],
        max_connection_age_grace=values["max_connection_age_grace"],
        max_connection_idle=values["max_connection_idle"],
    )


_UNBUFFERED = "sizes of buffers are those of the windows, by the original too"

SERVER = Table(
    "server",
    Key("endpoint", "HOST:PORT or unix:///PATH; port 0 takes a free one", required=True,
        example="127.0.0.1:46357"),
    Key("tls", "encryption: a certificate, or insecure", Kind.SECTION, inner=TLS, reader=TlsConfig.read),
    Key("auth", "what is demanded of who connects", Kind.SECTION, inner=auth_table(), reader=AuthConfig.read),
    Key("keepalive", "pings, and the life of connections", Kind.SECTION, inner=KEEPALIVE, reader=_keepalive),
    Key("max_message_size", "bytes of the largest message", Kind.COUNT, MAX_MESSAGE_SIZE),
    Key("max_frame_size", "MiB of the largest frame", Kind.COUNT, 4, aliases=("max_recv_msg_size",)),
    Key("max_concurrent_streams", "streams of one connection", Kind.COUNT, 100),
    Key("max_header_list_size", "bytes of a request's headers", Kind.COUNT, 16 * 1024),
    TRANSPORT,
    Key("metadata", "free values; a controller is told local_endpoint, external_endpoint and trust_domain",
        Kind.FREE, shown="none"),
    Key("http2_only", "", Kind.ANY, without_effect="nothing but HTTP/2 is spoken"),
    Key("read_buffer_size", "", Kind.ANY, without_effect=_UNBUFFERED),
    Key("write_buffer_size", "", Kind.ANY, without_effect=_UNBUFFERED),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how to listen."""

    endpoint: str
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    keepalive: Keepalive = field(default_factory=lambda: _keepalive(None))
    max_frame_size: int = 4 * MIB
    max_concurrent_streams: int = 100
    max_header_list_size: int = 16 * 1024
    max_message_size: int = MAX_MESSAGE_SIZE
    transport: str = TRANSPORT.default
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object) -> ServerConfig:
        """Check a dict, or a Section. Raises ConfigError naming the key at fault."""
        section = value if isinstance(value, Section) else Section(value, "")
        endpoint = required(section, "endpoint", "127.0.0.1:46357")
        values = SERVER.read(section) | {"endpoint": endpoint}
        values["max_frame_size"] *= MIB
        values["metadata"] = metadata(values["metadata"], section.at("metadata"))
        for key in ("http2_only", "read_buffer_size", "write_buffer_size"):
            del values[key]
        made = cls(**values)
        made._check(section)
        return made

    def _check(self, section: Section) -> None:
        """What keys say together. Raises ConfigError."""
        _target(self.endpoint, section.at("endpoint"))
        auth = self.auth
        unverified = auth.kind not in ("none", "basic") and IdentityVerifier.of_kind(auth.kind) is None
        if unverified or (auth.key is not None and auth.key.role == "encoding"):
            raise ConfigError(
                f'{section.at("auth")}: a server verifies: "basic", "jwt" with a "decoding" or "autoresolve" '
                'key, "spire" or "shared_secret"',
                field=section.at("auth"),
            )
        simulated = split(self.endpoint)[0].scheme == SIMULATED
        if (
            not simulated
            and not self.tls.insecure
            and self.tls.certificate is None
            and self.tls.spire is None
        ):
            raise ConfigError(
                f'{section.at("tls")}: a server needs a certificate ("source" with cert and key) or '
                '"insecure": true',
                field=section.at("tls"),
            )

    @property
    def any_port(self) -> bool:
        """Whether it takes a free port, another one each time."""
        return split(self.endpoint)[1] == 0

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        return _target(self.endpoint, "endpoint")


def _target(endpoint: str, where: str) -> tuple[str, int] | str:
    parts, port = split(endpoint, where)
    no_credentials(parts, where)
    if path := unix_path(parts):
        return path
    if parts.scheme == SIMULATED and parts.hostname:
        return parts.hostname, port or 0
    if parts.scheme == "unix" or not parts.hostname or port is None:
        raise ConfigError(f"{where}: expected HOST:PORT, got {endpoint!r}", field=where)
    return parts.hostname, port
