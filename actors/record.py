"""What every record is: a NamedTuple that knows its type.

A bare NamedTuple equals every tuple of the same fields, so that `Congested(1) == Drained(1)`. `record` gives
a class equality and hash by type; creating, reading and unpacking stay those of tuples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
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


def renamed(**names: str) -> Callable[[_Class], _Class]:
    """Let fields of a public record go by their `old="new"` names too, in construction, in `_replace` and as
    attributes. Each use warns with DeprecationWarning."""

    def current(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
        for old in names.keys() & fields.keys():
            if names[old] in fields:
                raise TypeError(f"{kind.__name__}: {old} and {names[old]} are the same field")
            _warn(kind, old, names[old], level=4)
            fields[names[old]] = fields.pop(old)
        return fields

    def decorate(kind: _Class) -> _Class:
        create, replace = kind.__new__, kind._replace  # type: ignore[attr-defined]

        def new(cls: type, *values: Any, **fields: Any) -> Any:
            return create(cls, *values, **current(cls, fields) if fields else fields)

        def replaced(self: Any, **fields: Any) -> Any:
            return replace(self, **current(kind, fields))

        kind.__new__, kind._replace = new, replaced  # type: ignore[assignment,attr-defined,method-assign]
        for old, name in names.items():
            setattr(kind, old, property(_old_attribute(old, name)))
        return kind

    return decorate


def _old_attribute(old: str, name: str) -> Callable[[Any], Any]:
    def read(self: Any) -> Any:
        _warn(type(self), old, name, level=3)
        return getattr(self, name)

    return read


def _warn(kind: type, old: str, name: str, *, level: int) -> None:
    warnings.warn(f"{kind.__name__}.{old} is called {name} now", DeprecationWarning, stacklevel=level)


def is_record_class(kind: type) -> bool:
    """Whether `kind` is made by NamedTuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def knows_its_type(kind: type) -> bool:
    """Whether `record` was applied to a NamedTuple class."""
    return vars(kind).get("__eq__") is _equal
