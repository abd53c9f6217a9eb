from __future__ import annotations

import pytest

from actors.app.admission import KNOWN_TOKENS, NO_TOKEN, TOKEN_TRUST, Admission, TokenVerified
from actors.app.effects import Dropped, Released, VerificationNeeded
from actors.app.turn import AppTurn
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from identity.errors import InvalidToken, SlimError
from identity.protocols import KeysMissing
from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier

SECRET = "a-secret-of-these-tests-with-32-bytes-or-more"

ME, BOB, CAROL = (Name("o", "n", name, id) for id, name in enumerate(("me", "bob", "carol"), 1))


class Verifier:
    def __init__(self) -> None:
        self.answers: dict[str, Exception] = {}
        self.asked: list[str] = []

    def try_verify(self, token: str, now: float) -> None:
        self.asked.append(token)
        if token in self.answers:
            raise self.answers[token]


class Door:
    """An Admission, and what came of its turns."""

    def __init__(self, parked: int) -> None:
        self.verifier = Verifier()
        self.admission = Admission(self.verifier, parked=parked)  # type: ignore[arg-type]
        self.turn = AppTurn()

    def admits(self, message: SessionMessage, now: float) -> bool:
        self.turn.wall = now
        return self.admission.admits(message, self.turn)

    def fetched(self, token: str, error: SlimError | None = None) -> list[int]:
        turn = AppTurn(wall=100.0)
        self.admission.handle(TokenVerified(token, error), turn)
        self.turn.effects += turn.effects
        return [effect.message.message_id for effect in turn.effects if isinstance(effect, Released)]

    @property
    def fetching(self) -> list[int]:
        return [e.message.message_id for e in self.turn.effects if isinstance(e, VerificationNeeded)]

    @property
    def dropped(self) -> list[Dropped]:
        return [effect for effect in self.turn.effects if isinstance(effect, Dropped)]


def message(source: Name, id: int, token: str = "good") -> SessionMessage:
    return SessionMessage(
        source, ME, SessionKind.POINT_TO_POINT, MessageType.MSG, 5, id, Payload(), identity=token
    )


def admission(parked: int = 10) -> tuple[Door, Verifier]:
    door = Door(parked)
    return door, door.verifier


def test_a_token_is_not_verified_again_for_a_moment() -> None:
    door, verifier = admission()
    assert door.admits(message(BOB, 1), 100.0)
    assert door.admits(message(CAROL, 1), 100.0 + TOKEN_TRUST / 2)
    assert verifier.asked == ["good"]
    verifier.answers["good"] = InvalidToken("expired")
    assert not door.admits(message(BOB, 2), 100.0 + TOKEN_TRUST)


def test_who_was_let_in_lets_others_in_only_if_the_token_was_remembered() -> None:
    door, verifier = admission()
    assert door.admission.let_in is NO_TOKEN
    assert door.admits(message(BOB, 1, "one"), 0.0)
    assert door.admission.let_in == "one"
    verifier.answers["two"] = InvalidToken("no")
    assert not door.admits(message(BOB, 2, "two"), 0.0)
    assert door.admission.let_in is NO_TOKEN
    assert door.admits(message(BOB, 3, "one"), 0.5)
    assert door.admission.let_in == "one"


def test_where_each_verification_counts_nobody_lets_others_in() -> None:
    with pytest.warns(UserWarning, match="replay_cache"):
        verifier = SharedSecretVerifier("me", SECRET, replay_cache=8)
    provider = SharedSecretProvider("bob", SECRET)
    door, turn = Admission(verifier), AppTurn(wall=1000.0)
    assert door.admits(message(BOB, 1, provider.get_token(1000.0)), turn)
    assert door.let_in is NO_TOKEN


def test_a_bad_token_costs_the_message_and_is_not_shown() -> None:
    door, verifier = admission()
    verifier.answers["s3cret"] = InvalidToken("wrong signature")
    assert not door.admits(message(BOB, 1, "s3cret"), 100.0)
    assert door.admission.counts.unverified == 1
    assert "wrong signature" in door.dropped[0].reason
    assert "s3cret" not in door.dropped[0].reason


def test_what_must_wait_keeps_its_order_and_holds_up_nobody_else() -> None:
    door, verifier = admission()
    verifier.answers["far"] = KeysMissing()
    assert not door.admits(message(BOB, 1, "far"), 100.0)
    assert not door.admits(message(BOB, 2, "far"), 100.0)
    assert door.admits(message(CAROL, 1), 100.0)
    assert door.fetching == [1]
    del verifier.answers["far"]
    assert door.fetched("far") == [1, 2]
    assert door.admission.parked == 0


def test_each_token_is_fetched_for_itself() -> None:
    door, verifier = admission()
    verifier.answers = {"far": KeysMissing(), "farther": KeysMissing()}
    for id, token in ((1, "far"), (2, "farther"), (3, "farther")):
        door.admits(message(BOB, id, token), 100.0)
    assert door.fetching == [1, 2]
    assert door.fetched("far", InvalidToken("no")) == []
    assert (door.admission.parked, door.admission.counts.unverified) == (2, 1)
    del verifier.answers["farther"]
    assert door.fetched("farther") == [2, 3]


def test_parking_is_bounded() -> None:
    door, verifier = admission(parked=8)
    for number in range(20):
        verifier.answers[f"far {number}"] = KeysMissing()
        for id in range(2):
            door.admits(message(BOB, id, f"far {number}")._replace(connection=number), 100.0)
    assert (door.admission.parked, door.admission.counts.parking_overflowed) == (8, 32)


def test_the_memory_of_tokens_is_bounded() -> None:
    door, _ = admission()
    for number in range(2 * KNOWN_TOKENS + 1):
        door.admits(message(BOB, 1, f"token {number}"), 100.0)
    assert len(door.admission._verified) <= KNOWN_TOKENS


def test_only_the_first_refusal_of_a_source_is_alarming() -> None:
    door, verifier = admission()
    verifier.answers["bad"] = InvalidToken("wrong signature")
    for source in (BOB, BOB, CAROL):
        door.admits(message(source, 1, "bad"), 100.0)
    assert [refused.alarming for refused in door.dropped] == [True, False, True]
