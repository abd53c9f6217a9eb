"""Reading configuration dicts: known keys, their kinds, durations, and what is left over."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from actors.record import record
from gateway.config.scalars import Substituted, plain
from gateway.config.wording import expected, unfit
from identity.authorities import MAX_PEM_BYTES
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "y": 31_536_000.0,
}
"""Seconds in each; a year has 365 days, as for the original."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d|w|y)")


def duration(value: object, where: str) -> float:
    """Seconds, from a text such as "1m30s", a number of seconds, `{secs, nanos}`, or a timedelta.

    Raises ConfigError.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, Mapping):
        return _counted(value, where)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    if isinstance(value, str):
        text = value.replace(" ", "")
        parts = _DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise unfit(where, 'a duration such as "30s" or "500ms"', value)


def _counted(value: Mapping[Any, Any], where: str) -> float:
    """`{secs: 10, nanos: 0}`, as the original writes some of its durations."""
    section = Section(value, where)
    secs, nanos = section.count("secs", 0, least=0), section.count("nanos", 0, least=0)
    section.end()
    if nanos >= 10**9:
        raise ConfigError(f"{section.at('nanos')}: below 1000000000, got {nanos}", field=section.at("nanos"))
    return duration(secs, where) + nanos * 1e-9


@record
class Note(NamedTuple):
    """Something to say about a key that is not a mistake: it is read, and what becomes of it."""

    field: str
    text: str


class Section:
    """A dict being read: `take` hands out known keys, `end` refuses what is left over.

    `notes` is shared by all sections of a configuration: it collects what is worth saying.
    """

    def __init__(self, value: object, where: str, notes: list[Note] | None = None) -> None:
        if not isinstance(value, Mapping):
            raise unfit(where, "a section", value)
        self._left = dict(value)
        self.where = where
        """Where in the configuration it stands, for errors; empty at the top."""
        self._known: list[str] = []
        self.notes = [] if notes is None else notes

    def take(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """The value of `key`, checked to be of `kind`; `default` when it is absent or None."""
        self._known.append(key)
        value = self._left.pop(key, None)
        if value is None:
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if isinstance(value, Substituted) and not issubclass(str, kinds):
            value = plain(value)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise unfit(self.at(key), expected(kinds), value)
        return value

    def count(self, key: str, default: int, *, least: int = 1) -> int:
        """A whole number, at least `least`."""
        value: int = self.take(key, int, default)
        if value < least:
            raise ConfigError(f"{self.at(key)}: at least {least}, got {value}", field=self.at(key))
        return value

    def texts_by_key(self, key: str) -> dict[str, str]:
        """A dict from texts to texts."""
        value = self.take(key, Mapping, {})
        if not all(isinstance(one, str) and one.isprintable() for pair in value.items() for one in pair):
            raise ConfigError(
                f"{self.at(key)}: expected texts of one line by their names", field=self.at(key)
            )
        return dict(value)

    def seconds(self, key: str, default: float) -> float:
        self._known.append(key)
        value = self._left.pop(key, None)
        return default if value is None else duration(value, self.at(key))

    def section(self, key: str) -> Section | None:
        self._known.append(key)
        value = self._left.pop(key, None)
        return None if value is None else Section(value, self.at(key), self.notes)

    def sections(self, key: str) -> list[Section]:
        """A list of dicts."""
        values = self.take(key, (list, tuple), ())
        return [Section(value, f"{self.at(key)}[{i}]", self.notes) for i, value in enumerate(values)]

    def spelling(self, key: str, others: tuple[str, ...]) -> str:
        """Which of a key's spellings is there, the first by default. Raises ConfigError for two of them."""
        there = [name for name in (key, *others) if self.has(name)]
        if len(there) > 1:
            raise ConfigError(
                f"{self.at(there[0])} and {there[1]} say the same: give one of them", field=self.at(there[1])
            )
        return there[0] if there else key

    def has(self, key: str) -> bool:
        """Whether `key` is there and was not read yet."""
        return self._left.get(key) is not None

    def peek(self, key: str) -> Any:
        """The value of `key`, which stays to be read."""
        return self._left.get(key)

    def keys_left(self) -> list[str]:
        """The keys that were not read yet."""
        return [str(key) for key in self._left]

    def note(self, key: str, text: str) -> None:
        """Say something about a key."""
        self.notes.append(Note(self.at(key), text))

    def ignore(self, *keys: str) -> None:
        """Keys that are read without effect."""
        for key in keys:
            self._known.append(key)
            self._left.pop(key, None)

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def end(self) -> None:
        """Raise ConfigError if a key is left that nobody asked for."""
        for key in self._left:
            near = difflib.get_close_matches(str(key), self._known, n=1, cutoff=0.5)
            hint = (
                f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(sorted(set(self._known)))}"
            )
            raise ConfigError(f'unknown key "{self.at(str(key))}"{hint}', field=self.at(str(key)))


def texts(section: Section, key: str) -> tuple[str, ...]:
    """A list of texts; one text alone is a list of one. Raises ConfigError."""
    value = section.take(key, (list, tuple, str), ())
    found = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(one, str) and one for one in found):
        raise ConfigError(f"{section.at(key)}: expected a list of texts", field=section.at(key))
    return found


@dataclass(frozen=True, slots=True)
class Material:
    """A PEM text, or the file it stands in (re-read when needed)."""

    path: str | None = None
    text: str | None = None

    def load(self, where: str) -> bytes:
        """The PEM bytes. Raises ConfigError naming the file."""
        if self.text is not None:
            return self.text.encode()
        assert self.path is not None
        try:
            return read_file(self.path, max_bytes=MAX_PEM_BYTES).data
        except Malformed as error:
            raise ConfigError(f"{where}: cannot read {self.path}: {error}", field=where) from None
