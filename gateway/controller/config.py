"""The controller's configuration file (`controller.md` 1): the published keys, and our own.

    northbound:
      httpHost: 127.0.0.1        # NB_API_HTTP_HOST
      httpPort: 50051            # NB_API_HTTP_PORT
      tls: {...}                 # as of a node's listener
      auth:
        users: {alice: {password: "${env:ALICE}", role: operator}}
        jwt: {type: jwt, key: {...}, claims: {...}}
        certificates: true       # what the handshake proved
        roles: {"spiffe://example.org/ci": operator}
        default_role: reader
    southbound:
      httpHost: 127.0.0.1        # SB_API_HTTP_HOST
      httpPort: 50052            # SB_API_HTTP_PORT
      auth: {token: "...", jwt: {...}, certificates: true, nodes: {slim/0: "spiffe://example.org/slim-0"}}
    reconciler: {maxRequeues: 15, automatic: true, ackTimeout: 20s, orderTimeout: 60s, tls: {...}}
    database: {filePath: db/controlplane.db}
    audit: {file: audit.jsonl}
    logging: {level: info}       # API_LOG_LEVEL

A value may be `${env:NAME}` or `${file:PATH}`. How the file is read: `gateway.config.document`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config import AuthConfig, ServerConfig
from gateway.config.document import Document
from gateway.config.section import Section
from gateway.controller.access import AccessRole
from identity.errors import ConfigError

MEMORY = ":memory:"
_SPIRE_CA = "spire"


@dataclass(frozen=True, slots=True)
class ServiceAuth:
    """The proofs that one service takes, before keys are opened."""

    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    jwt: AuthConfig | None = None
    certificates: bool = False
    roles: Mapping[str, AccessRole] = field(default_factory=dict)
    default_role: AccessRole | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Southbound: which subject a node's id belongs to."""


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """Everything that `callboard controller` is told."""

    northbound: ServerConfig
    southbound: ServerConfig
    northbound_auth: ServiceAuth = ServiceAuth()
    southbound_auth: ServiceAuth = ServiceAuth()
    database: str = MEMORY
    audit: Path | None = None
    log_level: str = ""
    automatic: bool = True
    max_attempts: int = 15
    ack_time: float = 20.0
    order_time: float = 60.0
    link_tls: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object, environ: Mapping[str, str] = os.environ) -> ControllerConfig:
        """Check a dict, after the environment has had its say. Raises ConfigError naming the key at fault."""
        section = Section(value, "")
        north, north_auth = _service(section, "northbound", "NB", 50051, environ)
        south, south_auth = _service(section, "southbound", "SB", 50052, environ)
        reconciler = section.section("reconciler") or Section({}, "reconciler")
        database = section.section("database") or Section({}, "database")
        audit = section.section("audit") or Section({}, "audit")
        logging = section.section("logging") or Section({}, "logging")
        file = audit.take("file", str, None)
        # Read without effect: how many reconciles run side by side is no question of threads here.
        reconciler.ignore("maxNumOfParallelReconciles")
        made = cls(
            north,
            south,
            north_auth,
            south_auth,
            database=database.take("filePath", str, "db/controlplane.db"),
            audit=None if file is None else Path(file),
            log_level=environ.get("API_LOG_LEVEL") or logging.take("level", str, ""),
            automatic=reconciler.take("automatic", bool, True),
            max_attempts=reconciler.count("maxRequeues", 15),
            ack_time=reconciler.seconds("ackTimeout", 20.0),
            order_time=reconciler.seconds("orderTimeout", 60.0),
            link_tls=dict(reconciler.take("tls", dict, {})),
        )
        for part in (reconciler, database, audit, logging, section):
            part.end()
        return made


def load(path: Path, environ: Mapping[str, str] = os.environ) -> ControllerConfig:
    """The configuration in a file. Raises ConfigError naming the line at fault."""
    document = Document.load(str(path), environ)
    try:
        return ControllerConfig.read(document.value, environ)
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error


