"""A member that was removed is heard no more, and nothing of a past epoch is read for ever."""

from __future__ import annotations

import pytest

from identity.mls import BasicIdentity, Credential, Group, KeyUnavailable
from identity.mls.past_epochs import PAST_EPOCHS, PAST_LIFETIME
from tests.identity.mls.members import NOW, add, found, grow, join, package


def spoken(sender: Group, readers: list[Group]) -> None:
    """A message that everybody has read, so that the sender's ratchets exist."""
    message = sender.encrypt(b"hello")
    for reader in readers:
        reader.decrypt(message)


@pytest.mark.parametrize("spoke_before", [True, False])
def test_removed_member_is_read_in_no_past_epoch(spoke_before: bool) -> None:
    alice, bob, mallory, carol = grow(4)
    others = [alice, bob, carol]
    late = []
    for _ in range(2):
        if spoke_before:
            spoken(mallory, others)
        late += [mallory.encrypt(b"still here") for _ in range(3)]
        pending = alice.commit(path=True, now=NOW)
        for member in (bob, mallory, carol):
            member.process(pending.commit, now=NOW)
        alice.apply_pending()
    late.append(mallory.encrypt(b"still here"))
    honest = [carol.encrypt(b"late, but a member")]
    removal = bob.commit(remove=[mallory.own_leaf], now=NOW)
    for member in (alice, carol):
        member.process(removal.commit, now=NOW)
    bob.apply_pending()
    for reader in others:
        for message in late:
            with pytest.raises(KeyUnavailable, match="leaf 2 has been removed"):
                reader.decrypt(message, now=NOW)
    for reader in (alice, bob):
        assert reader.decrypt(honest[0], now=NOW).plaintext == b"late, but a member"


def test_newcomer_at_the_leaf_of_a_removed_member_is_not_taken_for_it() -> None:
    alice, bob, mallory = grow(3)
    spoken(mallory, [alice, bob])
    forged = mallory.encrypt(b"in whose name?")
    bundle = package("trent")
    replaced = alice.commit(remove=[mallory.own_leaf], add=[bundle.message], now=NOW)
    bob.process(replaced.commit, now=NOW)
    alice.apply_pending()
    trent = join(replaced, bundle)
    assert trent.own_leaf == mallory.own_leaf
    for reader in (alice, bob):
        with pytest.raises(KeyUnavailable, match="has been removed"):
            reader.decrypt(forged, now=NOW)
        assert reader.decrypt(trent.encrypt(b"me"), now=NOW).identity == Credential.basic(b"trent").encode()


def test_removal_counts_in_a_group_that_was_stored_too() -> None:
    alice, bob, mallory = grow(3)
    forged = mallory.encrypt(b"still here")
    bob.process(alice.commit(remove=[mallory.own_leaf], now=NOW).commit, now=NOW)
    again = Group.load(bob.snapshot(), identity=BasicIdentity())
    with pytest.raises(KeyUnavailable, match="has been removed"):
        again.decrypt(forged, now=NOW)


@pytest.mark.parametrize(("later", "read"), [(PAST_LIFETIME, True), (PAST_LIFETIME + 1, False)])
@pytest.mark.parametrize("stored", [False, True])
def test_past_epochs_are_bounded_in_time(later: float, read: bool, stored: bool) -> None:
    alice, bob = grow(2)
    message = alice.encrypt(b"late")
    bob.process(alice.commit(path=True, now=NOW).commit, now=NOW)
    if stored:
        bob = Group.load(bob.snapshot(), identity=BasicIdentity())
    if read:
        assert bob.decrypt(message, now=NOW + later).plaintext == b"late"
    else:
        with pytest.raises(KeyUnavailable, match="3 past ones are kept, for 600 s"):
            bob.decrypt(message, now=NOW + later)


def test_epoch_of_the_committer_ends_when_the_commit_takes_effect() -> None:
    alice, bob = grow(2)
    message = bob.encrypt(b"late")
    alice.commit(path=True, now=NOW)
    alice.apply_pending(now=NOW + 100)
    assert alice.decrypt(message, now=NOW + 100 + PAST_LIFETIME).plaintext == b"late"


def test_clock_set_back_keeps_no_epoch_longer() -> None:
    alice, bob = grow(2)
    message = alice.encrypt(b"late")
    bob.process(alice.commit(path=True, now=NOW).commit, now=NOW)
    with pytest.raises(KeyUnavailable):
        bob.decrypt(message, now=NOW - PAST_LIFETIME - 1)


def test_limits_of_past_epochs_outlive_a_snapshot() -> None:
    alice = found()
    bundle = package("bob")
    pending = alice.commit(add=[bundle.message], now=NOW)
    alice.apply_pending()
    assert pending.welcome is not None
    bob = Group.join(
        pending.welcome, bundle, identity=BasicIdentity(), now=NOW, past_epochs=6, past_lifetime=60.0
    )
    bob = Group.load(bob.snapshot(), identity=BasicIdentity())
    late = []
    for _ in range(8):
        late.append(alice.encrypt(b"late"))
        bob.process(alice.commit(path=True, now=NOW).commit, now=NOW)
        alice.apply_pending()
    bob = Group.load(bob.snapshot(), identity=BasicIdentity())
    assert PAST_EPOCHS < 6
    for message in late[2:]:
        assert bob.decrypt(message, now=NOW + 60).plaintext == b"late"
    with pytest.raises(KeyUnavailable, match="6 past ones are kept, for 60 s"):
        bob.decrypt(late[1], now=NOW + 60)


def test_late_message_tells_its_sender_as_of_its_epoch() -> None:
    members = grow(2)
    carol = add(members[0], members[1:], "carol")
    alice, bob = members
    late = carol.encrypt(b"late")
    before = bob.leaf_node(carol.own_leaf)
    assert before is not None
    pending = carol.commit(path=True, now=NOW)
    for member in members:
        member.process(pending.commit, now=NOW)
    carol.apply_pending()
    for reader in (bob, Group.load(alice.snapshot(), identity=BasicIdentity())):
        opened = reader.decrypt(late, now=NOW)
        assert (opened.sender, opened.epoch) == (carol.own_leaf, carol.epoch - 1)
        assert opened.credential == before.credential == Credential.basic(b"carol")
        assert opened.identity == reader.members[carol.own_leaf]
