"""Client and server configuration: dicts as users write them, checked into values (`api.md` 3.1).

    client = ClientConfig.read({"endpoint": "http://127.0.0.1:46357", "tls": {"insecure": True}})

An unknown key is a ConfigError that names the nearest valid one. Durations are texts ("500ms", "30s",
"2h"), numbers of seconds, or timedeltas.
"""

from gateway.config.auth import AuthConfig, JwtKeyConfig
from gateway.config.backoff import Backoff
from gateway.config.client import ClientConfig
from gateway.config.proxy import ProxyConfig
from gateway.config.section import Material, Section, duration
from gateway.config.server import ServerConfig
from gateway.config.tls import SpiffePeers, SpireSource, TlsConfig
from gateway.config.transport import DEFAULT_TRANSPORT, MAX_MESSAGE_SIZE, MIB, TRANSPORTS, Keepalive

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
