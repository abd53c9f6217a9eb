"""The control agent: the actor by which controllers act on their node (`controller.md` 4.1, 6.1).

    a controller's stream ── Lead, Order, FollowNames ──► ControlAgent
    ControlAgent ── Led, OrderDone, NamesTold ──► a controller's stream
    RouteTable ── RoutesChanged ──► ControlAgent ── Subscribing ──► RouteTable
    ControlAgent ── Forward ──► the moderator's connection ── Forward (GROUP_ACK) ──► ControlAgent

At the route table it is one more application, named `controller/controller/controller`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from typing import Any

from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage

from actors.controlled.directions import Directions
from actors.controlled.orders import ModeratorOrders, OrderTurn
from actors.controlled.own_names import CONTROLLER, OwnNames
from actors.errors import NoRoute, ProtocolError
from actors.messages.codec import Codec
from actors.messages.controlled import (
    FollowNames,
    Lead,
    ReportVerified,
    TableTold,
    TableWanted,
    UnfollowNames,
)
from actors.messages.controller import NamesTold, Order, OrderDone
from actors.messages.routing import (
    Attach,
    Attached,
    Congested,
    ConnectionState,
    Detach,
    Drained,
    Forward,
    RoutesChanged,
    Subscribing,
    Transmit,
    WatchRoutes,
)
from actors.messages.wire import (
    IS_MODERATOR,
    REPORT_FAILURE,
    TRUE,
    Frame,
    MessageType,
    SessionMessage,
    Subscription,
    SubscriptionAck,
)
from actors.routing.router import Router
from actors.routing.view import RouteView
from actors.system import Cancellable, LoopActor, handles
from actors.system.tasks import SpawnTask
from identity.errors import InvalidToken, SlimError
from identity.log import logger
from identity.protocols import KeysMissing, Provider, Verifier

FETCHING = 64
"""Reports whose senders' keys are being fetched at most; more are dropped."""
NO_IDENTITY = (
    "orders to moderators carry an identity: configure controller.token_provider, or give an identity option "
    "such as --shared-secret"
)


