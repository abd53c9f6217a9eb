"""Orders of controllers to the moderators at this node (`controller.md` 6.1, `session.md` 6.6).

    Order ──► queue of its channel ──► a session message to the moderator ──► GROUP_ACK ──► OrderDone

One order of a channel at a time; the rest wait. Nothing is sent twice: an original would carry it out twice.
A moderator has as long as its own timers may take, since it repeats its requests to members; one that did not
report its creation is taken for one of 0.7, which never report: its orders succeed with HANDED_OVER.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

import xxhash

from actors.controlled.own_names import CONTROLLER
from actors.controller import names
from actors.controller.turn import Declined
from actors.messages.controller import Order, OrderDone, Triple
from actors.messages.wire import (
    DELETE_GROUP,
    IS_MODERATOR,
    ORDER_FAILED,
    REPORT_FAILURE,
    TRUE,
    DiscoveryRequest,
    JoinRequest,
    LeaveRequest,
    MessageType,
    SessionKind,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name, hashes_of

INTERVAL, RETRIES = 1.0, 10
"""The timers that a group is created with: seconds between attempts, and how many re-sends."""
REQUEST = INTERVAL * (RETRIES + 1)
"""Seconds until a moderator gives up a request of its own."""
MARGIN = 2.0
PATIENCE = {
    "create": 5.0,
    "add": 3 * REQUEST + MARGIN,
    "remove": 2 * REQUEST + MARGIN,
    "delete": 2 * REQUEST + MARGIN,
}
"""Seconds for the report of each order. Creation asks nobody; Add has three requests, the others two."""
QUEUE = 256
"""Orders of one channel that wait at most."""
QUEUE_TIME = 60.0
"""Seconds that an order may wait for those before it."""
MUTE_KNOWN = 4096
"""Channels whose moderators do not report, remembered at most."""
HANDED_OVER = "handed over; this moderator does not report"

Locate = Callable[[Triple, int | None], int | None]
"""The instance of an application at this node; None when it is not here."""


class OrderTurn:
    """The time of a turn, and what is to be done about it."""

    __slots__ = ("answers", "messages", "now")

    def __init__(self, now: float) -> None:
        self.now = now
        self.messages: list[SessionMessage] = []
        self.answers: list[tuple[Hashable, OrderDone]] = []


@dataclass(slots=True)
class _Waiting:
    order: Order
    ticket: Hashable
    deadline: float


@dataclass(slots=True)
class _Line:
    """The orders of one channel; the first is under way when `sent` is set."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    sent: SessionMessage | None = None
    deadline: float = 0.0


