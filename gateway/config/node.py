"""A node's configuration as a whole: the sections `services`, `runtime` and `tracing` of its file.

    services:
      slim/0:
        dataplane: {servers: [...], clients: [...], peers: {...}}
        backbone: {url: "nats://..."}
        controller: {clients: [...], servers: [...], token_provider: {...}}
        admin: {endpoint: "127.0.0.1:46380"}
        limits: {subscriptions_per_peer: 1000}
    runtime: {drain_timeout: 10s}
    tracing: {log_level: info}

It holds the files of original nodes, 0.7 to 1.4 (`api.md` 3.1, `controller.md` 1), and keys of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.config.address import split
from gateway.config.admin import ADMIN, AdminConfig
from gateway.config.client import CLIENT, ClientConfig
from gateway.config.controlled import CONTROLLER, ControllerLink
from gateway.config.keys import Key, Kind, Table
from gateway.config.network import (
    BACKBONE,
    LIMITS,
    PEERS,
    BackboneConfig,
    LimitsConfig,
    PeersConfig,
)
from gateway.config.section import Note, Section
from gateway.config.server import SERVER, ServerConfig
from gateway.config.tracing import TRACING, TracingConfig
from identity.errors import ConfigError

DEFAULT_NODE = "slim/0"
DRAIN = 5.0

DATAPLANE = Table(
    "dataplane",
    Key("servers", "where the node listens", Kind.SECTIONS, inner=SERVER, reader=ServerConfig.read),
    Key("clients", "what the node dials", Kind.SECTIONS, inner=CLIENT, reader=ClientConfig.read),
    Key("peers", "who may come in as a node of ours", Kind.SECTION, inner=PEERS, reader=PeersConfig.read),
)
SERVICE = Table(
    "service",
    Key("node_id", "what the node is called by controllers and peers", shown="the service's own name"),
    Key("group_name", "the group of nodes that it belongs to, for a controller"),
    Key("dataplane", "listeners and links of messages", Kind.SECTION, inner=DATAPLANE),
    Key("backbone", "nodes joined by NATS, in place of peers", Kind.SECTION, inner=BACKBONE,
        reader=BackboneConfig.read),
    Key("controller", "who controls the node", Kind.SECTION, inner=CONTROLLER, reader=ControllerLink.read),
    Key("admin", "figures and health, for people and monitoring", Kind.SECTION, inner=ADMIN,
        reader=AdminConfig.read),
    Key("rules", "a file that says who subscribes, publishes to and invites which names (callboard acl)",
        shown="everybody may"),
    Key("limits", "what anybody may have of the node", Kind.SECTION, inner=LIMITS, reader=LimitsConfig.read),
)  # fmt: skip
_ONE_LOOP = "a node is one loop in one thread: use more of a machine by more nodes"
RUNTIME = Table(
    "runtime",
    Key("drain_timeout", "time to write out what is queued, when the node is told to end", Kind.SECONDS,
        DRAIN, shown="5s"),
    Key("n_cores", "", Kind.ANY, without_effect=_ONE_LOOP),
    Key("thread_name", "", Kind.ANY, without_effect=_ONE_LOOP),
)  # fmt: skip
NODE = Table(
    "node",
    Key("services", "the node, by its name, such as slim/0; one of them", Kind.NAMED, required=True,
        inner=SERVICE),
    Key("runtime", "the process", Kind.SECTION, inner=RUNTIME),
    Key("tracing", "logs, spans and metrics", Kind.SECTION, inner=TRACING,
        reader=lambda section: None if section is None else TracingConfig.read(section)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything that `callboard start` is told. Times in seconds."""

    node_id: str = DEFAULT_NODE
    group: str = ""
    servers: tuple[ServerConfig, ...] = ()
    clients: tuple[ClientConfig, ...] = ()
    peers: PeersConfig = field(default_factory=PeersConfig)
    backbone: BackboneConfig | None = None
    controller: ControllerLink = field(default_factory=ControllerLink)
    admin: AdminConfig | None = None
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    rules: str | None = None
    """The file of rules by name."""
    drain: float = DRAIN
    tracing: TracingConfig | None = None
    notes: tuple[Note, ...] = ()
    """What is worth saying of keys that are no mistakes."""
    where: str = ""
    """The section of the service, for errors that come later."""

    @classmethod
    def read(cls, value: object) -> NodeConfig:
        """Check a dict. Raises ConfigError naming the key at fault."""
        notes: list[Note] = []
        values = NODE.read(Section(value, "", notes))
        if len(values["services"]) != 1:
            raise ConfigError(
                "services: expected one service, such as slim/0: a process is one node; "
                f"got {', '.join(values['services']) or 'none'}",
                field="services",
            )
        ((name, service),) = values["services"].items()
        where = f"services.{name}"
        kind, slash, rest = name.partition("/")
        if kind != "slim" or not (slash and rest):
            raise ConfigError(f"{where}: a service is called slim/NAME, got {name!r}", field=where)
        # An empty section says as much as none.
        service = service or SERVICE.read(Section({}, where, notes))
        dataplane = service["dataplane"] or DATAPLANE.read(Section({}, f"{where}.dataplane", notes))
        made = cls(
            node_id=service["node_id"] or name,
            group=service["group_name"] or "",
            servers=dataplane["servers"],
            clients=dataplane["clients"],
            peers=dataplane["peers"],
            backbone=service["backbone"],
            controller=service["controller"],
            admin=service["admin"],
            limits=service["limits"],
            rules=service["rules"],
            drain=(values["runtime"] or {"drain_timeout": DRAIN})["drain_timeout"],
            tracing=values["tracing"],
            where=where,
        )
        made._check()
        return replace(made, notes=tuple(notes))

    def _check(self) -> None:
        """What sections say together. Raises ConfigError."""
        if not self.servers and not self.clients and self.backbone is None:
            raise ConfigError(
                f"{self.where}.dataplane: a node listens or dials: give servers or clients",
                field=f"{self.where}.dataplane",
            )
        for kind, configs in (("servers", self.servers), ("clients", self.clients)):
            _no_endpoint_twice([config.endpoint for config in configs], f"{self.where}.dataplane.{kind}")
        if self.backbone is not None and any(client.peer for client in self.clients):
            raise ConfigError(
                f"{self.where}.backbone: a node has peers or a backbone, not both",
                field=f"{self.where}.backbone",
            )


def _no_endpoint_twice(endpoints: Sequence[str], where: str) -> None:
    seen: dict[str, int] = {}
    for index, endpoint in enumerate(endpoints):
        first = seen.setdefault(endpoint, index)
        # Port 0 is another one each time.
        if first != index and split(endpoint)[1] != 0:
            place = f"{where}[{index}].endpoint"
            raise ConfigError(f"{place}: {endpoint} is that of {where}[{first}] already", field=place)
