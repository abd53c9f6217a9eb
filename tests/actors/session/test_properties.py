"""What holds whatever the network does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import MessageLost, MessageUndelivered
from actors.messages.wire import MessageType
from tests.actors.session.stage import Player, Stage, make_group, make_pair

DATA = (MessageType.MSG, MessageType.MSG_ACK, MessageType.RTX_REQUEST, MessageType.RTX_REPLY)


class Weather:
    """Loses, doubles and shuffles messages, by a seed."""

    def __init__(self, stage: Stage, seed: int, *, loss: float, kinds: tuple[MessageType, ...]) -> None:
        self.rng = random.Random(seed)
        self.stage = stage
        self.loss = loss
        self.kinds = kinds
        stage.drop = self.drop

    def drop(self, message: object, to: Player) -> bool:
        if self.rng.random() < 0.2:
            # Not the wire of control messages: what a participant hears of its moderator keeps its order.
            data = [entry for entry in self.stage.wire if entry[1].kind in DATA]
            if len(data) == len(self.stage.wire):
                self.stage.reorder(self.rng)
        if message.kind not in self.kinds:  # type: ignore[attr-defined]
            return False
        chance = self.rng.random()
        if chance > 1 - self.loss / 2 and len(self.stage.wire) < 500:
            self.stage.wire.append((to, message))  # type: ignore[arg-type]
        return chance < self.loss


def check_data(seed: int, count: int, loss: float, *, mls: bool, credit: bool) -> None:
    stage = Stage()
    players = make_group(stage, "bob", "carol", mls=mls) if credit else make_pair(stage, mls=mls)
    Weather(stage, seed, loss=loss, kinds=DATA)
    rng = random.Random(seed)
    for number in range(count):
        rng.choice(players).publish(b"%d" % number, handle=100 + number)
        if rng.random() < 0.3:
            stage.transfer()
        if rng.random() < 0.1:
            stage.advance(rng.random())
    stage.transfer()
    stage.advance(30)
    done = {handle for player in players for handle in player.done if handle >= 100}
    failed = {failure.handle for player in players for failure in player.failed}
    assert done | failed == {100 + number for number in range(count)}
    assert done & failed == set()
    for player in players:
        assert all(isinstance(failure.error, MessageUndelivered) for failure in player.failed)
        for other in players:
            heard = [int(m.content.blob) for m in player.messages if m.source == other.name]  # type: ignore[union-attr]
            assert len(heard) == len(set(heard)), "once"
            # A member of a group may come in late: what it missed and is sent alone has lost its place.
            on_time = [number for number in heard if not credit or number >= heard[0]]
            assert on_time == sorted(on_time), "in order"
            if other is not player:
                sent = {handle - 100 for handle in other.done if handle >= 100}
                lost = [
                    e for e in player.errors if isinstance(e, MessageLost) and e.source == str(other.name)
                ]
                # Asking for a message again counts as its acknowledgement (`session.md` 7.4).
                assert len(sent - set(heard)) <= len(lost), "delivered, or known to be lost"


@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0, 0.5), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_messages_arrive_once_in_order_or_fail(
    seed: int, count: int, loss: float, mls: bool, credit: bool
) -> None:
    check_data(seed, count, loss, mls=mls, credit=credit)


@pytest.mark.long
@given(st.integers(0, 2**32), st.integers(1, 200), st.floats(0, 0.7), st.booleans(), st.booleans())
@settings(max_examples=2000, deadline=None)
def test_messages_arrive_once_in_order_or_fail_long(
    seed: int, count: int, loss: float, mls: bool, credit: bool
) -> None:
    check_data(seed, count, loss, mls=mls, credit=credit)


steps = st.lists(
    st.tuples(st.sampled_from(["invite", "remove", "leave", "publish", "wait"]), st.integers(0, 4)),
    max_size=15,
)


def check_membership(seed: int, plan: list[tuple[str, int]], loss: float, *, mls: bool) -> None:
    stage = Stage()
    (alice,) = make_group(stage, mls=mls)
    others = [stage.player(name, mls=mls) for name in ("bob", "carol", "dave", "erin", "frank")]
    Weather(stage, seed, loss=loss, kinds=tuple(MessageType))
    for number, (what, who) in enumerate(plan):
        player = others[who]
        if alice.core is None or alice.core.ended:
            break
        if what == "invite":
            alice.invite(player.name.without_id(), handle=100 + number)
        elif what == "remove":
            alice.remove(player.name.without_id(), handle=100 + number)
        elif what == "leave" and player.core is not None and not player.core.ended:
            player.close(handle=100 + number)
        elif what == "publish":
            alice.publish(b"x")
        else:
            stage.transfer()
    stage.transfer()
    stage.drop = lambda message, to: False
    stage.advance(120)
    assert alice.core is not None
    answered = {*alice.done, *(failure.handle for failure in alice.failed)}
    asked = {100 + n for n, (what, _) in enumerate(plan) if what in ("invite", "remove")}
    if alice.core.ended:
        return
    assert asked <= answered, "every operation has an outcome"
    members = [player for player in others if str(player.name) in alice.members]
    for player in members:
        assert player.core is not None
        assert not player.core.ended
        assert player.members == alice.members
        if mls:
            assert player.crypto is not None
            assert alice.crypto is not None
            assert player.crypto.fingerprint == alice.crypto.fingerprint
    alice.publish(b"roll call", handle=1)
    stage.transfer()
    if members:
        assert 1 in alice.done
        # Before it may come what somebody missed and learns of only now; after it nothing.
        assert [player.blobs.count(b"roll call") for player in members] == [1] * len(members)
        assert {player.blobs[-1] for player in members} == {b"roll call"}


@given(st.integers(0, 2**32), steps, st.booleans())
@settings(max_examples=100, deadline=None)
def test_membership_views_are_equal(seed: int, plan: list[tuple[str, int]], mls: bool) -> None:
    check_membership(seed, plan, 0.0, mls=mls)


@given(st.integers(0, 2**32), steps, st.booleans())
@settings(max_examples=100, deadline=None)
def test_membership_views_are_equal_after_losses(seed: int, plan: list[tuple[str, int]], mls: bool) -> None:
    check_membership(seed, plan, 0.2, mls=mls)


@pytest.mark.long
@given(st.integers(0, 2**32), steps, st.floats(0, 0.3), st.booleans())
@settings(max_examples=3000, deadline=None)
def test_membership_views_are_equal_long(
    seed: int, plan: list[tuple[str, int]], loss: float, mls: bool
) -> None:
    check_membership(seed, plan, loss, mls=mls)
