"""Client and server configuration: dicts as users write them, checked into values (`api.md` 3.1).

    client = ClientConfig.read({"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": True}})

An unknown key is a ConfigError that names the nearest valid one. Durations are texts ("500ms", "30s",
"2h"), numbers of seconds, or timedeltas.
"""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from identity.errors import ConfigError

MIB = 1024 * 1024
MAX_MESSAGE_SIZE = 4 * MIB

TRANSPORTS = ("fast", "grpc")
"""`fast` is our own HTTP/2 framing, `grpc` the gRPC library; peers cannot tell them apart."""
DEFAULT_TRANSPORT = "fast"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(value: object, where: str) -> float:
    """Seconds, from a text such as "1m30s", a number of seconds, or a timedelta. Raises ConfigError."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str):
        text = value.replace(" ", "")
        parts = _DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise ConfigError(f'{where}: expected a duration such as "30s" or "500ms", got {value!r}', field=where)


class Section:
    """A dict being read: `take` hands out known keys, `end` refuses what is left over."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a dict, got {type(value).__name__}", field=where)
        self._left = dict(value)
        self._where = where
        self._known: list[str] = []

    def take(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """The value of `key`, checked to be of `kind`; `default` when it is absent or None."""
        self._known.append(key)
        value = self._left.pop(key, None)
        if value is None:
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise ConfigError(
                f"{self.at(key)}: expected {wanted}, got {type(value).__name__}", field=self.at(key)
            )
        return value

    def seconds(self, key: str, default: float) -> float:
        self._known.append(key)
        value = self._left.pop(key, None)
        return default if value is None else duration(value, self.at(key))

    def section(self, key: str) -> Section | None:
        self._known.append(key)
        value = self._left.pop(key, None)
        return None if value is None else Section(value, self.at(key))

    def ignore(self, *keys: str) -> None:
        """Keys that are read without effect."""
        for key in keys:
            self._known.append(key)
            self._left.pop(key, None)

    def at(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def end(self) -> None:
        """Raise ConfigError if a key is left that nobody asked for."""
        for key in self._left:
            near = difflib.get_close_matches(str(key), self._known, n=1, cutoff=0.5)
            hint = f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(sorted(self._known))}"
            raise ConfigError(f'unknown key "{self.at(str(key))}"{hint}', field=self.at(str(key)))


@dataclass(frozen=True, slots=True)
class Material:
    """A PEM text, or the file it stands in (re-read when needed)."""

    path: str | None = None
    text: str | None = None

    def load(self, where: str) -> bytes:
        """The PEM bytes. Raises ConfigError naming the file."""
        if self.text is not None:
            return self.text.encode()
        assert self.path is not None
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except OSError as exc:
            raise ConfigError(f"{where}: cannot read {self.path}: {exc.strerror}", field=where) from exc


@dataclass(frozen=True, slots=True)
class SpireSource:
    """Certificates and authorities from a SPIFFE Workload API."""

    socket_path: str | None = None
    target_spiffe_id: str | None = None
    jwt_audiences: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()


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
    ca_spire: SpireSource | None = None

    @classmethod
    def read(cls, section: Section | None) -> TlsConfig:
        """Both published spellings: nested sources, and the older flat keys."""
        if section is None:
            return cls()
        certificate, key, spire = _source(section)
        ca, ca_spire = _authorities(section, "ca_source", "ca_file", "ca_pem")
        client_ca, client_spire = _authorities(section, "client_ca", "client_ca_file", "client_ca_pem")
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
            spire = _spire(nested)
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
) -> tuple[Material | None, SpireSource | None]:
    nested = section.section(key)
    flat = _material(section, file_key, pem_key)
    if nested is None:
        return flat, None
    kind = nested.take("type", str, "file")
    material, spire = None, None
    if kind == "spire":
        spire = _spire(nested)
    elif kind == "file":
        material = _as("file", nested.take("path", str, None))
    elif kind == "pem":
        material = _as("pem", nested.take("data", str, None))
    elif kind != "none":
        raise ConfigError(
            f'{nested.at("type")}: "file", "pem" or "spire", got {kind!r}', field=nested.at("type")
        )
    nested.end()
    return material or flat, spire


def _spire(section: Section) -> SpireSource:
    return SpireSource(
        section.take("socket_path", str, None),
        section.take("target_spiffe_id", str, None),
        tuple(section.take("jwt_audiences", (list, tuple), ())),
        tuple(section.take("trust_domains", (list, tuple), ())),
    )


def _material(section: Section, file_key: str, pem_key: str) -> Material | None:
    path, text = section.take(file_key, str, None), section.take(pem_key, str, None)
    return Material(path=path) if path else Material(text=text) if text else None


