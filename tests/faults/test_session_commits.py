"""A session takes one kind of commit: the moderator's, with one Add or one Remove by value; nothing else is
computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.session.commit_shape import check_commit
from identity.errors import CryptoError
from identity.mls import Group
from identity.mls.proposal import GroupContextExtensions, ReInit, Remove
from tests.actors.session.mls_stage import EPOCH, MlsPlayer, MlsStage, mls_group

Make = Callable[[Group, float, MlsPlayer], bytes]


def two_adds(group: Group, now: float, guest: MlsPlayer) -> bytes:
    return group.commit(now=now, add=[key_package(guest, 1), key_package(guest, 2)]).commit


def add_and_remove(group: Group, now: float, guest: MlsPlayer) -> bytes:
    return group.commit(now=now, add=[key_package(guest, 1)], remove=[2]).commit


def by_reference(group: Group, now: float, guest: MlsPlayer) -> bytes:
    group.propose(Remove(2), now=now)
    return group.commit(now=now).commit


def nothing(group: Group, now: float, guest: MlsPlayer) -> bytes:
    return group.commit(now=now, path=True).commit


def extensions(group: Group, now: float, guest: MlsPlayer) -> bytes:
    return group.commit(now=now, proposals=[GroupContextExtensions(())]).commit


def reinit(group: Group, now: float, guest: MlsPlayer) -> bytes:
    return group.commit(now=now, proposals=[ReInit(b"g" * 32, 1, 1, ())]).commit


def key_package(guest: MlsPlayer, id: int) -> bytes:
    """Of somebody who is not in."""
    other = MlsPlayer(guest.stage, f"guest{id}", 5000 + id, mls=True, settings=guest.settings)
    session = other._make()
    session.credential(other._token(session.claims()))
    package: bytes = session.key_package()
    return package


REFUSED: list[Make] = [two_adds, add_and_remove, by_reference, nothing, extensions, reinit]


@pytest.mark.parametrize("make", REFUSED)
def test_other_commits_of_the_moderator_are_refused_before_anything_is_computed(make: Make) -> None:
    stage = MlsStage()
    alice, bob, carol = mls_group(stage, "bob", "carol")
    group, reader = alice.mls._group, bob.mls._group
    assert group is not None
    assert reader is not None
    commit = make(group, EPOCH + stage.now, carol)
    before = bob.mls.epoch, bob.mls.fingerprint
    asked = 0

    def process(message: bytes, *, now: float) -> Any:
        nonlocal asked
        asked += 1

    bob.mls._group = type("Unasked", (), {"process": staticmethod(process)})()  # type: ignore[assignment]
    with pytest.raises(CryptoError, match=r"does more|something else|byte"):
        bob.mls.process(commit)
    assert asked == 0
    assert (bob.mls.epoch, bob.mls.fingerprint) == before


def test_a_commit_of_any_other_leaf_is_refused() -> None:
    stage = MlsStage()
    _, bob, carol = mls_group(stage, "bob", "carol")
    group = carol.mls._group
    assert group is not None
    pending = group.commit(now=EPOCH + stage.now, remove=[bob.mls._group.own_leaf])  # type: ignore[union-attr]
    with pytest.raises(CryptoError, match="not the moderator's"):
        bob.mls.process(pending.commit)
    check_commit(pending.commit, 2)


def test_the_two_that_there_are_are_taken() -> None:
    stage = MlsStage()
    alice, bob, carol = mls_group(stage, "bob", "carol")
    dave = stage.player("dave")
    alice.invite(dave.name.without_id(), handle=20)
    stage.transfer()
    alice.remove(carol.name.without_id(), handle=21)
    stage.transfer()
    assert {20, 21} <= set(alice.done)
    assert alice.mls.fingerprint == bob.mls.fingerprint == dave.mls.fingerprint
