"""Sessions that others open: announced by the App actor, taken up, handed out.

    App ── SessionAnnounced ──► announced ──► taken up ──► listen_for_session
                                   │             │
                                   │             └─ over, with nothing to receive: passed by
                                   └─ of no use: turned away

Bound: the App announces no more than `AppSettings.backlog` before they are taken up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.alarm import SourceAlarms
from actors.errors import SlimTimeout
from actors.messages.session import SessionAnnounced
from gateway.api.session import Session
from gateway.api.waiters import Waiters
from gateway.surroundings import current
from identity.log import logger


class Arrivals:
    """`take_up` makes a Session of an announced one, `turn_away` ends one and frees its place."""

    def __init__(
        self,
        take_up: Callable[[SessionAnnounced], Session],
        turn_away: Callable[[SessionAnnounced], None],
    ) -> None:
        self._take_up, self._turn_away = take_up, turn_away
        self._announced: deque[SessionAnnounced] = deque()
        self._taken_up: deque[Session] = deque()
        """What a listener took up and was cancelled before it had it."""
        self._listeners = Waiters()
        self._alarms = SourceAlarms()
        self.mls_required = False
        """Whether a session without MLS is of no use."""

    def add(self, announced: SessionAnnounced) -> None:
        """One more."""
        self._announced.append(announced)
        self._listeners.wake(1)

    def wake_all(self) -> None:
        """Let everybody who waits look whether there is still something to wait for."""
        self._listeners.wake_all()

    async def next(self, deadline: float | None, check: Callable[[], None]) -> Session:
        """The next session that is of use. Nothing that those who open them send makes it raise.

        Raises SlimTimeout at `deadline`, a time of the loop's clock, and what `check` raises while there is
        nothing.
        """
        while True:
            while not self._announced and not self._taken_up:
                check()
                try:
                    await self._listeners.wait(deadline)
                except TimeoutError as exc:
                    raise SlimTimeout("listen_for_session timed out") from exc
            session = self._taken_up.popleft() if self._taken_up else self._first()
            if session is None:
                continue
            try:
                await session.introduced()
            except BaseException:
                # Whoever listens next gets it.
                self._taken_up.appendleft(session)
                self._listeners.wake(1)
                raise
            if not session.spent:
                return session

    def _first(self) -> Session | None:
        announced = self._announced.popleft()
        why = ""
        if self.mls_required and not announced.config.mls:
            # Announced before it was required; later ones the App refuses.
            why = "it is not encrypted"
        else:
            try:
                return self._take_up(announced)
            except Exception as exc:
                why = f"it cannot be used ({type(exc).__name__})"
        level, more = self._alarms.level(announced.destination, current().clock())
        logger.log(level, f"session turned away{more}", session=announced.session_id, cause=why)
        self._turn_away(announced)
        return None
