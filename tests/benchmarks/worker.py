"""The process of one worker: `python -m tests.benchmarks.worker ORDER`, an order being JSON.

It goes through the steps up (connected), ready (sessions open) and done (measured), writes a line of JSON
after each, and takes the next when a line comes in. CPU time is what the process, native threads included,
used during the measured part.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TextIO

from loguru import logger

from tests.benchmarks.adapters import adapter
from tests.benchmarks.places import found
from tests.benchmarks.workloads import WORK, Part, Report

run_loop = found("gateway.node.runner:run", "gateway.runner:run")


def cpu_of_self() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


Step = Callable[[Report], Awaitable[None]]


async def open_steps(replies: TextIO) -> Step:
    """A function that reports a step and waits for the word to go on."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def step(report: Report) -> None:
        replies.write(json.dumps(report) + "\n")
        if not await reader.readline():
            raise ConnectionError("the measuring process is gone")

    return step


async def measured(part: Part, step: Step) -> None:
    """Do the measured part between the steps ready and done."""
    await step({"step": "ready"})
    cpu = cpu_of_self()
    report = await part()
    await step({"step": "done", "cpu": cpu_of_self() - cpu, **report})


async def work(order: Mapping[str, Any], replies: TextIO) -> None:
    """Do one part in a process of its own: the order names adapter, endpoint, names, work and arguments."""
    step = await open_steps(replies)
    broker = adapter(order["adapter"])
    apps = [await broker.application(name, order["endpoint"]) for name in order["names"]]
    await step({"step": "up"})
    await measured(await WORK[order["work"]](apps, order["arguments"]), step)
    for app in apps:
        await app.close()


def main(work: Callable[[Mapping[str, Any], TextIO], Coroutine[Any, Any, None]]) -> None:
    """Do the order of the command line; stdout carries the steps."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the steps
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    run_loop(work(json.loads(sys.argv[1]), replies))


if __name__ == "__main__":
    main(work)
