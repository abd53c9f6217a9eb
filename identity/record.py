"""What every record is: a NamedTuple that knows its type.

A bare NamedTuple equals every tuple of the same fields, whatever those mean. `record` gives a class equality
and hash by type; creating, reading and unpacking stay those of tuples.
"""

from __future__ import annotations

from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)
_tuple_equal, _tuple_hash = tuple.__eq__, tuple.__hash__


def _equal(self: tuple[Any, ...], other: object) -> bool:
    if type(other) is type(self):
        return _tuple_equal(self, other)
    # NotImplemented would let a tuple compare the fields after all.
    return False if isinstance(other, tuple) else NotImplemented


def _unequal(self: tuple[Any, ...], other: object) -> bool:
    equal = _equal(self, other)
    return equal if equal is NotImplemented else not equal


def _hash(self: tuple[Any, ...]) -> int:
    return _tuple_hash(self) ^ hash(type(self))


def record(kind: _Class) -> _Class:
    """Let values of a NamedTuple class equal values of that class only. For use as its decorator."""
    if not is_record_class(kind):
        raise TypeError(f"{kind.__qualname__} is not a NamedTuple")
    kind.__eq__ = _equal  # type: ignore[assignment,method-assign]
    kind.__ne__ = _unequal  # type: ignore[assignment,method-assign]
    kind.__hash__ = _hash  # type: ignore[assignment,method-assign]
    return kind


def is_record_class(kind: type) -> bool:
    """Whether `kind` is made by NamedTuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def knows_its_type(kind: type) -> bool:
    """Whether `record` was applied to a NamedTuple class."""
    return vars(kind).get("__eq__") is _equal
