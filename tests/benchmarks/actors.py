"""What the actor system costs: a few seconds of measuring, and a table.

python -m tests.benchmarks.actors
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.system import LoopActor, LoopSystem


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    unit: str


class _Sink(LoopActor):
    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        pass


class _Pong(LoopActor):
    """Sends back every number, one less, until it is 0; then tells `done`."""

    def __init__(self, done: asyncio.Event) -> None:
        self.done = done

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        if msg == 0:
            self.done.set()
        elif isinstance(msg, int):
            self.send(sender, msg - 1)


class _Echo(LoopActor):
    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:
        self.send(sender, msg)


async def measure(scale: int = 100_000) -> list[Figure]:
    """Measure on the running loop. `scale` is about the number of messages of each measurement."""
    return [
        Figure("tell to one actor", await _tells(scale, actors=1), "messages/s"),
        Figure("tell to 1,000 actors in turn", await _tells(scale, actors=1000), "messages/s"),
        Figure("actor to actor hop", 1e6 / await _hops(scale), "us"),
        Figure("await ask", 1e6 / await _asks(scale // 4), "us"),
        Figure("set and cancel a timer", 1e6 / await _timers(scale // 4), "us"),
        Figure("spawn", await _spawns(scale // 4), "actors/s"),
        Figure("memory of an idle actor", await _memory(scale // 10), "bytes"),
    ]


async def _tells(count: int, *, actors: int) -> float:
    system = LoopSystem()
    targets = [system.spawn(_Sink) for _ in range(actors)]
    batch = 10_000  # well below a mailbox's bound
    started = time.perf_counter()
    for _ in range(count // batch):
        for _ in range(batch // actors):
            for target in targets:
                system.tell(target, None)
        await system.idle()
    elapsed = time.perf_counter() - started
    await system.shutdown()
    return count // batch * batch / elapsed


async def _hops(count: int) -> float:
    system = LoopSystem()
    done = asyncio.Event()
    ping, pong = system.spawn(_Pong, done), system.spawn(_Pong, done)
    started = time.perf_counter()
    system.tell(ping, count, pong)
    await done.wait()
    elapsed = time.perf_counter() - started
    await system.shutdown()
    return count / elapsed


async def _asks(count: int) -> float:
    system = LoopSystem()
    echo = system.spawn(_Echo)
    started = time.perf_counter()
    for number in range(count):
        await system.ask(echo, number, 10.0)
    elapsed = time.perf_counter() - started
    await system.shutdown()
    return count / elapsed


async def _timers(count: int) -> float:
    system = LoopSystem()
    made: list[_Sink] = []

    def make() -> _Sink:
        made.append(_Sink())
        return made[0]

    system.spawn(make)
    started = time.perf_counter()
    for _ in range(count):
        made[0].after(60.0).cancel()
    elapsed = time.perf_counter() - started
    await system.shutdown()
    return count / elapsed


async def _spawns(count: int) -> float:
    system = LoopSystem()
    gc.collect()
    started = time.perf_counter()
    for _ in range(count):
        system.spawn(_Sink)
    elapsed = time.perf_counter() - started
    await system.shutdown(60.0)
    return count / elapsed


async def _memory(count: int) -> float:
    system = LoopSystem()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(count):
        system.spawn(_Sink)
    await system.idle()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await system.shutdown(60.0)
    return (after - before) / count


def table(figures: list[Figure]) -> str:
    """The figures as aligned lines."""
    width = max(len(figure.what) for figure in figures)
    return "\n".join(f"{what:<{width}}  {value:>12,.4g}  {unit}" for what, value, unit in figures)


def main() -> None:
    """Measure and print."""
    sys.stdout.write(table(asyncio.run(measure())) + "\n")


if __name__ == "__main__":
    main()
