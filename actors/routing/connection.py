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

from collections.abc import Callable, Sequence
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
    GroupReported,
    Inquired,
    LinkClosed,
    LinkDrained,
    LinkLost,
    LinkMoved,
    LinkRestored,
    Negotiated,
    NodeLinkLost,
    NodeLinkSettled,
    Reattach,
    Start,
    Status,
    StatusReport,
    Subscribing,
    TooLarge,
    Transmit,
)
from actors.messages.wire import (
    ONE,
    Frame,
    GroupLed,
    Hint,
    Introduction,
    LinkNegotiation,
    NodeInquiry,
    Role,
    Subscription,
    SubscriptionAck,
)
from actors.routing import tracing
from actors.routing.backpressure import Backpressure
from actors.routing.gate import ConnectionIdentity, Forbidden, Gate, RulesInForce
from actors.routing.hints import ConnectionHints
from actors.routing.link import Link, shared
from actors.routing.negotiation import NOBODY, Admit, Negotiator, Outcome
from actors.routing.node_link import HOPS, SETTLED, SILENCE, TICK, HopCount, NodeLinkWatch, hops_of
from actors.routing.outbox import HIGH, PATIENCE, Outbox
from actors.routing.pace import SendingLimits
from actors.routing.router import Router
from actors.routing.tap import left_out, show_routed
from actors.routing.view import InwardView, RouteView
from actors.system import Cancellable, Directive, LoopActor, handles
from actors.telemetry import Counts, Registry, counter
from identity.log import logger

ASKED_BOUND = 1024
"""Subscriptions and acknowledgements of one peer that may wait at the route table before its next read."""


_NODE_TICK = "node link"


class ConnectionCounts(Counts, part="connection"):
    frames_received: int = counter("Frames and records that peers sent.")
    frames_sent: int = counter("Frames given to links.")
    unrouted: int = counter("Frames of peers that no route led anywhere.")
    dropped: int = counter("Data frames dropped because a peer was slow for too long.")
    too_large: int = counter("Frames over the limit of a link, which were dropped.")
    hops_exceeded: int = counter("Frames that went round in a circle of routes, and were dropped.")
    forbidden: int = counter("Messages of peers that the rules of the node forbid.")
    slowed: int = counter("How often a peer was not read because it sent too fast, or memory was short.")
    pauses: int = counter("How often a peer was not read because another one was slow.")
    table_pauses: int = counter("How often a peer was not read because the route table was busy with it.")


