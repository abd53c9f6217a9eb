"""One turn of a session: when it is, and what is to be done about what happened.

A core says with the verbs of a Turn what it wants; `effects` is what its shell then does, in that order. What
the application is to hear (messages, outcomes, credit) gathers beside them until the core closes the turn, so
that one Delivered and one Completed carry all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.messages.session import (
    AskPeer,
    Bind,
    Completed,
    CredentialWanted,
    EpochChanged,
    Failure,
    MemberJoined,
    MemberLeft,
    Unbind,
    VerificationWanted,
)
from actors.messages.wire import SessionMessage
from actors.names import Name
from actors.session.crypto import Computation
from actors.session.effects import Answer, Compute, Effect, Joined, Refused
from actors.system import Address
from identity.errors import SlimError


class Turn:
    """A shell may use one Turn for all its turns: `at` begins the next. When nothing is `left` of one,
    another shell may have the Turn."""

    __slots__ = ("answers", "done", "effects", "errors", "failed", "freed", "items", "now", "send")

    send: Callable[[SessionMessage], None]
    """Put a message out."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        """Seconds of a monotonic clock."""
        self.effects: list[Effect] = []
        self.send = self.effects.append
        self.items: list[SessionMessage | SlimError] = []
        """To be delivered, in order."""
        self.errors: list[SlimError] = []
        """Failures that the application's next receive shall meet, behind `items`."""
        self.done: list[int] = []
        """Handles of what worked."""
        self.failed: list[Failure] = []
        self.freed = 0
        """Messages that left the window, whatever became of them."""
        self.answers: list[tuple[Address, int, SlimError | None]] = []
        """Outcomes that go to an inbox of their own."""

    def at(self, now: float) -> Turn:
        """The next turn. What the last one gathered and did not come to say is still to be said."""
        self.now = now
        self.effects.clear()
        return self

    @property
    def left(self) -> bool:
        """Whether something gathered that was not said."""
        return bool(
            self.items
            or self.errors
            or self.done
            or self.failed
            or self.freed
            or self.answers
            or self.effects
        )

    # Towards the peers

    def bind(self, name: Name, connection: int) -> None:
        """Messages to `name` leave by `connection` from now on."""
        self.effects.append(Bind(name, connection))

    def subscribe(self, channel: Name, connection: int) -> None:
        """As `bind`, and receive what others say to `channel`; a Bound will tell the outcome."""
        self.effects.append(Bind(channel, connection, subscribe=True))

    def unbind(self, name: Name) -> None:
        """Undo `bind` and `subscribe`."""
        self.effects.append(Unbind(name))

    def ask_peer(self, peer: Name) -> None:
        """Ask `peer`, outside the session, whether it is there; PeerAlive says so if it is."""
        self.effects.append(AskPeer(peer))

    def refuse(self, reason: str, *, alarming: bool = False) -> None:
        """Note for the log that a peer's message was dropped; `alarming`: even if nobody looks for it."""
        self.effects.append(Refused(reason, alarming))

    # Towards the application

    def announce(self) -> None:
        """The session that we were invited to stands."""
        self.effects.append(Joined())

    def tell(self, change: MemberJoined | MemberLeft | EpochChanged) -> None:
        """Whoever watches shall know."""
        self.effects.append(change)

    def answer(self, handle: int, error: SlimError | None = None, inbox: Address | None = None) -> None:
        """The outcome of an operation, to `inbox`, or else with the session's others."""
        if inbox is not None:
            self.answers.append((inbox, handle, error))
        elif error is None:
            self.done.append(handle)
        else:
            self.failed.append(Failure(handle, error))

    def report(self, error: SlimError) -> None:
        """Let the application's next receive meet `error`."""
        self.errors.append(error)

    def say_answers(self, session_id: int) -> None:
        """The outcomes that go to inboxes of their own become effects."""
        for inbox, handle, error in self.answers:
            failed = () if error is None else (Failure(handle, error),)
            done = (handle,) if error is None else ()
            self.effects.append(Answer(inbox, Completed(session_id, done, failed)))
        self.answers.clear()

    # Cryptography

    def want_credential(self, claims: dict[str, Any]) -> None:
        """Obtain a token with `claims`; CredentialGranted brings it."""
        self.effects.append(CredentialWanted(claims))

    def want_verification(self, tokens: tuple[tuple[str, float], ...]) -> None:
        """Have the verifier fetch what it needs for these; Verification says that it did."""
        self.effects.append(VerificationWanted(tokens))

    def compute(self, computation: Computation) -> None:
        """Let `computation` go on; Computed says that it did."""
        self.effects.append(Compute(computation))
