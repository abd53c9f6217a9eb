"""Reading the files that a configuration, a command line or an environment variable names.

Whoever names a file may name anything: a pipe that nobody writes to would stop the process, a device would
never end. So only regular files are read, and of those so many bytes and no more.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from identity.encoding import Malformed
from identity.record import record

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@record
class FileContent(NamedTuple):
    """What was read, and the state of the very file that it was read from."""

    data: bytes
    status: os.stat_result


def read_file(path: str | os.PathLike[str], *, max_bytes: int) -> FileContent:
    """Read a regular file of at most `max_bytes` bytes; waits for nobody.

    Raises Malformed, which says why in a few words and quotes nothing of the content.
    """
    try:
        # Not blocking: to open a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
                raise Malformed(f"it is {kind}, not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Malformed(reason_of(error)) from None
    except Malformed:
        raise
    except ValueError:
        raise Malformed("no path") from None
    if len(data) > max_bytes:
        raise Malformed(f"larger than {max_bytes} bytes")
    return FileContent(data, status)


def reason_of(error: OSError) -> str:
    """What an error of the system says about a file, in a few words."""
    return error.strerror or type(error).__name__
