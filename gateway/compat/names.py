"""The vocabulary of 0.3.6 to 0.6: `Py...` names, directions, and configurations (`api.md` 7)."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import ClassVar

from actors.messages.session import SessionConfig
from actors.names import Name
from gateway.api.arguments import name_of
from gateway.api.name import SettableName
from gateway.api.session_config import Group, PointToPoint, SessionConfiguration, SessionType, Spelling
from gateway.compat.configuration import GroupOn, PointToPointWith
from identity.errors import ConfigError


class PyName(SettableName):
    """`Name` before 0.7."""

    __slots__ = ()

    def set_id(self, id: int) -> None:
        self._set(id)


class PySessionType:
    """`SessionType` under its names of 0.3.6 to 0.6."""

    FIRE_AND_FORGET = PointToPoint = SessionType.PointToPoint
    STREAMING = Group = SessionType.Group


class PySessionDirection(Enum):
    """Who sends in a `Streaming` session."""

    SENDER = 0
    RECEIVER = 1
    BIDIRECTIONAL = 2


class FireAndForget(PointToPoint):
    """Messages to whom each publish names. `sticky` is accepted: every destination is bound to one
    instance once it answered."""

    def __init__(
        self,
        timeout: timedelta | float | None = None,
        max_retries: int | None = None,
        sticky: bool = False,
        mls_enabled: bool = False,
    ) -> None:
        super().__init__(timeout, max_retries, mls_enabled)
        self.sticky = sticky


class Streaming(Group):
    """A channel. `moderator=True` is today's group; `max_retries=0` makes it best effort.

    Without a moderator every party would subscribe to `topic` by itself, and no list of members would
    exist. Session ids and acknowledgements rest on that list today: `check` refuses.
    """

    def __init__(
        self,
        session_direction: PySessionDirection,
        topic: Name | str,
        moderator: bool = False,
        max_retries: int = 0,
        timeout: timedelta | float | None = timedelta(seconds=1),
        mls_enabled: bool = False,
    ) -> None:
        super().__init__(timeout, max_retries, mls_enabled)
        self._topic = name_of(topic, "topic")
        self.session_direction = session_direction
        self.moderator = moderator

    @property
    def topic(self) -> Name:
        """The channel."""
        return self._topic

    destination = topic

    @property
    def reliable(self) -> bool:
        return super().reliable and bool(self.max_retries)

    def record(self) -> SessionConfig:
        made = super().record()
        return made if self.reliable else made._replace(interval=None, max_retries=None)

    def check(self) -> None:
        """Raise ConfigError for publish and subscribe without membership."""
        if not self.moderator:
            raise ConfigError(
                "moderator: publish and subscribe without members is not spoken any more; let one party "
                "create Streaming(BIDIRECTIONAL, topic, moderator=True) and invite the others",
                field="moderator",
            )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Streaming)
            and super().__eq__(other)
            and (self.topic, self.session_direction, self.moderator)
            == (other.topic, other.session_direction, other.moderator)
        )

    __hash__ = Group.__hash__


class _AnyConfiguration(Spelling):
    """Every configuration is an instance, wherever it was made."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, SessionConfiguration)


class OlderConfiguration(SessionConfiguration, metaclass=_AnyConfiguration):
    """`SessionConfiguration` whose kinds may bring the name of whom the session is with."""

    PointToPoint: ClassVar[type[SessionConfiguration]] = PointToPointWith
    Group: ClassVar[type[SessionConfiguration]] = GroupOn


class PySessionConfiguration(OlderConfiguration):
    """`FireAndForget` and `Streaming` (0.3.6 to 0.5), `PointToPoint` and `Group` (0.6)."""

    FireAndForget: ClassVar[type[FireAndForget]] = FireAndForget
    Streaming: ClassVar[type[Streaming]] = Streaming
