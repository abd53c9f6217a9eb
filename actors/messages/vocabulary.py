"""The msgpack form of actor messages: arrays, no maps, no pickles.

A record (a NamedTuple or an IntEnum declared in `actors/messages/`) is packed as the array of its fields
behind its class name; tuples, names, errors and mappings are extension types of their own, so that what
is unpacked equals what was packed. Anything else is refused with a TypeError: nothing can be smuggled
past the vocabulary.

Where a process boundary is crossed this form travels and nothing else. Inside one loop records go by
reference; the strict mode of the actor system packs and unpacks every send, so that tests prove it.
"""

from __future__ import annotations

import enum
from types import ModuleType
from typing import Any

import msgpack

from actors.names import Name
from actors.record import is_record_class
from identity.errors import SlimError, error_class, names_of_error

_RECORD, _TUPLE, _NAME, _MAP, _ERROR, _ENUM, _BIGINT, _SET = range(1, 9)


class Vocabulary:
    """Packs and unpacks the records of some modules. `extend` adds foreign types by a pair of functions."""

    def __init__(self, records: dict[str, type]) -> None:
        self._records = records
        self._names = {record: name for name, record in records.items()}
        self._foreign: dict[type, tuple[int, Any]] = {}
        self._foreign_unpack: dict[int, Any] = {}

    @classmethod
    def of(cls, *modules: ModuleType) -> Vocabulary:
        """The vocabulary of all records and IntEnums declared in `modules`.

        Raises TypeError for two classes of one name, which is what they travel under.
        """
        records: dict[str, type] = {}
        for module in modules:
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__ and _travels(value):
                    other = records.setdefault(value.__name__, value)
                    if other is not value:
                        raise TypeError(
                            f"two records travel as {value.__name__}: of {other.__module__} "
                            f"and of {value.__module__}"
                        )
        return cls(records)

    def extend(self, kind: type, pack: Any, unpack: Any) -> None:
        """Let values of `kind` travel too: `pack(value) -> bytes`, `unpack(bytes) -> value`."""
        code = 32 + len(self._foreign)
        self._foreign[kind] = (code, pack)
        self._foreign_unpack[code] = unpack

    def __contains__(self, message: object) -> bool:
        return type(message) in self._names

    def pack(self, message: Any) -> bytes:
        """The msgpack form. Raises TypeError for anything outside the vocabulary."""
        packed: bytes = msgpack.packb(message, default=self._pack, strict_types=True)
        return packed

    def unpack(self, data: bytes) -> Any:
        """The value again. Raises ValueError for bytes that are not this vocabulary's."""
        try:
            return msgpack.unpackb(data, ext_hook=self._unpack, strict_map_key=False)
        except (KeyError, TypeError, IndexError, RecursionError, msgpack.exceptions.UnpackException) as exc:
            raise ValueError(f"not a message of this vocabulary: {exc!r}") from exc

    def _pack(self, value: Any) -> msgpack.ExtType:
        kind = type(value)
        name = self._names.get(kind)
        if name is not None:
            if isinstance(value, enum.Enum):
                return self._ext(_ENUM, [name, int(value.value)])
            return self._ext(_RECORD, [name, *value])
        if kind is tuple:
            return self._ext(_TUPLE, list(value))
        if isinstance(value, Name):
            return self._ext(_NAME, [value.key, *value.strings, value.instance])
        if kind is dict:
            return self._ext(_MAP, [x for pair in value.items() for x in pair])
        if kind is frozenset:
            return self._ext(_SET, list(value))
        if kind is int:
            return msgpack.ExtType(_BIGINT, str(value).encode())
        if isinstance(value, SlimError):
            return self._ext(_ERROR, [names_of_error(kind), str(value), dict(vars(value))])
        for foreign, (code, pack) in self._foreign.items():
            if isinstance(value, foreign):
                return msgpack.ExtType(code, pack(value))
        raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not in the actors' vocabulary")

    def _ext(self, code: int, items: list[Any]) -> msgpack.ExtType:
        # msgpack would pack a dict as a map by itself; it travels as alternating keys and values.
        plain = [self._pack(item) if type(item) is dict else item for item in items]
        return msgpack.ExtType(code, msgpack.packb(plain, default=self._pack, strict_types=True))

    def _unpack(self, code: int, data: bytes) -> Any:
        if code in self._foreign_unpack:
            return self._foreign_unpack[code](data)
        if code == _BIGINT:
            return int(data)
        items = self.unpack(data)
        if code == _TUPLE:
            return tuple(items)
        if code == _NAME:
            return Name.from_wire(items[0], (items[1], items[2], items[3]), items[4])
        if code == _MAP:
            return dict(zip(items[::2], items[1::2], strict=True))
        if code == _SET:
            return frozenset(items)
        if code == _ENUM:
            return self._records[items[0]](items[1])
        if code == _RECORD:
            return self._records[items[0]](*items[1:])
        if code == _ERROR:
            return _error(*items)
        raise ValueError(f"unknown extension type {code}")


def _travels(kind: type) -> bool:
    return is_record_class(kind) or issubclass(kind, enum.IntEnum)


def _error(names: list[str], text: str, fields: dict[str, Any]) -> SlimError:
    """An error again, with its text and fields, whatever its constructor wants.

    `names` are its class's and those of its bases: an error declared where this process has not been is
    one of the nearest base that it knows.
    """
    kind = error_class(names)
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    vars(error).update(fields)
    return error
