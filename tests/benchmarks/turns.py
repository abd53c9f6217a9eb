"""`python -m tests.benchmarks.turns`: the slowest turn of a node's loop under each script of hostile peers.

A node is in this process, as `callboard start` has it; each script of the soak plays in one of its own. Times
are of the CPU, of the loop's thread alone: what other programs take does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import time
from typing import Any

from gateway.config.node import NodeConfig
from gateway.node.allocator import keep_freed_memory
from gateway.node.collector import Collector
from gateway.node.node import Node
from gateway.node.runner import run
from tests.benchmarks.admin import Turns
from tests.faults.soak.hostile import SCRIPTS, play_once

AFTERWARDS = 1.0
"""Seconds in which a node forgets what a script left."""


class Collections:
    """The longest that the collector of cycles took, by generation."""

    def __init__(self) -> None:
        self.longest = [0.0, 0.0, 0.0]
        self.count = [0, 0, 0]
        self._began = 0.0

    def look(self, phase: str, info: dict[str, Any]) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._began = time.thread_time()
            return
        generation = info["generation"]
        self.count[generation] += 1
        self.longest[generation] = max(self.longest[generation], time.thread_time() - self._began)

    def __str__(self) -> str:
        return " ".join(
            f"{seconds * 1000:6.2f} ({count})"
            for seconds, count in zip(self.longest, self.count, strict=True)
        )


async def attack(script: str, endpoint: str) -> None:
    """Play a script in a process of its own."""
    # From a thread: to begin a process takes 2 ms.
    command = (sys.executable, "-m", __spec__.name, "--play", script, endpoint)
    await asyncio.to_thread(subprocess.run, command, check=True)
    await asyncio.sleep(AFTERWARDS)


async def main(scripts: list[str]) -> None:
    """Play each script, and print the slowest turn meanwhile."""
    server = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
    node = Node(NodeConfig.read({"services": {"slim/0": {"dataplane": {"servers": [server]}}}}))
    keep_freed_memory()
    (address,) = await node.start()
    collector = Collector(asyncio.get_running_loop())
    collector.start()
    turns, collected = Turns(), {}
    for script in scripts:
        collected[script] = Collections()
        gc.callbacks.append(collected[script].look)
        await turns.measure(script, lambda script=script: attack(script, f"http://{address}"))  # type: ignore[misc]
        gc.callbacks.remove(collected[script].look)
    collector.stop()
    await node.close(0.1)
    print("milliseconds: slowest turn, median and largest; longest collection (count) of generations 0, 1, 2")
    for what, found in sorted(turns.slowest.items(), key=lambda one: -max(one[1])):
        print(f"{statistics.median(found) * 1000:8.2f} {max(found) * 1000:8.2f}  {what:24}{collected[what]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--play", nargs=2, metavar=("SCRIPT", "ENDPOINT"), help=argparse.SUPPRESS)
    parser.add_argument("scripts", nargs="*", default=[script.__name__ for script in SCRIPTS])
    given = parser.parse_args()
    if given.play:
        asyncio.run(play_once(*given.play))
    else:
        run(main(given.scripts))
