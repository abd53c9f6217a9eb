"""How a program of ours treats memory: what the allocator of C keeps."""

from __future__ import annotations

import ctypes
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
