"""Reading a file that a person named: it may be anything."""

from __future__ import annotations

import os
import stat

from identity.errors import ConfigError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bounded(path: str, bound: int, where: str) -> bytes:
    """The bytes of an ordinary file of at most `bound` bytes.

    Raises ConfigError for anything else; it never waits for a writer, nor reads without end.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "no path"
        raise ConfigError(f"cannot read {path!r}: {reason}", field=where) from exc
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        what = _KINDS.get(kind, "something else")
        raise ConfigError(f"cannot read {path!r}: it is {what}, not an ordinary file", field=where)
    with open(descriptor, "rb") as file:
        # One byte more, since a file may grow, or not say its size (as those of /proc).
        data = file.read(bound + 1)
    if len(data) > bound:
        raise ConfigError(f"{path!r} has more than {bound} bytes", field=where)
    return data


def text_of(data: bytes, path: str, where: str) -> str:
    """The text of UTF-8 bytes. Raises ConfigError naming the line at fault."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8", field=where) from exc