def _as(kind: str, value: str | None) -> Material | None:
    if value is None:
        return None
    return Material(path=value) if kind == "file" else Material(text=value)


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Authentication at connect time. `kind`: none, basic, static_jwt, jwt, spire."""

    kind: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, section: Section | None) -> AuthConfig:
        if section is None:
            return cls()
        kind = section.take("type", str, "none")
        if kind == "none":
            made = cls()
        elif kind == "basic":
            username, password = section.take("username", str, None), section.take("password", str, None)
            for key, value in (("username", username), ("password", password)):
                if not value:
                    raise ConfigError(
                        f"{section.at(key)}: basic authentication needs it", field=section.at(key)
                    )
            made = cls("basic", username, password)
        elif kind in ("static_jwt", "jwt", "spire"):
            options = {
                key: section.take(key, (str, int, float, dict, list, timedelta), None)
                for key in (
                    "file", "duration", "claims", "key", "socket_path", "target_spiffe_id", "jwt_audiences",
                    "token_file",
                )
            }  # fmt: skip
            made = cls(kind, options={k: v for k, v in options.items() if v is not None})
        else:
            raise ConfigError(
                f'{section.at("type")}: "none", "basic", "static_jwt", "jwt" or "spire", got {kind!r}',
                field=section.at("type"),
            )
        section.end()
        return made


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
    clients do not come back in step.
    """

    base: float = 0.1
    factor: float = 2.0
    max_delay: float = 5.0
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
        if kind == "fixed" or section._left.get("interval") is not None:
            interval = section.seconds("interval", 1.0)
            made = cls(interval, 1.0, interval, section.take("max_attempts", int, 0), jitter=False)
        else:
            base = section.take("base", (int, float, str, timedelta), 100)
            made = cls(
                base / 1000 if isinstance(base, int | float) else duration(base, section.at("base")),
                float(section.take("factor", (int, float), 2.0)),
                section.seconds("max_delay", 5.0),
                section.take("max_attempts", int, 0),
                section.take("jitter", bool, True),
            )
        section.end()
        return made


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where and how to dial."""

    endpoint: str
    tls: TlsConfig = TlsConfig()
    auth: AuthConfig = AuthConfig()
    origin: str | None = None
    server_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keepalive: Keepalive | None = None
    connect_timeout: float = 0.0
    request_timeout: float = 0.0
    backoff: Backoff = Backoff()
    link_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    max_message_size: int = MAX_MESSAGE_SIZE
    proxy: str | None = None
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
        proxy = section.section("proxy")
        made = cls(
            endpoint=endpoint,
            tls=TlsConfig.read(section.section("tls")),
            auth=AuthConfig.read(section.section("auth")),
            origin=section.take("origin", str, None),
            server_name=section.take("server_name", str, None),
            headers=dict(section.take("headers", dict, {})),
            keepalive=keepalive,
            connect_timeout=section.seconds("connect_timeout", 0.0),
            request_timeout=section.seconds("request_timeout", 0.0),
            backoff=Backoff.read(section.section("backoff")),
            link_id=link_id,
            max_message_size=section.take("max_message_size", int, MAX_MESSAGE_SIZE),
            proxy=_proxy(proxy),
            transport=_transport(section),
            metadata=dict(section.take("metadata", dict, {})),
        )
        section.ignore("compression", "rate_limit", "buffer_size")
        section.end()
        _check_link_id(made.link_id)
        made.target()
        return made

    @property
    def plaintext(self) -> bool:
        """Whether the stream is not encrypted: said by `tls.insecure`, or by an http or unix endpoint."""
        return self.tls.insecure or urlsplit(self.endpoint).scheme in ("http", "unix")

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        parts = urlsplit(self.endpoint if "://" in self.endpoint else f"//{self.endpoint}")
        if parts.scheme == "unix":
            return parts.path or parts.netloc
        if parts.scheme not in ("", "http", "https") or not parts.hostname:
            raise ConfigError(
                f"endpoint: expected http(s)://HOST:PORT or unix:///PATH, got {self.endpoint!r}",
                field="endpoint",
            )
        try:
            port = parts.port
        except ValueError as exc:
            raise ConfigError(f"endpoint: {self.endpoint!r} has no usable port", field="endpoint") from exc
        return parts.hostname, port or (443 if parts.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how to listen."""

    endpoint: str
    tls: TlsConfig = TlsConfig()
    auth: AuthConfig = AuthConfig()
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
            max_frame_size=section.take("max_frame_size", int, 4) * MIB,
            max_concurrent_streams=section.take("max_concurrent_streams", int, 100),
            max_header_list_size=section.take("max_header_list_size", int, 16 * 1024),
            max_message_size=section.take("max_message_size", int, MAX_MESSAGE_SIZE),
            transport=_transport(section),
            metadata=dict(section.take("metadata", dict, {})),
        )
        section.ignore("http2_only", "read_buffer_size", "write_buffer_size")
        section.end()
        made.target()
        if not made.tls.insecure and made.tls.certificate is None and made.tls.spire is None:
            raise ConfigError(
                'tls: a server needs a certificate ("source" with cert and key) or "insecure": true',
                field="tls",
            )
        return made

    def target(self) -> tuple[str, int] | str:
        """(host, port), or the path of a unix socket. Raises ConfigError."""
        parts = urlsplit(self.endpoint if "://" in self.endpoint else f"//{self.endpoint}")
        if parts.scheme == "unix":
            return parts.path or parts.netloc
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or port is None:
            raise ConfigError(f"endpoint: expected HOST:PORT, got {self.endpoint!r}", field="endpoint")
        return parts.hostname, port


def _proxy(section: Section | None) -> str | None:
    if section is None:
        return None
    url = section.take("url", str, None)
    section.ignore("tls", "username", "password", "headers")
    section.end()
    return url or None


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
