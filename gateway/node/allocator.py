"""How a program of ours treats memory: what the allocator of C keeps, and what the collector looks at."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
TRIM_THRESHOLD = 4 * 1024 * 1024
"""Free bytes at the end of the heap that stay with the process. Higher costs resident memory."""
MMAP_THRESHOLD = 1024 * 1024
"""Blocks from this size on are the kernel's, each on its own: above the largest read and usual write."""


def keep_freed_memory() -> bool:
    """Keep some freed memory instead of giving it back to the kernel. False where the C library has no say.

    Reads and writes take blocks of up to some 100 KiB and free them in the same turn. By default glibc gives
    the end of the heap back each time, and the next turn pays for it with a page fault every 4 KiB: half of
    what a message of 64 KiB would cost a node. Affects the whole process, so it is for programs
    of ours and not for applications that only import the library.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD) and mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD))


def set_aside_what_is_loaded() -> None:
    """Have the collector of cycles look at nothing that there is by now.

    Modules, classes and what was read at the start are never garbage, and are most of a node's objects: each
    full collection would look at all of them again, for some 25 ms in which nobody has a turn, and peers
    bring collections about. Affects the whole process, as `keep_freed_memory` does.
    """
    gc.collect()
    gc.freeze()
