"""The `controller` section: who controls the node (`controller.md` 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.auth import AuthConfig, auth_table
from gateway.config.client import CLIENT, ClientConfig
from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section
from gateway.config.server import SERVER, ServerConfig
from identity.errors import ConfigError
from identity.provider import IdentityProvider, IdentityVerifier
from identity.registry import IdentityRole

RECOVERY = 30.0
MEMBER = "control-plane"
"""The identity that a shared secret without an id stands for, as upstream."""
_SECRET_BYTES = 32


def _token(role: IdentityRole, section: Section | None) -> AuthConfig:
    """An identity for orders: of the kinds that applications have."""
    made = AuthConfig.read(section, member=MEMBER)
    if section is None or made.kind == "none":
        return AuthConfig()
    where = section.at("type")
    if role.of_kind(made.kind) is None:
        kinds = ", ".join(line.kind for line in role.lines())
        raise ConfigError(f"{where}: one of none, {kinds}, got {made.kind!r}", field=where)
    secret = made.values.get("shared_secret")
    if secret is not None and len(secret.encode()) < _SECRET_BYTES:
        where = section.at("data")
        raise ConfigError(f"{where}: a shared secret has at least {_SECRET_BYTES} bytes", field=where)
    return made


CONTROLLER = Table(
    "controller",
    Key("clients", "the controllers that the node registers with", Kind.SECTIONS, inner=CLIENT,
        reader=ClientConfig.read),
    Key("servers", "where the node itself takes orders", Kind.SECTIONS, inner=SERVER,
        reader=ServerConfig.read),
    Key("token_provider", "the identity that orders to applications carry", Kind.SECTION, inner=auth_table(),
        reader=lambda section: _token(IdentityProvider, section)),
    Key("token_verifier", "what tells true tokens of applications", Kind.SECTION, inner=auth_table(),
        reader=lambda section: _token(IdentityVerifier, section)),
    Key("recovery_ttl", "how long routes of a lost connection wait for it to return", Kind.SECONDS, RECOVERY,
        shown="30s"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ControllerLink:
    """Who controls the node. `recovery` in seconds."""

    clients: tuple[ClientConfig, ...] = ()
    servers: tuple[ServerConfig, ...] = ()
    token_provider: AuthConfig = field(default_factory=AuthConfig)
    token_verifier: AuthConfig = field(default_factory=AuthConfig)
    recovery: float = RECOVERY

    @classmethod
    def read(cls, section: Section | None) -> ControllerLink:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return cls()
        values = CONTROLLER.read(section)
        values["recovery"] = values.pop("recovery_ttl")
        for index, client in enumerate(values["clients"]):
            for key in ("peer", "announce", "routes"):
                if getattr(client, key):
                    where = section.at(f"clients[{index}].{key}")
                    raise ConfigError(f"{where}: a controller's link carries no messages", field=where)
        return cls(**values)
