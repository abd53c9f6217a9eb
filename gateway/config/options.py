"""The options of `callboard start`: each sets a key of the file, from the command line or the environment.

    --node-id east, SLIM_NODE_ID=east      services.slim/0.node_id: east

What the command line says wins over the environment, and both over the file. Options become part of the
document before it is read, so that one reader checks them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.document import Document
from gateway.config.keys import Key, Kind, Table
from gateway.config.node import DEFAULT_NODE, NODE
from gateway.config.wording import expected, unfit
from identity.errors import ConfigError

_LISTEN = "--listen"
DEFAULT_LISTEN = "127.0.0.1:46357"


def variable(flag: str) -> str:
    """The variable of an option: SLIM_SOME_OPTION for --some-option."""
    return "SLIM_" + flag.removeprefix("--").replace("-", "_").upper()


@dataclass(frozen=True, slots=True)
class NodeOption:
    """An option, and the key that it sets."""

    flag: str
    path: str
    """The key, with "*" for the service, "[0]" for the only listener and "[+]" for one more entry."""
    metavar: str = "TEXT"
    help: str = ""
    """What to say of the option where the key's own words do not fit."""
    value: Callable[[str], Any] = str
    """What is put there."""
    also: tuple[tuple[str, Any], ...] = ()
    """Other keys that have to be so, beside it."""

    @property
    def key(self) -> Key:
        """The line of the key."""
        return key_at(self.path)

    @property
    def is_switch(self) -> bool:
        return self.key.kind is Kind.SWITCH

    @property
    def may_repeat(self) -> bool:
        """Whether it may be given again, for one more."""
        return self.flag == _LISTEN or "[+]" in self.path

    @property
    def variable(self) -> str:
        """Its variable in the environment."""
        return variable(self.flag)

    @property
    def words(self) -> str:
        """What the option does."""
        return self.help or self.key.help


def key_at(path: str) -> Key:
    """The line of a key, by its path. Raises KeyError."""
    table: Table | None = NODE
    found: Key | None = None
    for part in path.replace("*.", "").split("."):
        name = part.partition("[")[0]
        if table is None:
            raise KeyError(path)
        tables = (table, *table.variants.values())
        found = next((key for one in tables for key in one.keys if key.name == name), None)
        if found is None:
            raise KeyError(path)
        table = found.inner
    assert found is not None
    return found


def _count(text: str) -> Any:
    """A whole number, or the text, which the reader refuses."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _basic(text: str) -> dict[str, str]:
    user, separator, password = text.partition(":")
    if not (user and separator and password):
        raise ConfigError("--basic-auth wants USER:PASSWORD", field="auth")
    return {"type": "basic", "username": user, "password": password}


def _jwks(path: str) -> dict[str, Any]:
    # The keys of a set say themselves which algorithm they are for.
    return _decoding("RS256", "jwks", path)


def _jwt_key(path: str) -> dict[str, Any]:
    """The key of a PEM file, for the algorithm that it is for. Raises ConfigError."""
    from gateway.security.signing_algorithm import algorithm_of

    return _decoding(algorithm_of(path, "--auth-jwt-key"), "pem", path)


def _decoding(algorithm: str, form: str, path: str) -> dict[str, Any]:
    return {"type": "decoding", "algorithm": algorithm, "format": form, "key": {"file": path}}


def _commas(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _link(endpoint: str) -> dict[str, Any]:
    """A client entry: TLS with the system's authorities for https, none otherwise."""
    endpoint = endpoint if "://" in endpoint else f"http://{endpoint}"
    return {"endpoint": endpoint, "tls": {"insecure": not endpoint.startswith("https://")}}


def _links(text: str, **more: Any) -> list[dict[str, Any]]:
    return [_link(each.strip()) | more for each in text.split(",") if each.strip()]


_SERVER = "services.*.dataplane.servers[0]"
_JWT = ((f"{_SERVER}.auth.type", "jwt"),)
_CERTIFICATE = ((f"{_SERVER}.tls.insecure", False), (f"{_SERVER}.tls.source.type", "file"))

