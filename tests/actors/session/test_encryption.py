"""What an operation of MLS waits for, and who hears how it went."""

from __future__ import annotations

from typing import Any

import pytest

from actors.errors import SlimTimeout
from actors.messages.session import CredentialGranted, CredentialWanted, VerificationWanted
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.crypto import ClearText, Computing, KeysWanted, Place, at_once
from actors.session.effects import Compute, Refused
from actors.session.encryption import ATTEMPTS, CREDENTIAL_PATIENCE, KEYS_PATIENCE, Encryption, Phase
from actors.session.senders import Senders
from actors.session.turn import Turn
from identity.errors import CryptoError, SlimError
from tests.actors.session.stage import FakeCrypto

ME, BOB = Name("o", "n", "me", 1), Name("o", "n", "bob", 2)


class Asker:
    """Starts operations and notes what became of them."""

    def __init__(self, *, token: str = "") -> None:
        self.crypto = FakeCrypto(ME)
        self.crypto.token = token
        self.encryption = Encryption(self.crypto, Senders())
        self.turn = Turn(100.0)
        self.results: list[Any] = []
        self.failures: list[tuple[Phase, str]] = []

    def start(self, begin: Any, *, credential: bool = False) -> Asker:
        encryption = self.encryption
        start = encryption.start_with_credential if credential else encryption.start
        start(begin, lambda result, _: self.results.append(result), self.failed, self.turn)
        return self

    def failed(self, phase: Phase, error: SlimError, _: Turn) -> None:
        self.failures.append((phase, str(error)))

    def effects(self, kind: type) -> int:
        return sum(isinstance(effect, kind) for effect in self.turn.effects)


def done() -> Computing[str]:
    return at_once(lambda: "done")


def long() -> Computing[str]:
    yield Place.THREAD
    yield Place.LOOP
    return "done"


def refused() -> Computing[str]:
    raise CryptoError("no")
    yield Place.LOOP


def lacking() -> Computing[str]:
    raise KeysWanted((("token", 5.0),))
    yield Place.LOOP


def test_what_needs_nothing_is_done_in_the_same_turn() -> None:
    asker = Asker().start(done)
    assert (asker.results, asker.failures, asker.turn.effects) == (["done"], [], [])
    assert not asker.encryption.busy


def test_what_takes_long_goes_on_turn_by_turn() -> None:
    asker = Asker().start(long)
    assert (asker.results, asker.encryption.busy, asker.effects(Compute)) == ([], True, 1)
    (compute,) = asker.turn.effects
    assert isinstance(compute, Compute)
    compute.computation.advance()
    assert compute.computation.place is Place.LOOP
    asker.encryption.computed(asker.turn)
    assert (asker.results, asker.encryption.busy) == (["done"], False)


def test_a_failure_says_at_what() -> None:
    assert Asker().start(refused).failures == [(Phase.COMPUTATION, "no")]


def test_a_credential_is_obtained_first() -> None:
    asker = Asker().start(done, credential=True)
    assert (asker.results, asker.effects(CredentialWanted)) == ([], 1)
    asker.encryption.computed(asker.turn)
    asker.encryption.verified(asker.turn)
    assert asker.results == []
    asker.encryption.granted(CredentialGranted("token"), asker.turn)
    assert (asker.results, asker.crypto.token) == (["done"], "token")


def test_without_a_credential_it_fails_in_time() -> None:
    asker = Asker().start(done, credential=True)
    assert asker.encryption.next_deadline() == 100.0 + CREDENTIAL_PATIENCE
    asker.encryption.expire(asker.turn.at(100.0 + CREDENTIAL_PATIENCE - 1))
    assert asker.failures == []
    asker.encryption.expire(asker.turn.at(100.0 + CREDENTIAL_PATIENCE))
    ((phase, text),) = asker.failures
    assert phase is Phase.CREDENTIAL
    assert "in time" in text
    assert asker.encryption.next_deadline() is None


def test_an_old_credential_does_if_a_new_one_cannot_be_had() -> None:
    asker = Asker(token="old")
    asker.crypto.wants_credential = lambda: True  # type: ignore[method-assign]
    asker.start(done, credential=True)
    asker.encryption.granted(CredentialGranted(error=SlimTimeout("late")), asker.turn)
    assert asker.results == ["done"]
    (note,) = [effect for effect in asker.turn.effects if isinstance(effect, Refused)]
    assert note.alarming


def test_keys_are_asked_for_a_few_times() -> None:
    asker = Asker().start(lacking)
    for number in range(1, ATTEMPTS):
        assert asker.effects(VerificationWanted) == number
        assert asker.encryption.next_deadline() == 100.0 + KEYS_PATIENCE
        asker.encryption.verified(asker.turn)
    ((phase, text),) = asker.failures
    assert phase is Phase.COMPUTATION
    assert "not at hand" in text


def test_what_was_cancelled_is_heard_of_no_more() -> None:
    asker = Asker().start(long)
    asker.encryption.cancel()
    asker.encryption.computed(asker.turn)
    assert (asker.results, asker.failures, asker.encryption.next_deadline()) == ([], [], None)


def test_clear_text_is_complained_of_once_while_its_author_is_a_member() -> None:
    asker = Asker()

    def clear(source: Name, blob: bytes, subject: str | None) -> bytes:
        raise ClearText(source)

    asker.crypto.decrypt = clear  # type: ignore[method-assign]
    message = SessionMessage(BOB, ME, SessionKind.MULTICAST, MessageType.MSG, 7, 1, Payload("", b"x"))
    for complaints in (1, 1):
        with pytest.raises(ClearText):
            asker.encryption.decrypt(message, asker.turn)
        assert asker.effects(Refused) == complaints
    asker.encryption.left(BOB)
    with pytest.raises(ClearText):
        asker.encryption.decrypt(message, asker.turn)
    assert asker.effects(Refused) == 2
