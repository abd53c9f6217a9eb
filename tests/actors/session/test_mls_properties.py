"""What holds of encrypted groups whatever their members and the network do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.wire import GroupAdd, GroupWelcome, MessageType, Payload, SessionMessage
from identity.errors import CryptoError
from identity.mls import MlsError
from tests.actors.session.mls_stage import MlsPlayer, MlsStage, mls_group
from tests.actors.session.stage import Player

DATA = (MessageType.MSG, MessageType.MSG_ACK, MessageType.RTX_REQUEST, MessageType.RTX_REPLY)
GUESTS = ("bob", "carol", "dave", "erin")

steps = st.lists(
    st.tuples(
        st.sampled_from(["invite", "remove", "leave", "publish", "age", "wait"]), st.integers(0, len(GUESTS))
    ),
    min_size=1,
    max_size=14,
)


class Storm:
    """Loses and doubles messages and shuffles those of data, by a seed; keeps every ciphertext."""

    def __init__(self, stage: MlsStage, seed: int, loss: float) -> None:
        self.rng = random.Random(seed)
        self.stage = stage
        self.loss = loss
        stage.drop = self.drop

    def drop(self, message: SessionMessage, to: Player) -> bool:
        wire = self.stage.wire
        if self.rng.random() < 0.3 and all(entry[1].kind in DATA for entry in wire):
            self.stage.reorder(self.rng)
        chance = self.rng.random()
        if chance > 1 - self.loss / 2 and len(wire) < 300:
            wire.append((to, message))  # type: ignore[arg-type]
        return chance < self.loss


def check(seed: int, plan: list[tuple[str, int]], loss: float) -> None:
    stage = MlsStage()
    (alice,) = mls_group(stage)
    guests = [stage.player(name) for name in GUESTS]
    Storm(stage, seed, loss)
    for number, (what, who) in enumerate(plan):
        player = guests[who - 1] if who else alice
        if alice.core is None or alice.core.ended:
            return
        if what == "invite" and who:
            alice.invite(player.name.without_id(), handle=100 + number)
        elif what == "remove" and who:
            alice.remove(player.name.without_id(), handle=100 + number)
        elif what == "leave" and who and player.core is not None and not player.core.ended:
            player.close(handle=100 + number)
        elif what == "publish" and player.core is not None and not player.core.ended:
            player.publish(b"%d" % number)
        elif what == "age":
            stage.now += 600
        else:
            stage.transfer()
    stage.transfer()
    stage.drop = lambda message, to: False
    stage.advance(120)
    if alice.core is None or alice.core.ended:
        return
    members = [player for player in guests if str(player.name) in alice.members]
    for player in members:
        assert player.core is not None
        assert not player.core.ended
        assert player.members == alice.members
        assert (player.mls.epoch, player.mls.fingerprint) == (alice.mls.epoch, alice.mls.fingerprint)
    if not members:
        return
    since = len(alice.sent)
    for number, player in enumerate((alice, *members)):
        before = {other: len(other.blobs) for other in (alice, *members)}
        player.publish(b"roll call", handle=1000 + number)
        stage.transfer()
        assert 1000 + number in player.done
        for other, count in before.items():
            assert len(other.blobs) == count + (other is not player), "each member reads it"
    calls = [m.content.blob for m in alice.sent[since:] if isinstance(m.content, Payload) and m.content.blob]
    for player in guests:
        for crypto in player.spent:
            for blob in calls:
                with pytest.raises(CryptoError):
                    # Members read it already, nobody else ever could.
                    crypto.decrypt(alice.name, blob)


@given(st.integers(0, 2**32), steps)
@settings(max_examples=30, deadline=None)
def test_members_agree_and_nobody_else_reads(seed: int, plan: list[tuple[str, int]]) -> None:
    check(seed, plan, 0.0)


@given(st.integers(0, 2**32), steps)
@settings(max_examples=40, deadline=None)
def test_members_agree_and_nobody_else_reads_after_losses(seed: int, plan: list[tuple[str, int]]) -> None:
    check(seed, plan, 0.2)


@pytest.mark.long
@given(st.integers(0, 2**32), steps, st.floats(0, 0.3))
@settings(max_examples=2000, deadline=None)
def test_members_agree_and_nobody_else_reads_long(
    seed: int, plan: list[tuple[str, int]], loss: float
) -> None:
    check(seed, plan, loss)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A flip of a bit, a cut, or some bytes more."""
    at = rng.randrange(len(data))
    return rng.choice(
        (
            data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :],
            data[:at],
            data + rng.randbytes(1 + rng.randrange(4)),
        )
    )


def check_mutations(seed: int, count: int) -> None:
    """Bad handshakes and messages are refused with a CryptoError, and the right ones still do."""
    rng = random.Random(seed)
    stage = MlsStage()
    alice, bob = mls_group(stage, "bob")
    held: list[SessionMessage] = []

    def hold(message: SessionMessage, to: Player) -> bool:
        if to is bob or isinstance(message.content, GroupWelcome):
            held.append(message)
            return True
        return False

    stage.drop = hold
    carol = stage.player("carol")
    alice.invite(carol.name.without_id())
    stage.transfer()
    alice.publish(b"secret")
    stage.transfer()
    before = bob.mls.epoch, bob.mls.fingerprint
    commit = next(m.content.mls.content for m in held if isinstance(m.content, GroupAdd) and m.content.mls)
    welcome = next(
        m.content.mls.content for m in held if isinstance(m.content, GroupWelcome) and m.content.mls
    )
    tried = [
        (bob, lambda data: bob.mls.process(data), commit),
        (carol, lambda data: finish(carol, data), welcome),
    ]
    for _ in range(count):
        player, use, good = rng.choice(tried)
        bad = mutated(good, rng)
        with pytest.raises(CryptoError):
            use(bad)
        assert (bob.mls.epoch, bob.mls.fingerprint) == before
        assert carol.mls.epoch is None
        assert player.core is not None
    bob.mls.process(commit)
    finish(carol, welcome)
    assert bob.mls.fingerprint == carol.mls.fingerprint == alice.mls.fingerprint
    blob = alice.mls.encrypt(b"still")
    for _ in range(count):
        with pytest.raises(CryptoError):
            bob.mls.decrypt(alice.name, mutated(blob, rng))
    assert bob.mls.decrypt(alice.name, blob) == b"still"
    with pytest.raises(MlsError):
        bob.mls.decrypt(alice.name, blob)


def finish(player: MlsPlayer, welcome: bytes) -> None:
    for _ in player.mls.join(welcome, player.stage.players[0].name):
        pass


@pytest.mark.parametrize("seed", range(4))
def test_mutated_messages_change_nothing(seed: int) -> None:
    check_mutations(seed, 100)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_mutated_messages_change_nothing_long(seed: int) -> None:
    check_mutations(seed, 1000)
