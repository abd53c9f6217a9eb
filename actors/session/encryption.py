"""A session's end-to-end encryption as a part of it: `Crypto`, and what must be waited for (`session.md` 11).

    operation ──► a credential wanted? ──► computing ──► keys of an issuer wanted? ──► done, or failed
                     CREDENTIAL            COMPUTATION       KEYS (then again)

One operation at a time; a new one takes the place of what is under way. Whoever starts it says with what it
goes on: `then(result, turn)`, or `failed(phase, error, turn)`, in the same turn if nothing needs to be waited
for. A session without MLS has no Encryption.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from actors.errors import SlimTimeout
from actors.messages.session import CredentialGranted
from actors.messages.wire import Payload, SessionMessage
from actors.names import Name
from actors.record import record
from actors.session.crypto import ClearText, Computation, Computing, Crypto, KeysWanted, Place
from actors.session.senders import Senders
from actors.session.turn import Turn
from identity.errors import CryptoError, SlimError

CREDENTIAL_PATIENCE = 30.0
"""Seconds to wait for a token with claims, which may need I/O."""
KEYS_PATIENCE = 30.0
"""Seconds to wait for the keys that prove somebody's credential."""
ATTEMPTS = 3
"""How often one operation of MLS may ask for keys: those it lacks are asked for together."""


class Phase(Enum):
    """What an operation is at."""

    CREDENTIAL = "waits for a credential of ours"
    COMPUTATION = "computes"
    KEYS = "waits for keys that prove others' credentials"


Then = Callable[[Any, Turn], None]
Failed = Callable[[Phase, SlimError, Turn], None]


@record
class _Operation(NamedTuple):
    """An operation that goes on later, and what follows it."""

    computation: Computation
    then: Then
    failed: Failed
    phase: Phase
    deadline: float | None = None
    """Until when it waits; computing has its own end."""


class Encryption:
    """`crypto` is the group; this is the waiting around it."""

    __slots__ = ("_clear_text", "_operation", "_senders", "crypto")

    def __init__(self, crypto: Crypto, senders: Senders) -> None:
        self.crypto = crypto
        self._senders = senders
        self._operation: _Operation | None = None
        self._clear_text: set[Name] = set()
        """Present members whose clear text was complained of."""

    # Messages

    def encrypt(self, blob: bytes) -> bytes:
        """Raises CryptoError when we are in no group."""
        return self.crypto.encrypt(blob)

    def decrypt(self, message: SessionMessage, turn: Turn) -> Payload:
        """What a data message says. Raises CryptoError; clear text is complained of once for each member."""
        kind, blob = _payload(message)
        try:
            subject = self._senders.subject(message.identity)
            return Payload(kind, self.crypto.decrypt(message.source, blob, subject))
        except ClearText as error:
            if message.source not in self._clear_text:
                self._clear_text.add(message.source)
                turn.refuse(str(error), alarming=True)
            raise

    def repeats(self, message: SessionMessage) -> bool:
        """Whether a message with an id that is known is a copy: of the same member, that is. Raises nothing:
        what cannot be read is no copy."""
        try:
            return self.crypto.wrote(message.source, _payload(message)[1])
        except CryptoError:
            return False

    def left(self, member: Name) -> None:
        """A member is gone; should it come back and speak in clear again, that is news."""
        self._clear_text.discard(member)

    # Operations

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self._operation is not None

    def start(self, begin: Callable[[], Computing[Any]], then: Then, failed: Failed, turn: Turn) -> None:
        """Do an operation of MLS, and go on with `then` and its result."""
        operation = _Operation(Computation(begin), then, failed, Phase.COMPUTATION)
        operation.computation.begin()
        self._go_on(operation, turn)

    def start_with_credential(
        self, begin: Callable[[], Computing[Any]], then: Then, failed: Failed, turn: Turn
    ) -> None:
        """As `start`, once our leaf has a credential that is valid."""
        if not self.crypto.wants_credential():
            self.start(begin, then, failed, turn)
            return
        self._operation = _Operation(
            Computation(begin), then, failed, Phase.CREDENTIAL, turn.now + CREDENTIAL_PATIENCE
        )
        turn.want_credential(self.crypto.claims())

    def granted(self, event: CredentialGranted, turn: Turn) -> None:
        """The token that was asked for came, or will not come."""
        operation = self._operation
        if operation is None or operation.phase is not Phase.CREDENTIAL:
            return
        self._operation = None
        error = event.error
        if error is None:
            try:
                self.crypto.credential(event.token)
            except SlimError as refused:
                error = refused
        if error is not None and self.crypto.has_credential():
            turn.refuse(f"no new credential for MLS, the old one must do: {error}", alarming=True)
            error = None
        if error is not None:
            operation.failed(Phase.CREDENTIAL, error, turn)
            return
        operation.computation.begin()
        self._go_on(operation._replace(phase=Phase.COMPUTATION, deadline=None), turn)

    def computed(self, turn: Turn) -> None:
        """It is time to go on with what was computing."""
        operation = self._operation
        if operation is None or operation.phase is not Phase.COMPUTATION:
            return
        if operation.computation.place is Place.LOOP:
            operation.computation.advance()
        self._go_on(operation, turn)

    def verified(self, turn: Turn) -> None:
        """The keys that were asked for came, as far as they could be had."""
        operation = self._operation
        if operation is None or operation.phase is not Phase.KEYS:
            return
        operation.computation.begin()
        self._go_on(operation._replace(phase=Phase.COMPUTATION, deadline=None), turn)

    def cancel(self) -> None:
        """Nobody wants the result any more."""
        self._operation = None

    def close(self) -> None:
        """Forget everything secret."""
        self._operation = None
        self.crypto.close()

    # Time

    def expire(self, turn: Turn) -> None:
        """Wait no longer for what did not come."""
        operation = self._operation
        if operation is None or operation.deadline is None or turn.now < operation.deadline:
            return
        if operation.phase is Phase.CREDENTIAL:
            error = SlimTimeout("no token with the claims of MLS came in time")
            self.granted(CredentialGranted(error=error), turn)
        else:
            self.verified(turn)

    def next_deadline(self) -> float | None:
        return self._operation.deadline if self._operation is not None else None

    # Private

    def _go_on(self, operation: _Operation, turn: Turn) -> None:
        computation = operation.computation
        error = computation.error
        self._operation = None
        if computation.place is not None:
            self._operation = operation
            turn.compute(computation)
        elif isinstance(error, KeysWanted) and computation.attempts < ATTEMPTS:
            self._operation = operation._replace(phase=Phase.KEYS, deadline=turn.now + KEYS_PATIENCE)
            turn.want_verification(error.tokens)
        elif error is not None:
            operation.failed(Phase.COMPUTATION, error, turn)
        else:
            operation.then(computation.result, turn)


def _payload(message: SessionMessage) -> Payload:
    if not isinstance(message.content, Payload):
        raise CryptoError(f"a {message.kind.name} without a payload")
    return message.content
