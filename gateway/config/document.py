"""A configuration file: YAML as values, with the line of each of them.

    document = Document.load("node.yaml")
    document.value                                   dicts, lists, texts, numbers
    document.sentence(error)                         "node.yaml, line 12: unknown key ..."

The text is anybody's: its size, depth and number of values are bounded, aliases count as what they stand
for, and nothing is built but plain values. Scalars mean what they do in YAML 1.2 (`gateway.config.scalars`).
A key given twice is refused. `${env:NAME}` and `${file:PATH}` stand for a whole value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gateway.config.scalars import Substituted, plain
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

FILE_BOUND = 1024 * 1024
"""Bytes of a configuration file, and of a file that it refers to."""
DEPTH_BOUND = 32
VALUES_BOUND = 20_000
"""Values of a file, each alias counted as all that it stands for."""

_REFERENCE = re.compile(r"\$\{([^:{}]*):([^{}]*)\}")
_PREFIX = "tag:yaml.org,2002:"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Only its events are used; libyaml's come faster."""


class Document:
    """A configuration, and where each of its values was said."""

    def __init__(self, value: Any, origins: Mapping[str, str], name: str = "") -> None:
        self.value = value
        self.origins = dict(origins)
        """By place, as in `services.slim/0.dataplane.servers[0].endpoint`: "line 12", or an option."""
        self.name = name

    @classmethod
    def load(cls, path: str, environ: Mapping[str, str] = os.environ) -> Document:
        """Read a file. Raises ConfigError saying what is wrong with it, and where."""
        return cls.parse(_text(path), path, environ)

    @classmethod
    def parse(cls, text: str, name: str, environ: Mapping[str, str] = os.environ) -> Document:
        """Read a text. Raises ConfigError saying what is wrong with it, and where."""
        builder = _Builder(name, environ)
        try:
            loader = _Loader(text)
            try:
                value = builder.build(_events(loader))
            finally:
                loader.dispose()
        except yaml.YAMLError as exc:
            raise ConfigError(_of_yaml(exc, name), field="config") from exc
        return cls({} if value is None else value, builder.lines, name)

    def origin(self, field: str | None) -> str:
        """Where a place was said: the nearest one around it that is known; empty if none is."""
        while field:
            found = self.origins.get(field)
            if found is not None:
                return found
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return ""

    def sentence(self, error: ConfigError) -> str:
        """The error, with the file and line, or the option, that it is about."""
        return self.at(error.field, str(error))

    def at(self, field: str | None, text: str) -> str:
        """A text about a place, with the file and line, or the option, that said it."""
        origin = self.origin(field)
        if origin and not origin.startswith("line "):
            return f"{origin}: {text.removeprefix(f'{field}: ') if field in self.origins else text}"
        return ", ".join(filter(None, (self.name, origin))) + f": {text}" if self.name else text


class _Builder:
    """Makes values of parser events; keeps the lines."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name, self._environ = name, environ
        self._anchors: dict[str, tuple[Any, int]] = {}
        """Values and how many each has in it; a key is missing while its value is being made."""
        self._count = 0
        self.lines: dict[str, str] = {}

    def build(self, events: Iterator[Event]) -> Any:
        """The value of the only document. Raises ConfigError."""
        value, documents = None, 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(event, "one document is read; --- begins another")
            elif isinstance(event, NodeEvent):
                value = self._value(event, events, "", 0)
        return value

    def _value(self, event: Event, events: Iterator[Event], where: str, depth: int) -> Any:
        self._count += 1
        if depth > DEPTH_BOUND:
            raise self._error(event, f"nested deeper than {DEPTH_BOUND}")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._bound(event)
        before = self._count
        value: Any
        if isinstance(event, MappingStartEvent):
            value = self._mapping(event, events, where, depth)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(event, events, where, depth)
        else:
            assert isinstance(event, ScalarEvent)
            value = self._scalar(event)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = (value, 1 + self._count - before)
        return value

    def _mapping(self, start: MappingStartEvent, events: Iterator[Event], where: str, depth: int) -> Any:
        self._tag(start, "map")
        made: dict[str, Any] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise self._error(event, "a key has to be a text")
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise self._error(event, "merging (<<) is not read: say the keys themselves, or use an alias")
            place = f"{where}.{key}" if where else key
            if key in made:
                first = self.lines.get(place, "before")
                raise self._error(event, f'the key "{place}" is given twice: first in {first}')
            self.lines[place] = _line(event)
            made[key] = self._value(next(events), events, place, depth + 1)
        return made

    def _sequence(self, start: SequenceStartEvent, events: Iterator[Event], where: str, depth: int) -> Any:
        self._tag(start, "seq")
        made: list[Any] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            place = f"{where}[{len(made)}]"
            self.lines[place] = _line(event)
            made.append(self._value(event, events, place, depth + 1))
        return made

    def _scalar(self, event: ScalarEvent) -> Any:
        tag = event.tag
        if tag in (None, "!") or tag == _PREFIX + "str":
            if tag is None and not event.style and event.implicit[0]:
                value = plain(event.value)
                return self._substituted(event) if isinstance(value, str) else value
            return self._substituted(event)
        if tag.removeprefix(_PREFIX) in ("int", "float", "bool", "null"):
            return plain(event.value)
        raise self._error(event, f"the tag {tag} is not read")

    def _tag(self, event: MappingStartEvent | SequenceStartEvent, own: str) -> None:
        if event.tag not in (None, "!", _PREFIX + own):
            raise self._error(event, f"the tag {event.tag} is not read")

    def _alias(self, event: AliasEvent) -> Any:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            raise self._error(event, f"nothing before is called &{event.anchor}")
        value, count = known
        self._count += count
        self._bound(event)
        return value

    def _bound(self, event: Event) -> None:
        if self._count > VALUES_BOUND:
            raise self._error(event, f"more than {VALUES_BOUND} values")

    def _substituted(self, event: ScalarEvent) -> str:
        """The text, or what it refers to."""
        text: str = event.value
        if not (text.startswith("${") and text.endswith("}")):
            return text
        found = _REFERENCE.fullmatch(text)
        if found is None or found[1] not in ("env", "file"):
            raise self._error(event, "a reference is ${env:NAME} or ${file:PATH}, as the whole value")
        kind, name = found.groups()
        if kind == "env":
            value = self._environ.get(name)
            if value is None:
                raise self._error(event, f"the environment variable {name} is not set")
            return Substituted(value)
        try:
            data = _text(name)
        except ConfigError as exc:
            raise self._error(event, str(exc)) from exc
        # Editors end a file with a line break, which is no part of a password.
        return Substituted(data.removesuffix("\n").removesuffix("\r"))

    def _error(self, event: Event, text: str) -> ConfigError:
        return ConfigError(f"{self._name}, {_line(event)}: {text}", field="config")


def _text(path: str) -> str:
    """The text of a regular file. Raises ConfigError."""
    try:
        data = read_file(path, max_bytes=FILE_BOUND).data
    except Malformed as exc:
        raise ConfigError(f"{path}: {exc}", field="config") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        # Nothing of the file is quoted, not even as the cause.
        raise ConfigError(f"{path}, line {line}: not UTF-8", field="config") from None


def _events(loader: Any) -> Iterator[Event]:
    while loader.check_event():
        yield loader.get_event()


def _line(event: Event) -> str:
    mark: Any = event.start_mark
    return f"line {mark.line + 1}"


def _of_yaml(error: yaml.YAMLError, name: str) -> str:
    """A parser's complaint without the text that it quotes, which may be secret."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    where = f"{name}, line {mark.line + 1}" if mark is not None else name
    return f"{where}: not YAML: {problem}"