class Connection(LoopActor):
    """One stream's actor.

    `dialled_as` is our link id when we opened the stream, None when the peer did. `introduction` is what we
    say about ourselves, `admit` why a node that calls is not let in, `gate` what the peer may do by name;
    `forbidden` is told what it did in spite of that, `sending` is how fast it may send. `observers` are told
    ConnectionState.
    `high` is the outbox's high-water mark in bytes, `patience` how long (seconds) a slow
    receiver may hold up who sends to it.
    """

    # Slots: of a class with more than 30 attributes each look at one is slow.
    __slots__ = (
        "_asked", "_backpressure", "_broken_by", "_clock", "_closed", "_counts", "_dialled", "_down",
        "_forbidden", "_gate", "_hints", "_hops", "_hops_told", "_index", "_link", "_negotiator",
        "_node_link", "_node_timer", "_observers", "_outbox", "_refused_told", "_route_table", "_router",
        "_routes", "_rules_held", "_sending", "_telemetry", "_tracer", "_waiting", "_was_node_link",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        link: Link,
        route_table: ActorAddress,
        routes: RouteView,
        clock: Callable[[], float],
        *,
        dialled_as: str | None = None,
        introduction: Introduction = NOBODY,
        admit: Admit = lambda introduction: "this node has no peers",
        gate: Gate | None = None,
        forbidden: Forbidden = lambda index, action, name, rule: None,
        sending: SendingLimits | None = None,
        observers: tuple[ActorAddress, ...] = (),
        high: int = HIGH,
        patience: float = PATIENCE,
        telemetry: Registry | None = None,
    ) -> None:
        self._index = index
        self._gate = gate or Gate(RulesInForce(), ConnectionIdentity(), lambda frame: 0)
        self._rules_held = self._gate.held
        self._forbidden = forbidden
        self._sending = sending or SendingLimits()
        self._link = link
        self._route_table = route_table
        self._clock = clock
        self._dialled = dialled_as is not None
        self._observers = observers
        self._negotiator = Negotiator(dialled_as, introduction, admit)
        self._routes = routes
        self._router = Router(index, routes)
        if self._dialled:
            # Whoever is there: what comes from a node goes to own edges. An application is never transit.
            self._route_inward(by_hand=introduction.role is Role.NODE)
        self._node_link: NodeLinkWatch | None = None
        """Its silences, while there is a node at the other end."""
        self._node_timer: Cancellable | None = None
        self._hops = HopCount()
        self._outbox = Outbox(high=high, patience=patience)
        self._waiting: dict[ActorAddress, None] = {}
        self._backpressure = Backpressure(index, link, self._sending, patience)
        self._asked = 0
        """What was sent to the route table since its last Echo."""
        self._closed = False
        self._down = ""
        """Why there is no stream now; empty while there is one."""
        self._was_node_link = False
        self._tracer = tracing.current
        self._telemetry = telemetry or Registry()
        self._counts = self._telemetry.register(ConnectionCounts())
        self._refused_told = self._hops_told = 1
        """How many frames over a limit, or over their hops, there are when people hear of them again."""
        self._hints = ConnectionHints(index, link, self._negotiator, routes)
        self._broken_by: ActorAddress | None = None
        """Who forwarded last what could not be written."""

    # Life

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """The stream ends: by its peer's fault, or because it does not work.

        A batch that was forwarded here is its sender's first, who gets it back; the next one of somebody else
        shows that this stream is at fault. When even the end fails, the Gateway does the rest.
        """
        if isinstance(message, LinkClosed):
            self._telemetry.close(self._counts)
            return Directive.STOP
        if isinstance(message, Forward) and self._broken_by in (None, sender):
            self._broken_by = sender
        else:
            self._end_stream(message)
        return Directive.RESUME

    def _end_stream(self, message: Any) -> None:
        """Of a link that we dialled it is reset: the link dials again, later and later."""
        cause = f"{type(message).__name__} could not be handled"
        if self._dialled:
            logger.warning("stream reset", conn=self._index, peer=self._link.peer, cause=cause)
            self._link.reset(cause)
        else:
            self._link.close(cause)

    @handles(PoisonMessage)
    def _on_poison(self, message: PoisonMessage, _: ActorAddress) -> None:
        """What we passed on broke an actor. Our peer sent it, and that costs it the stream."""
        self._end_stream(message.poisonMessage)

    @handles(Start)
    def _on_start(self, _: Start, __: ActorAddress) -> None:
        attach = Attach(
            self._index, self.myAddress, local=False, dialled=self._dialled, peer=shared(self._link.peer)
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
        self._down = message.cause or "lost"
        self._release()
        self._end_node_link(message.cause)
        self._observe("lost", message.cause)

    @handles(LinkRestored)
    def _on_restored(self, _: LinkRestored, __: ActorAddress) -> None:
        self._down = ""
        self._open()
        self.send(self._route_table, Reattach(self._index))
        self._observe("restored")

    @handles(LinkMoved)
    def _on_moved(self, _: LinkMoved, __: ActorAddress) -> None:
        self._open()
        self.send(self._route_table, Reattach(self._index))
        self._observe("moved", self._link.peer)

    @handles(Close)
    def _on_close(self, message: Close, _: ActorAddress) -> None:
        self._end_node_link(message.cause)
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
        # A node among peers has others, and its sessions notice by themselves who cannot be reached.
        lost = self._dialled and not self._was_node_link
        error = ConnectionLost(self._link.peer, cause) if lost else None
        self._end_node_link(cause)
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
        route, addresses = self._router.route, self._routes.addresses
        frames: Sequence[Any] = message.frames
        incoming = frames
        if self._rules_held.rules is not None:
            incoming = self._let_pass(incoming)
        opened: Sequence[Any] = ()
        tracer = self._tracer
        if tracer is not None:
            incoming, opened = tracer.received(incoming, self._index)
        for frame in incoming:
            if type(frame) is not Frame:
                self._on_record(frame)
                continue
            targets = route(frame.key, frame.instance, frame.fanout)
            if not targets:
                self._counts.unrouted += 1
                if frame.control:
                    self._say(self._hints.nobody(frame, self._clock()))
            for target in targets:
                batch = out.get(target)
                if batch is None:
                    out[target] = [frame]
                else:
                    batch.append(frame)
        self._counts.frames_received += len(frames)
        if self._sending.active:
            self._slow_down(frames)
        if tracer is not None and opened:
            tracer.routed(opened, out)
        tap = self._routes.tap
        if tap is not None:
            show_routed(tap, self._index, incoming, out)
        for target, batch in out.items():
            address = addresses.get(target)
            if address is not None:
                self.send(address, Forward(tuple(batch), self._index, self.myAddress))
        if self._asked >= ASKED_BOUND and self._backpressure.await_table():
            self._counts.table_pauses += 1
            self.send(self._route_table, Echo())

    def _slow_down(self, frames: Sequence[Any]) -> None:
        """Let a peer wait that sends faster than it may."""
        node = self._gate.who.node
        begins, reason = self._backpressure.slow_down(frames, self._clock(), self.after, node=node)
        self._counts.slowed += begins
        if reason is not None:
            self._say(self._hints.held_up(frames, reason))

    def _let_pass(self, frames: Sequence[Any]) -> Sequence[Any]:
        """Without those that the node's rules forbid; who sent them is told, and so are people."""
        passing, refused = self._gate.judge(frames)
        for action, frame, rule in refused:
            self._counts.forbidden += 1
            if self._routes.tap is not None:
                self._routes.tap.dropped(self._index, (frame,), f"forbidden by {rule}")
            ends = self._link.ends(frame)
            self._forbidden(self._index, action, None if ends is None else ends[1], rule)
            self._say(self._hints.forbidden(frame, ends, self._clock()))
        return passing

    def _on_record(self, record: Any) -> None:
        match record:
            case Subscription():
                self._asked += 1
                self.send(self._route_table, Subscribing(self._index, record))
            case SubscriptionAck():
                self._asked += 1
                self.send(self._route_table, Acknowledged(self._index, record))
            case Hint():
                self._pass_on(record)
            case GroupLed():
                if not self._dialled and self._negotiator.peer_role is Role.APPLICATION:
                    for observer in self._observers:
                        self.send(observer, GroupReported(self._index, record))
            case NodeInquiry():
                if self._node_link is not None and self._routes.inquiries is not None:
                    self.send(self._routes.inquiries, Inquired(self._index, record))
            case LinkNegotiation():
                outcome = self._negotiator.handle(record)
                if outcome.reply is not None:
                    self._link.transmit((outcome.reply,))
                if outcome.refusal:
                    self._observe("refused", outcome.refusal)
                    self._link.close(outcome.refusal)
                elif outcome.accepted:
                    self._negotiated(record, outcome)

    def _say(self, hint: Hint | None) -> None:
        if hint is not None:
            self._link.transmit((hint,))

    def _pass_on(self, hint: Hint) -> None:
        """A hint goes the way of a message."""
        if not self._hints.may_pass(hint, self._clock()):
            return
        destination = hint.destination
        for target in self._router.route(destination.key, destination.instance, ONE):
            address = self._router.addresses.get(target)
            if address is not None:
                self.send(address, Transmit((hint,)))

    def _negotiated(self, record: LinkNegotiation, outcome: Outcome) -> None:
        node = outcome.node
        if node is not None:
            self._was_node_link = True
            self._node_link = NodeLinkWatch(self._counts.frames_received)
            self._node_timer = self.after(TICK, _NODE_TICK)
            if not self._dialled:
                self._route_inward(by_hand=True)
            node = node._replace(token="")
        self.send(self._route_table, Negotiated(self._index, record.link_id, record.slim_version, node))
        role = self._negotiator.peer_role
        said = record.slim_version if role is Role.UNKNOWN else f"{record.slim_version} {role.name.lower()}"
        self._observe("negotiated", said)

    # Other nodes (`backbone.md`)

    def _route_inward(self, *, by_hand: bool) -> None:
        """From now on what comes goes to own edges, and by routes that somebody made by hand if it may."""
        self._router = Router(self._index, InwardView(self._routes, by_hand=by_hand))

    @handles(NodeLinkSettled)
    def _on_settled(self, message: NodeLinkSettled, _: ActorAddress) -> None:
        self._observe(message.outcome, message.node_id)
        if message.outcome != "joined":
            self._stop_node_timer()
            self._link.close(SETTLED[message.outcome])

    def _end_node_link(self, cause: str) -> None:
        """The names of the node at the other end go at once."""
        if self._node_link is not None:
            self._node_link = None
            self._stop_node_timer()
            self.send(self._route_table, NodeLinkLost(self._index, cause))

    def _stop_node_timer(self) -> None:
        if self._node_timer is not None:
            self._node_timer.cancel()
            self._node_timer = None

    def _node_tick(self) -> None:
        watch = self._node_link
        if watch is None or self._node_timer is None:
            return
        speak, dead = watch.expire(self._counts.frames_received, reading=self._backpressure.is_read)
        if dead:
            cause = f"silent for {SILENCE:g} s"
            self._end_node_link(cause)
            self._link.reset(cause)
            return
        if speak:
            self._link.transmit((self._negotiator.keepalive(),))
        self._node_timer = self.after(TICK, _NODE_TICK)

    # To the peer

    @handles(Forward)
    def _on_forward(self, message: Forward, _: ActorAddress) -> None:
        frames: Any = message.frames
        tap = self._routes.tap
        if tap is not None:
            if message.sender in self._routes.bindings.local:
                show_routed(tap, message.sender, frames, {self._index: frames})
            if self._down:
                tap.dropped(self._index, frames, f"the link is down: {self._down}")
        if self._node_link is not None and message.sender in self._routes.node_links:
            frames = self._count_hops(frames)
        opened: Sequence[Any] = ()
        tracer = self._tracer
        if tracer is not None:
            frames, opened = tracer.sending(frames, self._index)
        refused: Sequence[Frame] = ()
        backlog = self._link.backlog
        if backlog < self._outbox.high:
            # Nearly always: nothing to decide, and no clock to read.
            write, pause, overwhelmed = frames, False, False
        else:
            write, pause, overwhelmed = self._outbox.admit(frames, backlog, self._clock())
            self._counts.dropped += len(frames) - len(write)
            if tap is not None and len(write) < len(frames):
                tap.dropped(self._index, left_out(frames, write), "the receiver has been slow for too long")
        if write:
            refused = self._link.send(write)
            self._counts.frames_sent += len(write) - len(refused)
            if refused:
                self._too_large(refused, message.reply_to)
        if tracer is not None and opened:
            tracer.sent(opened, write, refused)
        if pause and message.reply_to not in self._waiting:
            self._waiting[message.reply_to] = None
            self.send(message.reply_to, Congested(self._index))
        if overwhelmed:
            self._give_up()

    def _count_hops(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Messages on their way from one node link to another."""
        counted = self._hops.forward(frames)
        dropped = self._counts.hops_exceeded = self._hops.dropped
        if dropped >= self._hops_told:
            self._hops_told = 10 * dropped
            logger.warning(
                "messages went round in a circle of routes, and were dropped",
                conn=self._index,
                count=dropped,
            )
        if self._routes.tap is not None and len(counted) < len(frames):
            spent = [frame for frame in frames if hops_of(frame) >= HOPS]
            self._routes.tap.dropped(self._index, spent, "it went round in a circle of routes")
        return counted

    def _too_large(self, frames: Sequence[Frame], sender: ActorAddress) -> None:
        """No message of that size may be written: the sender is told, people too, less and less often."""
        self.send(sender, TooLarge(tuple(frames), self._link.limit))
        if self._routes.tap is not None:
            cause = f"larger than the {self._link.limit} bytes that the link takes"
            self._routes.tap.dropped(self._index, frames, cause)
        self._counts.too_large += len(frames)
        if self._counts.too_large >= self._refused_told:
            self._refused_told = 10 * self._counts.too_large
            logger.warning(
                "messages too large for a link",
                conn=self._index,
                count=self._counts.too_large,
                size=frames[-1].size,
                limit=self._link.limit,
            )

    @handles(Transmit)
    def _on_transmit(self, message: Transmit, _: ActorAddress) -> None:
        self._link.transmit(self._hints.understood(message.records))
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
        self._counts.pauses += self._backpressure.congested(message.connection, self.after)

    @handles(Drained)
    def _on_drained(self, message: Drained, _: ActorAddress) -> None:
        self._backpressure.drained(message.connection)

    @handles(WakeupMessage)
    def _on_wakeup(self, message: WakeupMessage, _: ActorAddress) -> None:
        if message.payload == _NODE_TICK:
            self._node_tick()
        else:
            self._backpressure.woken(message.payload)

    @handles(Echo)
    def _on_echo(self, _: Echo, __: ActorAddress) -> None:
        self._asked = 0
        self._backpressure.echoed()

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        self.send(sender, StatusReport({str(self._index): self._figures()}, message.tag))

    def _figures(self) -> dict[str, Any]:
        version = self._negotiator.peer_version
        return {
            "peer": self._link.peer,
            "version": ".".join(map(str, version)) if version else "unknown",
            "role": self._negotiator.peer_role.name.lower(),
            "node": self._routes.node_links.get(self._index, ""),
            "down": self._down,
            "frames_in": self._counts.frames_received,
            "frames_out": self._counts.frames_sent,
            "unrouted": self._counts.unrouted,
            "dropped": self._counts.dropped,
            "forbidden": self._counts.forbidden,
            "identity": str(self._gate.who),
            "congested": self._outbox.congested,
            "full_for": self._outbox.full_for(self._clock()),
            "backlog": self._link.backlog,
            "hops_exceeded": self._counts.hops_exceeded,
            "pauses": self._counts.pauses,
            "slowed": self._counts.slowed,
            **self._link.figures(),
        }
