"""Control requests and who still has to answer them (`session.md` 10)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from actors.messages.wire import SessionMessage
from identity.errors import SlimError

DEFAULT_INTERVAL = 1.0
DEFAULT_RETRIES = 10


class PendingRequest:
    """A request under way. `cause` is the last local reason why it could not leave, if there was one."""

    __slots__ = ("awaiting", "cause", "deadline", "message", "retries", "what")

    def __init__(
        self, what: str, message: SessionMessage, awaiting: set[Hashable], deadline: float, retries: int
    ) -> None:
        self.what = what
        self.message = message
        self.awaiting = awaiting
        self.deadline = deadline
        self.retries = retries
        self.cause: SlimError | None = None


class Requests:
    """Requests by message id, each sent again as it was until everybody answered or retries are over."""

    def __init__(self, interval: float | None, max_retries: int | None) -> None:
        self._under_way: dict[int, PendingRequest] = {}
        self.set_timers(interval, max_retries)

    def set_timers(self, interval: float | None, max_retries: int | None) -> None:
        """Each value that is None stands for the default."""
        self._interval = DEFAULT_INTERVAL if interval is None else interval
        self._retries = DEFAULT_RETRIES if max_retries is None else max_retries

    @property
    def patience(self) -> float:
        """Seconds after which a request without an answer has failed."""
        return self._interval * (self._retries + 1)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._under_way

    def start(
        self,
        what: str,
        message: SessionMessage,
        awaiting: Iterable[Hashable],
        now: float,
        out: list[SessionMessage],
    ) -> int:
        """Send a request and await an answer of each in `awaiting`. Returns its message id."""
        deadline = now + self._interval
        self._under_way[message.message_id] = PendingRequest(
            what, message, set(awaiting), deadline, self._retries
        )
        out.append(message)
        return message.message_id

    def answered(self, message_id: int, by: Hashable, *what: str) -> PendingRequest | None:
        """An answer to a request of one of the kinds `what`. Returns the request once it was the last."""
        request = self._under_way.get(message_id)
        if request is None or request.what not in what or by not in request.awaiting:
            return None
        request.awaiting.discard(by)
        if request.awaiting:
            return None
        return self._under_way.pop(message_id)

    def excuse(self, name: Hashable) -> list[PendingRequest]:
        """Nothing is expected of `name` any more. Returns the requests that this completes."""
        complete = []
        for id, request in list(self._under_way.items()):
            if name in request.awaiting:
                request.awaiting.discard(name)
                if not request.awaiting:
                    complete.append(self._under_way.pop(id))
        return complete

    def unroutable(self, message: SessionMessage, error: SlimError) -> None:
        """It could not leave. It is tried again like one that was lost, and the reason remembered."""
        request = self._under_way.get(message.message_id)
        if request is not None:
            request.cause = error

    def cancel(self, *message_ids: int) -> None:
        for id in message_ids:
            self._under_way.pop(id, None)

    def cancel_all(self) -> None:
        self._under_way.clear()

    def expire(self, now: float, out: list[SessionMessage]) -> list[PendingRequest]:
        """Send again what is due. Returns the requests that have failed."""
        failed = []
        for id, request in list(self._under_way.items()):
            if request.deadline > now:
                continue
            if request.retries <= 0:
                failed.append(self._under_way.pop(id))
                continue
            request.retries -= 1
            request.deadline = now + self._interval
            out.append(request.message)
        return failed

    def next_deadline(self) -> float | None:
        if not self._under_way:
            return None
        return min(request.deadline for request in self._under_way.values())
