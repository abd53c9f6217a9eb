"""The packages `actors` and `identity` belong to callboard; their names are common ones.

A file of that name beside a program, or another package's, would be imported in their place. That is told in
one sentence instead of an ImportError from somewhere inside.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

FLOORS = ("actors", "identity")
OWNER = "callboard"
"""What both say of themselves."""


class ForeignModule(ImportError):
    """A module that is not ours stands where one of ours is looked for."""


def check_neighbours() -> None:
    """Raises ForeignModule, which says what to rename or to uninstall."""
    ours = Path(__file__).resolve().parent.parent
    for floor in FLOORS:
        try:
            spec = find_spec(floor)
        except ValueError:
            # Something put a module there by hand, without saying whence: a program's own affair.
            continue
        if spec is None:
            raise ForeignModule(
                f"callboard's package {floor!r} is missing beside {ours / 'gateway'}: "
                "install callboard again (pip install --force-reinstall callboard)",
                name=floor,
            )
        # A package installed into the same folder leaves the place and replaces what stands there.
        if not _is_ours(spec, ours / floor) or getattr(import_module(floor), "OWNER", None) != OWNER:
            raise ForeignModule(_sentence(floor, _place(spec)), name=floor)


def _is_ours(spec: ModuleSpec, home: Path) -> bool:
    # A finder of an editable install or a zip file may give other spellings of the same place.
    return spec.origin is not None and Path(spec.origin).resolve() == home / "__init__.py"


def _place(spec: ModuleSpec) -> str:
    """The file, or the folder of a package: what a person would rename."""
    if spec.submodule_search_locations:
        return str(next(iter(spec.submodule_search_locations)))
    return str(spec.origin)


def _sentence(floor: str, place: str) -> str:
    installed = _distribution(floor) if "site-packages" in place or "dist-packages" in place else None
    remedy = (
        f"uninstall it (pip uninstall {installed})"
        if installed
        else f"rename it, for instance to my_{Path(place).name}"
    )
    return f"{place} stands in the way of callboard's own package {floor!r}: {remedy}"


def _distribution(floor: str) -> str | None:
    """The installed package that brings a module of that name and is not callboard."""
    return next((name for name in packages_distributions().get(floor, ()) if name != OWNER), None)
