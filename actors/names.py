"""Names: three hashed components and an instance id (`dataplane.md` 3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import xxhash

NO_ID = 2**64 - 1
"""The fourth component of a name that stands for any instance, or for a channel."""

Key = bytes
"""The hashes of a name's three strings, 24 bytes, big-endian. Tables are keyed by it: Python hashes bytes
with a secret of the process, so nobody can choose names that meet in one slot, as he could with numbers."""

InstanceId = bytes
"""An instance id as a key of tables: 8 bytes, big-endian."""

NO_INSTANCE: InstanceId = NO_ID.to_bytes(8)
"""NO_ID as a key of tables."""

_MASK = 2**64 - 1
_HASHES = struct.Struct(">3Q")


def key_of(hash0: int, hash1: int, hash2: int) -> Key:
    """The key of a name with these component hashes."""
    return _HASHES.pack(hash0, hash1, hash2)


def hashes_of(key: Key) -> tuple[int, int, int]:
    """The three component hashes of a key."""
    hash0, hash1, hash2 = _HASHES.unpack(key)
    return hash0, hash1, hash2


def component_hash(text: str) -> int:
    """The 64-bit hash of one component: XXH64, seed 0, over the UTF-8 bytes and one byte 0xFF."""
    return xxhash.xxh64_intdigest(text.encode() + b"\xff")


def instance_id(identity_id: str) -> int:
    """The instance id of an application: SipHash-1-3, zero key, over the UTF-8 identity id and 0xFF.

    The reserved value NO_ID, should a hash hit it, becomes 0 so that the application stays addressable.
    """
    digest = _siphash13(identity_id.encode() + b"\xff")
    return 0 if digest == NO_ID else digest


class Name:
    """`Name("org", "namespace", "app", id=None)`: who a message is for, or from. Immutable.

    Without `id` it is an anycast address (any instance of that application) or a channel; with one, it
    is a single instance. Equality and hash use all four components. Raises ValueError for an empty
    component or an id outside 64 bits.
    """

    __slots__ = ("_whole", "instance", "key", "strings", "wire")

    key: Key
    """The three component hashes."""

    instance: InstanceId
    """The instance id; NO_INSTANCE when unset."""

    strings: tuple[str, str, str]

    wire: bytes | None
    """The encoded form, once its codec has made it (`remember`)."""

    _whole: bytes
    """Key and instance: what is compared and hashed."""

    def __init__(self, component0: str, component1: str, component2: str, id: int | None = None) -> None:
        strings = (component0, component1, component2)
        if not all(isinstance(text, str) and text for text in strings):
            raise ValueError(f"a name has three non-empty components, got {'/'.join(map(str, strings))!r}")
        hashes = component_hash(component0), component_hash(component1), component_hash(component2)
        fill(self, key_of(*hashes), strings, _instance(id))

    @classmethod
    def from_wire(cls, key: Key, strings: tuple[str, str, str], instance: InstanceId) -> Name:
        """A name as a peer sent it: the hashes are taken, not recomputed; strings may be empty."""
        name = cls.__new__(cls)
        fill(name, key, strings, instance)
        return name

    @classmethod
    def parse(cls, text: str) -> Name:
        """Read `a/b/c` (three trimmed, non-empty parts) or `a/b/c/<id in hex>`. Raises ValueError."""
        parts = [part.strip() for part in text.split("/")]
        if len(parts) not in (3, 4) or not all(parts):
            raise ValueError(f"a name is organisation/namespace/application, got {text!r}")
        id = _id_of(parts[3], text) if len(parts) == 4 else None
        return cls(parts[0], parts[1], parts[2], id)

    from_string = parse

    @property
    def id(self) -> int:
        """The instance id as a number; NO_ID (2**64 - 1) when unset."""
        return int.from_bytes(self.instance)

    @property
    def has_id(self) -> bool:
        return self.instance != NO_INSTANCE

    def with_id(self, id: int | None) -> Name:
        """The same name with another instance id (None: without one)."""
        return Name.from_wire(self.key, self.strings, _instance(id))

    def of_instance(self, instance: InstanceId) -> Name:
        """The same name with another instance id, as a key of tables."""
        return Name.from_wire(self.key, self.strings, instance)

    def without_id(self) -> Name:
        return Name.from_wire(self.key, self.strings, NO_INSTANCE) if self.has_id else self

    def components(self) -> list[int]:
        """The four 64-bit components: three hashes and the id."""
        return [*hashes_of(self.key), self.id]

    def components_strings(self) -> list[str]:
        return list(self.strings)

    def equal_without_id(self, other: Name) -> bool:
        return self.key == other.key

    def remember(self, wire: bytes) -> None:
        """Keep the encoded form, for the codec. One slot is enough: an instance id has the length of one
        family, so a name is of one family too."""
        _set_wire(self, wire)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a name is immutable, {attribute} too; with_id gives one with another id")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"a name is immutable, {attribute} too")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_wire, (self.key, self.strings, self.instance)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Name) and self._whole == other._whole

    def __hash__(self) -> int:
        return hash(self._whole)

    def __str__(self) -> str:
        return f"{'/'.join(self.strings)}/{self.id:x}"

    def __repr__(self) -> str:
        return f"Name({str(self)!r})"

    @property
    def short(self) -> str:
        """As people write it: org/ns/app, with the first digits of the instance id if it has one."""
        text = "/".join(self.strings)
        return f"{text}/{self.id >> 48:04x}" if self.has_id else text


_set_whole, _set_instance, _set_key, _set_strings, _set_wire = (
    vars(Name)[slot].__set__ for slot in Name.__slots__
)


def fill(name: Name, key: Key, strings: tuple[str, str, str], instance: InstanceId) -> None:
    """Give a name its content: while it is made, and for the settable one of older programs."""
    _set_key(name, key)
    _set_strings(name, strings)
    _set_instance(name, instance)
    _set_whole(name, key + instance)
    _set_wire(name, None)


def _id_of(digits: str, text: str) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        raise ValueError(f"the fourth part of a name is an instance's id, in hex, got {text!r}") from None


def _instance(id: int | None) -> InstanceId:
    if id is None:
        return NO_INSTANCE
    if not 0 <= id <= NO_ID:
        raise ValueError(f"an instance id is an unsigned 64-bit number, got {id}")
    return id.to_bytes(8)


def _rotl(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & _MASK


def _sip_rounds(v: Sequence[int], count: int) -> tuple[int, int, int, int]:
    v0, v1, v2, v3 = v
    for _ in range(count):
        v0 = (v0 + v1) & _MASK
        v1 = _rotl(v1, 13) ^ v0
        v0 = _rotl(v0, 32)
        v2 = (v2 + v3) & _MASK
        v3 = _rotl(v3, 16) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = _rotl(v3, 21) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = _rotl(v1, 17) ^ v2
        v2 = _rotl(v2, 32)
    return v0, v1, v2, v3


def _siphash13(data: bytes) -> int:
    """SipHash with one compression and three finalisation rounds, key zero."""
    v = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v0, v1, v2, v3 = _sip_rounds((v[0], v[1], v[2], v[3] ^ word), 1)
        v = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = _sip_rounds((v[0], v[1], v[2] ^ 0xFF, v[3]), 3)
    return v0 ^ v1 ^ v2 ^ v3
