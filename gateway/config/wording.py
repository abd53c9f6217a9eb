"""What a value of a configuration is, and what it was to be, in the words of who writes the file."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.scalars import Substituted
from identity.errors import ConfigError
from identity.text import harmless

_WORDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a section",
    Mapping: "a section",
}
_SHOWN = 40
"""Characters of a text that are shown."""


def expected(kinds: tuple[type, ...]) -> str:
    """The kinds of a value that is wanted, such as "a list or a text"."""
    if float in kinds:
        kinds = tuple(kind for kind in kinds if kind is not int)
    return " or ".join(dict.fromkeys(_WORDS.get(kind, kind.__name__) for kind in kinds))


def found(value: object) -> str:
    """A value in a word or two: scalars are shown, lists and sections are not."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case Substituted():
            # Of a file or a variable: more often than not it is a secret.
            return "a text that stands elsewhere"
        case str():
            return f"the text '{harmless(value, _SHOWN)}'" if value else "an empty text"
        case Mapping():
            return "a section"
        case list() | tuple():
            return "a list"
    return f"a {type(value).__name__}"


def unfit(where: str, wanted: str, value: object) -> ConfigError:
    """The error for a value that is of another kind than the one wanted."""
    seen = found(value)
    if wanted == "a text" and isinstance(value, int | float):
        # The number may be a password, without its quotes.
        seen = f"{seen if isinstance(value, bool) else 'a number'}, which is a text in quotes only"
    return ConfigError(f"{where}{': ' if where else ''}expected {wanted}, got {seen}", field=where)