def _service(
    section: Section, key: str, prefix: str, port: int, environ: Mapping[str, str]
) -> tuple[ServerConfig, ServiceAuth]:
    part = section.section(key) or Section({}, key)
    host = environ.get(f"{prefix}_API_HTTP_HOST") or part.take("httpHost", str, "127.0.0.1")
    number: Any = part.take("httpPort", (int, str), port)
    number = environ.get(f"{prefix}_API_HTTP_PORT") or number
    if not str(number).isdigit() or not 0 <= int(number) < 65536:
        raise ConfigError(f"{key}.httpPort: a port, got {number!r}", field=f"{key}.httpPort")
    config: dict[str, Any] = {"endpoint": f"[{host}]:{number}" if ":" in host else f"{host}:{number}"}
    config["tls"] = _tls(part, key)
    transport = part.take("transport", str, None)
    if transport is not None:
        config["transport"] = transport
    auth = _auth(part.section("auth"))
    part.end()
    return ServerConfig.read(config), auth


def _tls(part: Section, key: str) -> dict[str, Any]:
    """A listener's `tls` section: the published keys (a CA file, SPIRE) in the form of a node's."""
    given = dict(part.take("tls", dict, {}))
    spire = part.section("spire")
    socket = None
    if spire is not None:
        socket = spire.take("socketPath", str, None)
        spire.end()
    use_spire = given.pop("useSpiffe", False)
    files = {name: given.pop(name, None) for name in ("certFile", "keyFile", "caFile")}
    if use_spire:
        if any(files.values()):
            raise ConfigError(
                f"{key}.tls: useSpiffe excludes certFile, keyFile and caFile", field=f"{key}.tls"
            )
        if socket is None:
            raise ConfigError(f"{key}.spire.socketPath: useSpiffe needs it", field=f"{key}.spire")
        given |= {
            "source": {"type": _SPIRE_CA, "socket_path": socket},
            "client_ca": {"type": _SPIRE_CA, "socket_path": socket},
        }
    elif any(files.values()):
        if not (files["certFile"] and files["keyFile"]):
            raise ConfigError(f"{key}.tls: certFile and keyFile belong together", field=f"{key}.tls")
        given["source"] = {"type": "file", "cert": files["certFile"], "key": files["keyFile"]}
        if files["caFile"]:
            given["client_ca"] = {"type": "file", "path": files["caFile"]}
    return given or {"insecure": True}


def _auth(section: Section | None) -> ServiceAuth:
    if section is None:
        return ServiceAuth()
    passwords: dict[str, str] = {}
    roles: dict[str, AccessRole] = {}
    for user, value in section.take("users", dict, {}).items():
        entry = Section(value, section.at(f"users.{user}"))
        passwords[user] = entry.take("password", str, "")
        if not passwords[user]:
            raise ConfigError(f"{entry.at('password')}: required", field=entry.at("password"))
        roles[user] = _role(entry.take("role", str, "reader"), entry.at("role"))
        entry.end()
    for subject, text in section.texts_by_key("roles").items():
        roles[subject] = _role(text, section.at("roles"))
    default = section.take("default_role", str, None)
    jwt = section.section("jwt")
    made = ServiceAuth(
        passwords,
        section.take("token", str, ""),
        None if jwt is None else AuthConfig.read(jwt),
        section.take("certificates", bool, False),
        roles,
        None if default is None else _role(default, section.at("default_role")),
        section.texts_by_key("nodes"),
    )
    section.end()
    if made.jwt is not None and made.jwt.kind not in ("jwt", "spire"):
        raise ConfigError(f'{section.at("jwt")}.type: "jwt" or "spire"', field=section.at("jwt"))
    return made


def _role(text: str, where: str) -> AccessRole:
    found = AccessRole.__members__.get(text.upper())
    if found is None:
        raise ConfigError(f"{where}: reader, operator or admin, got {text!r}", field=where)
    return found