class ControlAgent(LoopActor):
    """`connection` is its index in the node. `provider` signs orders, `verifier` judges reports; without one
    no order leaves, without the other reports are known by their message id alone. `clock` gives seconds
    that only grow, `wall` Unix seconds; `is_ours` tells connections of applications of ours."""

    def __init__(
        self,
        connection: int,
        route_table: ActorAddress,
        routes: RouteView,
        codec: Codec,
        names: OwnNames,
        *,
        provider: Provider | None,
        verifier: Verifier | None,
        clock: Callable[[], float],
        wall: Callable[[], float],
        draw: Callable[[int], int],
        spawn_task: SpawnTask,
        is_ours: Callable[[int], bool] = lambda connection: False,
        patience: dict[str, float] | None = None,
    ) -> None:
        self._connection = connection
        self._route_table = route_table
        self._router = Router(connection, routes)
        self._codec = codec
        self._provider, self._verifier = provider, verifier
        self._clock, self._wall = clock, wall
        self._names, self._is_ours = names, is_ours
        self._directions = Directions()
        self._orders = ModeratorOrders(names.instance, draw, patience)
        self._followers: dict[ActorAddress, None] = {}
        self._askers: dict[Hashable, ActorAddress] = {}
        self._tickets = itertools.count(1)
        self._timer: Cancellable | None = None
        self._spawn_task = spawn_task
        self._fetching = 0

    def started(self) -> None:
        self.send(self._route_table, Attach(self._connection, self.myAddress, local=True))
        self._tell_table(Subscription(True, CONTROLLER, CONTROLLER))
        self.send(self._route_table, WatchRoutes(self.myAddress))

    def _tell_table(self, subscription: Subscription) -> None:
        self.send(self._route_table, Subscribing(self._connection, subscription))

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        self.send(self._route_table, Detach(self._connection, "the node is no longer controlled"))

    @handles(Attached, Congested, Drained)
    def _on_nothing(self, _: Any, __: ActorAddress) -> None:
        """An order is one small message: it waits for nobody."""

    # Names

    @handles(RoutesChanged)
    def _on_routes(self, message: RoutesChanged, _: ActorAddress) -> None:
        gained, lost = self._names.take(message.entries, complete=message.complete)
        if gained or lost:
            for inbox in self._followers:
                self.send(inbox, NamesTold("", gained, lost))

    @handles(FollowNames)
    def _on_follow(self, message: FollowNames, _: ActorAddress) -> None:
        self._followers[message.inbox] = None
        self.send(message.inbox, NamesTold("", self._names.own(), ()))

    @handles(UnfollowNames)
    def _on_unfollow(self, message: UnfollowNames, _: ActorAddress) -> None:
        self._followers.pop(message.inbox, None)

    @handles(TableWanted)
    def _on_table_wanted(self, _: TableWanted, asker: ActorAddress) -> None:
        self.send(asker, TableTold(self._names.entries()))

    # Routes

    @handles(Lead)
    def _on_lead(self, message: Lead, asker: ActorAddress) -> None:
        ticket = next(self._tickets)
        self._askers[ticket] = asker
        for subscription in self._directions.ask(message, ticket):
            self._tell_table(subscription)
        self._answer_lead(ticket)

    @handles(Transmit)
    def _on_transmit(self, message: Transmit, _: ActorAddress) -> None:
        for record in message.records:
            if isinstance(record, SubscriptionAck):
                ticket = self._directions.take(record)
                if ticket is not None:
                    self._answer_lead(ticket)

    def _answer_lead(self, ticket: Hashable) -> None:
        answer = self._directions.answer(ticket)
        if answer is not None:
            self.send(self._askers.pop(ticket), answer)

    @handles(ConnectionState)
    def _on_state(self, message: ConnectionState, _: ActorAddress) -> None:
        if message.state == "closed":
            self._directions.gone(message.connection)

    # Orders

    @handles(Order)
    def _on_order(self, message: Order, asker: ActorAddress) -> None:
        if self._provider is None:
            self.send(asker, OrderDone("", message.order, "FAILED_PRECONDITION", NO_IDENTITY))
            return
        ticket = next(self._tickets)
        self._askers[ticket] = asker
        turn = OrderTurn(self._clock())
        self._orders.ask(message, ticket, turn)
        self._perform(turn)

    @handles(Forward)
    def _on_forward(self, message: Forward, _: ActorAddress) -> None:
        turn = OrderTurn(self._clock())
        for frame in message.frames:
            report = self._read(frame)
            if report is not None:
                self._orders.handle(report, turn)
        self._perform(turn)

    @handles(ReportVerified)
    def _on_verified(self, message: ReportVerified, _: ActorAddress) -> None:
        turn = OrderTurn(self._clock())
        self._orders.handle(message.report, turn)
        self._perform(turn)

    def _read(self, frame: Frame | SessionMessage) -> SessionMessage | None:
        """What came, if it can be read and its sender is believed."""
        try:
            message = self._codec.decode(frame) if isinstance(frame, Frame) else frame
            if self._verifier is not None and message.kind is MessageType.GROUP_ACK:
                self._verifier.try_verify(message.identity, self._wall())
        except KeysMissing:
            self._fetch(message)
        except (ProtocolError, InvalidToken) as error:
            logger.info("a report to the controller was dropped", cause=type(error).__name__)
        else:
            return message
        return None

    def _fetch(self, message: SessionMessage) -> None:
        """Verify a report by awaiting keys."""
        assert self._verifier is not None
        if self._fetching >= FETCHING:
            return
        self._fetching += 1

        def done(_: Any, error: Exception | None) -> None:
            self._fetching -= 1
            if error is None:
                self.send(self.myAddress, ReportVerified(message))
            else:
                logger.info("a report to the controller was dropped", cause=type(error).__name__)

        self._spawn_task(self._verifier.verify(message.identity, self._wall()), done)

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = None
        turn = OrderTurn(self._clock())
        self._orders.expire(turn)
        self._perform(turn)

    def _perform(self, turn: OrderTurn) -> None:
        # An order that cannot leave is answered in this turn, and the next one of its channel leaves.
        while turn.messages:
            message = turn.messages.pop(0)
            try:
                self._send_out(message)
            except SlimError as error:
                self._orders.undeliverable(message, "UNAVAILABLE", str(error), turn)
        for ticket, answer in turn.answers:
            self.send(self._askers.pop(ticket), answer)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._orders.next_deadline()
        if deadline is not None:
            self._timer = self.after(max(0.0, deadline - turn.now))

    def _send_out(self, message: SessionMessage) -> None:
        """Raises AuthError or ConfigError without a token, and NoRoute."""
        assert self._provider is not None
        token = self._provider.get_token(self._wall())
        destination = message.destination
        for connection in self._router.route(destination.key, destination.instance, message.fanout):
            local = self._router.is_local(destination.key, connection)
            metadata = message.metadata or {}
            if IS_MODERATOR in metadata and (local or self._is_ours(connection)):
                # With originals the metadata of a creation become the session's: nothing of ours goes there.
                message = message._replace(metadata=metadata | {REPORT_FAILURE: TRUE})
            frame = message._replace(identity=token) if local else self._codec.encode(message, token)
            forward = Forward((frame,), self._connection, self.myAddress)
            self.send(self._router.addresses[connection], forward)
            return
        raise NoRoute(str(destination))
