"""Session configurations that name whom the session is with, as programs before 0.7 write them (`api.md` 7).

    PointToPoint(peer_name, timeout, max_retries, mls_enabled, metadata)
    Group(channel_name, max_retries, timeout, mls_enabled, metadata)

The two times are told apart by their types, so that either order is understood.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import Any

from actors.names import Name
from gateway.api.arguments import name_of
from gateway.api.session_config import NAMED, Group, PointToPoint, SessionConfiguration


class _WithDestination(SessionConfiguration):
    """A configuration that may bring the name along."""

    def __init__(self, *values: Any, **more: Any) -> None:
        given = {key: more.pop(key) for key in NAMED if key in more}
        named = [name_of(value, key) for key, value in given.items() if value is not None]
        if values and isinstance(values[0], Name | str):
            first, *rest = values
            named.append(name_of(first, "peer_name"))
            values = _in_order(rest)
        self._destination = named[-1] if named else None
        super().__init__(*values, **more)

    @property
    def destination(self) -> Name | None:
        """The name given with the configuration, if one was."""
        return self._destination


class PointToPointWith(_WithDestination, PointToPoint):
    """`PointToPoint(peer_name=...)`."""


class GroupOn(_WithDestination, Group):
    """`Group(channel_name=...)`, or `topic`."""


def destination_of(config: SessionConfiguration) -> Name | None:
    """The name that a configuration brings along."""
    return getattr(config, "destination", None)


def _in_order(rest: list[Any]) -> tuple[Any, ...]:
    """(timeout, max_retries, mls_enabled, metadata) from what followed the name."""
    if len(rest) > 4:
        raise TypeError("a name, and at most 4 positional arguments behind it")
    one, two = (*rest, None, None)[:2]
    whole = isinstance(one, int) and not isinstance(one, bool)
    if whole and (two is None or isinstance(two, timedelta | float)):
        return two, one, *rest[2:]
    return tuple(rest)


def older_spelling(kind: type[SessionConfiguration], values: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """What a call of today's classes makes that names whom the session is with, which it warns of."""
    # Deprecated since 0.2; to go with 0.4.
    warnings.warn(
        "a configuration that names its peer or channel is a spelling before 0.7: give the name to "
        "create_session, or write `from gateway import compat as slim_bindings`",
        DeprecationWarning,
        stacklevel=3,
    )
    return (GroupOn if issubclass(kind, Group) else PointToPointWith)(*values, **more)
