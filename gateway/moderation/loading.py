"""Finding the class that a command line names: MODULE:CLASS, FILE.py, or FILE.py:CLASS."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from actors.moderation import Script
from identity.errors import ConfigError

T = TypeVar("T")

_IMPORTING = (__file__, importlib.__file__, "<frozen importlib")
"""Files whose frames say only that something is imported."""


class ScriptFailed(ConfigError):
    """A script's own code failed while it was imported. `trace` is Python's account, from that code on."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message, field="script")
        self.trace = trace


def load_script(target: str) -> type[Script]:
    """The subclass of Script that `target` names.

    Raises ConfigError, which says what is wrong with it; ScriptFailed where its own code is.
    """
    place, _, name = target.partition(":")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    if name:
        found = getattr(module, name, None)
        if not (isinstance(found, type) and issubclass(found, Script)):
            raise ConfigError(f"{place} has no subclass of Script called {name}", field="script")
        return found
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Script)
        and value is not Script
        and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        if not own:
            raise ConfigError(f"{place} declares no subclass of Script", field="script")
        names = ", ".join(kind.__name__ for kind in own)
        raise ConfigError(
            f"{place} has {names} as subclasses of Script: name the one to run, {place}:CLASS", field="script"
        )
    return own[0]


def _module(name: str) -> ModuleType:
    try:
        return _imported(name, lambda: importlib.import_module(name))
    except ImportError as error:
        raise ConfigError(f"the module {name!r} cannot be imported: {error}", field="script") from error


def _file(path: Path) -> ModuleType:
    name = f"_callboard_script_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"there is no file {path}", field="script")
    module = importlib.util.module_from_spec(spec)
    # By this name its NamedTuples and coroutines know where they come from.
    sys.modules[name] = module
    execute = spec.loader.exec_module
    try:
        _imported(str(path), lambda: execute(module))
    except ImportError as error:
        raise ConfigError(f"{path} cannot be imported: {error}", field="script") from error
    return module


def _imported(place: str, work: Callable[[], T]) -> T:
    """What importing returns. Raises ImportError, ConfigError for bad syntax, ScriptFailed for all else."""
    try:
        return work()
    except ImportError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}, line {error.lineno}: {error.msg}", field="script") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith(_IMPORTING)]
        where = f"{own[-1].filename}, line {own[-1].lineno}" if own else place
        lines = traceback.format_list(own) + traceback.format_exception_only(error)
        raise ScriptFailed(f"{where}: {type(error).__name__}: {error}", "".join(lines)) from error
