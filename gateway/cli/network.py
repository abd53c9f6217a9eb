"""Options of `callboard start` about other nodes: peers, who may come in as one, and this node's id."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from gateway.config import ClientConfig
from gateway.node.peer_policy import PeerPolicy, peer_configs
from identity.errors import ConfigError


class Network(NamedTuple):
    """What a node is among others."""

    node_id: str
    policy: PeerPolicy
    peers: list[ClientConfig]


def add_network(command: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    network = command.add_argument_group("other nodes")
    network.add_argument(
        "--peer",
        default="",
        metavar="ENDPOINT[,...]",
        help="be a peer of the nodes there, such as 10.0.0.2:46357; naming this node too does no harm",
    )
    network.add_argument("--node-id", default="", metavar="ID", help="this node's id (default: drawn)")
    network.add_argument(
        "--peer-token",
        default="",
        metavar="TOKEN",
        help="let in as peer who shows it, and show it to the peers (default: peers from loopback only)",
    )
    network.add_argument(
        "--peer-identity",
        action="append",
        default=[],
        metavar="NAME",
        help="let in as peer whose certificate has this SPIFFE ID or host name; may be repeated",
    )
    network.add_argument(
        "--peer-ca", metavar="FILE", help="authority of the peers' certificates (default: --client-ca)"
    )


def network(arguments: argparse.Namespace) -> Network:
    """What the options say. Raises ConfigError.

    Peers are dialled as this node itself listens: in clear, or by TLS with its certificate; an endpoint that
    begins with http:// or https:// says it for itself.
    """
    common: dict[str, Any] = {"tls": {"insecure": True}}
    if not arguments.insecure:
        authority = arguments.peer_ca or arguments.client_ca
        common["tls"] = {
            "source": {"type": "file", "cert": arguments.tls_cert, "key": arguments.tls_key},
            **({"ca_source": {"type": "file", "path": authority}} if authority else {}),
        }
    if arguments.transport:
        common["transport"] = arguments.transport
    if arguments.max_message_size:
        common["max_message_size"] = arguments.max_message_size
    if arguments.basic_auth:
        user, _, password = arguments.basic_auth.partition(":")
        common["auth"] = {"type": "basic", "username": user, "password": password}
    peers = peer_configs(arguments.peer, **common)
    if len({peer.endpoint for peer in peers}) < len(peers):
        raise ConfigError("--peer names an endpoint twice", field="peers")
    policy = PeerPolicy(token=arguments.peer_token, identities=frozenset(arguments.peer_identity))
    return Network(arguments.node_id, policy, peers)
