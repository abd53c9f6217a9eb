"""Client and server configuration: dicts as users write them, checked into values (`api.md` 3.1).

    client = ClientConfig.read({"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": True}})

An unknown key is a ConfigError that names the nearest valid one. Durations are texts ("500ms", "30s",
"2h"), numbers of seconds, or timedeltas.
"""

from gateway.config.auth import AuthConfig, JwtKeyConfig
from gateway.config.endpoints import (
    DEFAULT_TRANSPORT,
    MAX_MESSAGE_SIZE,
    MIB,
    TRANSPORTS,
    Backoff,
    ClientConfig,
    Keepalive,
    ProxyConfig,
    ServerConfig,
)
from gateway.config.section import Material, Section, duration
from gateway.config.tls import SpiffePeers, SpireSource, TlsConfig

__all__ = [
    "AuthConfig",
    "Backoff",
    "ClientConfig",
    "DEFAULT_TRANSPORT",
    "JwtKeyConfig",
    "Keepalive",
    "MAX_MESSAGE_SIZE",
    "MIB",
    "Material",
    "ProxyConfig",
    "Section",
    "ServerConfig",
    "SpiffePeers",
    "SpireSource",
    "TRANSPORTS",
    "TlsConfig",
    "duration",
]
