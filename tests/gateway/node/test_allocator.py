"""A block freed at the end of the heap is not paid for again."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from gateway.node.allocator import keep_freed_memory

PROGRAM = """
import resource
from gateway.node.allocator import keep_freed_memory
assert keep_freed_memory()
bytes(500_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    bytearray(b"x") * 500_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
def test_large_blocks_are_reused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    assert int(done.stdout) < 200 * 500_000 // resource.getpagesize() // 4


@pytest.mark.skipif(sys.platform == "linux", reason="elsewhere only")
def test_other_systems_are_left_alone() -> None:
    assert not keep_freed_memory()
