"""Names as applications make them: those of 0.7 have an `id` that can be set.

Inside, names are immutable (`actors/names.py`): records, tables and other processes hold them. What an
application hands in is therefore settled first; what it gets back is immutable, and a Name all the same.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from actors import names


class _AnyName(type):
    """Every name is an instance of Name, wherever it was made."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, names.Name)


class SettableName(names.Name, metaclass=_AnyName):
    """A name whose `id` can be set. The original's other classes of names are made of it."""

    __slots__ = ()

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute == "id":
            self._set(value)
        else:
            super().__setattr__(attribute, value)

    def _set(self, id: int | None) -> None:
        names.fill(self, self.key, self.strings, self.with_id(id).instance)


if TYPE_CHECKING:
    # To a type checker all names are one class, and immutable.
    Name = names.Name
else:

    class Name(SettableName):
        """`Name("org", "namespace", "app", id=None)`. Setting `id` warns: `with_id` gives another name."""

        __slots__ = ()

        def _set(self, id: int | None) -> None:
            # Deprecated since 0.2.
            warnings.warn(
                "names are immutable: write name = name.with_id(id)", DeprecationWarning, stacklevel=3
            )
            super()._set(id)


def settled(name: names.Name) -> names.Name:
    """`name` as it is now, for keeps."""
    return name if type(name) is names.Name else name.with_id(name.id)
