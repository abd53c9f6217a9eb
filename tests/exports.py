"""What a package hands on, read from its `__init__` so that no test holds a copy of the list."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def handed_on(package: ModuleType) -> set[str]:
    """The names that a package takes from its own modules, at once or on first use."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(inspect.getsource(package)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package.__name__)
        for alias in node.names
    }


def declared_for_types(package: ModuleType) -> dict[str, set[str]]:
    """The names that a package imports for the type checker alone, by module."""
    return {
        node.module or "": {alias.name for alias in node.names}
        for block in ast.parse(inspect.getsource(package)).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
