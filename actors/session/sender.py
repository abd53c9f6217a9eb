"""The sending half of a session: ids, the window, acknowledgements, re-sends (`session.md` 7.1, 7.2, 7.5).

    publish ──► pending (until everybody acknowledged or retries are over) ──► completed
            └─► ring (the last 512, acknowledged or not, for those who ask again)

There is one deadline for the whole window: the earliest of its messages when it was last looked at. An
acknowledgement does not touch it, so a message costs no timer; the look-round at the deadline passes over
at most the window.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.errors import MessageTooLarge, MessageUndelivered
from actors.messages.session import Failure, Outgoing
from actors.messages.wire import (
    ALL,
    ONE,
    PUBLISH_TO,
    TRUE,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.serial import DIRECT_FIRST, DIRECT_LAST, MASK
from identity.errors import AuthError, SlimError

RING = 512
"""Messages kept for retransmission, and the most that may be unacknowledged at once."""
EMPTY = Payload()

_MSG = MessageType.MSG


class _Unacknowledged:
    """A message that somebody has not acknowledged yet."""

    __slots__ = ("cause", "deadline", "handle", "interval", "message", "missing", "retries")

    def __init__(
        self,
        message: SessionMessage,
        missing: set[Name],
        handle: int | None,
        deadline: float,
        interval: float,
        retries: int,
    ) -> None:
        self.message = message
        self.missing = missing
        self.handle = handle
        self.cause: SlimError | None = None
        """Why the last attempt could not leave, if it could not."""
        self.deadline = deadline
        self.interval = interval
        self.retries = retries


class DataSender:
    """One sequence of data messages to the peer or channel `destination`.

    Outcomes gather in `done`, `failed`, `freed` and `errors` until the owner takes them away.
    """

    def __init__(
        self,
        source: Name,
        destination: Name,
        session_type: SessionKind,
        session_id: int,
        draw: Callable[[int], int],
        *,
        interval: float | None = None,
        max_retries: int | None = None,
    ) -> None:
        self.source = source
        self.destination = destination
        self.endpoints: set[Name] = set()
        """Who must acknowledge: the full names of the members that can receive."""
        self.done: list[int] = []
        """Handles of messages that everybody acknowledged."""
        self.failed: list[Failure] = []
        self.freed = 0
        """Messages that left the window, whatever became of them."""
        self.errors: list[SlimError] = []
        """Failures that the application's next receive shall meet."""
        self._session_type = session_type
        self._session_id = session_id
        self._group = session_type is SessionKind.MULTICAST
        self._draw = draw
        self._next_id = 1
        self._pending: dict[int, _Unacknowledged] = {}
        self._ring: dict[int, SessionMessage] = {}
        """By message id modulo RING; a session that says little keeps little."""
        self._deadline: float | None = None
        self.set_timers(interval, max_retries)

    def set_timers(self, interval: float | None, max_retries: int | None) -> None:
        """For messages sent from now on: seconds between attempts, re-sends. Either None: best effort."""
        self.reliable = interval is not None and max_retries is not None
        self._interval = interval or 0.0
        self._retries = max_retries or 0

    @property
    def unacknowledged(self) -> int:
        return len(self._pending)

    def next_deadline(self) -> float | None:
        return self._deadline if self._pending else None

    def publish(self, item: Outgoing, blob: bytes, now: float, out: list[SessionMessage]) -> None:
        """Send `item` with `blob` (what encryption made of it) in its place; the owner has seen to room."""
        payload_type, metadata, handle = item.payload_type, item.metadata, item.handle
        if metadata and PUBLISH_TO in metadata:
            metadata = {key: value for key, value in metadata.items() if key != PUBLISH_TO}
        fanout, pin, missing = ONE, None, self.endpoints
        if item.to is not None and self._group:
            destination, pin, missing = item.to, item.connection, {item.to}
            metadata = {**(metadata or {}), PUBLISH_TO: TRUE}
            id = self._draw_direct_id()
        else:
            id = self._next_id
            self._next_id = (id + 1) & MASK
            destination = self.destination
            if self._group:
                fanout = ALL
        message = SessionMessage(
            self.source,
            destination,
            self._session_type,
            _MSG,
            self._session_id,
            id,
            Payload(payload_type, blob),
            fanout,
            metadata or None,
            "",
            False,
            pin,
        )
        out.append(message)
        if not self.reliable:
            self._leave(handle)
            return
        if id <= MASK:
            self._ring[id % RING] = message
        deadline = now + self._interval
        self._pending[id] = _Unacknowledged(
            message, missing.copy(), handle, deadline, self._interval, self._retries
        )
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline

    def acknowledged(self, source: Name, id: int) -> None:
        """MSG_ACK, or what counts as one: `source` has message `id`."""
        pending = self._pending.get(id)
        if pending is not None:
            missing = pending.missing
            missing.discard(source)
            if not missing:
                del self._pending[id]
                self._leave(pending.handle)

    def retransmit(self, request: SessionMessage, out: list[SessionMessage]) -> None:
        """Answer an RTX_REQUEST, which counts as an acknowledgement too."""
        id = request.message_id
        pending = self._pending.get(id)
        found = pending.message if pending is not None else self._ring.get(id % RING)
        self.acknowledged(request.source, id)
        if found is not None and found.message_id == id:
            out.append(
                found._replace(
                    destination=request.source, kind=MessageType.RTX_REPLY, connection=request.connection
                )
            )
            return
        out.append(
            SessionMessage(
                request.destination,
                request.source,
                self._session_type,
                MessageType.RTX_REPLY,
                self._session_id,
                id,
                EMPTY,
                error=True,
                connection=request.connection,
            )
        )

    def expire(self, now: float, out: list[SessionMessage]) -> None:
        """Send again, to each who is missing, what is due; give up what has no retries left."""
        if self._deadline is None or now < self._deadline:
            return
        given_up: list[int] = []
        earliest: float | None = None
        for id, pending in self._pending.items():
            if pending.deadline <= now:
                if pending.retries <= 0:
                    given_up.append(id)
                    continue
                pending.retries -= 1
                pending.cause = None
                pending.deadline = now + pending.interval
                out.extend(pending.message._replace(destination=name) for name in pending.missing)
            if earliest is None or pending.deadline < earliest:
                earliest = pending.deadline
        self._deadline = earliest
        for id in given_up:
            pending = self._pending[id]
            missing = tuple(sorted(str(name) for name in pending.missing))
            self._give_up(id, pending.cause or MessageUndelivered(id, missing))

    def unroutable(self, message: SessionMessage, error: SlimError) -> None:
        """The node had no way for a message: nobody is going to acknowledge it (`dataplane.md` 9).

        A re-send to one member of a group that cannot leave changes nothing: its retries go on. So they do
        while there is no token to send with: the next one may be on its way.
        """
        kept = self._ring.get(message.message_id % RING)
        if isinstance(error, MessageTooLarge) and kept is not None and kept.message_id == message.message_id:
            # It can never leave. Who asks for it shall hear that it is not available, and go on.
            del self._ring[message.message_id % RING]
        pending = self._pending.get(message.message_id)
        if pending is None:
            if not self.reliable:
                self.errors.append(error)
        elif isinstance(error, AuthError):
            pending.cause = error
        elif pending.message.destination == message.destination:
            self._give_up(message.message_id, error)

    def forget(self, name: Name) -> None:
        """A member is gone: nothing is expected of it any more."""
        self.endpoints.discard(name)
        for id in [id for id, pending in self._pending.items() if name in pending.missing]:
            self.acknowledged(name, id)

    def abandon(self, error: SlimError) -> None:
        """The session is over: everything pending fails."""
        for id in list(self._pending):
            pending = self._pending.pop(id)
            self._leave(None)
            if pending.handle is not None:
                self.failed.append(Failure(pending.handle, error))

    # Private: how a message leaves the window.

    def _leave(self, handle: int | None) -> None:
        self.freed += 1
        if handle is not None:
            self.done.append(handle)

    def _give_up(self, id: int, error: SlimError) -> None:
        pending = self._pending.pop(id)
        self.freed += 1
        if pending.handle is not None:
            self.failed.append(Failure(pending.handle, error))
        self.errors.append(error)

    def _draw_direct_id(self) -> int:
        while True:
            id = DIRECT_FIRST + self._draw(DIRECT_LAST - DIRECT_FIRST + 1)
            if id not in self._pending:
                return id
