"""Checking the arguments that applications configure an identity with: each mistake names its field."""

from __future__ import annotations

import math
from collections.abc import Iterable

from identity.errors import ConfigError


def seconds(value: float, field: str, *, positive: bool = False) -> float:
    """`value` itself. Raises ConfigError unless it is a finite number, 0 or more (above 0 if `positive`)."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (positive and value == 0):
        least = "above 0" if positive else "0 or more"
        raise ConfigError(f"{field} is a number of seconds, {least}", field=field)
    return float(value)


def optional_text(value: str | None, field: str) -> str | None:
    """`value` itself. Raises ConfigError unless it is None or a text that is not empty."""
    return None if value is None else text(value, field)


def text(value: str, field: str) -> str:
    """`value` itself. Raises ConfigError unless it is Unicode text and not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{field} must be a text that is not empty", field=field)
    utf8(value, field)
    return value


def texts(values: Iterable[str] | None, field: str) -> tuple[str, ...]:
    """`values` as a tuple, empty for None. Raises ConfigError unless all are texts that are not empty."""
    if values is None:
        return ()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"{field} must be a list of texts", field=field)
    return tuple(text(value, field) for value in values)


def utf8(value: str, field: str) -> bytes:
    """The bytes of a text. Raises ConfigError for lone surrogates."""
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{field} has characters that are not Unicode text", field=field) from None
