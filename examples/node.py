"""A node: applications connect to it and reach each other. It runs until SIGTERM or SIGINT.

python examples/node.py --slim 127.0.0.1:46357
"""

from __future__ import annotations

import argparse

from common import add_tracing, parse, run, start_tracing

from gateway.cli.start import serve
from gateway.config import ServerConfig
from gateway.config.document import Document
from gateway.config.node import NodeConfig


async def main() -> None:
    made = argparse.ArgumentParser(description="Run a node until SIGTERM or SIGINT.")
    made.add_argument("-s", "--slim", default="127.0.0.1:12345", metavar="HOST:PORT", help="where to listen")
    add_tracing(made)
    arguments = parse(made)
    start_tracing(arguments)
    server = ServerConfig.read({"endpoint": arguments.slim, "tls": {"insecure": True}})
    await serve(NodeConfig(servers=(server,), drain=5.0), Document({}, {}))


if __name__ == "__main__":
    run(main)
