"""`callboard controller`: a controller, until SIGTERM or SIGINT; and `callboard stubs`: where its clients
are."""

from __future__ import annotations

import argparse
import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import gateway
from gateway.controller.config import ControllerConfig, load
from gateway.controller.process import ControllerProcess
from gateway.node.runner import run
from gateway.telemetry.log import log_to_stderr


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser."""
    command = commands.add_parser(
        "controller",
        description="Run a controller of nodes until SIGTERM or SIGINT. Without a file it listens on "
        "loopback, northbound on 50051 and southbound on 50052, and keeps its state in db/controlplane.db.",
    )
    command.add_argument("--config", metavar="FILE", help="configuration, YAML")
    command.add_argument(
        "--northbound", metavar="HOST:PORT", help="where programs call; port 0 takes a free one"
    )
    command.add_argument("--southbound", metavar="HOST:PORT", help="where nodes call")
    command.add_argument("--database", metavar="FILE", help="where the state is kept; :memory: for nowhere")
    command.set_defaults(run=_run)
    stubs = commands.add_parser("stubs").add_subparsers(metavar="WHAT", required=True)
    path = stubs.add_parser("path", help="print the folder to put on the path (PYTHONPATH)")
    path.set_defaults(run=_path)


def _path(_: argparse.Namespace) -> int:
    print(Path(gateway.__file__).parent / "stubs")
    return 0


def configuration(arguments: argparse.Namespace) -> ControllerConfig:
    """The file with what the command line says instead. Raises ConfigError."""
    config = load(Path(arguments.config)) if arguments.config else ControllerConfig.read({})
    if arguments.northbound:
        config = replace(config, northbound=replace(config.northbound, endpoint=arguments.northbound))
    if arguments.southbound:
        config = replace(config, southbound=replace(config.southbound, endpoint=arguments.southbound))
    if arguments.database:
        config = replace(config, database=arguments.database)
    config.northbound.target()
    config.southbound.target()
    return config


def _run(arguments: argparse.Namespace) -> int:
    config = configuration(arguments)
    if config.log_level and not arguments.log_level:
        log_to_stderr(config.log_level, arguments.log_format)
    return run(_serve(config))


async def _serve(config: ControllerConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process = ControllerProcess(config)
    await process.start()
    print(f"northbound on {process.northbound}, southbound on {process.southbound}", flush=True)
    try:
        await stop.wait()
    finally:
        await process.close()
    return 0
