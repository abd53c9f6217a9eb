"""`callboard start`: a node, until SIGTERM or SIGINT; then it drains and exits with 0."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Any

from gateway.cli.network import Network, add_network, network
from gateway.config import TRANSPORTS, ServerConfig, duration
from gateway.node.allocator import keep_freed_memory
from gateway.node.data_plane import DataPlane
from gateway.node.runner import run
from identity.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "start", help="run a node", description="Run a node until SIGTERM or SIGINT, then drain."
    )
    command.add_argument(
        "--listen",
        default="127.0.0.1:46357",
        metavar="HOST:PORT",
        help="where to listen; port 0 takes a free one (default: 127.0.0.1:46357)",
    )
    tls = command.add_argument_group("encryption (one choice is needed)")
    tls.add_argument("--insecure", action="store_true", help="no TLS")
    tls.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    tls.add_argument("--tls-key", metavar="FILE", help="its private key, PEM")
    tls.add_argument("--client-ca", metavar="FILE", help="demand client certificates of this authority")
    command.add_argument("--basic-auth", metavar="USER:PASSWORD", help="demand this from whoever connects")
    command.add_argument("--max-message-size", type=int, metavar="BYTES", help="default: 4 MiB")
    command.add_argument("--transport", choices=TRANSPORTS, help="what carries the streams")
    command.add_argument("--drain", default="5s", metavar="DURATION", help="time to write out at the end")
    add_network(command)
    command.set_defaults(run=run_node)


def configuration(arguments: argparse.Namespace) -> ServerConfig:
    """The listener's configuration. Raises ConfigError in a sentence that names what to give."""
    tls: dict[str, Any] = {"insecure": arguments.insecure}
    if not arguments.insecure:
        if not (arguments.tls_cert and arguments.tls_key):
            raise ConfigError(
                "say how to listen: --insecure for no TLS, or --tls-cert FILE and --tls-key FILE", field="tls"
            )
        tls["source"] = {"type": "file", "cert": arguments.tls_cert, "key": arguments.tls_key}
        if arguments.client_ca:
            tls["client_ca"] = {"type": "file", "path": arguments.client_ca}
    elif arguments.tls_cert or arguments.tls_key or arguments.client_ca:
        raise ConfigError("--insecure and TLS files exclude each other: give one or the other", field="tls")
    config: dict[str, Any] = {"endpoint": arguments.listen, "tls": tls}
    if arguments.basic_auth:
        user, separator, password = arguments.basic_auth.partition(":")
        if not (user and separator and password):
            raise ConfigError("--basic-auth wants USER:PASSWORD", field="auth")
        config["auth"] = {"type": "basic", "username": user, "password": password}
    if arguments.max_message_size:
        config["max_message_size"] = arguments.max_message_size
    if arguments.transport:
        config["transport"] = arguments.transport
    return ServerConfig.read(config)


def run_node(arguments: argparse.Namespace) -> int:
    """Run the node."""
    keep_freed_memory()
    config, drain = configuration(arguments), duration(arguments.drain, "--drain")
    return run(serve(config, drain, network(arguments)))


async def serve(config: ServerConfig, drain: float, others: Network) -> int:
    """Listen, among `others`, until told to stop, then drain for at most `drain` seconds."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = DataPlane(node_id=others.node_id, peers=others.policy)
    try:
        address = await node.serve(config)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise OSError(f"cannot listen on {config.endpoint}: {reason}; choose another --listen") from exc
    print(f"listening on {address}", flush=True)
    joining = asyncio.ensure_future(node.peer(others.peers))
    try:
        await stop.wait()
    finally:
        joining.cancel()
        await node.close(drain)
    return 0
