"""When a connection must be looked at again, if nothing comes in before.

Reads only note the time. The owner keeps one timer at `next`; when it fires and reads have moved the
deadline meanwhile, nothing is due and the timer is set again. So a busy connection costs no timer work.
"""

from __future__ import annotations

from enum import Enum, auto

from gateway.http2.limits import Limits


class Due(Enum):
    """What a deadline asks for."""

    HANDSHAKE = auto()
    """The peer did not finish its handshake."""
    PING = auto()
    """It is time for a keepalive ping."""
    DEAD = auto()
    """A keepalive ping was not answered, by anything."""
    IDLE = auto()
    """There was no stream for too long."""
    AGE = auto()
    """The connection is old: it is to go away."""
    LAST_CALL = auto()
    """The peer has had its time to notice that we go away: no new streams from here."""
    GRACE = auto()
    """What is left of a connection that goes away ends now."""
    BLOCKED = auto()
    """The socket took nothing for too long."""
    CHECK = auto()
    """Time to look for stalled streams."""


# Asking an enum's class for a member costs ten times as much, and busy connections ask often.
_HANDSHAKE, _PING, _DEAD, _IDLE, _AGE, _LAST_CALL, _GRACE, _BLOCKED, _CHECK = Due


class Deadlines:
    """The times of one connection, as seconds of its owner's clock."""

    __slots__ = (
        "_age_at",
        "_checked_at",
        "_limits",
        "_opened_at",
        "_pinged_at",
        "blocked_since",
        "established",
        "grace_at",
        "idle_since",
        "last_call_at",
        "last_read",
    )

    def __init__(self, limits: Limits, now: float, *, age_factor: float) -> None:
        self._limits = limits
        self._opened_at = self._checked_at = self.last_read = now
        self._age_at = None if limits.max_age is None else now + limits.max_age * age_factor
        self._pinged_at: float | None = None
        self.established = False
        """Whether settings went both ways and ours are acknowledged."""
        self.idle_since: float | None = now
        """Since when there is no stream; None while there is one."""
        self.blocked_since: float | None = None
        """Since when the socket takes nothing; None while it does."""
        self.last_call_at: float | None = None
        self.grace_at: float | None = None

    def stream_opened(self, now: float) -> None:
        """There is a stream (again); silence and stalls count from here on."""
        if self.idle_since is not None:
            self.idle_since = None
            self._checked_at = now
            self.last_read = max(self.last_read, now)

    def _all(self) -> list[tuple[float, Due]]:
        limits = self._limits
        found: list[tuple[float, Due]] = []
        if not self.established:
            found.append((self._opened_at + limits.handshake_timeout, _HANDSHAKE))
        if self.idle_since is not None:
            if limits.idle_timeout is not None and self.established:
                found.append((self.idle_since + limits.idle_timeout, _IDLE))
        else:
            if limits.keepalive_interval is not None:
                if self._pinged_at is not None and self._pinged_at > self.last_read:
                    found.append((self._pinged_at + limits.keepalive_timeout, _DEAD))
                else:
                    found.append((self.last_read + limits.keepalive_interval, _PING))
            if limits.stall_timeout is not None:
                found.append((self._checked_at + limits.stall_timeout / 2, _CHECK))
        if self.blocked_since is not None and limits.stall_timeout is not None:
            found.append((self.blocked_since + limits.stall_timeout, _BLOCKED))
        for at, due in (
            (self._age_at, _AGE),
            (self.last_call_at, _LAST_CALL),
            (self.grace_at, _GRACE),
        ):
            if at is not None:
                found.append((at, due))
        return found

    def next(self) -> float | None:
        """The earliest deadline."""
        return min((at for at, _ in self._all()), default=None)

    def due(self, now: float) -> list[Due]:
        """What is due at `now`. Each is reported once."""
        found = [due for at, due in self._all() if at <= now]
        for due in found:
            match due:
                case Due.PING:
                    self._pinged_at = now
                case Due.CHECK:
                    self._checked_at = now
                case Due.AGE:
                    self._age_at = None
                case Due.LAST_CALL:
                    self.last_call_at = None
                case Due.GRACE:
                    self.grace_at = None
                case _:
                    pass  # ends the connection
        return found
