"""The presentation language of RFC 9420, section 2: reading with bounds, writing by concatenation.

A `Reader` never looks past the vector it is in, refuses lengths that are not minimally encoded, and
raises DecodeError for everything that is not there. Structures keep the bytes they were read from
(`since`) where a signature covers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from identity.mls.errors import DecodeError, StateError

T = TypeVar("T")

MAX_VECTOR_LENGTH = (1 << 30) - 1
"""The longest vector a four-byte length can announce (section 2.1.2)."""


class Reader:
    """Reads one structure after the other from `data`."""

    __slots__ = ("_data", "_end", "_pos")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0
        self._end = len(data)

    @property
    def position(self) -> int:
        """The offset of the next byte to read."""
        return self._pos

    def since(self, start: int) -> bytes:
        """The bytes read from offset `start` up to here, exactly as received."""
        return self._data[start : self._pos]

    def raw(self, length: int) -> bytes:
        """Read `length` bytes."""
        start = self._pos
        end = start + length
        if end > self._end:
            raise DecodeError(f"{length} bytes wanted, {self._end - start} left", offset=start)
        self._pos = end
        return self._data[start:end]

    def u8(self) -> int:
        """Read a uint8."""
        pos = self._pos
        if pos >= self._end:
            raise DecodeError("1 byte wanted, 0 left", offset=pos)
        self._pos = pos + 1
        return self._data[pos]

    def u16(self) -> int:
        """Read a uint16."""
        return int.from_bytes(self.raw(2), "big")

    def u32(self) -> int:
        """Read a uint32."""
        return int.from_bytes(self.raw(4), "big")

    def u64(self) -> int:
        """Read a uint64."""
        return int.from_bytes(self.raw(8), "big")

    def length(self) -> int:
        """Read a variable-size length; only the shortest form is legal (section 2.1.2)."""
        start = self._pos
        first = self.u8()
        if first < 0x40:
            return first
        if first < 0x80:
            value, least = (first & 0x3F) << 8 | self.u8(), 0x40
        elif first < 0xC0:
            value, least = (first & 0x3F) << 24 | int.from_bytes(self.raw(3), "big"), 0x4000
        else:
            raise DecodeError("length of eight bytes is not allowed", offset=start)
        if value < least:
            raise DecodeError(f"length {value} is not minimally encoded", offset=start)
        return value

    def opaque(self) -> bytes:
        """Read `opaque value<V>`."""
        pos = self._pos
        if pos < self._end and (size := self._data[pos]) < 0x40:
            self._pos = pos + 1
            return self.raw(size)
        return self.raw(self.length())

    def vector(self, decode: Callable[[Reader], T], *, limit: int | None = None) -> tuple[T, ...]:
        """Read `T items<V>`, at most `limit` of them (`None`: as many as the bytes hold)."""
        size = self.length()
        end = self._pos + size
        outer = self._end
        if end > outer:
            raise DecodeError(f"vector of {size} bytes, {outer - self._pos} left", offset=self._pos)
        self._end = end
        items: list[T] = []
        while self._pos < end:
            if limit is not None and len(items) == limit:
                raise DecodeError(f"more than {limit} items", offset=self._pos)
            items.append(decode(self))
        self._end = outer
        return tuple(items)

    def optional(self, decode: Callable[[Reader], T]) -> T | None:
        """Read `optional<T>` (section 2.1.1)."""
        present = self.u8()
        if present > 1:
            raise DecodeError(f"presence octet is {present}, not 0 or 1", offset=self._pos - 1)
        return decode(self) if present else None

    def rest(self) -> bytes:
        """Read everything that is left of the structure."""
        return self.raw(self._end - self._pos)

    def finish(self) -> None:
        """Raise DecodeError unless everything has been read."""
        if self._pos != self._end:
            raise DecodeError(f"{self._end - self._pos} bytes too many", offset=self._pos)


def decode_whole(data: bytes, decode: Callable[[Reader], T]) -> T:
    """Decode a structure that must fill `data` exactly. Raises DecodeError."""
    reader = Reader(data)
    value = decode(reader)
    reader.finish()
    return value


def u8(value: int) -> bytes:
    """Write a uint8."""
    try:
        return value.to_bytes(1, "big")
    except OverflowError:
        raise _no_uint(value, 8) from None


def u16(value: int) -> bytes:
    """Write a uint16."""
    try:
        return value.to_bytes(2, "big")
    except OverflowError:
        raise _no_uint(value, 16) from None


def u32(value: int) -> bytes:
    """Write a uint32."""
    try:
        return value.to_bytes(4, "big")
    except OverflowError:
        raise _no_uint(value, 32) from None


def u64(value: int) -> bytes:
    """Write a uint64."""
    try:
        return value.to_bytes(8, "big")
    except OverflowError:
        raise _no_uint(value, 64) from None


def _no_uint(value: int, bits: int) -> StateError:
    return StateError(f"{value} is no number of {bits} bits without a sign")


def length(value: int) -> bytes:
    """Write a variable-size length in its shortest form (section 2.1.2)."""
    if value < 0x40:
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return (0x4000 | value).to_bytes(2, "big")
    if value <= MAX_VECTOR_LENGTH:
        return (0x8000_0000 | value).to_bytes(4, "big")
    raise DecodeError(f"a vector of {value} bytes cannot be encoded, {MAX_VECTOR_LENGTH} is the most")


def opaque(data: bytes) -> bytes:
    """Write `opaque data<V>`."""
    return length(len(data)) + data


def vector(items: Iterable[bytes]) -> bytes:
    """Write `T items<V>` from the encodings of its items."""
    parts = list(items)
    return b"".join((length(sum(map(len, parts))), *parts))


def optional(encoding: bytes | None) -> bytes:
    """Write `optional<T>` from the encoding of the value, or `None`."""
    return b"\0" if encoding is None else b"\1" + encoding
