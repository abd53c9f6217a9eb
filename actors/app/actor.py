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
from collections.abc import Callable
from typing import Any

from loguru import logger
from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, WakeupMessage

from actors.app.admission import KNOWN_TOKENS, Admission, TokenVerified
from actors.app.collaborators import Collaborators
from actors.app.effects import (
    Awaited,
    Dropped,
    Invitation,
    Released,
    Subscribed,
    VerificationNeeded,
)
from actors.app.invitations import InvitationCounts, Invitations
from actors.app.outbound import AppOutbound
from actors.app.resolving import Resolving, look_at
from actors.app.routes import Routes
from actors.app.subscriptions import Subscriptions
from actors.app.turn import AppTurn
from actors.errors import ProtocolError, SessionClosed, SessionError
from actors.memo import Memo
from actors.messages.routing import (
    Attach,
    Attached,
    Congested,
    ConnectionGone,
    Detach,
    Drained,
    Forward,
    Status,
    StatusReport,
    Subscribing,
    TooLarge,
    Transmit,
)
from actors.messages.session import (
    Adopted,
    Announce,
    AppSettings,
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
    Listen,
    OpenSession,
    Outbound,
    Received,
    RemoveRoute,
    Require,
    Resolved,
    SessionAnnounced,
    SessionEnded,
    SessionGone,
    SessionOpened,
    SetRoute,
    Stranded,
    SubscribeName,
    TokenRenewed,
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
from actors.session.actor import SessionActor
from actors.session.conversation import Setting
from actors.session.core import SessionCore, controlled_moderator, moderator, participant
from actors.session.crypto import Crypto
from actors.session.data_path import WINDOW
from actors.session.effects import Refused
from actors.session.peers import PeerGeneration, generation
from actors.session.receiver import SessionCounts
from actors.system import Cancellable, LoopActor, handles
from actors.telemetry import Counts, counter
from identity.errors import AuthError, ConfigError, InvalidToken, SlimError
from identity.protocols import KeysMissing

CONGESTION_CHECK = 1.0
"""Seconds after which congested connections are looked for: one that is gone does not say that it drained."""

_DISCOVERY = MessageType.DISCOVERY_REQUEST


class AppCounts(Counts, part="app"):
    undecodable: int = counter("Frames for applications that could not be read.")
    refused: int = counter("Invitations and other requests that an application refused.")


class AppActor(LoopActor):
    """One application: `local` is its full name, `connection` its index in the node."""

    def __init__(
        self, local: Name, connection: int, collaborators: Collaborators, settings: AppSettings | None = None
    ) -> None:
        self._local = local
        self._connection = connection
        self._with = collaborators
        self._settings = settings or AppSettings()
        self._invitations = Invitations(
            local,
            collaborators.draw,
            mls=collaborators.crypto is not None,
            backlog=self._settings.backlog,
            counts=collaborators.telemetry.shared(InvitationCounts),
        )
        self._routes = Routes(connection, collaborators.routes)
        self._sessions: dict[int, ActorAddress] = {}
        self._session_ids: dict[ActorAddress, int] = {}
        self._listener: Any = None
        self._unheard: list[SessionAnnounced] = []
        self._announced: set[int] = set()
        """Sessions that the application knows of and has not adopted yet."""
        self._inboxes: dict[int, Any] = {}
        self._turn = AppTurn()
        self._counts = collaborators.telemetry.register(AppCounts())
        self._session_counts = collaborators.telemetry.shared(SessionCounts)
        self._admission = Admission(collaborators.verifier)
        collaborators.telemetry.register(self._admission.counts)
        self._subscriptions = Subscriptions(
            local, collaborators.draw(2**64), self._settings.subscription_timeout
        )
        self._resolving = Resolving(
            collaborators.spawn_task, lambda resolved: self.send(self.myAddress, resolved)
        )
        self._generations: Memo[str, PeerGeneration] = Memo(KNOWN_TOKENS)
        """What the tokens of peers told, which stays as it is."""
        self._closing: tuple[int, Any] | None = None
        self._timer: Cancellable | None = None
        self._log = logger.bind(name=str(local))
        self._outbound = AppOutbound(
            connection, collaborators, self._routes, self._sessions, self.send, lambda: self.myAddress
        )
        collaborators.telemetry.register(self._outbound.counts)
        self._begun = False

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> Any:
        if not self._begun and not isinstance(msg, ActorExitRequest):
            self._begun = True
            self._begin()
        return super().receiveMessage(msg, sender)

    def _begin(self) -> None:
        """Become a connection of the node, and reachable by our own name within it."""
        self.send(self._with.route_table, Attach(self._connection, self.myAddress, local=True))
        self._tell_node(self._subscriptions.own())

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        # Our Sessions end with us; their exits are no news.
        self._sessions.clear()
        for counts in (self._counts, self._outbound.counts, self._admission.counts):
            self._with.telemetry.close(counts)
        self.send(self._with.route_table, Detach(self._connection, "application closed"))

    # Inbound

    @handles(Forward)
    def _on_forward(self, message: Forward, _: ActorAddress) -> None:
        connection = message.sender
        decode, admits = self._with.codec.decode, self._admission.admits
        sessions, turn = self._sessions, self._begin_turn()
        batches: dict[int, list[SessionMessage]] = {}
        for frame in message.frames:
            if type(frame) is Frame:
                try:
                    received = decode(frame)
                except ProtocolError as error:
                    self._counts.undecodable += 1
                    self._log.debug("dropped a frame: {}", error)
                    continue
                if received.connection != connection:
                    received = received._replace(connection=connection)
            else:
                assert isinstance(frame, SessionMessage)
                received = frame
                self._routes.met(connection)
            if admits(received, turn):
                session_id = received.session_id
                if session_id in sessions and received.kind is not _DISCOVERY:
                    batch = batches.get(session_id)
                    if batch is None:
                        batches[session_id] = [received]
                    else:
                        batch.append(received)
                else:
                    self._unclaimed(received, turn)
        for session_id, batch in batches.items():
            address = sessions.get(session_id)
            if address is not None:
                self.share(address, Received(tuple(batch)))
        if turn.effects:
            self._perform(turn)

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
                    self._log.warning("refused {}", effect.reason)
                case Dropped():
                    self._log.log("WARNING" if effect.alarming else "INFO", "dropped {}", effect.reason)
                case VerificationNeeded():
                    self._fetch(effect.message)
                case Released():
                    self._dispatch(effect.message, turn)
                case Subscribed():
                    self._subscribed(effect.awaited, effect.error)

    def _fetch(self, message: SessionMessage) -> None:
        """Verify a token by awaiting its keys."""

        def then(resolved: Resolved) -> None:
            turn = self._begin_turn()
            self._admission.handle(TokenVerified(message.identity, resolved.error), turn)
            self._perform(turn)

        self._resolving.start(self._with.verifier.verify(message.identity, self._with.wall()), then)

    def _dispatch(self, message: SessionMessage, turn: AppTurn) -> None:
        address = self._sessions.get(message.session_id)
        if address is not None and message.kind is not _DISCOVERY:
            self.send(address, Received((message,)))
        else:
            self._unclaimed(message, turn)

    def _unclaimed(self, message: SessionMessage, turn: AppTurn) -> None:
        address = self._sessions.get(message.session_id)
        content = message.content
        if address is not None and isinstance(content, DiscoveryRequest) and content.destination is not None:
            # A controller's order to invite, not a question about ourselves (`session.md` 6.6).
            self.send(address, Received((message,)))
            return
        self._invitations.handle(message, turn)
        # At once: what follows in the same batch may be for the session that this one begins.
        self._perform(turn)

    # Outbound

    @handles(Outbound)
    def _on_outbound(self, message: Outbound, sender: ActorAddress) -> None:
        self._outbound.put_out(message.messages, sender)

    @handles(Attached)
    def _on_attached(self, _: Attached, __: ActorAddress) -> None:
        self._outbound.attached()

    @handles(TokenRenewed)
    def _on_token_renewed(self, _: TokenRenewed, __: ActorAddress) -> None:
        self._outbound.look_for_rotation()

    @handles(TooLarge)
    def _on_too_large(self, message: TooLarge, _: ActorAddress) -> None:
        self._outbound.too_large(message)

    @handles(Congested)
    def _on_congested(self, message: Congested, _: ActorAddress) -> None:
        self._outbound.congestion(message.connection, congested=True)
        self._arm()

    @handles(Drained)
    def _on_drained(self, message: Drained, _: ActorAddress) -> None:
        self._outbound.congestion(message.connection, congested=False)

    # Routes and subscriptions

    @handles(ConnectionGone)
    def _on_connection_gone(self, message: ConnectionGone, _: ActorAddress) -> None:
        for session_id in self._routes.stranded(message.connection):
            address = self._sessions.get(session_id)
            if address is not None:
                self.send(address, Stranded(message.error))

    def _tell_node(self, subscription: Subscription) -> None:
        self.send(self._with.route_table, Subscribing(self._connection, subscription))

    def _subscribe(self, subscription: Subscription, handle: int | None, asker: Any) -> None:
        self._subscriptions.await_answer(subscription, handle, asker, self._begin_turn())
        self._tell_node(subscription)
        self._arm()

    @handles(Transmit)
    def _on_transmit(self, message: Transmit, _: ActorAddress) -> None:
        turn = self._begin_turn()
        for record in message.records:
            if isinstance(record, SubscriptionAck):
                self._subscriptions.handle(record, turn)
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

    @handles(UnsubscribeName)
    def _on_unsubscribe(self, message: UnsubscribeName, sender: ActorAddress) -> None:
        name = message.name.with_id(self._local.id)
        try:
            undo = self._subscriptions.undo_name(name, message.connection)
        except SessionError as error:
            self._complete(sender, message.handle, error)
            return
        self._invitations.give_up_name(name)
        self._subscribe(undo, message.handle, sender)

    @handles(SetRoute)
    def _on_set_route(self, message: SetRoute, sender: ActorAddress) -> None:
        route = self._subscriptions.route(message.name, message.connection)
        self._subscribe(route, message.handle, sender)

    @handles(RemoveRoute)
    def _on_remove_route(self, message: RemoveRoute, sender: ActorAddress) -> None:
        try:
            undo = self._subscriptions.undo_route(message.name, message.connection)
        except SessionError as error:
            self._complete(sender, message.handle, error)
            return
        self._subscribe(undo, message.handle, sender)

    @handles(Bind)
    def _on_bind(self, message: Bind, sender: ActorAddress) -> None:
        session_id = self._session_ids.get(sender)
        if session_id is None:
            return
        self._routes.bind(message.name, session_id, message.connection)
        if message.subscribe:
            channel = self._subscriptions.channel(session_id, message.name, message.connection)
            self._subscribe(channel, None, sender)

    @handles(Unbind)
    def _on_unbind(self, message: Unbind, sender: ActorAddress) -> None:
        session_id = self._session_ids.get(sender)
        if session_id is None:
            return
        self._routes.unbind(message.name, session_id)
        undo = self._subscriptions.undo_channel(session_id, message.name)
        if undo is not None:
            self._tell_node(undo)

    # Sessions

    @handles(OpenSession)
    def _on_open(self, message: OpenSession, _: ActorAddress) -> None:
        config = message.config
        if self._closing is not None:
            self._complete(message.inbox, message.handle, SessionClosed("the application is closing"))
            return
        crypto: Crypto | None = None
        if config.mls:
            if self._with.crypto is None:
                error = ConfigError(
                    "mls_enabled: this application is not set up for MLS", field="mls_enabled"
                )
                self._complete(message.inbox, message.handle, error)
                return
            crypto = self._with.crypto()
        destination = message.destination
        if config.session_type is SessionKind.MULTICAST:
            destination = destination.without_id()
        session_id = self._invitations.draw_session_id(self._sessions.__contains__)
        core = moderator(
            self._setting(self._local, session_id, config, crypto),
            destination,
            message.handle,
            self._with.clock(),
        )
        address = self._spawn(core, message.inbox)
        self.send(
            message.inbox,
            SessionOpened(message.handle, session_id, address, self._local, destination, config, WINDOW),
        )
        self.send(address, BeginSession())

    def _invited(self, invitation: Invitation) -> None:
        if self._closing is not None:
            return
        message, config, destination, leads = invitation
        if len(self._sessions) >= self._settings.sessions:
            self._counts.refused += 1
            self._log.warning(
                "refused an invitation of {}: {} sessions are open", message.source, len(self._sessions)
            )
            return
        crypto = self._with.crypto() if config.mls and self._with.crypto is not None else None
        # Under the name that was invited, which need not be the first one of this application.
        local = message.destination.with_id(self._local.id)
        setting = self._setting(local, message.session_id, config, crypto)
        self._invitations.invited.add(message.session_id)
        now = self._with.clock()
        if leads:
            core = controlled_moderator(setting, destination, message, now)
            self.send(self._spawn(core, None), BeginSession())
        else:
            core = participant(setting, destination, message, now)
            self.send(self._spawn(core, None), Received((message,)))

    def _setting(self, local: Name, session_id: int, config: Any, crypto: Crypto | None) -> Setting:
        return Setting(
            local,
            session_id,
            config,
            self._settings,
            self._with.draw,
            self._peer_generation,
            crypto,
            self._session_counts,
        )

    def _peer_generation(self, token: str) -> PeerGeneration:
        known = self._generations.get(token)
        if known is None:
            try:
                known = generation(self._with.verifier.try_get_claims(token, self._with.wall()))
            except (InvalidToken, KeysMissing):
                return PeerGeneration.UNKNOWN
            self._generations.remember(token, known)
        return known

    def _spawn(self, core: SessionCore, inbox: Any) -> ActorAddress:
        in_thread = self._in_thread if self._with.threads is not None else None
        address = self.spawn(
            SessionActor, core, self.myAddress, self._with.clock, self._outbound.way(), inbox, in_thread
        )
        self._sessions[core.session_id] = address
        if inbox is not None:
            self._inboxes[core.session_id] = inbox
        self._session_ids[address] = core.session_id
        if self._outbound.congested:
            self.send(address, Congestion(True))
        return address

    @handles(Listen)
    def _on_listen(self, message: Listen, _: ActorAddress) -> None:
        self._listener = message.inbox
        for announced in self._unheard:
            self.send(message.inbox, announced)
        self._unheard.clear()

    @handles(Require)
    def _on_require(self, message: Require, _: ActorAddress) -> None:
        self._invitations.mls_required = message.mls

    @handles(Adopted)
    def _on_adopted(self, message: Adopted, _: ActorAddress) -> None:
        self._invitations.invited.discard(message.session_id)
        self._announced.discard(message.session_id)
        if message.session_id in self._sessions:
            self._inboxes[message.session_id] = message.inbox

    @handles(Announce)
    def _on_announce(self, message: Announce, _: ActorAddress) -> None:
        self._announced.add(message.opened.session_id)
        if self._listener is not None:
            self.send(self._listener, message.opened)
        else:
            self._unheard.append(message.opened)

    @handles(SessionGone)
    def _on_gone(self, message: SessionGone, sender: ActorAddress) -> None:
        self._invitations.handle(message, self._begin_turn())
        self._forget(message.session_id, sender)

    @handles(ChildActorExited)
    def _on_child_exited(self, message: ChildActorExited, _: ActorAddress) -> None:
        session_id = self._session_ids.get(message.childAddress)
        if session_id is not None and self._sessions.get(session_id) == message.childAddress:
            self._log.warning("session {} ended without a word", session_id)
            self._invitations.invited.discard(session_id)
            inbox = self._inboxes.get(session_id)
            if inbox is not None:
                self.send(
                    inbox, SessionEnded(session_id, SessionClosed("its actor failed", session_id=session_id))
                )
            self._forget(session_id, message.childAddress)
        self._session_ids.pop(message.childAddress, None)

    def _forget(self, session_id: int, address: ActorAddress) -> None:
        if self._sessions.get(session_id) != address:
            return
        del self._sessions[session_id]
        self._inboxes.pop(session_id, None)
        for undo in self._subscriptions.undo_session(session_id):
            self._tell_node(undo)
        self._routes.forget(session_id)
        if session_id not in self._announced:
            # What was never announced is nobody's to adopt.
            self._invitations.invited.discard(session_id)
        self._try_to_end()

    @handles(CredentialWanted)
    def _on_credential_wanted(self, message: CredentialWanted, sender: ActorAddress) -> None:
        token = self._with.provider.get_token_with_claims(message.claims, self._with.wall())
        self._resolving.start(
            token, lambda resolved: self.send(sender, CredentialGranted(resolved.token, resolved.error))
        )

    @handles(VerificationWanted)
    def _on_verification_wanted(self, message: VerificationWanted, sender: ActorAddress) -> None:
        coroutine = look_at(self._with.verifier, message.tokens)
        self._resolving.start(coroutine, lambda _: self.send(sender, Verification()))

    def _in_thread(self, function: Callable[[], None], then: Callable[[], None]) -> None:
        assert self._with.threads is not None
        self._with.spawn_task(self._with.threads(function), lambda *_: then())

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
        for address in self._sessions.values():
            self.send(address, CloseSession(None, message.grace))
        self._try_to_end()

    def _try_to_end(self) -> None:
        if self._closing is not None and not self._sessions:
            handle, asker = self._closing
            self._complete(asker, handle, None)
            self.send(self.myAddress, ActorExitRequest())

    def _complete(self, inbox: Any, handle: int, error: SlimError | None) -> None:
        if error is None:
            self.send(inbox, Completed(None, (handle,)))
        else:
            self.send(inbox, Completed(None, (), (Failure(handle, error),)))

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        admission = self._admission
        figures = {
            **self._counts.figures(),
            **self._outbound.counts.figures(),
            **admission.counts.figures(),
            "sessions": len(self._sessions),
            "parked": admission.parked,
        }
        self.send(sender, StatusReport(figures, message.tag))