NODE_OPTIONS = (
    NodeOption(_LISTEN, f"{_SERVER}.endpoint", "HOST:PORT",
               f"where to listen; port 0 takes a free one; repeatable (default: {DEFAULT_LISTEN})"),
    NodeOption("--insecure", f"{_SERVER}.tls.insecure", help="no TLS"),
    NodeOption("--tls-cert", f"{_SERVER}.tls.source.cert", "FILE", "certificate chain, PEM",
               also=_CERTIFICATE),
    NodeOption("--tls-key", f"{_SERVER}.tls.source.key", "FILE", "its private key, PEM", also=_CERTIFICATE),
    NodeOption("--client-ca", f"{_SERVER}.tls.client_ca.path", "FILE",
               "demand client certificates of this authority",
               also=((f"{_SERVER}.tls.insecure", False), (f"{_SERVER}.tls.client_ca.type", "file"))),
    NodeOption("--trust-domain", f"{_SERVER}.tls.client_ca.trust_domains", "DOMAIN[,...]",
               "client certificates show SPIFFE IDs of these domains", _commas),
    NodeOption("--auth-basic-file", f"{_SERVER}.auth.file", "FILE",
               "demand a user of this file from whoever connects (callboard user)",
               also=((f"{_SERVER}.auth.type", "basic"),)),
    NodeOption("--basic-auth", f"{_SERVER}.auth", "USER:PASSWORD",
               "demand this; older, better --auth-basic-file, or the variable", _basic),
    NodeOption("--auth-issuer", f"{_SERVER}.auth.claims.issuer", "URL",
               "demand JWTs of this issuer; without a file of keys, it is asked for them",
               also=(*_JWT, (f"{_SERVER}.auth.key", {"type": "autoresolve"}))),
    NodeOption("--auth-audience", f"{_SERVER}.auth.claims.audience", "A,B", "whom their tokens are for",
               _commas, also=_JWT),
    NodeOption("--auth-subject", f"{_SERVER}.auth.claims.subject", "TEXT", "the only subject that is let in",
               also=_JWT),
    NodeOption("--auth-jwks", f"{_SERVER}.auth.key", "FILE", "demand JWTs signed by these keys, a JWKS",
               _jwks, also=_JWT),
    NodeOption("--auth-jwt-key", f"{_SERVER}.auth.key", "FILE",
               "demand JWTs signed with the key of which this is the public one, PEM", _jwt_key, also=_JWT),
    NodeOption("--rules", "services.*.rules", "FILE",
               "who subscribes, publishes to and invites which names (callboard acl)"),
    NodeOption("--max-message-size", f"{_SERVER}.max_message_size", "BYTES", "default: 4 MiB", _count),
    NodeOption("--transport", f"{_SERVER}.transport", "fast|grpc", "what carries the streams"),
    NodeOption("--drain", "runtime.drain_timeout", "DURATION", "time to write out at the end (default: 5s)"),
    NodeOption("--peer", "services.*.dataplane.clients[+].endpoint", "ENDPOINT[,...]",
               "nodes to be joined with (with peer: true)",
               lambda text: _links(text, peer=True)),
    NodeOption("--backbone", "services.*.backbone.url", "nats://HOST:PORT", "nodes joined by NATS"),
    NodeOption("--controller", "services.*.controller.clients[+].endpoint", "ENDPOINT",
               "a controller to register with", _links),
    NodeOption("--node-id", "services.*.node_id", "ID", "what the node is called (default: slim/0)"),
    NodeOption("--group", "services.*.group_name", "NAME", "the group of nodes that it belongs to"),
    NodeOption("--otlp", "tracing.opentelemetry.grpc.endpoint", "http://HOST:4317",
               "export spans and metrics to this collector (needs the extra tracing)",
               also=(("tracing.opentelemetry.enabled", True),)),
    NodeOption("--admin", "services.*.admin.endpoint", "HOST:PORT", "serve figures and health there"),
    NodeOption("--admin-token-file", "services.*.admin.token_file", "FILE",
               "who may see and order there: lines `operator: TOKEN` and `reader: TOKEN`"),
)  # fmt: skip


