"""Thespian's watches on the loop's readers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from thespian.actors import WatchMessage

from actors.system import LoopSystem
from actors.system.watch import FileWatch
from tests.actors.system.cast import Get, Make, Reader

PATIENCE = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends: to read from, to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def watched(fileno: int) -> bool:
    """Whether the loop watched the file; it does not any more."""
    return asyncio.get_running_loop().remove_reader(fileno)


async def test_a_watched_file_is_reported_once_per_reading(pipe: tuple[int, int]) -> None:
    done = asyncio.Event()

    class Until(Reader):
        def receiveMessage(self, msg, sender):  # type: ignore[no-untyped-def]
            result = super().receiveMessage(msg, sender)
            if len(self.read) == 3:
                done.set()
            return result

    read: list[bytes] = []
    system = LoopSystem()
    system.tell(system.spawn(Until, pipe[0], read), Make())
    await system.idle()
    os.write(pipe[1], b"abc")
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert read == [b"a", b"b", b"c"]
    await system.shutdown(PATIENCE)
    assert not watched(pipe[0])


async def test_any_other_result_ends_the_watch(pipe: tuple[int, int]) -> None:
    system = LoopSystem()
    reader = system.spawn(Reader, pipe[0], [])
    system.tell(reader, Make())
    system.tell(reader, Get())
    await system.idle()
    assert not watched(pipe[0])
    await system.shutdown(PATIENCE)


async def test_files_that_become_ready_meanwhile_join_the_report(pipe: tuple[int, int]) -> None:
    reports: list[WatchMessage] = []
    reported = asyncio.Event()

    def deliver(message: WatchMessage) -> None:
        reports.append(message)
        reported.set()

    other = os.pipe()
    watch = FileWatch(asyncio.get_running_loop(), deliver)
    watch.set([pipe[0], other[0]])
    os.write(pipe[1], b"x")
    await asyncio.wait_for(reported.wait(), PATIENCE)
    watch._ready(other[0])
    assert len(reports) == 1
    assert sorted(reports[0].ready) == sorted([pipe[0], other[0]])
    # Until the report is handled its files are not watched, whatever the actor returns.
    watch.set([pipe[0], other[0]])
    assert not watched(pipe[0])
    watch.handling(reports[0])
    watch.set([pipe[0]])
    assert watched(pipe[0])
    watch.close()
    for end in other:
        os.close(end)
