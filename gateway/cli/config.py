"""`callboard config check | schema | example`: about the file of a node."""

from __future__ import annotations

import argparse
import json

from gateway.cli.node_options import add_node_options, read_node
from gateway.config import AuthConfig, ClientConfig, ServerConfig
from gateway.config.example import example
from gateway.config.node import NodeConfig
from gateway.config.schema import schema
from gateway.node.node import examine
from identity.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("config")
    parts = command.add_subparsers(metavar="WHAT", required=True)
    check = parts.add_parser(
        "check",
        help="whether a file is right, and what it says",
        description="Read a file as `callboard start` with the same options does, and say what the node will "
        "do. Nothing is opened but the files that it names; no secret is shown.",
    )
    check.add_argument("file", metavar="FILE", help="configuration, YAML")
    add_node_options(check)
    check.set_defaults(run=_check)
    parts.add_parser("schema", help="print a JSON schema of the file, for editors").set_defaults(run=_schema)
    parts.add_parser("example", help="print a file with every key").set_defaults(run=_example)


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=2))
    return 0


def _example(_: argparse.Namespace) -> int:
    print(example(), end="")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    config, document = read_node(arguments, arguments.file)
    try:
        examine(config)
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error
    print("\n".join(_summary(config)))
    for note in config.notes:
        print(document.at(note.field, f"{note.field}: {note.text}"))
    return 0


def _summary(config: NodeConfig) -> list[str]:
    """What the node will do, without a secret."""
    lines = [f"node {config.node_id}" + (f" of group {config.group}" if config.group else "")]
    lines += [_listener("listens on", server) for server in config.servers]
    lines += [_link("dials", client) for client in config.clients]
    if config.backbone is not None:
        lines.append(f"backbone {', '.join(config.backbone.urls)}")
    lines += [_listener("takes orders on", server) for server in config.controller.servers]
    lines += [_link("registers with", client) for client in config.controller.clients]
    if config.controller.token_provider.kind != "none":
        lines.append(f"orders carry an identity ({config.controller.token_provider.kind})")
    if config.admin is not None:
        lines.append(f"admin port {config.admin.endpoint}")
    lines.append(f"drains for {config.drain:g} s at most")
    return lines


def _listener(verb: str, server: ServerConfig) -> str:
    tls = "no TLS"
    if not server.tls.insecure:
        demands = server.tls.client_ca is not None or server.tls.ca_spire is not None
        tls = "TLS, client certificates demanded" if demands else "TLS"
    return f"{verb} {server.endpoint} ({', '.join((tls, *_auth(server.auth)))})"


def _link(verb: str, client: ClientConfig) -> str:
    said = ["no TLS" if client.plaintext else "TLS", *_auth(client.auth)]
    if client.proxy is not None:
        said.append(f"by the proxy {client.proxy.host}:{client.proxy.port}")
    if client.peer:
        said.append("a peer")
    if client.announce:
        said.append("our names announced")
    if client.routes:
        said.append(f"routes: {' '.join('/'.join(name.strings) for name in client.routes)}")
    return f"{verb} {client.endpoint} ({', '.join(said)})"


def _auth(auth: AuthConfig) -> list[str]:
    return [] if auth.kind == "none" else [f"{auth.kind} authentication"]
