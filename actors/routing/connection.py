"""The Connection actor: one open stream to a peer (`design.md` 4, 5.1).

    link ── FramesIn ──► Connection ── Forward ──► Connection ──► link
                            │  ▲                       │
              Subscribing   ▼  │ reads                 └─ Congested, Drained ──► (the first one)
                          RouteTable

It routes what its peer sends by the route table, which it reads, and writes what others forward to it, as far
as its outbox has credit. A receiver without credit makes it stop reading its own link, for a bounded time; so
does a route table that is still busy with what its peer subscribed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress, ActorExitRequest, PoisonMessage, WakeupMessage

from actors.errors import ConnectionLost
from actors.messages.routing import (
    Acknowledged,
    Attach,
    Attached,
    Close,
    Congested,
    ConnectionState,
    Detach,
    Drained,
    Echo,
    Forward,
    FramesIn,
    LinkClosed,
    LinkDrained,
    LinkLost,
    LinkRestored,
    Negotiated,
    Reattach,
    Start,
    Status,
    StatusReport,
    Subscribing,
    TooLarge,
    Transmit,
)
from actors.messages.wire import Frame, LinkNegotiation, Subscription, SubscriptionAck
from actors.routing.link import Link
from actors.routing.negotiation import Negotiator
from actors.routing.outbox import HIGH, PATIENCE, Outbox
from actors.routing.router import Router
from actors.routing.view import RouteView
from actors.system import Cancellable, Directive, LoopActor, handles
from actors.telemetry import Counts, Registry, counter

ASKED_BOUND = 1024
"""Subscriptions and acknowledgements of one peer that may wait at the route table before its next read."""


class ConnectionCounts(Counts, part="connection"):
    frames_received: int = counter("Frames and records that peers sent.")
    frames_sent: int = counter("Frames given to links.")
    unrouted: int = counter("Frames of peers that no route led anywhere.")
    dropped: int = counter("Data frames dropped because a peer was slow for too long.")
    pauses: int = counter("How often a peer was not read because another one was slow.")


class Connection(LoopActor):
    """One stream's actor.

    `dialled_as` is our link id when we opened the stream, None when the peer did. `observers` are told
    ConnectionState. `high` is the outbox's high-water mark in bytes, `patience` how long (seconds) a slow
    receiver may hold up who sends to it.
    """

    def __init__(
        self,
        index: int,
        link: Link,
        route_table: ActorAddress,
        routes: RouteView,
        clock: Callable[[], float],
        *,
        dialled_as: str | None = None,
        observers: tuple[ActorAddress, ...] = (),
        high: int = HIGH,
        patience: float = PATIENCE,
        telemetry: Registry | None = None,
    ) -> None:
        self._index = index
        self._link = link
        self._route_table = route_table
        self._clock = clock
        self._dialled = dialled_as is not None
        self._observers = observers
        self._negotiator = Negotiator(dialled_as)
        self._router = Router(index, routes)
        self._outbox = Outbox(high=high, patience=patience)
        self._patience = patience
        self._waiting: dict[ActorAddress, None] = {}
        self._blocked_by: set[int] = set()
        self._blocked_timer: Cancellable | None = None
        self._asked = 0
        """What was sent to the route table since its last Echo."""
        self._echo_awaited = False
        self._closed = False
        self._telemetry = telemetry or Registry()
        self._counts = self._telemetry.register(ConnectionCounts())
        self._broken_by: ActorAddress | None = None
        """Who forwarded last what could not be written."""

    # Life

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """The stream is closed: by its peer's fault, or because it does not work.

        A batch that was forwarded here is its sender's first, who gets it back; the next one of somebody else
        shows that this stream is at fault. When even the end fails, the Gateway does the rest.
        """
        if isinstance(message, LinkClosed):
            self._telemetry.close(self._counts)
            return Directive.STOP
        if isinstance(message, Forward) and self._broken_by in (None, sender):
            self._broken_by = sender
        else:
            self._link.close(f"{type(message).__name__} could not be handled")
        return Directive.RESUME

    @handles(PoisonMessage)
    def _on_poison(self, message: PoisonMessage, _: ActorAddress) -> None:
        """What we passed on broke an actor. Our peer sent it, and that costs it the stream."""
        self._link.close(f"{type(message.poisonMessage).__name__} could not be handled")

    @handles(Start)
    def _on_start(self, _: Start, __: ActorAddress) -> None:
        attach = Attach(
            self._index, self.myAddress, local=False, dialled=self._dialled, peer=_shared(self._link.peer)
        )
        self.send(self._route_table, attach)

    @handles(Attached)
    def _on_attached(self, _: Attached, __: ActorAddress) -> None:
        self._open()
        self._link.start()
        self._observe("attached", self._link.peer)

    def _open(self) -> None:
        opening = self._negotiator.opening()
        if opening is not None:
            self._link.transmit((opening,))

    @handles(LinkLost)
    def _on_lost(self, message: LinkLost, _: ActorAddress) -> None:
        """The stream of a link that we dialled broke; the link dials again, the routes stay."""
        self._release()
        self._observe("lost", message.cause)

    @handles(LinkRestored)
    def _on_restored(self, _: LinkRestored, __: ActorAddress) -> None:
        self._open()
        self.send(self._route_table, Reattach(self._index))
        self._observe("restored")

    @handles(Close)
    def _on_close(self, message: Close, _: ActorAddress) -> None:
        self._link.close(message.cause)

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        self._link.close("node is shutting down")
        self._telemetry.close(self._counts)

    @handles(LinkClosed)
    def _on_closed(self, message: LinkClosed, _: ActorAddress) -> None:
        if self._closed:
            return
        cause = message.cause
        self._release()
        error = ConnectionLost(self._link.peer, cause) if self._dialled else None
        self.send(self._route_table, Detach(self._index, cause, error))
        self._observe("closed", cause)
        self.send(self.myAddress, ActorExitRequest())
        # Last: a failure on the way here shows in the second attempt too, and ends this actor.
        self._closed = True

    def _observe(self, state: str, detail: str = "") -> None:
        for observer in self._observers:
            self.send(observer, ConnectionState(self._index, state, detail))

    # From the peer

    @handles(FramesIn)
    def _on_frames_in(self, message: FramesIn, _: ActorAddress) -> None:
        out: dict[int, list[Frame]] = {}
        route, addresses = self._router.route, self._router.addresses
        for frame in message.frames:
            if type(frame) is not Frame:
                self._on_record(frame)
                continue
            targets = route(frame.key, frame.instance, frame.fanout)
            if not targets:
                self._counts.unrouted += 1
            for target in targets:
                batch = out.get(target)
                if batch is None:
                    out[target] = [frame]
                else:
                    batch.append(frame)
        self._counts.frames_received += len(message.frames)
        for target, frames in out.items():
            address = addresses.get(target)
            if address is not None:
                self.send(address, Forward(tuple(frames), self._index, self.myAddress))
        if self._asked >= ASKED_BOUND and not self._echo_awaited:
            self._echo_awaited = True
            self._link.pause()
            self.send(self._route_table, Echo())

    def _on_record(self, record: Any) -> None:
        match record:
            case Subscription():
                self._asked += 1
                self.send(self._route_table, Subscribing(self._index, record))
            case SubscriptionAck():
                self._asked += 1
                self.send(self._route_table, Acknowledged(self._index, record))
            case LinkNegotiation():
                outcome = self._negotiator.handle(record)
                if outcome.reply is not None:
                    self._link.transmit((outcome.reply,))
                if outcome.accepted:
                    self.send(self._route_table, Negotiated(self._index, record.link_id, record.slim_version))
                    self._observe("negotiated", record.slim_version)

    # To the peer

    @handles(Forward)
    def _on_forward(self, message: Forward, _: ActorAddress) -> None:
        frames: Any = message.frames
        backlog = self._link.backlog
        if backlog < self._outbox.high:
            # Nearly always: nothing to decide, and no clock to read.
            write, pause, overwhelmed = frames, False, False
        else:
            write, pause, overwhelmed = self._outbox.admit(frames, backlog, self._clock())
            self._counts.dropped += len(frames) - len(write)
        if write:
            refused = self._link.send(write)
            self._counts.frames_sent += len(write) - len(refused)
            if refused:
                self.send(message.reply_to, TooLarge(tuple(refused), self._link.limit))
        if pause and message.reply_to not in self._waiting:
            self._waiting[message.reply_to] = None
            self.send(message.reply_to, Congested(self._index))
        if overwhelmed:
            self._give_up()

    @handles(Transmit)
    def _on_transmit(self, message: Transmit, _: ActorAddress) -> None:
        self._link.transmit(message.records)
        if self._outbox.admit((), self._link.backlog, self._clock()).overwhelmed:
            self._give_up()

    def _give_up(self) -> None:
        self._link.reset("the peer takes nothing: outbox over its hard limit")

    @handles(LinkDrained)
    def _on_link_drained(self, _: LinkDrained, __: ActorAddress) -> None:
        self._release()

    def _release(self) -> None:
        """There is room again, or nobody left to wait for."""
        self._outbox.drained()
        waiting, self._waiting = self._waiting, {}
        for address in waiting:
            self.send(address, Drained(self._index))

    # Credit of others, as the sender

    @handles(Congested)
    def _on_congested(self, message: Congested, _: ActorAddress) -> None:
        if not self._blocked_by:
            self._counts.pauses += 1
            self._link.pause()
            self._blocked_timer = self.after(self._patience)
        self._blocked_by.add(message.connection)

    @handles(Drained)
    def _on_drained(self, message: Drained, _: ActorAddress) -> None:
        self._blocked_by.discard(message.connection)
        if not self._blocked_by:
            self._unblock()

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._unblock()

    def _unblock(self) -> None:
        """Read again: all have room, or their time is over and their own outboxes drop."""
        self._blocked_by.clear()
        if self._blocked_timer is not None:
            self._blocked_timer.cancel()
            self._blocked_timer = None
            self._read_on()

    @handles(Echo)
    def _on_echo(self, _: Echo, __: ActorAddress) -> None:
        self._asked = 0
        self._echo_awaited = False
        self._read_on()

    def _read_on(self) -> None:
        if self._blocked_timer is None and not self._echo_awaited:
            self._link.resume()

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        version = self._negotiator.peer_version
        figures = {
            "peer": self._link.peer,
            "version": ".".join(map(str, version)) if version else "unknown",
            "frames_in": self._counts.frames_received,
            "frames_out": self._counts.frames_sent,
            "unrouted": self._counts.unrouted,
            "dropped": self._counts.dropped,
            "congested": self._outbox.congested,
            "backlog": self._link.backlog,
            "pauses": self._counts.pauses,
            **self._link.figures(),
        }
        self.send(sender, StatusReport({str(self._index): figures}, message.tag))


def _shared(peer: str) -> str:
    """What the streams of one TCP connection have in common: host and port. Others have nothing."""
    return peer if peer.rpartition(":")[2].isdigit() else ""
