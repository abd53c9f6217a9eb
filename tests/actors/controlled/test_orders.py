"""Orders to moderators: what leaves, who may answer, and after how long."""

from __future__ import annotations

from itertools import count

import pytest

from actors.controlled.orders import (
    HANDED_OVER,
    PATIENCE,
    QUEUE,
    QUEUE_TIME,
    ModeratorOrders,
    OrderTurn,
    session_id,
)
from actors.messages.controller import Order
from actors.messages.wire import (
    DELETE_GROUP,
    IS_MODERATOR,
    ORDER_FAILED,
    DiscoveryRequest,
    GroupAck,
    JoinRequest,
    LeaveRequest,
    MessageType,
    SessionMessage,
)
from actors.names import Name

MODERATOR = Name("o", "n", "mo", 7)
CHANNEL = "o/n/c"


class OrderDesk:
    """The orders of a node where one moderator is, with a clock that is a number."""

    def __init__(self) -> None:
        numbers = count(100)
        self.here = True
        self.orders = ModeratorOrders(lambda name, id: 7 if self.here else None, lambda below: next(numbers))
        self.now = 0.0
        self.sent: list[SessionMessage] = []
        self.answers: list[tuple[object, str, str]] = []

    def ask(self, verb: str, participant: str = "", ticket: object = None, channel: str = CHANNEL) -> None:
        order = Order(0, verb, channel, ("o/n/mo",), participant)
        turn = OrderTurn(self.now)
        self.orders.ask(order, ticket or f"{verb} {participant}".strip(), turn)
        self._take(turn)

    def report(self, to: SessionMessage | None = None, **changed: object) -> None:
        """The moderator answers the latest order, or `to`."""
        sent = to or self.sent[-1]
        answer = sent._replace(
            source=sent.destination,
            destination=sent.source,
            kind=MessageType.GROUP_ACK,
            content=GroupAck(),
            metadata=None,
        )
        turn = OrderTurn(self.now)
        self.orders.handle(answer._replace(**changed), turn)
        self._take(turn)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        turn = OrderTurn(self.now)
        self.orders.expire(turn)
        self._take(turn)

    def _take(self, turn: OrderTurn) -> None:
        self.sent += turn.messages
        self.answers += [(ticket, done.status, done.text) for ticket, done in turn.answers]


@pytest.fixture
def desk() -> OrderDesk:
    return OrderDesk()


@pytest.fixture
def led(desk: OrderDesk) -> OrderDesk:
    """The same, once the moderator has reported that it leads the channel."""
    desk.ask("create")
    desk.report()
    return desk


def test_each_order_is_the_message_of_the_table(led: OrderDesk) -> None:
    create = led.sent[0]
    assert str(create.source) == "controller/controller/controller/0"
    assert create.destination == MODERATOR
    assert create.metadata == {IS_MODERATOR: "TRUE"}
    assert isinstance(create.content, JoinRequest)
    assert create.content.mls
    assert create.content.channel == Name("o", "n", "c")
    assert led.answers == [("create", "OK", "")]
    for verb in ("add", "remove"):
        led.ask(verb, "o/n/p")
        led.report()
    led.ask("delete")
    led.report()
    add, remove, delete = led.sent[1:]
    assert (add.kind, add.content) == (MessageType.DISCOVERY_REQUEST, DiscoveryRequest(Name("o", "n", "p")))
    assert (remove.kind, remove.content) == (MessageType.LEAVE_REQUEST, LeaveRequest(Name("o", "n", "p")))
    assert (delete.kind, delete.content) == (MessageType.LEAVE_REQUEST, LeaveRequest())
    assert DELETE_GROUP in (delete.metadata or {})
    assert len({message.session_id for message in led.sent}) == 1
    assert len({message.message_id for message in led.sent}) == 4
    assert led.orders.next_deadline() is None


def test_the_session_id_is_the_same_at_every_node() -> None:
    one, other = Name("o", "n", "c"), Name("o", "n", "d")
    assert session_id(MODERATOR, one) == session_id(Name("o", "n", "mo", 7), one)
    assert session_id(MODERATOR, one) != session_id(MODERATOR, other)
    assert session_id(MODERATOR, one) < 2**32


def test_one_order_of_a_channel_at_a_time(led: OrderDesk) -> None:
    led.ask("add", "o/n/p")
    led.ask("add", "o/n/q")
    led.ask("create", channel="o/n/other")
    assert [str(message.session_id) for message in led.sent].count(str(led.sent[0].session_id)) == 2
    first = led.sent[1]
    led.report(first)
    assert led.answers[-1] == ("add o/n/p", "OK", "")
    assert led.sent[-1].content == DiscoveryRequest(Name("o", "n", "q"))


