"""What keys a configuration has: one line for each, in tables that stand beside the classes that are read.

    Key("connect_timeout", "how long a dial may take", Kind.SECONDS, default=0.0)

A table is read with `Table.read`; the JSON schema, the example, the page of the documentation and the options
of the command line (`gateway.config.options`) are made of the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.config.section import Section, texts
from identity.errors import ConfigError


class Kind(Enum):
    """What a key holds, in words."""

    TEXT = "text"
    SECRET = "text, never shown"  # noqa: S105
    SWITCH = "true or false"
    COUNT = "whole number"
    NUMBER = "number"
    SECONDS = "duration"
    TEXTS = "list of texts"
    MAP = "texts by name"
    FREE = "anything by name"
    ANY = "anything"
    SECTION = "section"
    SECTIONS = "list of sections"
    NAMED = "sections by name"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    default: Any = None
    least: int = 1
    """Of a whole number."""
    choices: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Values of the original that are not ours, and why."""
    aliases: tuple[str, ...] = ()
    """Other spellings, older ones mostly."""
    without_effect: str = ""
    """Why it is read and nothing comes of it."""
    not_ours: str = ""
    """Why it is refused."""
    inner: Table | None = None
    """The keys of a section."""
    reader: Callable[[Section | None], Any] | None = None
    """Makes the value of a section; by default a dict of its keys, or None."""
    required: bool = False
    shown: str = ""
    """The default in words, where the value itself says little."""
    example: str = ""
    """YAML: the key is written out in the example, not as a comment."""

    def read(self, section: Section) -> Any:
        """The value in a section. Raises ConfigError naming the key at fault."""
        name = section.spelling(self.name, self.aliases)
        where = section.at(name)
        if self.not_ours and section.has(name):
            raise ConfigError(f"{where}: {self.not_ours}", field=where)
        if self.without_effect:
            if section.has(name):
                section.note(name, self.without_effect)
            section.ignore(name)
            return self.default
        match self.kind:
            case Kind.TEXT | Kind.SECRET:
                value = section.take(name, str, self.default)
                self._check(value, where)
                return value
            case Kind.SWITCH:
                return section.take(name, bool, self.default)
            case Kind.COUNT:
                return (
                    section.count(name, self.default, least=self.least)
                    if section.has(name)
                    else (section.take(name, int, self.default))
                )
            case Kind.NUMBER:
                return section.take(name, (int, float), self.default)
            case Kind.SECONDS:
                return section.seconds(name, self.default)
            case Kind.TEXTS:
                return texts(section, name) or self.default or ()
            case Kind.MAP:
                return section.texts_by_key(name)
            case Kind.FREE:
                return dict(section.take(name, dict, {}))
            case Kind.ANY:
                return section.take(name, object, self.default)
            case Kind.SECTION:
                return self._make(section.section(name))
            case Kind.SECTIONS:
                return tuple(self._make(part) for part in section.sections(name))
            case Kind.NAMED:
                named = section.section(name)
                return (
                    {}
                    if named is None
                    else {key: self._make(named.section(key)) for key in named.keys_left()}
                )

    def _make(self, section: Section | None) -> Any:
        if self.reader is not None:
            return self.reader(section)
        if section is None or self.inner is None:
            return None
        return self.inner.read(section)

    def _check(self, value: str | None, where: str) -> None:
        if value is None:
            return
        if value in self.refused:
            raise ConfigError(f"{where}: {self.refused[value]}", field=where)
        if self.choices and value not in self.choices:
            raise ConfigError(f"{where}: one of {', '.join(self.choices)}, got {value!r}", field=where)


class Table:
    """The keys of one kind of section. `title` names it in the documentation.

    `variants` are sections whose further keys depend on the value of their key `type`.
    """

    def __init__(
        self, title: str, *keys: Key, variants: Mapping[str, Table] | None = None, help: str = ""
    ) -> None:
        self.title, self.keys, self.variants, self.help = title, keys, dict(variants or {}), help

    def key(self, name: str) -> Key:
        """The line of a key. Raises KeyError."""
        for key in self.keys:
            if key.name == name:
                return key
        raise KeyError(name)

    def read(self, section: Section) -> dict[str, Any]:
        """The values of all keys; what is left over is refused.

        Raises ConfigError naming the key at fault.
        """
        values = {key.name: key.read(section) for key in self.keys}
        section.end()
        return values
