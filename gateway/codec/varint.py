"""Protobuf's variable-length integers, for the few places on the hot path that read bytes themselves."""

from __future__ import annotations

_SMALL = [bytes((n,)) for n in range(128)]


def encode(value: int) -> bytes:
    """The bytes of an unsigned integer."""
    if value < 128:
        return _SMALL[value]
    if value < 16384:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 2097152:
        # The length of a large message.
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if 1 << 28 <= value < 1 << 35:
        # Random 32-bit ids are mostly that long.
        return bytes(
            (
                value & 0x7F | 0x80,
                value >> 7 & 0x7F | 0x80,
                value >> 14 & 0x7F | 0x80,
                value >> 21 & 0x7F | 0x80,
                value >> 28,
            )
        )
    out = bytearray()
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it). Raises IndexError at the end of data, ValueError past 64 bits."""
    byte = data[position]
    position += 1
    if byte < 128:
        return byte, position
    value = byte & 0x7F
    byte = data[position]
    position += 1
    if byte < 128:
        return value | byte << 7, position
    value |= (byte & 0x7F) << 7
    shift = 14
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint longer than 64 bits")