def overlaid(
    document: Document, given: Mapping[str, Any], token: Mapping[str, Any] | None = None
) -> Document:
    """The document with what options say in it.

    `given` are texts, or True for switches, by flag; those that may be repeated have commas between. Several
    endpoints to listen at make several listeners, which are the same otherwise. `token` is the
    `token_provider` section that identity flags describe.

    Raises ConfigError for an option that does not fit the file.
    """
    made = Document(_copied(document.value), document.origins, document.name)
    if not isinstance(made.value, dict):
        raise ConfigError(f"{document.name}: expected keys at the top, such as services", field="config")
    further: list[str] = []
    for option in (option for option in NODE_OPTIONS if option.flag in given):
        text = given[option.flag]
        if option.flag == _LISTEN:
            text, *further = _commas(text) or [text]
        for path, value in option.also:
            _put(made, path, value, option.flag)
        _put(made, option.path, text if option.is_switch else option.value(text), option.flag)
    if further:
        _listen_at(made, further)
    if token is not None and _is_controlled(made.value):
        _put(made, "services.*.controller.token_provider", dict(token), "identity options")
    return made


def _listen_at(document: Document, endpoints: Sequence[str]) -> None:
    """Further listeners that are as the only one, elsewhere."""
    services = document.value["services"]
    name = _service(services, _LISTEN)
    servers = services[name]["dataplane"]["servers"]
    for endpoint in endpoints:
        document.origins[f"services.{name}.dataplane.servers[{len(servers)}]"] = _LISTEN
        servers.append(_copied(servers[0]) | {"endpoint": endpoint})


def _is_controlled(value: dict[str, Any]) -> bool:
    """Whether a controller is named: without one, what the environment says is meant for applications."""
    services = value.get("services")
    found = list(services.values()) if isinstance(services, dict) else []
    return any(isinstance(each, dict) and each.get("controller") for each in found)


def _copied(value: Any) -> Any:
    """Dicts and lists of its own; an alias in the file makes two of them one."""
    if isinstance(value, dict):
        return {key: _copied(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_copied(member) for member in value]
    return value


def _put(document: Document, path: str, value: Any, flag: str) -> None:
    """Set a key, and whatever has to be around it."""
    where, at = "", document.value
    *before, last = path.split(".")
    for part in before:
        name, _, index = part.rstrip("]").partition("[")
        if name == "*":
            name = _service(at, flag)
        where = f"{where}.{name}" if where else name
        if not index:
            at = _around(at, name, {}, where, dict)
            continue
        entries = _around(at, name, [], where, list)
        if index == "+":
            document.origins |= {f"{where}[{len(entries) + i}]": flag for i in range(len(value))}
            entries.extend(value)
            return
        if len(entries) > 1:
            raise ConfigError(
                f"{flag} is about one listener, and the file has {len(entries)}: say it there", field=where
            )
        if not entries:
            entries.append({})
        where = f"{where}[0]"
        at = entries[0]
        if not isinstance(at, dict):
            raise unfit(where, "a section", at)
    at[last] = value
    document.origins[f"{where}.{last}"] = flag


def _around(at: dict[str, Any], name: str, empty: Any, where: str, kind: type) -> Any:
    """The section or list of a name, made where it is missing."""
    found = at.get(name)
    if found is None:
        found = at[name] = empty
    if not isinstance(found, kind):
        raise unfit(where, expected((kind,)), found)
    return found


def _service(services: dict[str, Any], flag: str) -> str:
    if len(services) > 1:
        raise ConfigError(
            f"{flag} is about one node, and the file has {len(services)} services", field="services"
        )
    return next(iter(services), DEFAULT_NODE)
