"""Where and how to dial and to listen (`api.md` 3.1)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from gateway.config.auth import AuthConfig
from gateway.config.section import Section, duration
from gateway.config.tls import TlsConfig
from identity.errors import ConfigError
from identity.provider import IdentityVerifier

MIB = 1024 * 1024
MAX_MESSAGE_SIZE = 4 * MIB

DIAL_TIMEOUT = 20.0
"""Seconds for a dial where neither `connect_timeout` nor `request_timeout` is set."""

SCHEMES = ("", "http", "https", "sim")
"""`sim` is a network that a test hands in (`gateway.testing`)."""
TRANSPORTS = ("fast", "grpc")
"""`fast` is our own HTTP/2 framing, `grpc` the gRPC library; peers cannot tell them apart."""
DEFAULT_TRANSPORT = "fast"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Times in seconds; 0 is off. The client's are None altogether unless configured."""

    ping: float
    timeout: float
    while_idle: bool = False
    max_connection_age: float = 0.0
    max_connection_age_grace: float = 300.0
    max_connection_idle: float = 0.0
    tcp: float = 0.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Times between attempts to connect, in seconds; `max_attempts` 0 is without end.

    Delays grow by `factor` from `base` to `max_delay`; jitter takes up to half of each away, so that many
    clients do not come back in step. The original tries once a second: programs count on being back within
    two seconds of a restart, whatever it took. Raising `max_delay` spares a node that is gone for long.
    """

    base: float = 0.1
    factor: float = 2.0
    max_delay: float = 1.0
    max_attempts: int = 0
    jitter: bool = True

    def delay(self, attempt: int, random: float) -> float:
        """Seconds before attempt number `attempt` (0 is the first); `random` is in [0, 1)."""
        full: float = min(self.max_delay, self.base * self.factor ** min(attempt, 64))
        return full * (1 - 0.5 * random) if self.jitter else full

    @classmethod
    def read(cls, section: Section | None) -> Backoff:
        if section is None:
            return cls()
        kind = section.take("type", str, None)
        if kind not in (None, "fixed", "exponential"):
            raise ConfigError(
                f'{section.at("type")}: "exponential" or "fixed", got {kind!r}', field=section.at("type")
            )
        if kind == "fixed" or section.has("interval"):
            interval = section.seconds("interval", 1.0)
            made = cls(interval, 1.0, interval, section.count("max_attempts", 0, least=0), jitter=False)
        else:
            base = section.take("base", (int, float, str, timedelta), 100)
            factor = float(section.take("factor", (int, float), 2.0))
            if not 1.0 <= factor <= 100.0:
                raise ConfigError(
                    f"{section.at('factor')}: from 1 to 100, got {factor:g}", field=section.at("factor")
                )
            made = cls(
                # A bare number is milliseconds here, as it is for the original.
                duration(base / 1000 if isinstance(base, int | float) else base, section.at("base")),
                factor,
                section.seconds("max_delay", 1.0),
                section.count("max_attempts", 0, least=0),
                section.take("jitter", bool, True),
            )
        section.end()
        return made


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """An HTTP proxy that is asked to CONNECT. `headers` are sent to it."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def url(self) -> str:
        """With the credentials, as the gRPC library wants it."""
        credentials = f"{quote(self.username, '')}:{quote(self.password, '')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{credentials}{host}:{self.port}"

    @classmethod
    def read(cls, section: Section | None) -> ProxyConfig | None:
        if section is None:
            return None
        where = section.at("url")
        url = section.take("url", str, "")
        username, password = section.take("username", str, ""), section.take("password", str, "")
        headers = section.texts_by_key("headers")
        section.ignore("tls")
        section.end()
        if not url:
            return None
        parts, port = _split(url, where)
        if parts.scheme != "http" or not parts.hostname:
            # Not repeated: it may hold a password.
            raise ConfigError(f"{where}: expected http://HOST:PORT", field=where)
        return cls(
            parts.hostname,
            port or 80,
            username or unquote(parts.username or ""),
            password or unquote(parts.password or ""),
            headers,
        )


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where and how to dial."""

    endpoint: str
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    origin: str | None = None
    server_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keepalive: Keepalive | None = None
    connect_timeout: float = 0.0
    request_timeout: float = 0.0
    backoff: Backoff = Backoff()
    link_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    max_message_size: int = MAX_MESSAGE_SIZE
    proxy: ProxyConfig | None = None
    transport: str = DEFAULT_TRANSPORT
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object) -> ClientConfig:
        """Check a dict. Raises ConfigError naming the key at fault."""
        section = Section(value, "")
        endpoint = section.take("endpoint", str, None)
        if not endpoint:
            raise ConfigError("endpoint: required, such as http://127.0.0.1:46357", field="endpoint")
        keepalive = None
        if (part := section.section("keepalive")) is not None:
            keepalive = Keepalive(
                ping=part.seconds("http2_keepalive", 60.0),
                timeout=part.seconds("timeout", 10.0),
                while_idle=part.take("keep_alive_while_idle", bool, False),
                tcp=part.seconds("tcp_keepalive", 60.0),
            )
            part.end()
        link_id = section.take("link_id", str, None) or str(uuid.uuid4())
        made = cls(
            endpoint=endpoint,
            tls=TlsConfig.read(section.section("tls")),
            auth=AuthConfig.read(section.section("auth")),
            origin=section.take("origin", str, None),
            server_name=section.take("server_name", str, None),
            headers=section.texts_by_key("headers"),
            keepalive=keepalive,
            connect_timeout=section.seconds("connect_timeout", 0.0),
            request_timeout=section.seconds("request_timeout", 0.0),
            backoff=Backoff.read(section.section("backoff")),
            link_id=link_id,
            max_message_size=section.count("max_message_size", MAX_MESSAGE_SIZE),
            proxy=ProxyConfig.read(section.section("proxy")),
            transport=_transport(section),
            metadata=dict(section.take("metadata", dict, {})),
        )
        section.ignore("compression", "rate_limit", "buffer_size")
        section.end()
        _check_link_id(made.link_id)
        if made.auth.key is not None and made.auth.key.role != "encoding":
            raise ConfigError(
                'auth.key.type: a client signs: give a key of type "encoding"', field="auth.key.type"
            )
        if made.proxy is not None and made.proxy.headers and made.transport == "grpc":
            raise ConfigError(
                'proxy.headers: the gRPC library sends none; set "transport": "fast"', field="proxy.headers"
            )
        made.target()
        return made

    @property
    def dial_timeout(self) -> float:
        """Seconds that a dial may take, until the peer has accepted the stream."""
        return self.connect_timeout + self.request_timeout or DIAL_TIMEOUT

    @property
    def plaintext(self) -> bool:
        """Whether the stream is not encrypted: said by `tls.insecure`, or by an http or unix endpoint."""
        return self.tls.insecure or _split(self.endpoint)[0].scheme in ("http", "unix", "sim")

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        parts, port = _split(self.endpoint)
        path = parts.path or parts.netloc
        if parts.scheme == "unix" and path:
            return path
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ConfigError(
                f"endpoint: expected http(s)://HOST:PORT or unix:///PATH, got {self.endpoint!r}",
                field="endpoint",
            )
        return parts.hostname, port or (443 if parts.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how to listen."""

    endpoint: str
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    keepalive: Keepalive = Keepalive(120.0, 20.0, max_connection_age=7200.0, max_connection_idle=3600.0)
    max_frame_size: int = 4 * MIB
    max_concurrent_streams: int = 100
    max_header_list_size: int = 16 * 1024
    max_message_size: int = MAX_MESSAGE_SIZE
    transport: str = DEFAULT_TRANSPORT
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object) -> ServerConfig:
        """Check a dict. Raises ConfigError naming the key at fault."""
        section = Section(value, "")
        endpoint = section.take("endpoint", str, None)
        if not endpoint:
            raise ConfigError("endpoint: required, such as 127.0.0.1:46357", field="endpoint")
        part = section.section("keepalive") or Section({}, "keepalive")
        keepalive = Keepalive(
            ping=part.seconds("time", 120.0),
            timeout=part.seconds("timeout", 20.0),
            max_connection_age=part.seconds("max_connection_age", 7200.0),
            max_connection_age_grace=part.seconds("max_connection_age_grace", 300.0),
            max_connection_idle=part.seconds("max_connection_idle", 3600.0),
        )
        part.end()
        made = cls(
            endpoint=endpoint,
            tls=TlsConfig.read(section.section("tls")),
            auth=AuthConfig.read(section.section("auth")),
            keepalive=keepalive,
            max_frame_size=section.count("max_frame_size", 4) * MIB,
            max_concurrent_streams=section.count("max_concurrent_streams", 100),
            max_header_list_size=section.count("max_header_list_size", 16 * 1024),
            max_message_size=section.count("max_message_size", MAX_MESSAGE_SIZE),
            transport=_transport(section),
            metadata=dict(section.take("metadata", dict, {})),
        )
        section.ignore("http2_only", "read_buffer_size", "write_buffer_size")
        section.end()
        made.target()
        auth = made.auth
        unverified = auth.kind not in ("none", "basic") and IdentityVerifier.of_kind(auth.kind) is None
        if unverified or (auth.key is not None and auth.key.role == "encoding"):
            raise ConfigError(
                'auth: a server verifies: "basic", "jwt" with a "decoding" or "autoresolve" key, "spire" or '
                '"shared_secret"',
                field="auth",
            )
        simulated = _split(made.endpoint)[0].scheme == "sim"
        if (
            not simulated
            and not made.tls.insecure
            and made.tls.certificate is None
            and made.tls.spire is None
        ):
            raise ConfigError(
                'tls: a server needs a certificate ("source" with cert and key) or "insecure": true',
                field="tls",
            )
        return made

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        parts, port = _split(self.endpoint)
        path = parts.path or parts.netloc
        if parts.scheme == "unix" and path:
            return path
        if parts.scheme == "sim" and parts.hostname:
            return parts.hostname, port or 0
        if parts.scheme == "unix" or not parts.hostname or port is None:
            raise ConfigError(f"endpoint: expected HOST:PORT, got {self.endpoint!r}", field="endpoint")
        return parts.hostname, port


def _split(address: str, where: str = "endpoint") -> tuple[SplitResult, int | None]:
    """The parts of a URL, or of HOST:PORT alone, and the port. Raises ConfigError."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        return parts, parts.port
    except ValueError as exc:
        raise ConfigError(f"{where}: expected HOST:PORT with a port up to 65535", field=where) from exc


def _transport(section: Section) -> str:
    value = section.take("transport", str, DEFAULT_TRANSPORT)
    if value not in TRANSPORTS:
        raise ConfigError(
            f"{section.at('transport')}: one of {', '.join(TRANSPORTS)}, got {value!r}", field="transport"
        )
    return str(value)


def _check_link_id(link_id: str) -> None:
    try:
        valid = uuid.UUID(link_id).version == 4
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"link_id: expected a UUID version 4, got {link_id!r}", field="link_id")
