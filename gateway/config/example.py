"""An example of a node's file with every key: what a plain node does not need stands as a comment."""

from __future__ import annotations

from gateway.config.keys import Key, Kind, Table
from gateway.config.node import DEFAULT_NODE, NODE

_SAID = ("services", "dataplane", "servers", "endpoint", "tls", "insecure")
"""What the example really says: one listener, without TLS."""
_PLACES = {Kind.MAP: "{}", Kind.FREE: "{}", Kind.TEXTS: "[]", Kind.SECTIONS: "[]", Kind.ANY: '""'}


def example() -> str:
    """The example, YAML. A kind of section is written out where it comes first."""
    head = "# Configuration of a Callboard node: callboard start --config FILE"
    return "\n".join([head, *_section(NODE, {}, "", live=True)]) + "\n"


def _section(table: Table, seen: dict[Table, str], path: str, *, live: bool) -> list[str]:
    """The lines of a section. In a live one, keys that need not be said are comments."""
    seen[table] = path
    kind = str(table.key("type").default) if table.variants else ""
    keys = (*table.keys, *(table.variants[kind].keys if kind in table.variants else ()))
    lines: list[str] = []
    for key in keys:
        if key.without_effect or key.not_ours or key.help.startswith("older: "):
            continue
        said = live and key.name in _SAID
        body = _key(key, seen, f"{path}.{key.name}".lstrip("."), live=said)
        lines += body if said or not live else [f"# {line}" for line in body]
    return lines


def _key(key: Key, seen: dict[Table, str], path: str, *, live: bool) -> list[str]:
    remark = f"  # {key.help}"
    if key.inner is None:
        return [f"{key.name}: {_value(key)}{remark}"]
    if key.inner in seen:
        empty = "[]" if key.kind is Kind.SECTIONS else "{}"
        return [f"{key.name}: {empty}{remark}; keys as in {seen[key.inner]}"]
    inner = _section(key.inner, seen, path, live=live)
    if key.kind is Kind.NAMED:
        inner = [f"{DEFAULT_NODE}:", *(f"  {line}" for line in inner)]
    elif key.kind is Kind.SECTIONS:
        inner = [("- " if not index else "  ") + line for index, line in enumerate(inner)]
    return [f"{key.name}:{remark}", *(f"  {line}" for line in inner)]


def _value(key: Key) -> str:
    if key.example:
        return f'"{key.example}"'
    if key.name == "insecure":
        return "true"
    if key.kind in _PLACES and not key.default:
        return _PLACES[key.kind]
    if key.kind is Kind.SECONDS:
        return key.shown if key.shown and " " not in key.shown else f"{key.default or 0:g}s"
    if key.default is None:
        return '""' if key.kind in (Kind.TEXT, Kind.SECRET) else "~"
    return str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
