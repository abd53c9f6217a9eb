"""The Session actor: a shell around a session's core, and its one timer.

                  Publish, Taken, Invite ...                     Forward
    application ──────────────────────────────►  Session  ──────────────────────────►  Connection
                ◄──────────────────────────────     │  ▲
                  Delivered, Completed ...          │  │ Received, Bound, PutOut ...
                                     Outbound, Bind ▼  │
                                                     App

A Session of our own has its inbox from the start. An invited one keeps what is for the application until it
is adopted; the core's `inbox` bounds that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage

from actors.alarm import Alarm
from actors.messages.routing import Forward, Status, StatusReport, Transmit
from actors.messages.session import (
    Adopt,
    Adopted,
    Announce,
    AskPeer,
    Bind,
    Completed,
    Computed,
    CredentialWanted,
    Delivered,
    EpochChanged,
    IdentityRotated,
    MemberJoined,
    MemberLeft,
    Moved,
    Outbound,
    Publish,
    PutOut,
    Received,
    SessionAnnounced,
    SessionEnded,
    SessionGone,
    Taken,
    TokenRenewed,
    Unbind,
    Unwatch,
    VerificationWanted,
    Watch,
    WatchEnded,
)
from actors.messages.wire import SessionMessage
from actors.session.core import SessionCore
from actors.session.crypto import Computation, Place
from actors.session.effects import Answer, Compute, Effect, Joined, PeerTold, Refused
from actors.session.failed import FailedSession
from actors.session.outbound import DirectOutbound, WayOut
from actors.session.sender import WINDOW
from actors.session.turn import Turn
from actors.system import Cancellable, Directive, LoopActor, handles
from identity.log import access, logger

if TYPE_CHECKING:
    from identity.log import FloorLog

LINGER = 5.0
"""Seconds for which an ended session still answers (with SessionClosed) what was under way to it."""

SPARE = 8
_spare: list[Turn] = []
"""Turns that no session is in: sessions are many, and have their turns one after the other."""

_TO_APP = (Bind, Unbind, CredentialWanted, VerificationWanted, AskPeer)
_TO_PORT = (Delivered, Completed, SessionEnded)
_TO_WATCHERS = (MemberJoined, MemberLeft, EpochChanged)
_TO_APPLICATION = frozenset((*_TO_PORT, *_TO_WATCHERS))


InThread = Callable[[Callable[[], None], Callable[[], None]], None]
"""Calls the first function in a thread, then the second one in the loop's."""


