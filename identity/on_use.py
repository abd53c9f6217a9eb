"""Names of a package that are imported when they are first used (PEP 562): a package is light until then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_on_use(
    namespace: dict[str, Any],
    homes: Mapping[str, tuple[str, ...]],
    hint: Callable[[str], str] = lambda name: "",
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package whose `globals()` are `namespace`.

    `homes` says for each module which of its names the package hands out. What was used once stays in
    `namespace`: only the first use costs anything. What `hint` says about a name that is not there ends the
    error.
    """
    module_of = {name: module for module, names in homes.items() for name in names}

    def on_use(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}{hint(name)}")
        value = namespace[name] = getattr(import_module(module), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *module_of})

    return on_use, names
