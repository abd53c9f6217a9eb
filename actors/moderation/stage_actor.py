"""The actor around a Stage: it opens the group, hears what happens in it, and has the script made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, PoisonMessage, WakeupMessage

from actors.messages.moderation import Decided, Knocked, LeaveStage, PlayerGone, PlayerThere
from actors.messages.session import (
    CloseSession,
    Completed,
    Delivered,
    EpochChanged,
    MemberJoined,
    MemberLeft,
    Membership,
    OpenSession,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    Watch,
)
from actors.messages.wire import SessionKind
from actors.moderation.script import Script
from actors.moderation.stage import LogLine, Notes, Party, Stage, StageTurn, ToParty
from actors.names import Name
from actors.record import record
from actors.system import Cancellable, LoopActor, handles
from identity.errors import SlimError
from identity.log import logger

OPENING = 0
"""The handle of opening the session; operations of the script count from 1."""


class ScriptPlayer(Protocol):
    """Has a script made, and made again when it dies: a PlayerThere tells the stage each time."""

    def begin(self, stage: StageActor) -> None:
        """Make it."""

    def tell(self, stage: StageActor, message: Any) -> None:
        """Give it a message; what it answers comes to the stage."""

    def end(self, stage: StageActor) -> None:
        """The stage is about to go. Idempotent."""


class PlayerHere:
    """The script is an actor of this loop."""

    def __init__(self, script: type[Script]) -> None:
        self._script = script
        self._address: ActorAddress | None = None

    def begin(self, stage: StageActor) -> None:
        self._address = stage.spawn(self._script)
        stage.send(stage.myAddress, PlayerThere())

    def tell(self, stage: StageActor, message: Any) -> None:
        assert self._address is not None
        stage.send(self._address, message)

    def end(self, stage: StageActor) -> None:
        """It ends with its parent."""


@record
class StageSetting(NamedTuple):
    """What a stage is made with."""

    app: ActorAddress
    channel: Name
    config: SessionConfig
    notes: Notes
    player: ScriptPlayer
    wall: Callable[[], float]
    """Unix seconds."""
    over: Callable[[SlimError | None], object]
    """Called once the script has dealt with the end, or nobody can any more."""
    connection: int | None = None
    """Which invitations leave by."""
    resumed: bool = False
    """Whether the group of the notes goes on."""
    closed: bool = False
    """Whether the group of the notes was closed, and nothing is left but to say so."""


def group_config(script: type[Script]) -> SessionConfig:
    """What the group of a script is like."""
    return SessionConfig(SessionKind.MULTICAST, script.interval, script.max_retries, script.mls)


class StageActor(LoopActor):
    """One stage."""

    def __init__(self, setting: StageSetting) -> None:
        self._with = setting
        self._stage = Stage(
            setting.notes, setting.channel, connection=setting.connection, resumed=setting.resumed
        )
        self._session: ActorAddress | None = None
        self._timer: Cancellable | None = None
        self._cause: SlimError | None = None
        self._left = False
        self._log = logger.bind(channel=str(setting.channel))

    def started(self) -> None:
        self._with.player.begin(self)
        if self._with.closed:
            self._stage.opened(self._with.channel, 0, self._turn())
            self._event(SessionEnded(OPENING))
        else:
            setting = self._with
            self.send(setting.app, OpenSession(OPENING, self.myAddress, setting.channel, setting.config))

    @handles(SessionOpened)
    def _on_opened(self, message: SessionOpened, _: ActorAddress) -> None:
        self._session = message.address
        turn = self._turn()
        self._stage.opened(message.source, message.credit, turn)
        self._perform(turn)

    @handles(Completed)
    def _on_completed(self, message: Completed, _: ActorAddress) -> None:
        if OPENING in message.done:
            assert self._session is not None
            self.send(self._session, Watch(self.myAddress))
        for failure in message.failed:
            if failure.handle == OPENING:
                self._event(SessionEnded(OPENING, failure.error))
        self._event(message)

    @handles(Membership)
    def _on_membership(self, message: Membership, _: ActorAddress) -> None:
        turn = self._turn()
        self._stage.stands(turn)
        self._stage.handle(message, turn)
        self._perform(turn)

    @handles(MemberJoined, MemberLeft, EpochChanged, Delivered, Knocked)
    def _on_event(self, message: Any, _: ActorAddress) -> None:
        self._event(message)

    @handles(SessionEnded)
    def _on_ended(self, message: SessionEnded, _: ActorAddress) -> None:
        self._cause = message.cause
        self._event(message)

    @handles(PlayerThere)
    def _on_there(self, _: PlayerThere, __: ActorAddress) -> None:
        turn = self._turn()
        self._stage.script_there(turn)
        self._perform(turn)

    @handles(PlayerGone)
    def _on_gone(self, _: PlayerGone, __: ActorAddress) -> None:
        self._log.warning("script died", cause="its process ended; it is made again")
        self._stage.script_gone()

    @handles(Decided)
    def _on_decided(self, message: Decided, _: ActorAddress) -> None:
        turn = self._turn()
        self._stage.decided(message, turn)
        self._perform(turn)

    @handles(PoisonMessage)
    def _on_poison(self, message: PoisonMessage, sender: ActorAddress) -> None:
        """The script could not take an event at all."""
        if sender not in (self._session, self._with.app):
            failed = f"it could not take a {type(message.poisonMessage).__name__}"
            self._on_decided(Decided(failed=failed), sender)

    @handles(CloseSession)
    def _on_close(self, message: CloseSession, _: ActorAddress) -> None:
        """Somebody else than the script ends the group."""
        if self._session is not None:
            self.send(self._session, CloseSession(None, message.grace))
        else:
            self._leave()

    @handles(LeaveStage)
    def _on_leave(self, message: LeaveStage, _: ActorAddress) -> None:
        if self._session is not None:
            self.send(self._session, message)
        self._leave()

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._timer = None
        turn = self._turn()
        self._stage.expire(turn)
        self._perform(turn)

    @handles(ChildActorExited)
    def _on_child_exited(self, _: ChildActorExited, __: ActorAddress) -> None:
        """The script's actor of this loop goes only with us."""

    @handles(ActorExitRequest)
    def _on_exit(self, _: ActorExitRequest, __: ActorAddress) -> None:
        self._leave()

    # Private

    def _turn(self) -> StageTurn:
        return StageTurn(self._with.wall())

    def _event(self, message: Any) -> None:
        turn = self._turn()
        self._stage.handle(message, turn)
        self._perform(turn)

    def _perform(self, turn: StageTurn) -> None:
        for effect in turn.effects:
            match effect:
                case ToParty(Party.SCRIPT, message):
                    self._with.player.tell(self, message)
                case ToParty(Party.APP, message):
                    self.send(self._with.app, message)
                case ToParty(_, message):
                    if self._session is not None:
                        self.send(self._session, message)
                case LogLine(level, text, cause):
                    self._log.log(level, text, cause=cause)
        self._arm()
        if self._stage.over:
            self._leave()

    def _leave(self) -> None:
        if self._left:
            return
        self._left = True
        self._with.player.end(self)
        self._with.over(self._cause)
        self.send(self.myAddress, ActorExitRequest())

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._stage.next_deadline()
        if deadline is not None:
            self._timer = self.after(max(0.0, deadline - self._with.wall()))
