"""The page of the documentation about a node's file, made of the tables of keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.config.keys import Key, Kind, Table
from gateway.config.node import NODE
from gateway.config.options import NODE_OPTIONS

_HEAD = """\
# Configuration of a node

<!-- Made by `make config-page` from the tables in gateway/config/. -->

    callboard start --config node.yaml
    callboard config check node.yaml     whether it is right, what the node will do, and what has no effect
    callboard config example             a file with every key
    callboard config schema              a JSON schema, for editors

The file is YAML (as of version 1.2: `no` and `22:22` are texts). Files of original nodes, 0.7 to 1.4, are
taken as they are: what a key of theirs does not do here is said below and by `config check`. A key that
nobody knows, or that is given twice, is refused with its line. A value may be `${env:NAME}` or
`${file:PATH}` as a whole. Durations are texts such as `500ms`, `30s`, `1m30s` (ns, us, ms, s, m, h, d, w, y),
numbers of seconds, or `{secs, nanos}`.

A file is a regular file of at most 1 MiB with at most 20000 values, nested at most 32 deep. Paths are
relative to where the node is started.

## Options and variables

Each option sets a key; it may also stand in the environment. The command line wins over the environment, and
both over the file. Options about a listener are for a file with one listener, or none. `--listen`,
`--peer` and `--controller` may be given again, or hold a list with commas between; several listeners are the
same but for where they listen.

| option | variable | key |
|---|---|---|
"""


def page() -> str:
    """The page, Markdown."""
    lines = [_HEAD.rstrip("\n")]
    for option in NODE_OPTIONS:
        metavar = "" if option.is_switch else f" {option.metavar}"
        flag = f"{option.flag}{metavar}".replace("|", "\\|")
        lines.append(
            f"| `{flag}` | `{option.variable}` | `{option.path.replace('[+]', '[]').replace('[0]', '[]')}` |"
        )
    lines += [
        "",
        "The options that say who an application is (`--shared-secret`, `--jwt`, `--spire-socket-path`, ...)",
        "make `services.*.controller.token_provider`.",
    ]
    for places, table in _tables():
        lines += ["", *_section(places, table)]
    return "\n".join(lines) + "\n"


def _tables() -> Iterable[tuple[list[str], Table]]:
    """Every table once, the outermost first, with all its places."""
    places: dict[Table, list[str]] = {}
    waiting: list[tuple[str, Table]] = [("", NODE)]
    while waiting:
        place, table = waiting.pop(0)
        if table in places:
            places[table].append(place)
            continue
        places[table] = [place]
        for one in (table, *table.variants.values()):
            for key in one.keys:
                if key.inner is not None:
                    suffix = {Kind.SECTIONS: "[]", Kind.NAMED: ".*"}.get(key.kind, "")
                    waiting.append((f"{place}.{key.name}{suffix}".lstrip("."), key.inner))
    return ((found, table) for table, found in places.items())


def _section(places: list[str], table: Table) -> list[str]:
    title = f"`{places[0]}`" if places[0] else "The file"
    lines = [f"## {title}", ""]
    if len(places) > 1:
        lines += ["Also: " + ", ".join(f"`{place}`" for place in places[1:]) + ".", ""]
    lines += _rows(table.keys)
    for kind, variant in table.variants.items():
        if variant.keys:
            lines += ["", f"`type: {kind}`", "", *_rows(variant.keys)]
    return lines


def _rows(keys: Sequence[Key]) -> list[str]:
    return ["| key | what it holds | default | meaning |", "|---|---|---|---|", *map(_row, keys)]


def _row(key: Key) -> str:
    name = ", ".join(f"`{each}`" for each in (key.name, *key.aliases))
    holds = "one of " + ", ".join(key.choices) if key.choices else key.kind.value
    default = "required" if key.required else key.shown or _default(key)
    meaning = key.help
    if key.without_effect:
        meaning = f"no effect: {key.without_effect}"
    if key.not_ours:
        holds, default, meaning = "", "", f"refused: {key.not_ours}"
    for value, why in key.refused.items():
        meaning += f"; `{value}` is refused: {why}"
    return f"| {name} | {holds} | {default} | {meaning} |"


def _default(key: Key) -> str:
    if key.default in (None, "", ()) or key.without_effect:
        return ""
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"