class SessionActor(LoopActor):
    """One session. `inbox` is where the application listens, None until it adopts the session."""

    def __init__(
        self,
        core: SessionCore,
        app: ActorAddress,
        clock: Callable[[], float],
        way: WayOut,
        inbox: Any = None,
        in_thread: InThread | None = None,
    ) -> None:
        self._core: SessionCore | FailedSession = core
        self._turn: Turn | None = None
        """There while a turn lasts, and while something is left of one that failed."""
        self._app = app
        self._clock = clock
        self._inbox = inbox
        self._in_thread = in_thread
        self._direct = DirectOutbound(way)
        self._own = way.own
        """Our App's connection."""
        self._asked = 0
        """Batches at the App that it has not put out yet."""
        self._kept: list[Delivered | Completed | SessionEnded] = []
        """For the application, which has not adopted the session yet."""
        self._announced = False
        self._watchers: dict[ActorAddress, None] = {}
        self._timer: Cancellable | None = None
        self._timer_at: float | None = None
        self._since = clock()
        self._published = self._delivered = 0
        """Messages, for the access log."""
        self._refused = 0
        self._alarm: Alarm | None = None
        """There once a refusal was worth a warning."""
        self._rotations = 0
        self._lingering = False

    def failed(self, message: Any, _: ActorAddress, error: BaseException) -> Directive:
        """The session is over, and says so to the application, at once or when it is adopted."""
        core = self._core
        if isinstance(core, FailedSession):
            return Directive.STOP
        cause = f"its actor failed: {type(error).__name__} on {type(message).__name__}"
        self._core = over = FailedSession(core.session_id, core.local, core.destination, core.config, cause)
        self._turn = turn = Turn(self._clock())
        over.last_words(turn)
        self._perform(turn.effects)
        self._end_turn(turn)
        return Directive.RESUME

    # Traffic first: it is what a session mostly gets.

    @handles(Received, Publish, Taken)
    def _on_event(self, message: Any, _: ActorAddress) -> None:
        turn = self._next_turn()
        if type(message) is Publish:
            self._published += len(message.items)
        self._core.handle(message, turn)
        if turn.effects:
            self._perform(turn.effects)
        self._end_turn(turn)

    @handles(Moved)
    def _on_moved(self, message: Moved, sender: ActorAddress) -> None:
        self._direct.move(message.gone, message.connection)
        self._on_event(message, sender)

    def unhandled(self, message: Any, sender: ActorAddress) -> None:
        """All other events are the core's too."""
        self._on_event(message, sender)

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = self._timer_at = None
        if self._lingering:
            self.send(self.myAddress, ActorExitRequest())
            return
        turn = self._next_turn()
        self._core.expire(turn)
        self._perform(turn.effects)
        self._end_turn(turn)

    def _next_turn(self) -> Turn:
        turn = self._turn
        if turn is None:
            try:
                turn = _spare.pop()
            except IndexError:
                turn = Turn()
            self._turn = turn
        return turn.at(self._clock())

    def _end_turn(self, turn: Turn) -> None:
        self._arm()
        if not turn.left:
            self._turn = None
            if len(_spare) < SPARE:
                _spare.append(turn)

    @handles(Adopt)
    def _on_adopt(self, message: Adopt, _: ActorAddress) -> None:
        inbox = message.inbox
        if self._inbox is None:
            self.send(self._app, Adopted(self._core.session_id, inbox))
        self._inbox = inbox
        for kept in self._kept:
            self.send(inbox, kept)
        self._kept.clear()
        self._arm()

    @handles(Watch)
    def _on_watch(self, message: Watch, _: ActorAddress) -> None:
        core = self._core
        self._watchers[message.inbox] = None
        self.send(message.inbox, core.membership())

    @handles(Unwatch)
    def _on_unwatch(self, message: Unwatch, _: ActorAddress) -> None:
        self._watchers.pop(message.inbox, None)

    @handles(IdentityRotated)
    def _on_rotated(self, message: IdentityRotated, _: ActorAddress) -> None:
        self._rotations += 1
        for watcher in self._watchers:
            self.send(watcher, message)

    @handles(Status)
    def _on_status(self, message: Status, sender: ActorAddress) -> None:
        core = self._core
        figures = {
            **core.figures(),
            "refused": self._refused,
            "rotations": self._rotations,
            "about": self._about(core),
        }
        self.send(sender, StatusReport(figures, message.tag))

    @staticmethod
    def _about(core: SessionCore | FailedSession) -> list[Any]:
        kind = core.config.session_type.name
        return [str(core.local), core.session_id, kind, str(core.destination), core.epoch]

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        """Nothing to write out: what is under way is the peers' to send again."""
        self._tell_end()

    def _tell_end(self) -> None:
        """Who watches hears that there is nothing more to watch."""
        watchers, self._watchers = self._watchers, {}
        for watcher in watchers:
            self.send(watcher, WatchEnded(self._core.session_id))

    def _perform(self, effects: list[Effect]) -> None:
        """Tell the application, then send, all together; then the rest.

        The application is awake when the acknowledgement is on its way to the socket: an answer that it gives
        at once leaves in the same write.
        """
        sends: list[SessionMessage] = []
        others: list[Effect] = []
        for effect in effects:
            if type(effect) is SessionMessage:
                sends.append(effect)
            elif type(effect) in _TO_APPLICATION:
                self._perform_one(effect)
            elif type(effect) is Bind:
                # A way must be known before the first message that takes it.
                self._send_out(sends)
                self.send(self._app, effect)
                self._direct.bind(effect.name, effect.connection, also=effect.subscribe)
            else:
                others.append(effect)
        self._send_out(sends)
        for effect in others:
            self._perform_one(effect)
        # Nothing of it is kept until the next turn, which may be long in coming.
        effects.clear()

    def _send_out(self, sends: list[SessionMessage]) -> None:
        if not sends:
            return
        direct = self._direct
        # Behind what the App has not put out yet, so that nothing overtakes it.
        batches = direct.batches(sends) if not self._asked else None
        if batches is None:
            self._asked += 1
            self.send(self._app, Outbound(tuple(sends)))
        else:
            own, app = self._own, self._app
            for address, batch in batches:
                self.send(address, Forward(tuple(batch), own, app))
            if direct.renewed:
                direct.renewed = False
                self.send(app, TokenRenewed())
        sends.clear()

    @handles(PutOut)
    def _on_put_out(self, _: PutOut, __: ActorAddress) -> None:
        self._asked -= 1

    def _perform_one(self, effect: Effect) -> None:
        if isinstance(effect, _TO_PORT):
            if type(effect) is Delivered:
                self._delivered += len(effect.items)
            elif type(effect) is SessionEnded:
                self._over(effect)
            if self._inbox is not None:
                self.send(self._inbox, effect)
            else:
                self._kept.append(effect)
        elif isinstance(effect, _TO_WATCHERS):
            for watcher in self._watchers:
                self.send(watcher, effect)
        elif isinstance(effect, _TO_APP):
            if isinstance(effect, Unbind):
                self._direct.unbind(effect.name)
            self.send(self._app, effect)
        elif isinstance(effect, Answer):
            self.send(effect.inbox, effect.completed)
        elif isinstance(effect, Joined):
            self._announce()
        elif isinstance(effect, Refused):
            self._refuse(effect)
        elif isinstance(effect, PeerTold):
            address = self._direct.told(effect.hint, effect.connection, self._clock())
            if address is not None:
                self.send(address, Transmit((effect.hint,)))
        elif isinstance(effect, Compute):
            self._compute(effect.computation)
        elif isinstance(effect, SessionGone):
            self.send(self._app, effect)
            self._tell_end()

    def _refuse(self, refused: Refused) -> None:
        """Note it. Whoever is refused can say it again a thousand times and must not fill the log with it."""
        self._refused += 1
        alarm = False
        if refused.alarming:
            self._alarm = self._alarm or Alarm()
            alarm = self._alarm.is_due(self._clock())
        self._log().log("WARNING" if alarm else "DEBUG", "message refused", cause=refused.reason)

    def _log(self) -> FloorLog:
        # Bound when there is something to say, which for most sessions is little.
        return logger.bind(session=self._core.session_id, name=str(self._core.local))

    def _over(self, ended: SessionEnded) -> None:
        """A line of the access log. Those who made a session have none of its opening: it stands later."""
        if access.shows("INFO"):
            access.info(
                "session closed",
                **self._who(),
                seconds=round(self._clock() - self._since, 3),
                messages_in=self._delivered,
                messages_out=self._published,
                cause="closed here" if ended.cause is None else str(ended.cause),
            )

    def _who(self) -> dict[str, Any]:
        core = self._core
        return {
            "session": core.session_id,
            "name": str(core.local),
            "peer": str(core.destination),
            "kind": core.config.session_type.name.lower(),
        }

    def _compute(self, computation: Computation) -> None:
        """Let it go on: in a thread, or behind what else is in the mailbox."""
        if computation.place is Place.THREAD:
            if self._in_thread is not None:
                self._in_thread(computation.advance, lambda: self.send(self.myAddress, Computed()))
                return
            computation.advance()
        self.send(self.myAddress, Computed())

    def _announce(self) -> None:
        core = self._core
        self._announced = True
        if access.shows("INFO"):
            access.info("session opened", **self._who())
        announced = SessionAnnounced(
            core.session_id, self.myAddress, core.local, core.destination, core.config, WINDOW
        )
        self.send(self._app, Announce(announced))

    def _arm(self) -> None:
        """One timer for the core's deadline; one that goes off too early just asks again."""
        deadline = self._core.next_deadline()
        if deadline is None:
            if self._core.ended:
                self._linger()
        elif self._timer_at is None or self._timer_at > deadline:
            self._wake_at(deadline)

    def _linger(self) -> None:
        """Stay for a while; as long as it takes if the application, about to adopt us, knows nothing yet."""
        if not self._lingering and (self._inbox is not None or not self._announced):
            self._lingering = True
            self._wake_at(self._clock() + LINGER)

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.after(max(0.0, deadline - self._clock()))
