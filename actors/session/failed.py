"""What stands in the place of a session's core that failed: the session is over, and answers everybody so."""

from __future__ import annotations

from actors.errors import SessionClosed
from actors.messages.session import (
    Completed,
    Failure,
    Membership,
    Publish,
    SessionConfig,
    SessionEnded,
    SessionGone,
)
from actors.names import Name
from actors.session.effects import Answer, Event
from actors.session.turn import Turn


class FailedSession:
    """The end of the session that `core` was; `cause` is for people. It has nothing to do with time."""

    ended = True
    members: tuple[Name, ...] = ()
    epoch: int | None = None
    fingerprint = ""

    def __init__(
        self, session_id: int, local: Name, destination: Name, config: SessionConfig, cause: str
    ) -> None:
        self.session_id = session_id
        self.local = local
        self.destination = destination
        self.config = config
        self._error = SessionClosed(cause, session_id=session_id)

    def last_words(self, turn: Turn) -> None:
        """Tell the application and its App actor. Whoever awaits an operation is answered by that."""
        turn.effects.append(SessionEnded(self.session_id, self._error))
        turn.effects.append(SessionGone(self.session_id))

    def handle(self, event: Event, turn: Turn) -> None:
        """Nobody waits for ever on a session that is over."""
        if isinstance(event, Publish):
            handles = [item.handle for item in event.items if item.handle is not None]
            turn.effects.append(self._refuse(handles, credit=len(event.items)))
            return
        handle = getattr(event, "handle", None)
        if handle is not None:
            refused, inbox = self._refuse([handle]), getattr(event, "inbox", None)
            turn.effects.append(refused if inbox is None else Answer(inbox, refused))

    def expire(self, _turn: Turn) -> None:
        """Nothing is ever due."""

    def next_deadline(self) -> float | None:
        return None

    def membership(self) -> Membership:
        """Nobody is in."""
        return Membership(self.session_id, ())

    def figures(self) -> dict[str, int]:
        return {"failed": 1}

    def _refuse(self, handles: list[int], credit: int = 0) -> Completed:
        failed = tuple(Failure(handle, self._error) for handle in handles)
        return Completed(self.session_id, (), failed, credit)
