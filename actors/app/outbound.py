"""From the messages of sessions to what leaves by each connection: route, identity, one encoding for all.

What sessions put out by themselves (`actors/session/outbound.py`) does not come here; what the connections
say of it does: congestion, refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.alarm import RETRY_PAUSE, SourceAlarms
from actors.app.collaborators import Collaborators
from actors.app.routes import Routes
from actors.errors import MessageTooLarge, NobodyThere, NoRoute
from actors.messages.codec import Codec
from actors.messages.routing import Attached, Forward, TooLarge, Undelivered
from actors.messages.session import Congestion, IdentityRotated, PutOut, TokenRenewed, Unroutable
from actors.messages.wire import ONE, Frame, MessageType, SessionMessage
from actors.record import record
from actors.session.outbound import WayOut
from actors.telemetry import Counts, counter
from identity.errors import AuthError, ConfigError, SlimError
from identity.log import logger
from identity.protocols import RotatingProvider

WayOutNews = Attached | TokenRenewed | TooLarge | Undelivered
WAY_OUT = (Attached, TokenRenewed, TooLarge, Undelivered)
"""What an App hears of its way out."""
EARLY = 4096
"""Batches that may wait until others can answer them."""


class OutboundCounts(Counts, part="app"):
    unroutable: int = counter("Messages of applications that could not leave.")
    overflowed: int = counter("Batches dropped: too many were sent before the node knew the application.")
    rotations: int = counter("How often an application's identity was replaced.")


@record
class Departures(NamedTuple):
    """What leaves, by connection and in order, and what cannot."""

    batches: dict[int, list[Frame | SessionMessage]]
    refused: list[tuple[SessionMessage, SlimError]]


def departures(
    messages: tuple[SessionMessage, ...], token: str, routes: Routes, own: int, codec: Codec
) -> Departures:
    """Find the way of each message of the application at connection `own`, whose identity is `token`.

    Messages to applications of the same process stay records; for others they are encoded once, however many
    connections they leave by.
    """
    encode = codec.encode
    batches: dict[int, list[Frame | SessionMessage]] = {}
    refused: list[tuple[SessionMessage, SlimError]] = []
    last: Any = None
    targets: tuple[int, ...] = ()
    for message in messages:
        destination, fanout, pinned = message.destination, message.fanout, message.connection
        # Messages of one batch mostly go the same way; anycast takes a turn for each.
        route = (destination, fanout, pinned) if fanout != ONE or destination.has_id else None
        if route is None or route != last:
            targets, last = routes.find(message), route
        if not targets:
            refused.append((message, NoRoute(destination.short)))
            continue
        item: Frame | SessionMessage | None = None
        frame: Frame | None = None
        for target in targets:
            if routes.is_local(target, destination.key):
                item = message._replace(identity=token, connection=own)
            else:
                if frame is None:
                    try:
                        frame = encode(message, token)
                    except SlimError as error:
                        refused.append((message, error))
                        break
                item = frame
            batch = batches.get(target)
            if batch is None:
                batches[target] = [item]
            else:
                batch.append(item)
    return Departures(batches, refused)


class AppOutbound:
    """What an App does about messages of its sessions: the part of its actor that sends.

    `own` is its connection, `sessions` are its sessions by id, `address` tells the actor's own address.
    """

    def __init__(
        self,
        own: int,
        collaborators: Collaborators,
        routes: Routes,
        sessions: Mapping[int, ActorAddress],
        send: Callable[[ActorAddress, Any], None],
        address: Callable[[], ActorAddress],
        counts: OutboundCounts,
        congested: set[int],
    ) -> None:
        self.token = ""
        """The latest that messages left with."""
        self.congested = congested
        """Connections above their high-water mark."""
        self.counts = counts
        self._own = own
        self._with = collaborators
        self._routes = routes
        self._sessions = sessions
        self._send = send
        self._address = address
        self._lost = SourceAlarms(RETRY_PAUSE)
        provider = collaborators.provider
        self._rotating = provider if isinstance(provider, RotatingProvider) else None
        self._generation: int | None = None
        self._way: WayOut | None = None
        self._early: list[tuple[ActorAddress | None, tuple[SessionMessage, ...]]] | None = []

    def way(self) -> WayOut:
        """What a new session is told: all are told the same for as long as the token lasts."""
        way, told = self._way, self._with
        if way is None or way.last_token is not self.token:
            way = self._way = WayOut(
                self._own, told.routes, told.codec, told.provider.get_token, told.wall, self.token
            )
        return way

    def handle(self, message: WayOutNews) -> None:
        """What the node, a session and a connection tell of the way out."""
        match message:
            case Attached():
                self.attached()
            case TokenRenewed():
                self.look_for_rotation()
            case TooLarge():
                self.too_large(message)
            case Undelivered():
                self.nobody_there(message)

    def attached(self) -> None:
        """Others can answer from now on: what waited leaves."""
        early, self._early = self._early, None
        for session, messages in early or ():
            self.put_out(messages, session)

    def put_out(self, messages: tuple[SessionMessage, ...], session: ActorAddress | None) -> None:
        """Send these, in order, and tell the session that sent them when they are out."""
        if self._early is not None and len(self._early) < EARLY:
            self._early.append((session, messages))
            return
        if self._early is not None:
            self.counts.overflowed += 1
        else:
            self._forward(messages, session)
        if session is not None:
            self._send(session, PutOut())

    def _forward(self, messages: tuple[SessionMessage, ...], session: ActorAddress | None) -> None:
        try:
            token = self._with.provider.get_token(self._with.wall())
        except (AuthError, ConfigError) as error:
            self._unroutable(session, messages, error)
            return
        if token is not self.token:
            self.token = token
            self.look_for_rotation()
        batches, refused = departures(messages, token, self._routes, self._own, self._with.codec)
        for message, why in refused:
            self._unroutable(session, (message,), why)
        for target, batch in batches.items():
            self._send(self._routes.address(target), Forward(tuple(batch), self._own, self._address()))

    def look_for_rotation(self) -> None:
        """Tell the sessions when the provider's identity was replaced. Only a new token can come of that."""
        provider = self._rotating
        if provider is None:
            return
        before, self._generation = self._generation, provider.generation
        if before is not None and before != self._generation:
            logger.info("identity rotated", conn=self._own)
            self.counts.rotations += 1
            for address in self._sessions.values():
                self._send(address, IdentityRotated(self._generation))

    def too_large(self, message: TooLarge) -> None:
        """A connection did not write these frames."""
        for frame in message.frames:
            refused = self._with.codec.decode(frame)
            error = MessageTooLarge(frame.size, message.limit)
            self._unroutable(self._sessions.get(refused.session_id), (refused,), error)

    def nobody_there(self, message: Undelivered) -> None:
        """The backbone leads to nobody who wants these."""
        for frame in message.frames:
            refused = self._with.codec.decode(frame)
            error = NobodyThere(str(refused.destination))
            self._unroutable(self._sessions.get(refused.session_id), (refused,), error)

    def _unroutable(
        self, session: ActorAddress | None, messages: tuple[SessionMessage, ...], error: SlimError
    ) -> None:
        self.counts.unroutable += len(messages)
        for message in messages:
            if message.kind is MessageType.DISCOVERY_REQUEST and isinstance(error, NoRoute):
                level, more = self._lost.level(message.destination.key, self._with.clock())
                logger.log(level, f"not reached{more}", name=str(message.source), cause=str(error))
        if session is not None:
            self._send(session, Unroutable(messages, error))

    def congestion(self, connection: int, *, congested: bool) -> None:
        """A connection has no credit, or has some again: the sessions hear of the first and the last."""
        before = bool(self.congested)
        (self.congested.add if congested else self.congested.discard)(connection)
        if before != bool(self.congested):
            for address in self._sessions.values():
                self._send(address, Congestion(congested))

    def check_congestion(self) -> None:
        """Connections that are gone do not say that they drained."""
        for gone in [c for c in self.congested if self._routes.address(c) is None]:
            self.congestion(gone, congested=False)
