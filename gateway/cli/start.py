"""`callboard start`: a node, until SIGTERM or SIGINT; then it drains and exits with 0."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from gateway.cli.node_options import add_node_options, read_node
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.node.allocator import keep_freed_memory, set_aside_what_is_loaded
from gateway.node.node import Node, examine, unserved
from gateway.node.runner import run
from gateway.telemetry.tracing import start_tracing
from identity.errors import ConfigError
from identity.log import logger


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "start",
        help="run a node",
        description="Run a node until SIGTERM or SIGINT, then drain. What the command line says wins over "
        "the environment, and both over the file.",
    )
    command.add_argument("--config", metavar="FILE", help="configuration, YAML (callboard config example)")
    add_node_options(command)
    command.set_defaults(run=run_node)


def run_node(arguments: argparse.Namespace) -> int:
    """Run the node."""
    config, document = read_node(arguments, arguments.config)
    for note in unserved(config):
        raise ConfigError(document.at(note.field, f"{note.field}: {note.text}"), field=note.field)
    try:
        examine(config)
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error
    if config.tracing is not None:
        level = arguments.log_level
        start_tracing(
            replace(config.tracing, levels={"": level}) if level else config.tracing, arguments.log_format
        )
    for note in config.notes:
        logger.info(document.at(note.field, f"{note.field}: {note.text}"))
    keep_freed_memory()
    return run(serve(config, document))


async def serve(config: NodeConfig, document: Document, make: Callable[[NodeConfig], Node] = Node) -> int:
    """Run until told to stop, then drain. Returns the exit code.

    It is 1 when the node failed: whoever runs it may start another.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = make(config)
    failed = node.data_plane.failed
    # An agent may keep a listener waiting: who wants to stop does not wait for it.
    starting, stopping = asyncio.create_task(node.start()), asyncio.create_task(_first(stop, failed))
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            set_aside_what_is_loaded()
            for address in _started(starting, document):
                print(f"listening on {address}", flush=True)
            await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await node.close(config.drain)
    if failed.is_set():
        print("callboard: the node failed; its log says why", file=sys.stderr)
        return 1
    return 0


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
        raise OSError(f"{error}; choose another {'endpoint' if document.name else '--listen'}") from error
