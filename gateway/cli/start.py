"""`callboard start`: a node, until SIGTERM or SIGINT; then it drains and exits with 0."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.cli.node_options import add_node_options, read_node
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.node.allocator import keep_freed_memory
from gateway.node.collector import Collector
from gateway.node.descriptors import say_if_few
from gateway.node.node import Node, examine
from gateway.node.runner import run
from gateway.node.service_manager import ServiceManager
from gateway.telemetry.tracing import start_tracing
from identity.errors import ConfigError
from identity.files import reason_of
from identity.log import logger

if TYPE_CHECKING:
    from gateway.admin.server import AdminServer


class AdminPortTaken(OSError):
    """The admin port cannot listen where it should."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "start",
        description="Run a node until SIGTERM or SIGINT, then drain. What the command line says wins over "
        "the environment, and both over the file.",
    )
    command.add_argument("--config", metavar="FILE", help="configuration, YAML (callboard config example)")
    add_node_options(command)
    command.set_defaults(run=run_node)


def run_node(arguments: argparse.Namespace) -> int:
    """Run the node."""
    config, document = read_node(arguments, arguments.config)
    try:
        examine(config)
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error
    if config.tracing is not None:
        level = arguments.log_level
        tracing = replace(config.tracing, levels={"": level}) if level else config.tracing
        start_tracing(tracing, arguments.log_format, node=config.node_id)
    for note in config.notes:
        logger.info(document.at(note.field, f"{note.field}: {note.text}"))
    say_if_few(config.limits.connections)
    keep_freed_memory()

    def again() -> NodeConfig:
        found, where = read_node(arguments, arguments.config)
        try:
            examine(found)
        except ConfigError as error:
            raise ConfigError(where.sentence(error), field=error.field) from error
        return found

    return run(serve(config, document, again=again))


async def serve(
    config: NodeConfig,
    document: Document,
    make: Callable[[NodeConfig], Node] = Node,
    *,
    again: Callable[[], NodeConfig] | None = None,
) -> int:
    """Run until told to stop, then drain. Returns the exit code.

    It is 1 when the node failed: whoever runs it may start another. On SIGHUP, `again` reads the
    configuration again (or raises ConfigError), and the node takes of it what may change while it runs.
    """
    # Imported by who runs a node: the HTTP server costs others a fifth of a second.
    from gateway.admin.server import AdminServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    manager = ServiceManager(loop)
    collector = Collector(loop)
    node = make(config)
    if again is not None and hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, _reload, node, again, manager)
    failed = node.data_plane.failed
    async with AdminServer(node, stop.set) as admin:
        # An agent may keep a listener waiting: who wants to stop does not wait for it.
        starting = asyncio.create_task(_start(node, admin))
        stopping = asyncio.create_task(_first(stop, failed))
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                collector.start()
                addresses = _started(starting, document)
                for address in addresses:
                    print(f"listening on {address}", flush=True)
                manager.ready(f"listening on {', '.join(addresses)}")
                await stopping
        finally:
            manager.stopping()
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await node.close(config.drain)
            collector.stop()
            manager.close()
    if failed.is_set():
        print("callboard: the node failed; its log says why", file=sys.stderr)
        return 1
    return 0


def _reload(node: Node, again: Callable[[], NodeConfig], manager: ServiceManager) -> None:
    """Take what changed, and say it in a line; what is broken changes nothing."""
    manager.reloading()
    try:
        changed = node.reload(again())
    except (ConfigError, OSError) as error:
        logger.error("not reloaded, everything stays as it was", cause=str(error))
    else:
        print(f"reloaded: {'; '.join(changed) or 'nothing has changed'}", flush=True)
    manager.ready(f"listening on {', '.join(node.addresses)}")


async def _start(node: Node, admin: AdminServer) -> list[str]:
    """Start node and admin port. Returns the node's addresses. Raises as `Node.start` does."""
    config = node.config.admin
    if config is not None:
        try:
            print(f"admin port on {await admin.listen(config)}", flush=True)
        except OSError as exc:
            raise AdminPortTaken(
                f"the admin port cannot listen on {config.endpoint}: {reason_of(exc)}"
            ) from exc
    addresses = await node.start()
    try:
        await admin.open_socket()
    except OSError as exc:
        logger.warning("no socket for commands such as callboard status", cause=str(exc))
    return addresses


async def _first(*events: asyncio.Event) -> None:
    """Wait for one of them."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _started(starting: asyncio.Task[list[str]], document: Document) -> list[str]:
    try:
        return starting.result()
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error
    except OSError as error:
        option = "--admin" if isinstance(error, AdminPortTaken) else "--listen"
        raise OSError(f"{error}; choose another {'endpoint' if document.name else option}") from error
