"""The class that people subclass to lead a group: hooks that are called, and verbs to call in them.

    class Welcomer(Script):
        def on_start(self) -> None:
            self.invite("org/demo/ann")

        def on_member_joined(self, member: Name) -> None:
            self.publish(f"welcome, {member.strings[2]}")

A script is told one event at a time and decides; its *stage* (`stage.py`) does what it wants, one change of
the membership at a time, and keeps what it must not forget. A script is an actor and needs nothing but
messages: it runs beside the application's actor, in a process of its own, and in a unit test on Thespian's
`simpleSystemBase`, where the test is the stage.

What a verb asks for happens after its hook, in order, or not at all if the hook fails: then the state is
what it was before, too. So hook, state and wishes are one step, which a restart repeats as a whole or not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from thespian.actors import ActorAddress

from actors.messages.moderation import (
    CodeOver,
    Curtain,
    Decided,
    GroupLost,
    InviteFailed,
    Knocked,
    LeadGroup,
    Schedule,
    TimerDue,
    Wish,
)
from actors.messages.session import (
    CloseSession,
    EpochChanged,
    Invite,
    MemberJoined,
    MemberLeft,
    Outgoing,
    RemoveMember,
    SessionEnded,
)
from actors.messages.vocabulary import Vocabulary
from actors.messages.wire import Payload, SessionMessage
from actors.names import Name
from actors.record import is_record_class
from actors.system import LoopActor, NotOnThisBase, handles
from identity.errors import SlimError
from identity.token_claims import claims_of

NO_HANDLE = 0
"""In a wish: the stage numbers what it does."""


class Script(LoopActor):
    """A moderator's decisions. Override the hooks; call the verbs in them.

    A hook may be a coroutine where the script runs in the application's loop; elsewhere that fails with
    NotOnThisBase, for there a plain method may block. What a hook raises is logged by its type and undoes the
    hook. `state` is what is kept over a restart: None, plain values, names, tuples, lists and dicts of them,
    and the NamedTuples in `records`.
    """

    interval: ClassVar[float] = 1.0
    """Seconds between two attempts, of ours and of the members."""
    max_retries: ClassVar[int] = 25
    """Re-sends. `interval * (max_retries + 1)` is for how long members go on sending to a moderator that is
    gone: with 25 s or more they do not notice one that is restarted within some 20 s."""
    mls: ClassVar[bool] = True
    """End-to-end encryption."""
    records: ClassVar[tuple[type, ...]] = ()
    """NamedTuple classes that `state` is made of."""

    channel: Name
    """The group's name."""
    local: Name
    """Our own full name."""
    members: tuple[Name, ...]
    """Who is in, ourselves left out, as of the event at hand."""
    claims: dict[str, Any]
    """In `on_member_joined`, `on_message` and `on_knock`: the claims of the token that came with it, which
    was verified."""
    state: Any

    def __init__(self) -> None:
        super().__init__()
        self.members = ()
        self.claims = {}
        self.state = None
        self._wishes: list[Wish] = []
        self._packed: bytes | None = None
        self._stage: ActorAddress | None = None
        self._words = Vocabulary({kind.__name__: kind for kind in self.records if is_record_class(kind)})

    # Hooks

    def on_start(self) -> Any:
        """The group is open, for the first time; nobody is in."""

    def on_member_joined(self, member: Name) -> Any:
        """`member`, a full name, is in and hears us."""

    def on_member_left(self, member: Name, reason: str) -> Any:
        """`member` is out: "left", "removed", or why it is thought to be gone."""

    def on_message(self, message: SessionMessage) -> Any:
        """A member said something; `text` reads it. It comes again after a restart if this was not over."""

    def on_epoch(self, epoch: int, fingerprint: str) -> Any:
        """The keys of the group changed. Members of one epoch have the same `fingerprint`."""

    def on_invite_failed(self, name: Name, error: SlimError) -> Any:
        """Somebody who was invited does not come."""

    def on_knock(self, message: SessionMessage) -> Any:
        """Somebody who is not in the group said something to us alone."""

    def on_timer(self, name: str) -> Any:
        """The time of `schedule(seconds, name)` is over."""

    def on_lost(self, members: tuple[Name, ...]) -> Any:
        """We were away for too long: the group is open anew, without `members`. By default all are invited
        again."""
        for member in members:
            self.invite(member)

    def on_close(self, cause: SlimError | None) -> Any:
        """The group is over; `cause` is None when we closed it. Nothing can be wished for any more."""

    # Verbs

    def invite(self, name: Name | str) -> None:
        """Have somebody join, after what was asked for before."""
        self._wishes.append(Invite(NO_HANDLE, _name(name)))

    def remove(self, name: Name | str) -> None:
        """Take a member out. Nothing happens if there is none of that name."""
        self._wishes.append(RemoveMember(NO_HANDLE, _name(name)))

    def publish(
        self, what: bytes | str, *, to: Name | None = None, metadata: dict[str, str] | None = None
    ) -> None:
        """Say something to all, or to the member `to` alone."""
        blob = what.encode() if isinstance(what, str) else bytes(what)
        self._wishes.append(Outgoing(blob, metadata=metadata, to=to))

    def close(self, grace: float = 10.0) -> None:
        """End the group after what was asked for before; `grace` seconds are for acknowledgements."""
        self._wishes.append(CloseSession(None, grace))

    def schedule(self, seconds: float, name: str = "") -> None:
        """Call `on_timer(name)` after `seconds`; it goes on over a restart. One timer for each name."""
        self._wishes.append(Schedule(name, seconds))

    # Between it and its stage

    @handles(LeadGroup)
    def _on_lead(self, message: LeadGroup, sender: ActorAddress) -> None:
        self._stage = sender
        self.channel, self.local, self.members = message.channel, message.local, message.members
        self._packed = message.state
        self.state = self._unpacked()

    @handles(Curtain)
    def _on_curtain(self, _: Curtain, __: ActorAddress) -> None:
        self._run(self.on_start)

    @handles(MemberJoined)
    def _on_joined(self, message: MemberJoined, _: ActorAddress) -> None:
        self._others(message.members)
        self.claims = message.claims or {}
        self._run(self.on_member_joined, message.member)

    @handles(MemberLeft)
    def _on_left(self, message: MemberLeft, _: ActorAddress) -> None:
        self._others(message.members)
        self._run(self.on_member_left, message.member, message.cause)

    @handles(EpochChanged)
    def _on_epoch_changed(self, message: EpochChanged, _: ActorAddress) -> None:
        self._run(self.on_epoch, message.epoch, message.fingerprint)

    @handles(SessionMessage)
    def _on_said(self, message: SessionMessage, _: ActorAddress) -> None:
        self.claims = claims_of(message.identity)
        self._run(self.on_message, message)

    @handles(Knocked)
    def _on_knocked(self, message: Knocked, _: ActorAddress) -> None:
        self.claims = claims_of(message.message.identity)
        self._run(self.on_knock, message.message)

    @handles(InviteFailed)
    def _on_failed(self, message: InviteFailed, _: ActorAddress) -> None:
        self._run(self.on_invite_failed, message.name, message.error)

    @handles(TimerDue)
    def _on_due(self, message: TimerDue, _: ActorAddress) -> None:
        self._run(self.on_timer, message.name)

    @handles(GroupLost)
    def _on_group_lost(self, message: GroupLost, _: ActorAddress) -> None:
        self._others(())
        self._run(self.on_lost, message.members)

    @handles(SessionEnded)
    def _on_ended(self, message: SessionEnded, _: ActorAddress) -> None:
        self._run(self.on_close, message.cause)

    @handles(CodeOver)
    def _on_code_over(self, message: CodeOver, _: ActorAddress) -> None:
        self._decide(message.failed)

    # Private

    def _others(self, members: tuple[Name, ...]) -> None:
        self.members = tuple(name for name in members if name != self.local)

    def _run(self, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook and tell the stage what came of it, now or when its coroutine is over."""
        self._wishes.clear()
        where, failed = hook.__name__, ""
        try:
            coroutine = hook(*arguments)
            if inspect.iscoroutine(coroutine):
                self.begin_task(coroutine, lambda _, error: self._over(where, error))
                return
        except Exception as error:
            failed = _why(where, error)
        self._decide(failed)

    def _over(self, where: str, error: Exception | None) -> None:
        self.send(self.myAddress, CodeOver("" if error is None else _why(where, error)))

    def _decide(self, failed: str) -> None:
        wishes, state = tuple(self._wishes), None
        self._wishes.clear()
        self.claims = {}
        if not failed:
            try:
                state = self._words.pack((self.state,))
            except (TypeError, ValueError) as error:
                failed = f"the state cannot be kept: {error}"
        if failed:
            self.state = self._unpacked()
            self.send(self._stage, Decided(failed=failed))
            return
        changed = state != self._packed
        self._packed = state
        self.send(self._stage, Decided(wishes, state if changed else None))

    def _unpacked(self) -> Any:
        return None if self._packed is None else self._words.unpack(self._packed)[0]


def text(message: SessionMessage) -> str:
    """What a message says, as text; what is no UTF-8 in it is replaced."""
    content = message.content
    return content.blob.decode(errors="replace") if isinstance(content, Payload) else ""


def _name(name: Name | str) -> Name:
    return Name.parse(name) if isinstance(name, str) else name


def _why(where: str, error: Exception) -> str:
    """Why a hook failed. Texts of errors may quote anything: only those of our own are told."""
    said = f": {error}" if isinstance(error, NotOnThisBase) else ""
    return f"{where} raised {type(error).__name__}{said}"
