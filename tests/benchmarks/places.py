"""Names below the published API, wherever the tree under measurement has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def found(*places: str) -> Any:
    """The first of these "module:name" that there is, the newest place being named first.

    Raises ImportError when the tree has none, and what importing a module that is there raises.
    """
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
                raise
        except AttributeError:
            continue
    raise ImportError(f"none of {', '.join(places)} is there: name its place in this tree too")
