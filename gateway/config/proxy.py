"""The way out through a proxy (`api.md` 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from gateway.config.address import split
from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section
from identity.errors import ConfigError

PROXY = Table(
    "proxy",
    Key("url", "an HTTP proxy that is asked to CONNECT: http://HOST:PORT"),
    Key("username", "shown to the proxy"),
    Key("password", "shown to the proxy", Kind.SECRET),
    Key("headers", "sent to the proxy; not by transport grpc", Kind.MAP, shown="none"),
    Key(
        "tls", "TLS to the proxy itself", Kind.ANY,
        without_effect="the way to the proxy is plain HTTP; what goes through it has the TLS of the endpoint",
    ),
)  # fmt: skip


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
        """Check the dict; None where it names no proxy. Raises ConfigError naming the key at fault."""
        if section is None:
            return None
        where, values = section.at("url"), PROXY.read(section)
        if not values["url"]:
            return None
        parts, port = split(values["url"], where)
        # The URL is not repeated: it may hold a password.
        if parts.scheme == "https":
            raise ConfigError(
                f"{where}: a proxy is spoken to in plain HTTP here (what goes through it has its own TLS): "
                "use http://HOST:PORT",
                field=where,
            )
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError(f"{where}: expected http://HOST:PORT", field=where)
        return cls(
            parts.hostname,
            port or 80,
            values["username"] or unquote(parts.username or ""),
            values["password"] or unquote(parts.password or ""),
            values["headers"],
        )
