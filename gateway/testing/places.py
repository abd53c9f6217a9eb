"""Where in the user's own code something happened: not in Python's library, in a package, or in ours."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OURS = Path(__file__).parents[2]
_LIBRARIES = (
    *sorted({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}),
    *(f"{_OURS / floor}{os.sep}" for floor in ("gateway", "actors", "identity")),
    "<",
)


def place_of(frames: Iterable[tuple[CodeType, int]]) -> str:
    """`FILE:LINE, in FUNCTION` of the first that is the user's own; empty if there is none."""
    for code, line in frames:
        name = code.co_filename
        if not name.startswith(_LIBRARIES):
            near = os.path.relpath(name) if name.startswith(os.getcwd() + os.sep) else name
            return f"{near}:{line}, in {code.co_name}"
    return ""


def asked_at(frames: Iterable[FrameType]) -> str:
    """The place that asked, of frames from the innermost on."""
    return place_of((frame.f_code, frame.f_lineno) for frame in frames)


def raised_at(error: BaseException) -> str:
    """The innermost place that an error went through."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    return place_of(reversed(frames))


def waits_at(coroutine: Any) -> str:
    """Where a suspended coroutine waits, and for what."""
    frames = [(frame.f_code, frame.f_lineno) for frame in _chain(coroutine, "frame") if frame is not None]
    place = place_of(reversed(frames))
    innermost = [getattr(each, "__qualname__", "") for each in _chain(coroutine)][-1:]
    said = [name for name in innermost if not place.endswith(f", in {name.rpartition('.')[2]}")]
    return ": ".join(filter(None, (place, *said)))


def is_users(coroutine: Any) -> bool:
    """Whether a part of what a coroutine awaits is the user's own."""
    return any(
        not frame.f_code.co_filename.startswith(_LIBRARIES) for frame in _chain(coroutine, "frame") if frame
    )


def _chain(coroutine: Any, what: str = "") -> Iterator[Any]:
    """A coroutine, what it awaits, what that awaits, and so on; or `what` of each."""
    while coroutine is not None:
        kind = "cr" if hasattr(coroutine, "cr_await") else "gi" if hasattr(coroutine, "gi_yieldfrom") else ""
        if not kind:
            return
        yield getattr(coroutine, f"{kind}_{what}") if what else coroutine
        coroutine = getattr(coroutine, "cr_await" if kind == "cr" else "gi_yieldfrom")


def described(error: BaseException) -> str:
    """Kind, text and place of an error; of a group, those of its members."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(described, error.exceptions))
    place = raised_at(error)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{said} ({place})" if place else said
