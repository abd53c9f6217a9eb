"""The JSON schema of a node's file, for editors: made of the tables of keys."""

from __future__ import annotations

from typing import Any

from gateway.config.keys import Key, Kind, Table
from gateway.config.node import NODE

_TEXT: dict[str, Any] = {"type": "string"}
_MEMBERS = {"type": "integer", "minimum": 0}
_DURATION: dict[str, Any] = {
    "anyOf": [
        _TEXT,
        {"type": ["number", "null"], "minimum": 0},
        {
            "type": "object",
            "properties": {"secs": _MEMBERS, "nanos": _MEMBERS},
            "additionalProperties": False,
        },
    ]
}
_REFERENCE = {"type": "string", "pattern": r"^\$\{(env|file):[^{}]*\}$"}


def schema() -> dict[str, Any]:
    """The schema, as JSON values (JSON Schema 2020-12)."""
    return _Schema().made()


class _Schema:
    """Each kind of section is defined once and referred to."""

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._names: dict[Table, str] = {}

    def made(self) -> dict[str, Any]:
        top = self._section(NODE)
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of a Callboard node",
            **top,
            "$defs": self._definitions,
        }

    def _defined(self, table: Table) -> dict[str, Any]:
        name = self._names.get(table)
        if name is None:
            name = self._names[table] = f"{table.title} {len(self._names)}".replace(" ", "-")
            self._definitions[name] = self._section(table)
        return {"$ref": f"#/$defs/{name}"}

    def _section(self, table: Table) -> dict[str, Any]:
        """A section, or one of several that its `type` tells apart."""
        if table.variants:
            return {"anyOf": [self._with_type(kind, keys) for kind, keys in table.variants.items()]}
        return self._object(table.keys)

    def _with_type(self, kind: str, keys: Table) -> dict[str, Any]:
        made = self._object(keys.keys)
        made["properties"] = {"type": {"const": kind}, **made["properties"]}
        return made

    def _object(self, keys: tuple[Key, ...]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for key in keys:
            described = self._value(key)
            if words := key.help or key.without_effect or key.not_ours:
                described = {**described, "description": words}
            if isinstance(key.default, str | int | float) and not key.without_effect:
                described = {**described, "default": key.default}
            properties |= dict.fromkeys((key.name, *key.aliases), described)
        made: dict[str, Any] = {
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": False,
        }
        required = [key.name for key in keys if key.required]
        return {**made, "required": required} if required else made

    def _value(self, key: Key) -> dict[str, Any]:
        if key.without_effect:
            return {}
        if key.not_ours:
            return {"type": "null"}
        match key.kind:
            case Kind.TEXT | Kind.SECRET:
                return {"enum": [*key.choices, None]} if key.choices else {"type": ["string", "null"]}
            case Kind.SWITCH:
                return _or_reference({"type": ["boolean", "null"]})
            case Kind.COUNT:
                return _or_reference({"type": ["integer", "null"], "minimum": key.least})
            case Kind.NUMBER:
                return _or_reference({"type": ["number", "null"]})
            case Kind.SECONDS:
                return _DURATION
            case Kind.TEXTS:
                return {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "null"}]}
            case Kind.MAP:
                return {"type": ["object", "null"], "additionalProperties": _TEXT}
            case Kind.FREE:
                return {"type": ["object", "null"]}
            case Kind.ANY:
                return {}
        inner = {} if key.inner is None else self._defined(key.inner)
        if key.kind is Kind.SECTIONS:
            return {"type": ["array", "null"], "items": inner}
        if key.kind is Kind.NAMED:
            return {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": inner}
        return inner


def _or_reference(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, _REFERENCE]}