class ModeratorOrders:
    """The orders of a node. `draw` gives a random number below a bound."""

    def __init__(
        self, locate: Locate, draw: Callable[[int], int], patience: dict[str, float] | None = None
    ) -> None:
        self._locate = locate
        self._draw = draw
        self._patience = PATIENCE if patience is None else patience
        self._lines: dict[str, _Line] = {}
        self._mute: OrderedDict[str, None] = OrderedDict()
        """Channels whose moderators do not report."""

    def ask(self, order: Order, ticket: Hashable, turn: OrderTurn) -> None:
        """Take an order; it is answered by this turn or a later one."""
        try:
            _checked(order)
        except Declined as error:
            _answer(ticket, order, error.status, error.text, turn)
            return
        line = self._lines.setdefault(order.channel, _Line())
        if len(line.waiting) >= QUEUE:
            text = f"{QUEUE} orders wait for {order.channel} already"
            _answer(ticket, order, "RESOURCE_EXHAUSTED", text, turn)
            return
        line.waiting.append(_Waiting(order, ticket, turn.now + QUEUE_TIME))
        if line.sent is None:
            self._next(order.channel, line, turn)

    def handle(self, message: SessionMessage, turn: OrderTurn) -> None:
        """A message for the controller came: what is no report of an order under way is ignored."""
        if message.kind is not MessageType.GROUP_ACK:
            return
        for channel, line in self._lines.items():
            sent = line.sent
            if (
                sent is not None
                and message.message_id == sent.message_id
                and message.session_id == sent.session_id
                and message.source == sent.destination
            ):
                self._mute.pop(channel, None)
                failure = (message.metadata or {}).get(ORDER_FAILED)
                status = "OK" if failure is None else "ABORTED"
                self._finish(channel, line, status, failure or "", turn)
                return

    def undeliverable(self, message: SessionMessage, status: str, text: str, turn: OrderTurn) -> None:
        """An order could not leave."""
        for channel, line in self._lines.items():
            if line.sent is message:
                self._finish(channel, line, status, text, turn)
                return

    def next_deadline(self) -> float | None:
        """When `expire` wants to be called; None while nothing waits."""
        return min(self._deadlines(), default=None)

    def expire(self, turn: OrderTurn) -> None:
        """Answer those whose time is over."""
        for channel, line in list(self._lines.items()):
            # First those that wait too long: none of them is begun any more.
            for place, waiting in list(enumerate(line.waiting))[1:]:
                if waiting.deadline <= turn.now:
                    line.waiting.remove(waiting)
                    text = f"number {place + 1} in the queue of {channel} after {QUEUE_TIME:g} s"
                    _answer(waiting.ticket, waiting.order, "DEADLINE_EXCEEDED", text, turn)
            if line.sent is not None and line.deadline <= turn.now:
                self._unreported(channel, line, turn)

    def _deadlines(self) -> Iterator[float]:
        for line in self._lines.values():
            if line.sent is not None:
                yield line.deadline
            yield from (waiting.deadline for waiting in list(line.waiting)[1:])

    def _next(self, channel: str, line: _Line, turn: OrderTurn) -> None:
        """Give the next order of a channel that can be given."""
        while line.waiting:
            order, ticket = line.waiting[0].order, line.waiting[0].ticket
            try:
                message = self._message(order)
            except Declined as error:
                line.waiting.popleft()
                _answer(ticket, order, error.status, error.text, turn)
                continue
            turn.messages.append(message)
            mute = order.verb != "create" and channel in self._mute
            line.sent, line.deadline = message, turn.now + self._patience[order.verb] * (not mute)
            return
        del self._lines[channel]

    def _unreported(self, channel: str, line: _Line, turn: OrderTurn) -> None:
        order = line.waiting[0].order
        if order.verb == "create":
            self._mute[channel] = None
            if len(self._mute) > MUTE_KNOWN:
                self._mute.popitem(last=False)
        if channel in self._mute:
            if order.verb == "delete":
                del self._mute[channel]
            self._finish(channel, line, "OK", HANDED_OVER, turn)
        else:
            text = f"no report of the moderator within {self._patience[order.verb]:g} s"
            self._finish(channel, line, "DEADLINE_EXCEEDED", text, turn)

    def _finish(self, channel: str, line: _Line, status: str, text: str, turn: OrderTurn) -> None:
        waiting = line.waiting.popleft()
        line.sent = None
        _answer(waiting.ticket, waiting.order, status, text, turn)
        self._next(channel, line, turn)

    def _message(self, order: Order) -> SessionMessage:
        """What goes to the moderator. Raises Declined when it is not here."""
        triple, id = names.moderator(order.moderators[0])
        instance = self._locate(triple, id)
        if instance is None:
            raise Declined("UNAVAILABLE", f"the moderator {order.moderators[0]} is not at this node")
        moderator = Name(*triple, instance)
        channel = Name(*_components(order.channel))
        participant = Name(*_components(order.participant)) if order.participant else None
        kind, content, metadata = MessageType.LEAVE_REQUEST, LeaveRequest(participant), {REPORT_FAILURE: TRUE}
        command: JoinRequest | DiscoveryRequest | LeaveRequest = content
        match order.verb:
            case "create":
                kind, metadata = MessageType.JOIN_REQUEST, {IS_MODERATOR: TRUE}
                command = JoinRequest(True, TimerSettings(INTERVAL, RETRIES), channel)
            case "add":
                kind, command = MessageType.DISCOVERY_REQUEST, DiscoveryRequest(participant)
            case "delete":
                command, metadata = LeaveRequest(), metadata | {DELETE_GROUP: TRUE}
        return SessionMessage(
            CONTROLLER,
            moderator,
            SessionKind.MULTICAST,
            kind,
            session_id(moderator, channel),
            self._draw(2**32),
            command,
            metadata=metadata,
        )


def session_id(moderator: Name, channel: Name) -> int:
    """The id of the session that a moderator leads for a channel (`controller.md` 10, point 2)."""
    numbers = [8, *hashes_of(moderator.key), moderator.id, *hashes_of(channel.key), channel.id]
    digest = xxhash.xxh64_intdigest(b"".join(number.to_bytes(8, "little") for number in numbers))
    return (digest ^ digest >> 32) & 0xFFFF_FFFF


def _components(text: str) -> Triple:
    return names.checked(tuple(part.strip() for part in text.split("/")), "name")


def _checked(order: Order) -> None:
    """Raise Declined (INVALID_ARGUMENT) naming the field at fault."""
    names.channel(order.channel)
    if not order.moderators:
        raise Declined("INVALID_ARGUMENT", "moderators: at least one is needed")
    for moderator in order.moderators:
        names.moderator(moderator)
    if order.verb in ("add", "remove"):
        names.channel(order.participant, "participant_name")


def _answer(ticket: Hashable, order: Order, status: str, text: str, turn: OrderTurn) -> None:
    turn.answers.append((ticket, OrderDone("", order.order, status, text)))
