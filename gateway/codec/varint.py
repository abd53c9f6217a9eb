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
    # Up to five bytes without a loop, as most are. All but the last have their high bits set: what these add
    # to the sum is taken off in one.
    first = data[position]
    if first < 128:
        return first, position + 1
    second = data[position + 1]
    if second < 128:
        return first - 0x80 + (second << 7), position + 2
    third = data[position + 2]
    if third < 128:
        return first - 0x4080 + (second << 7) + (third << 14), position + 3
    value = first - 0x204080 + (second << 7) + (third << 14)
    fourth = data[position + 3]
    if fourth < 128:
        return value + (fourth << 21), position + 4
    value += (fourth - 0x80) << 21
    fifth = data[position + 4]
    if fifth < 128:
        return value + (fifth << 28), position + 5
    return _decode_long(data, position + 5, value + ((fifth - 0x80) << 28))


def _decode_long(data: bytes, position: int, value: int) -> tuple[int, int]:
    """`decode` from the sixth byte on."""
    for shift in range(35, 64, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, position
    raise ValueError("varint longer than 64 bits")
