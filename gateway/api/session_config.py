"""SessionConfiguration and SessionType, as applications write them (`api.md` 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from importlib import import_module
from typing import Any, ClassVar

from actors.messages import wire
from actors.messages.session import SessionConfig
from actors.names import Name
from gateway.api.arguments import instance_of, seconds, texts_of
from identity.errors import ConfigError

SHORTEST, LONGEST = 0.001, (2**32 - 1) / 1000
"""Seconds between two attempts that an invitation can say: it counts milliseconds in 32 bits."""


class SessionType(Enum):
    """Who takes part in a session."""

    PointToPoint = wire.SessionKind.POINT_TO_POINT
    Group = wire.SessionKind.MULTICAST

    def __int__(self) -> int:
        return int(self.value)


OLDER = "gateway.compat.configuration"
"""Reads the spellings before 0.7. Imported, by its name, with the first call that is in one of them."""

NAMED = ("peer_name", "channel_name", "topic")
"""What the name is called that an older configuration brings along, by generation and kind."""


class Spelling(type):
    """Lets a call in an older spelling be read as one."""

    def __call__(cls, *values: Any, **more: Any) -> Any:
        named = any(key in more for key in NAMED) or (values and isinstance(values[0], Name))
        if named and cls.__module__ == __name__:
            return import_module(OLDER).older_spelling(cls, values, more)
        return super().__call__(*values, **more)


class SessionConfiguration(metaclass=Spelling):
    """`SessionConfiguration.PointToPoint(...)` or `SessionConfiguration.Group(...)`.

    `timeout` is the time between two attempts (timedelta or seconds), `max_retries` how many re-sends
    follow the first; only with both is the session reliable: acknowledged, re-sent, in order. `metadata`
    goes with the invitation. Raises ConfigError for values that cannot work.
    """

    PointToPoint: ClassVar[type[SessionConfiguration]]
    Group: ClassVar[type[SessionConfiguration]]

    session_type: SessionType
    __match_args__ = ("timeout", "max_retries", "mls_enabled", "metadata")

    def __init__(
        self,
        timeout: timedelta | float | None = None,
        max_retries: int | None = None,
        mls_enabled: bool | None = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if type(self) is SessionConfiguration:
            raise TypeError("use SessionConfiguration.PointToPoint(...) or SessionConfiguration.Group(...)")
        self._timeout = _timeout(timeout)
        self._max_retries = _retries(max_retries)
        self._mls_enabled = mls_enabled is not None and instance_of(mls_enabled, bool, "mls_enabled")
        self._metadata = texts_of(metadata, "metadata")

    @property
    def timeout(self) -> timedelta | None:
        return self._timeout

    @property
    def max_retries(self) -> int | None:
        return self._max_retries

    @property
    def mls_enabled(self) -> bool:
        return self._mls_enabled

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._metadata)

    @property
    def reliable(self) -> bool:
        """Whether messages are acknowledged, re-sent and ordered."""
        return self._timeout is not None and self._max_retries is not None

    def record(self) -> SessionConfig:
        """The form that actors exchange."""
        return SessionConfig(
            self.session_type.value,
            None if self._timeout is None else self._timeout.total_seconds(),
            self._max_retries,
            self._mls_enabled,
            self._metadata or None,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SessionConfiguration) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.session_type, self._timeout, self._max_retries, self._mls_enabled))

    def __repr__(self) -> str:
        return (
            f"SessionConfiguration.{self.session_type.name}(timeout={self._timeout!r}, "
            f"max_retries={self._max_retries!r}, "
            f"mls_enabled={self._mls_enabled!r}, metadata={self._metadata!r})"
        )


class PointToPoint(SessionConfiguration):
    """A session with one instance of a name."""

    session_type = SessionType.PointToPoint


class Group(SessionConfiguration):
    """A session of many, on a channel, led by its creator."""

    session_type = SessionType.Group


_GROUP = wire.SessionKind.MULTICAST

SessionConfiguration.PointToPoint = PointToPoint
SessionConfiguration.Group = Group


def check_change(running: SessionConfiguration, other: SessionConfiguration) -> None:
    """Raise ConfigError where a running session cannot go on with another configuration."""
    for field in ("session_type", "mls_enabled"):
        if getattr(other, field) is not getattr(running, field):
            raise ConfigError(f"{field} of a running session cannot change", field=field)
    if other.reliable and not running.reliable:
        # The other end learned with its invitation that nothing is to be acknowledged.
        raise ConfigError(
            "a running best-effort session cannot become reliable; create another, with both values",
            field="timeout",
        )


def of_record(config: SessionConfig) -> SessionConfiguration:
    """The applications' form of what actors exchange."""
    kind = Group if config.session_type is _GROUP else PointToPoint
    # As it is: a peer may have chosen values that we would refuse our own application.
    made = kind.__new__(kind)
    made._timeout = None if config.interval is None else timedelta(seconds=config.interval)
    made._max_retries, made._mls_enabled = config.max_retries, config.mls
    made._metadata = dict(config.metadata or {})
    return made


def _timeout(value: timedelta | float | None) -> timedelta | None:
    if value is None:
        return None
    limit = seconds(value, "timeout")
    if limit is None or not SHORTEST <= limit <= LONGEST:
        shown = "no end" if limit is None else f"{limit:g} s"
        raise ConfigError(
            f"timeout: expected seconds (or a timedelta) from {SHORTEST:g} to {LONGEST:.0f}, got {shown}",
            field="timeout",
        )
    return value if isinstance(value, timedelta) else timedelta(seconds=limit)


def _retries(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ConfigError(f"max_retries: expected a number from 0 on, got {value!r}", field="max_retries")
    return value
