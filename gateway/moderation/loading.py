"""Finding the class that a command line names: MODULE:CLASS, FILE.py, or FILE.py:CLASS."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from actors.moderation import Script
from identity.errors import ConfigError


def load_script(target: str) -> type[Script]:
    """The subclass of Script that `target` names. Raises ConfigError, which says what is wrong with it."""
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
        return importlib.import_module(name)
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
    spec.loader.exec_module(module)
    return module