@pytest.mark.parametrize(
    "forged",
    [
        {"message_id": 1},
        {"session_id": 1},
        {"source": Name("o", "n", "mo", 8)},
        {"kind": MessageType.LEAVE_REPLY},
    ],
)
def test_a_report_of_something_else_is_ignored(led: OrderDesk, forged: dict[str, object]) -> None:
    led.ask("add", "o/n/p")
    led.report(**forged)
    assert len(led.answers) == 1
    led.report()
    assert led.answers[-1] == ("add o/n/p", "OK", "")


def test_a_failure_that_is_told_is_passed_on(led: OrderDesk) -> None:
    led.ask("add", "o/n/p")
    led.report(metadata={ORDER_FAILED: "nobody answered"})
    assert led.answers[-1] == ("add o/n/p", "ABORTED", "nobody answered")


def test_silence_fails_an_order_after_the_moderators_own_timers(led: OrderDesk) -> None:
    led.ask("add", "o/n/p")
    led.wait(PATIENCE["add"] - 0.1)
    assert len(led.answers) == 1
    led.wait(0.1)
    assert led.answers[-1] == ("add o/n/p", "DEADLINE_EXCEEDED", "no report of the moderator within 35 s")
    led.ask("remove", "o/n/p")
    led.report()
    assert led.answers[-1] == ("remove o/n/p", "OK", "")


def test_a_moderator_that_does_not_report_its_creation_is_one_of_0_7(desk: OrderDesk) -> None:
    desk.ask("create")
    desk.wait(PATIENCE["create"])
    assert desk.answers == [("create", "OK", HANDED_OVER)]
    desk.ask("add", "o/n/p")
    desk.wait(0.0)
    assert desk.answers[-1] == ("add o/n/p", "OK", HANDED_OVER)
    desk.ask("delete")
    desk.wait(0.0)
    # Whoever leads the channel next is judged anew.
    desk.ask("create")
    desk.report()
    desk.ask("add", "o/n/p")
    desk.wait(0.0)
    assert len(desk.answers) == 4


def test_an_order_that_waits_in_vain_is_told_its_place(led: OrderDesk) -> None:
    led.ask("add", "o/n/p0", ticket="first")
    led.ask("add", "o/n/p1", ticket="second")
    led.ask("add", "o/n/p2", ticket="third")
    for _ in range(2):
        led.wait(PATIENCE["add"])
    assert ("first", "DEADLINE_EXCEEDED", "no report of the moderator within 35 s") in led.answers
    assert (
        "third",
        "DEADLINE_EXCEEDED",
        f"number 2 in the queue of {CHANNEL} after {QUEUE_TIME:g} s",
    ) in led.answers
    led.report()
    assert led.orders.next_deadline() is None


def test_the_queue_of_a_channel_is_bounded(led: OrderDesk) -> None:
    for i in range(QUEUE + 1):
        led.ask("add", f"o/n/p{i}")
    assert led.answers[-1][1] == "RESOURCE_EXHAUSTED"
    assert len(led.answers) == 2


def test_a_moderator_that_is_gone_is_named(led: OrderDesk) -> None:
    led.ask("add", "o/n/p")
    led.ask("add", "o/n/q")
    led.here = False
    led.report()
    assert led.answers[-1] == ("add o/n/q", "UNAVAILABLE", "the moderator o/n/mo is not at this node")
    assert led.orders.next_deadline() is None


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (Order(0, "create", "o/n", ("o/n/mo",)), "channel_name"),
        (Order(0, "create", "o/n/c", ()), "moderators"),
        (Order(0, "create", "o/n/c", ("o/n/mo/x",)), "moderators"),
        (Order(0, "add", "o/n/c", ("o/n/mo",), ""), "participant_name"),
        (Order(0, "remove", "o/n/c", ("o/n/mo",), "a//b"), "participant_name"),
    ],
)
def test_a_malformed_order_is_answered_with_the_field(desk: OrderDesk, order: Order, word: str) -> None:
    turn = OrderTurn(0.0)
    desk.orders.ask(order, 1, turn)
    ((_, done),) = turn.answers
    assert done.status == "INVALID_ARGUMENT"
    assert word in done.text
    assert not turn.messages
