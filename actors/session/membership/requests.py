"""Control requests and who still has to answer them (`session.md` 10)."""

from __future__ import annotations

from collections.abc import Iterable

from actors.messages.wire import MessageType, SessionMessage
from actors.names import Name
from actors.session.retry import Attempt, ResendPolicy, review
from actors.session.turn import Turn
from identity.errors import SlimError

ANSWERS = {
    MessageType.DISCOVERY_REQUEST: MessageType.DISCOVERY_REPLY,
    MessageType.JOIN_REQUEST: MessageType.JOIN_REPLY,
    MessageType.LEAVE_REQUEST: MessageType.LEAVE_REPLY,
    MessageType.GROUP_WELCOME: MessageType.GROUP_ACK,
    MessageType.GROUP_ADD: MessageType.GROUP_ACK,
    MessageType.GROUP_REMOVE: MessageType.GROUP_ACK,
    MessageType.GROUP_CLOSE: MessageType.GROUP_ACK,
    MessageType.PING: MessageType.PING,
}
"""What answers each request, under the request's id."""

WORDS = {
    MessageType.DISCOVERY_REQUEST: "the question who is there",
    MessageType.JOIN_REQUEST: "the invitation",
    MessageType.LEAVE_REQUEST: "the request to leave",
    MessageType.GROUP_WELCOME: "the welcome",
    MessageType.GROUP_ADD: "the news of a new member",
    MessageType.GROUP_REMOVE: "the news of a member's removal",
    MessageType.GROUP_CLOSE: "the end of the session",
    MessageType.PING: "the question for a sign of life",
}
"""What each request is to people."""


class PendingRequest(Attempt):
    """A request under way."""

    __slots__ = ("awaiting", "cause", "message")

    def __init__(
        self, message: SessionMessage, awaiting: set[Name], policy: ResendPolicy, now: float
    ) -> None:
        super().__init__(policy, now)
        self.message = message
        self.awaiting = awaiting
        """Full names; without id where any instance will do."""
        self.cause: SlimError | None = None
        """The last reason of our own why it could not leave, if there was one."""

    @property
    def why(self) -> str:
        """Why it failed, for people."""
        if self.cause is not None:
            return str(self.cause)
        missing = ", ".join(sorted(map(_shown, self.awaiting)))
        return f"no answer to {WORDS[self.message.kind]}" + (f" from {missing}" if missing else "")


class Requests:
    """Requests by message id, each sent again as it was until everybody answered or retries are over."""

    __slots__ = ("_under_way", "policy")

    def __init__(self, policy: ResendPolicy) -> None:
        self._under_way: dict[int, PendingRequest] = {}
        self.policy = policy
        """For requests from now on."""

    def start(self, message: SessionMessage, awaiting: Iterable[Name], turn: Turn) -> None:
        """Send a request and await an answer of each in `awaiting`."""
        request = PendingRequest(message, set(awaiting), self.policy, turn.now)
        self._under_way[message.message_id] = request
        turn.send(message)

    def start_again(
        self, message: SessionMessage, awaiting: Iterable[Name], policy: ResendPolicy, turn: Turn
    ) -> None:
        """`start` with another policy: a copy of a request that was sent before our time."""
        request = PendingRequest(message, set(awaiting), policy, turn.now)
        self._under_way[message.message_id] = request
        turn.send(message)

    def awaited(self, message_id: int) -> frozenset[Name]:
        """Who has not answered a request yet; nobody if it is not under way."""
        request = self._under_way.get(message_id)
        return frozenset() if request is None else frozenset(request.awaiting)

    def repeated(self, message_id: int) -> bool:
        """Whether a request is under way and was sent more than once."""
        request = self._under_way.get(message_id)
        return request is not None and request.retries < request.policy.retries

    def excuse_from(self, message_id: int, name: Name) -> PendingRequest | None:
        """Await nothing of `name` under this request. Returns it if only that was missing."""
        request = self._under_way.get(message_id)
        return None if request is None else self._without(request, name)

    def answered(self, message: SessionMessage) -> PendingRequest | None:
        """An answer arrived. Returns its request once this was the last; None for what nobody awaits."""
        request = self._under_way.get(message.message_id)
        if request is None or ANSWERS[request.message.kind] is not message.kind:
            return None
        return self._without(request, message.source) or self._without(request, message.source.without_id())

    def excuse(self, name: Name) -> list[PendingRequest]:
        """Nothing is expected of `name` any more. Returns the requests that this completes."""
        under_way = list(self._under_way.values())
        return [request for request in under_way if self._without(request, name) is not None]

    def unroutable(self, message: SessionMessage, error: SlimError) -> None:
        """It could not leave. It is tried again like one that was lost, and the reason remembered."""
        request = self._under_way.get(message.message_id)
        if request is not None:
            request.cause = error

    def cancel(self, message_id: int) -> None:
        """Await no answer to it any more."""
        self._under_way.pop(message_id, None)

    def cancel_all(self) -> None:
        self._under_way.clear()

    def expire(self, turn: Turn) -> list[PendingRequest]:
        """Send again what is due. Returns the requests that have failed."""
        again, failed, _ = review(self._under_way.values(), turn.now)
        for request in again:
            turn.send(request.message)
        for request in failed:
            self.cancel(request.message.message_id)
        return failed

    def next_deadline(self) -> float | None:
        earliest: float | None = None
        for request in self._under_way.values():
            if earliest is None or request.deadline < earliest:
                earliest = request.deadline
        return earliest

    def _without(self, request: PendingRequest, name: Name) -> PendingRequest | None:
        """Await nothing of `name`. Returns the request if only that was missing."""
        if name not in request.awaiting:
            return None
        request.awaiting.discard(name)
        if request.awaiting:
            return None
        return self._under_way.pop(request.message.message_id)


def _shown(awaited: Name) -> str:
    return awaited.short if awaited.has_id else f"any instance of {awaited.short}"
