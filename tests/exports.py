"""What a package hands on, read from its `__init__` so that no test holds a copy of the list."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def handed_on(package: ModuleType) -> set[str]:
    """The names that a package takes from its own modules."""
    tree = ast.parse(inspect.getsource(package))
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package.__name__)
        for alias in node.names
    }
