"""Reading a file that a person named: it may be anything."""

from __future__ import annotations

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file


def read_bounded(path: str, bound: int, where: str) -> bytes:
    """The bytes of a regular file of at most `bound` bytes. Raises ConfigError for anything else."""
    try:
        return read_file(path, max_bytes=bound).data
    except Malformed as error:
        raise ConfigError(f"cannot read {path!r}: {error}", field=where) from None


def text_of(data: bytes, path: str, where: str) -> str:
    """The text of UTF-8 bytes. Raises ConfigError naming the line at fault."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8", field=where) from exc
