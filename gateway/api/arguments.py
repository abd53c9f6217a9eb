"""What applications hand in, checked in the call that brings it.

No value passes unchecked to an actor: there it would fail far from its origin, after the call, and with it
whatever travelled in the same batch. A wrong one raises ConfigError with the argument's name in `field`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from actors.messages.session import AppSettings
from actors.names import Name
from actors.routing.shares import NAME_BOUND
from gateway.api.name import settled
from identity.errors import ConfigError

T = TypeVar("T")

Blob = bytes | bytearray | memoryview | Sequence[int]
"""A payload: bytes, or as the original takes it the numbers of its bytes."""


def refused(argument: str, expected: str, value: object) -> ConfigError:
    """The error for a value of a wrong type, which is named; the value is not shown."""
    return ConfigError(f"{argument}: expected {expected}, got {type(value).__name__}", field=argument)


def instance_of(value: object, kind: type[T], argument: str, expected: str = "") -> T:
    """`value`, which must be a `kind`."""
    if not isinstance(value, kind):
        raise refused(argument, expected or f"a {kind.__name__}", value)
    return value


def name_of(value: Name | str, argument: str) -> Name:
    """A Name, as it is now, for keeps; a text is read as one."""
    if isinstance(value, Name):
        name = settled(value)
    elif isinstance(value, str):
        try:
            name = Name.parse(value)
        except ValueError as exc:
            raise ConfigError(f"{argument}: {exc}", field=argument) from exc
    else:
        raise refused(argument, 'a Name, or a text such as "org/ns/app"', value)
    length = sum(map(len, name.strings))
    if length > NAME_BOUND:
        # Nodes take no message that has it.
        raise ConfigError(
            f"{argument}: a name of {length} characters, at most {NAME_BOUND} may be", field=argument
        )
    return name


def names_of(values: Iterable[Name | str], argument: str) -> tuple[Name, ...]:
    """Several names. A lone text is one name, not a sequence of letters."""
    if isinstance(values, str | Name) or not isinstance(values, Iterable):
        raise refused(argument, "several names, as in [first, second]", values)
    return tuple(name_of(value, argument) for value in values)


def payload_of(value: object, argument: str) -> bytes:
    """The bytes of a payload."""
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        raise ConfigError(f"{argument}: expected bytes, got str; write text.encode()", field=argument)
    if isinstance(value, Sequence):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            what = f"a {type(value).__name__} of others"
            raise ConfigError(
                f"{argument}: expected bytes, or numbers from 0 to 255, got {what}", field=argument
            ) from None
    raise refused(argument, "bytes", value)


def text_of(value: str, argument: str) -> str:
    """A text that can be sent."""
    if not isinstance(value, str):
        raise refused(argument, "a text", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise ConfigError(
                f"{argument}: not a text that can be sent: {exc.reason}", field=argument
            ) from None
    return value if type(value) is str else str.__str__(value)


def texts_of(value: Mapping[str, str] | None, argument: str) -> dict[str, str]:
    """A copy of a mapping of texts to texts; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(argument, "a dict of texts", value)
    try:
        return {text_of(key, argument): text_of(text, argument) for key, text in value.items()}
    except ConfigError as exc:
        raise ConfigError(f"{argument}: expected a dict of texts ({exc})", field=argument) from None


def mapping_of(value: object, argument: str) -> Mapping[str, Any]:
    """A configuration; what stands in it, its reader checks."""
    if not isinstance(value, Mapping):
        raise refused(argument, "a dict", value)
    return value


def endpoints_of(value: object, argument: str) -> Mapping[str, Any]:
    """A client configuration; a bare endpoint, or several (a list, or with commas between), become one."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise refused(argument, "a dict, an endpoint such as http://127.0.0.1:46357, or several", value)
    if not value:
        raise ConfigError(f"{argument}: no endpoint is named", field=argument)
    return {"endpoint": value[0], "alternatives": list(value[1:])}


def number_of(value: int | None, argument: str) -> int | None:
    """A whole number, or None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise refused(argument, "a number", value)
    return value


def seconds(timeout: timedelta | float | None, argument: str = "timeout") -> float | None:
    """A timeout as seconds; None is without end, and so is infinity."""
    if timeout is None or (type(timeout) is float and -math.inf < timeout < math.inf):
        return timeout
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        raise refused(argument, "a timedelta or seconds", timeout)
    if math.isnan(timeout):
        raise ConfigError(f"{argument}: expected a timedelta or seconds, got not-a-number", field=argument)
    return None if timeout == math.inf else float(timeout)


def settings_of(
    value: AppSettings | None,
    argument: str,
    outage: timedelta | float | None = None,
    controllers: Iterable[str] | None = None,
) -> AppSettings:
    """Bounds and times of an application that can work; the default for None. `outage` and `controllers` are
    settings by themselves."""
    settings: Any = instance_of(AppSettings() if value is None else value, AppSettings, argument)
    if outage is not None:
        limit = seconds(outage, "outage")
        if limit is None or limit <= 0:
            raise ConfigError("outage: expected seconds above 0", field="outage")
        settings = settings._replace(outage=limit)
    if controllers is None:
        controllers = settings.controllers
    if controllers is not None:
        if isinstance(controllers, str) or not isinstance(controllers, Iterable):
            raise refused("controllers", "several subjects, as in [first, second]", controllers)
        settings = settings._replace(controllers=tuple(text_of(one, "controllers") for one in controllers))
    for field, default in AppSettings._field_defaults.items():
        if field == "controllers":
            continue
        number = getattr(settings, field)
        kinds = (int,) if isinstance(default, int) else (int, float)
        least = 0 if field == "backlog" else math.ulp(0.0)
        inside = number == default or (isinstance(number, kinds) and least <= number < math.inf)
        if not inside or isinstance(number, bool):
            wanted = f"a number from {math.ceil(least)} on" if isinstance(default, int) else "seconds above 0"
            raise ConfigError(f"{argument}.{field}: expected {wanted}", field=f"{argument}.{field}")
    made: AppSettings = settings
    return made


def grace_of(value: timedelta | float, argument: str = "grace") -> float:
    """Seconds that an end may take."""
    limit = seconds(value, argument)
    if limit is None or limit < 0:
        raise ConfigError(f"{argument}: expected seconds from 0 on", field=argument)
    return limit
