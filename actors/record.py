"""Records (`identity/record.py`) as messages of actors: public ones keep the names that their fields had."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from identity.record import is_record_class, knows_its_type, record

__all__ = ["is_record_class", "knows_its_type", "record", "renamed"]

_Class = TypeVar("_Class", bound=type)


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
