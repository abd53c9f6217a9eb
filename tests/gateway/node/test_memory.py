"""The memory alarm: when it rings, and that nothing is said twice; descriptors at the start."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.node.memory import MemoryAlarm, MemoryWatch, limit_of_container, memory_limit, resident


def test_it_rings_at_the_limit_and_goes_on_until_it_is_well_below() -> None:
    alarm = MemoryAlarm(100)
    assert [(alarm.look(used), alarm.rings) for used in (99, 100, 99, 90, 89, 95, 100)] == [
        (False, False), (True, True), (False, True), (False, True), (True, False), (False, False),
        (True, True),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 200)))
def test_a_change_is_told_once(used: list[int]) -> None:
    alarm, rings = MemoryAlarm(100), False
    for each in used:
        changed = alarm.look(each)
        assert changed == (alarm.rings is not rings)
        rings = alarm.rings
        assert rings or each < 100
        assert not rings or each >= 90


async def test_a_watch_tells_and_lets_go_at_its_end() -> None:
    told: list[bool] = []
    watch = MemoryWatch(100, told.append, lambda: 150)
    watch.open()
    assert told == [True]
    watch.close()
    watch.close()
    assert told == [True, False]


def test_what_this_machine_says(tmp_path: Path) -> None:
    assert resident() > 1024 * 1024
    for text, limit in (("max\n", None), ("1048576\n", 1048576), ("9223372036854771712\n", None)):
        (tmp_path / "memory.max").write_text(text)
        assert limit_of_container((str(tmp_path / "none"), str(tmp_path / "memory.max"))) == limit
    assert memory_limit(5) == 5


def reserved(connections: int, soft: int, hard: int) -> list[str]:
    """What a process with these limits says, and what it may have then."""
    code = (
        "import resource; from gateway.node.descriptors import reserve;"
        f"print(reserve({connections}) or '-'); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )  # fmt: skip
    return done.stdout.splitlines()


def test_descriptors_are_taken_where_they_may_be_had_and_asked_for_where_not() -> None:
    assert reserved(500, 256, 1024) == ["-", "628"]
    said, granted = reserved(5000, 256, 1024)
    assert "5000 connections need 5128 file descriptors, and this process may have 1024" in said
    assert "limits.connections to 896" in said
    assert granted == "1024"
