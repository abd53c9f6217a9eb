"""The process that a keyed system of actor processes starts from, so that none is forked off an application.

    python -m gateway.moderation.host

It reads the key, in hexadecimal digits, prints the port of its administrator, and ends with its input.
"""

from __future__ import annotations

import socket
import sys

from actors.messages import VOCABULARY
from actors.system.keyed_tcp import keyed_actor_system

LOOPBACK = "127.0.0.1"


def main() -> None:
    key = bytes.fromhex(sys.stdin.readline())
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    system = keyed_actor_system(key=key, port=port, vocabulary=VOCABULARY)
    try:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        system.shutdown()


if __name__ == "__main__":
    main()
