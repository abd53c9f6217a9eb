"""The App actor: one application name of this process, which is a local connection of its node.

    node ── Forward ──► verify identity ──► session known? ── yes ──► its Session actor
                             │ keys must be       │ no
                             │ fetched            └──► discovery, invitations, tombstones
                             └──► parked (PARKED messages), in order of their source

    Session ── Outbound ──► token ──► routes ──► Forward, one for each connection
               (what it cannot put out by itself: `actors/session/outbound.py`)

Messages to applications of the same process go by reference; for others they are encoded once, however
many connections they leave by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, PoisonMessage, WakeupMessage

from actors.app.admission import NO_TOKEN, Admission, TokenVerified
from actors.app.collaborators import Collaborators
from actors.app.effects import (
    Alive,
    Arrival,
    Awaited,
    Dropped,
    Hinted,
    Invitation,
    Released,
    Subscribed,
    VerificationNeeded,
)
from actors.app.invitations import InvitationCounts, Invitations
from actors.app.lasting import Lasting
from actors.app.outbound import WAY_OUT, AppOutbound, WayOutNews
from actors.app.own_sessions import OwnSessions
from actors.app.questions import Questions
from actors.app.refusals import Refusals
from actors.app.resolving import Resolving
from actors.app.routes import Routes
from actors.app.session_cores import SessionCores
from actors.app.turn import AppTurn
from actors.errors import ProtocolError, SessionClosed, SessionError
from actors.messages.codec import TokenFirst, Unread
from actors.messages.routing import (
    Attach,
    Congested,
    ConnectionGone,
    Detach,
    Drained,
    Forward,
    Status,
    StatusReport,
    Subscribing,
    Transmit,
)
from actors.messages.session import (
    Adopted,
    Announce,
    AppSettings,
    AskPeer,
    BeginSession,
    Bind,
    Bound,
    CloseApp,
    CloseSession,
    Completed,
    Congestion,
    CredentialGranted,
    CredentialWanted,
    Failure,
    GroupBegun,
    Listen,
    Moved,
    OpenSession,
    Outbound,
    PeerAlive,
    Received,
    RemoveRoute,
    Require,
    Resolved,
    SessionGone,
    SessionOpened,
    SetRoute,
    Stranded,
    SubscribeName,
    Unbind,
    UnsubscribeName,
    Verification,
    VerificationWanted,
)
from actors.messages.wire import (
    DiscoveryRequest,
    Frame,
    MessageType,
    SessionKind,
    SessionMessage,
    Subscription,
    SubscriptionAck,
)
from actors.names import Name
from actors.session.core import SessionCore
from actors.session.effects import Refused
from actors.session.sender import WINDOW
from actors.session.senders import Senders
from actors.system import Cancellable, Directive, LoopActor, handles
from identity.errors import AuthError, ConfigError, SlimError
from identity.log import logger

CONGESTION_CHECK = 1.0
"""Seconds after which congested connections are looked for: one that is gone does not say that it drained."""

_DISCOVERY, _DISCOVERY_REPLY = MessageType.DISCOVERY_REQUEST, MessageType.DISCOVERY_REPLY


class AppActor(LoopActor):
    """One application: `local` is its full name, `connection` its index in the node."""

    def __init__(
        self,
        local: Name,
        connection: int,
        collaborators: Collaborators,
        settings: AppSettings | None = None,
        lasting: Lasting | None = None,
    ) -> None:
        self._local = local
        self._connection = connection
        self._with = collaborators
        self._settings = settings or AppSettings()
        self._lasting = lasting or Lasting.of(local, collaborators, self._settings)
        self._senders = Senders()
        self._invitations = Invitations(
            local,
            collaborators.draw,
            mls=collaborators.crypto is not None,
            backlog=self._settings.backlog,
            senders=self._senders,
            counts=collaborators.telemetry.shared(InvitationCounts),
            promises=self._lasting.promises,
        )
        self._questions = Questions(
            local,
            lambda: self._invitations.draw_session_id(self._sessions.addresses.__contains__),
            self._senders,
            self._settings.ping_interval,
        )
        self._routes = Routes(connection, collaborators.routes)
        self._sessions = OwnSessions(self.send, self._lasting)
        self._turn = AppTurn()
        self._counts, self._subscriptions = self._lasting.counts, self._lasting.subscriptions
        self._admission = Admission(collaborators.verifier, counts=self._lasting.admission, local=local)
        self._resolving = Resolving(collaborators, lambda done: self.send(self.myAddress, done))
        self._cores = SessionCores(local, collaborators, self._settings, self._senders)
        self._closing: tuple[int, Any] | None = None
        self._timer: Cancellable | None = None
        self._log = logger.bind(name=str(local))
        past = collaborators.routes.past
        self._refusals = Refusals(self.send, self._routes.address, self._senders.hints, past, self._log)
        self._outbound = AppOutbound(
            connection,
            collaborators,
            self._routes,
            self._sessions.addresses,
            self.send,
            lambda: self.myAddress,
            self._lasting.outbound,
            self._lasting.congested,
        )

    def started(self) -> None:
        """Become a connection of the node, and reachable: by our own name, and by what outlived a failure."""
        self.send(self._with.route_table, Attach(self._connection, self.myAddress, local=True))
        for name in self._subscriptions.names():
            self._invitations.take_name(name)
        for subscription in self._lasting.standing(self._with):
            self._tell_node(subscription)
        self._arm()

    def failed(self, message: Any, sender: ActorAddress, error: BaseException) -> Directive:
        """Our sessions end with the reason; the next instance begins with our names and routes alone."""
        cause = f"the application's actor failed: {type(error).__name__} on {type(message).__name__}"
        for session_id in self._sessions.addresses:
            if not self._sessions.say_over(session_id, cause) and self._invitations.is_announced(session_id):
                self._lasting.unadopted.add(session_id)
            for undo in self._subscriptions.undo_session(session_id):
                self._tell_node(undo)
        handle = getattr(message, "handle", None)
        if handle is not None:
            self._complete(getattr(message, "inbox", sender), handle, SessionError(cause))
        if self._closing is None:
            return Directive.RESTART
        self._complete(self._closing[1], self._closing[0], None)
        self._leave(cause)
        return Directive.STOP

    def _leave(self, cause: str) -> None:
        self._lasting.close(self._with.telemetry)
        self._routes.leave()
        self.send(self._with.route_table, Detach(self._connection, cause))

    @handles(PoisonMessage)
    def _on_poison(self, message: PoisonMessage, _: ActorAddress) -> None:
        """The route table could not take a subscription: whoever waits for it is answered."""
        refused = message.poisonMessage
        if isinstance(refused, Subscribing):
            ack = SubscriptionAck(refused.subscription.subscription_id, False, "the route table failed on it")
            self._acknowledged((ack,))

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        # Our Sessions end with us; their exits are no news.
        self._sessions.all_over("the application's actor has ended")
        self._leave("application closed")

    # Inbound

    @handles(Forward)
    def _on_forward(self, message: Forward, _: ActorAddress) -> None:
        connection, let_in = message.sender, NO_TOKEN
        decode, admits = self._with.codec.decode, self._admission.admits
        sessions, turn = self._sessions.addresses, self._begin_turn()
        batches: dict[int, list[SessionMessage]] = {}
        for frame in message.frames:
            if type(frame) is Frame:
                try:
                    received = decode(frame, verified=False)
                except TokenFirst as first:
                    unread = first.unread._replace(connection=connection)
                    known = self._read(unread) if admits(unread, turn) else None
                    if known is None:
                        continue
                    received = known
                except ProtocolError as error:
                    self._undecodable(error)
                    continue
                if received.connection != connection:
                    received = received._replace(connection=connection)
            else:
                assert isinstance(frame, SessionMessage)
                received = frame
                self._routes.met(connection)
            # The messages of a batch mostly come with one token.
            if received.identity is not let_in and not admits(received, turn):
                continue
            let_in = self._admission.let_in
            session_id = received.session_id
            if session_id in sessions and received.kind is not _DISCOVERY:
                if (batch := batches.get(session_id)) is None:
                    batches[session_id] = [received]
                else:
                    batch.append(received)
            else:
                self._unclaimed(received, turn)
        for session_id, batch in batches.items():
            if (address := sessions.get(session_id)) is not None:
                self.share(address, Received(tuple(batch)))
        if turn.effects:
            self._perform(turn)

    def _read(self, unread: Unread) -> SessionMessage | None:
        """A message whose sender is known by now; None for what is not to be read."""
        try:
            message = self._with.codec.decode(unread.frame)
        except ProtocolError as error:
            self._undecodable(error)
            return None
        return message._replace(connection=unread.connection)

    def _undecodable(self, error: ProtocolError) -> None:
        self._counts.undecodable += 1
        self._log.debug("frame dropped", cause=str(error))

    def _begin_turn(self) -> AppTurn:
        return self._turn.at(self._with.clock(), self._with.wall())

    def _perform(self, turn: AppTurn) -> None:
        """Do what the cores said. It may come to further turns: the effects are taken first."""
        effects = turn.effects.copy()
        turn.effects.clear()
        for effect in effects:
            match effect:
                case SessionMessage():
                    self._outbound.put_out((effect,), None)
                case Invitation():
                    self._invited(effect)
                case Refused():
                    self._counts.refused += 1
                    self._refusals.refused(effect.reason, turn.now)
                case Dropped():
                    self._refusals.dropped(effect, turn.now)
                case Hinted():
                    self._refusals.give(effect, turn.now)
                case VerificationNeeded():
                    self._fetch(effect.message)
                case Released():
                    released = effect.message
                    message = self._read(released) if isinstance(released, Unread) else released
                    if message is not None:
                        self._dispatch(message, turn)
                case Subscribed():
                    self._subscribed(effect.awaited, effect.error)
                case Alive():
                    self._sessions.tell(effect.session_ids, PeerAlive(effect.peer))

    def _fetch(self, message: Arrival) -> None:
        """Verify a token by awaiting its keys."""

        def then(resolved: Resolved) -> None:
            turn = self._begin_turn()
            self._admission.handle(TokenVerified(message.identity, resolved.error), turn)
            self._perform(turn)

        self._resolving.verify(message.identity, then)

    def _dispatch(self, message: SessionMessage, turn: AppTurn) -> None:
        address = self._sessions.addresses.get(message.session_id)
        if address is not None and message.kind is not _DISCOVERY:
            self.send(address, Received((message,)))
        else:
            self._unclaimed(message, turn)

    def _unclaimed(self, message: SessionMessage, turn: AppTurn) -> None:
        address = self._sessions.addresses.get(message.session_id)
        content = message.content
        if address is not None and isinstance(content, DiscoveryRequest) and content.destination is not None:
            # A controller's order to invite, not a question about ourselves (`session.md` 6.6).
            self.send(address, Received((message,)))
            return
        if message.kind is _DISCOVERY_REPLY:
            self._questions.answered(message, turn)
        else:
            self._invitations.handle(message, turn)
        # At once: what follows in the same batch may be for the session that this one begins.
        self._perform(turn)

    # Outbound

    @handles(Outbound)
    def _on_outbound(self, message: Outbound, sender: ActorAddress) -> None:
        self._outbound.put_out(message.messages, sender)

    @handles(*WAY_OUT)
    def _on_sent(self, message: WayOutNews, _: ActorAddress) -> None:
        self._outbound.handle(message)

    @handles(Congested, Drained)
    def _on_credit(self, message: Congested | Drained, _: ActorAddress) -> None:
        self._outbound.congestion(message.connection, congested=isinstance(message, Congested))
        self._arm()

    # Routes and subscriptions

    @handles(ConnectionGone)
    def _on_connection_gone(self, message: ConnectionGone, _: ActorAddress) -> None:
        self._sessions.tell(self._routes.stranded(message.connection), Stranded(message.error))

    def _tell_node(self, subscription: Subscription) -> None:
        self.send(self._with.route_table, Subscribing(self._connection, subscription))

    def _subscribe(self, subscription: Subscription, handle: int | None, asker: Any) -> None:
        self._subscriptions.await_answer(subscription, handle, asker, self._begin_turn())
        self._tell_node(subscription)
        self._arm()

    @handles(Transmit)
    def _on_transmit(self, message: Transmit, _: ActorAddress) -> None:
        self._refusals.take(message.records, self._with.clock())
        self._acknowledged(record for record in message.records if isinstance(record, SubscriptionAck))

    def _acknowledged(self, acks: Iterable[SubscriptionAck]) -> None:
        turn = self._begin_turn()
        for ack in acks:
            self._subscriptions.handle(ack, turn)
        self._perform(turn)

    def _subscribed(self, awaited: Awaited, error: SlimError | None) -> None:
        if awaited.handle is not None:
            self._complete(awaited.asker, awaited.handle, error)
        else:
            self.send(awaited.asker, Bound(awaited.name, error))

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = None
        turn = self._begin_turn()
        self._subscriptions.expire(turn)
        self._perform(turn)
        self._outbound.check_congestion()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            return
        deadline, now = self._subscriptions.next_deadline(), self._with.clock()
        if self._outbound.congested:
            deadline = min(deadline or math.inf, now + CONGESTION_CHECK)
        if deadline is not None:
            self._timer = self.after(max(0.0, deadline - now))

    @handles(SubscribeName)
    def _on_subscribe(self, message: SubscribeName, sender: ActorAddress) -> None:
        name = message.name.with_id(self._local.id)
        try:
            token = self._with.provider.get_token(self._with.wall())
        except (AuthError, ConfigError) as error:
            self._complete(sender, message.handle, error)
            return
        self._invitations.take_name(name)
        self._subscribe(self._subscriptions.name(name, message.connection, token), message.handle, sender)
        if message.connection is not None:
            self._move_to(message.connection)

    def _move_to(self, connection: int) -> None:
        """We are to be reached here: sessions that lost their connections go on by this one."""
        for session_id, gone in self._routes.move(connection).items():
            if (session := self._sessions.addresses.get(session_id)) is None:
                continue
            self.send(session, Moved(gone, connection))
            for channel in self._subscriptions.move_channels(session_id, gone, connection):
                self._subscribe(channel, None, session)

    @handles(SetRoute)
    def _on_set_route(self, message: SetRoute, sender: ActorAddress) -> None:
        self._subscribe(self._subscriptions.route(message.name, message.connection), message.handle, sender)

    @handles(UnsubscribeName, RemoveRoute)
    def _on_undo(self, message: UnsubscribeName | RemoveRoute, sender: ActorAddress) -> None:
        try:
            undo = self._subscriptions.undo(message)
        except SessionError as error:
            self._complete(sender, message.handle, error)
            return
        self._subscribe(undo, message.handle, sender)
        if isinstance(message, UnsubscribeName):
            self._invitations.give_up_name(undo.destination)

    @handles(Bind, Unbind)
    def _on_bind(self, message: Bind | Unbind, sender: ActorAddress) -> None:
        session_id, name = self._sessions.id_of(sender), message.name
        if session_id is None:
            return
        if isinstance(message, Unbind):
            self._routes.unbind(name, session_id)
            for undo in self._subscriptions.undo_channel(session_id, name):
                self._tell_node(undo)
            return
        self._routes.bind(name, session_id, message.connection, also=message.subscribe)
        if message.subscribe:
            self._subscribe(self._subscriptions.channel(session_id, name, message.connection), None, sender)

    # Sessions

    @handles(OpenSession)
    def _on_open(self, message: OpenSession, _: ActorAddress) -> None:
        if self._closing is not None:
            self._complete(message.inbox, message.handle, SessionClosed("the application is closing"))
            return
        resumed = self._cores.session_id(message)
        session_id = resumed or self._invitations.draw_session_id(self._sessions.addresses.__contains__)
        try:
            core = self._cores.opened(session_id, message)
        except SlimError as error:
            self._complete(message.inbox, message.handle, error)
            return
        if message.config.mls:
            self._invitations.encrypts(session_id)
        address = self._spawn(core, message.inbox)
        opened = (message.handle, session_id, address, self._local, core.destination, message.config, WINDOW)
        self.send(message.inbox, SessionOpened(*opened))
        if self._with.groups is not None and message.config.session_type is SessionKind.MULTICAST:
            self.send(self._with.groups, GroupBegun(address, self._local, core.destination))
        self.send(address, BeginSession())

    def _invited(self, invitation: Invitation) -> None:
        if self._closing is not None:
            return
        message = invitation.message
        if len(self._sessions) >= self._settings.sessions:
            self._counts.refused += 1
            cause = f"{len(self._sessions)} sessions are open"
            self._refusals.crowded(message.source, cause, self._with.clock())
            return
        if invitation.instead_of is not None:
            self._give_up(invitation.instead_of)
        self._invitations.begun(message)
        if invitation.config.mls:
            self._invitations.encrypts(message.session_id)
        address = self._spawn(self._cores.invited(invitation), None)
        self.send(address, BeginSession() if invitation.leads else Received((message,)))

    @handles(AskPeer)
    def _on_ask_peer(self, message: AskPeer, sender: ActorAddress) -> None:
        if (session_id := self._sessions.id_of(sender)) is not None:
            turn = self._begin_turn()
            self._questions.ask(message.peer, session_id, turn)
            self._perform(turn)

    def _give_up(self, session_id: int) -> None:
        """End a session that was not announced, without a word: its initiator went no further with it."""
        address = self._sessions.addresses[session_id]
        self._invitations.over(session_id)
        self._forget(session_id, address)
        self.send(address, ActorExitRequest())

    def _spawn(self, core: SessionCore, inbox: Any) -> ActorAddress:
        make, way = self._cores.shell(core), self._outbound.way()
        address = self.spawn(
            make, core, self.myAddress, self._with.clock, way, inbox, self._resolving.threads
        )
        self._sessions.begun(core.session_id, address, inbox)
        if self._outbound.congested:
            self.send(address, Congestion(True))
        return address

    @handles(Listen)
    def _on_listen(self, message: Listen, _: ActorAddress) -> None:
        self._sessions.listen(message.inbox)

    @handles(Require)
    def _on_require(self, message: Require, _: ActorAddress) -> None:
        self._lasting.promises.mls_required = message.mls

    @handles(Adopted)
    def _on_adopted(self, message: Adopted, _: ActorAddress) -> None:
        self._invitations.adopted(message.session_id)
        self._sessions.adopt(message)

    @handles(Announce)
    def _on_announce(self, message: Announce, sender: ActorAddress) -> None:
        if self._sessions.addresses.get(message.opened.session_id) != sender:
            # It had made way for another one.
            return
        self._invitations.announced(message.opened.session_id)
        self._sessions.announce(message.opened)

    @handles(SessionGone)
    def _on_gone(self, message: SessionGone, sender: ActorAddress) -> None:
        self._invitations.handle(message, self._begin_turn())
        self._forget(message.session_id, sender)

    @handles(ChildActorExited)
    def _on_child_exited(self, message: ChildActorExited, _: ActorAddress) -> None:
        session_id = self._sessions.id_of(message.childAddress)
        if session_id is not None and self._sessions.addresses.get(session_id) == message.childAddress:
            self._log.warning("session over", session=session_id, cause="its actor failed")
            self._invitations.adopted(session_id)
            self._sessions.say_over(session_id, "its actor failed")
            self._forget(session_id, message.childAddress)
        self._sessions.exited(message.childAddress)

    def _forget(self, session_id: int, address: ActorAddress) -> None:
        if not self._sessions.forget(session_id, address):
            return
        for undo in self._subscriptions.undo_session(session_id):
            self._tell_node(undo)
        self._routes.forget(session_id)
        self._invitations.over(session_id)
        self._try_to_end()

    @handles(CredentialWanted)
    def _on_credential_wanted(self, message: CredentialWanted, sender: ActorAddress) -> None:
        def then(resolved: Resolved) -> None:
            self.send(sender, CredentialGranted(resolved.token, resolved.error))

        self._resolving.get_token(message.claims, then)

    @handles(VerificationWanted)
    def _on_verification_wanted(self, message: VerificationWanted, sender: ActorAddress) -> None:
        self._resolving.look_at(message.tokens, lambda _: self.send(sender, Verification()))

    @handles(Resolved)
    def _on_resolved(self, message: Resolved, _: ActorAddress) -> None:
        self._resolving.resolved(message)

    # Ending, and looking

    @handles(CloseApp)
    def _on_close(self, message: CloseApp, sender: ActorAddress) -> None:
        if self._closing is not None:
            self._complete(sender, message.handle, None)
            return
        self._closing = (message.handle, sender)
        for address in self._sessions.addresses.values():
            self.send(address, CloseSession(None, message.grace))
        self._try_to_end()

    def _try_to_end(self) -> None:
        if self._closing is not None and not self._sessions:
            self._complete(self._closing[1], self._closing[0], None)
            self.send(self.myAddress, ActorExitRequest())

    def _complete(self, inbox: Any, handle: int, error: SlimError | None) -> None:
        failed = () if error is None else (Failure(handle, error),)
        self.send(inbox, Completed(None, () if failed else (handle,), failed))

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        self.send(sender, StatusReport(self.figures(), message.tag))

    def figures(self) -> dict[str, int]:
        """What was counted, and what there is now: of that nothing may be left when no session is."""
        return self._lasting.figures() | {
            "sessions": len(self._sessions),
            "announced": self._invitations.unadopted,
            "awaited": self._subscriptions.awaited,
            "bound": self._routes.bound,
            "congested": len(self._outbound.congested),
            "parked": self._admission.parked,
        }
