"""What sessions do with encryption, shown with one that can be read (`session.md` 11, 14)."""

from __future__ import annotations

import json

from actors.messages.session import CredentialGranted, EpochChanged
from actors.messages.wire import (
    GroupAdd,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    MessageType,
    MlsPayload,
    SessionMessage,
)
from actors.names import Name
from actors.session.encryption import CREDENTIAL_PATIENCE
from identity.errors import CryptoError
from tests.actors.session.stage import GROUP, ROOM, Player, Stage, group, make_group, make_pair


def epochs(*players: Player) -> list[int]:
    return [player.crypto.current for player in players if player.crypto is not None]


def test_point_to_point(stage: Stage) -> None:
    alice, bob = make_pair(stage, mls=True)
    assert alice.sent[1].content == JoinRequest(True, alice.sent[1].content.timer_settings, None)  # type: ignore[union-attr]
    reply = bob.sent[1].content
    assert isinstance(reply, JoinReply)
    assert reply.key_package is not None
    welcome = alice.sent[2].content
    assert isinstance(welcome, GroupWelcome)
    assert welcome.mls is not None
    assert welcome.mls.commit_id == 1
    alice.publish(b"secret", handle=5)
    assert b"secret" not in alice.sent[-1].content.blob  # type: ignore[union-attr]
    stage.transfer()
    assert bob.blobs == [b"secret"]
    assert 5 in alice.done


def test_what_was_published_early_is_encrypted_for_the_members(stage: Stage) -> None:
    bob = stage.player("bob", mls=True)
    alice = stage.player("alice", mls=True).create(ROOM, group(mls=True))
    alice.publish(b"1", b"2", handle=5)
    alice.invite(bob.name)
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]
    assert json.loads(alice.sent[-1].content.blob)[0] == 1  # type: ignore[union-attr]


def test_commit_ids_count_every_commit(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol", mls=True)
    alice.remove(carol.name)
    stage.transfer()
    mls = [
        (m.kind.name, m.content.mls.commit_id)
        for m in alice.sent
        if isinstance(m.content, GroupWelcome | GroupAdd | GroupRemove) and m.content.mls is not None
    ]
    assert mls == [("GROUP_WELCOME", 1), ("GROUP_ADD", 2), ("GROUP_WELCOME", 2), ("GROUP_REMOVE", 3)]
    assert epochs(alice, bob) == [3, 3]
    assert [c.epoch for c in bob.changes if isinstance(c, EpochChanged)] == [1, 2, 3]
    assert alice.crypto is not None
    assert bob.crypto is not None
    assert alice.crypto.fingerprint == bob.crypto.fingerprint


def test_a_duplicate_is_acknowledged_without_being_decrypted(stage: Stage) -> None:
    alice, bob = make_pair(stage, mls=True)
    stage.lose(MessageType.MSG_ACK)
    alice.publish(b"x", handle=5)
    stage.transfer()
    stage.advance(1)
    assert bob.blobs == [b"x"]
    assert 5 in alice.done
    assert bob.core is not None
    assert bob.core.figures()["undecryptable"] == 0


def test_a_retransmission_is_decrypted(stage: Stage) -> None:
    alice, bob = make_pair(stage, mls=True)
    stage.lose(MessageType.MSG, message_id=1)
    alice.publish(b"1", b"2")
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]


def test_a_message_of_an_epoch_to_come_is_kept_by_its_sender(stage: Stage) -> None:
    alice, bob, _ = make_group(stage, "bob", "carol", mls=True)
    dave = stage.player("dave", mls=True)
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_ADD and to is bob
    alice.invite(dave.name, handle=20)
    stage.transfer()
    alice.publish(b"new epoch", handle=5)
    stage.transfer()
    assert bob.blobs == []
    stage.drop = lambda message, to: False
    stage.advance(1.1)
    assert {5, 20} <= set(alice.done)
    assert bob.blobs == [b"new epoch"]


def test_copies_of_commits_are_acknowledged_and_not_applied(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol", mls=True)
    add = next(m for m in alice.sent if m.kind is MessageType.GROUP_ADD)
    for copy in (add, add._replace(message_id=5)):
        bob.receive(copy._replace(connection=1))
        assert bob.sent[-1].kind is MessageType.GROUP_ACK
        assert bob.sent[-1].message_id == copy.message_id
    carol.receive(add._replace(connection=1))
    assert carol.kinds()[-1] == "GROUP_ACK"
    assert epochs(alice, bob, carol) == [2, 2, 2]


def test_a_refused_commit_is_not_acknowledged_and_may_come_again(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob", mls=True)
    carol = stage.player("carol", mls=True)
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_ADD
    alice.invite(carol.name)
    stage.transfer()
    add = next(m for m in alice.sent if m.kind is MessageType.GROUP_ADD)
    assert isinstance(add.content, GroupAdd)
    assert add.content.mls is not None
    forged = add.content._replace(mls=add.content.mls._replace(content=b'[9, "add", "x"]'))
    sent = len(bob.sent)
    bob.receive(add._replace(content=forged, connection=1))
    assert len(bob.sent) == sent
    bob.receive(add._replace(connection=1))
    assert bob.kinds()[-1] == "GROUP_ACK"
    assert epochs(alice, bob) == [2, 2]


def test_a_member_that_missed_a_commit_for_good_is_taken_out(stage: Stage) -> None:
    alice, bob, carol = make_group(stage, "bob", "carol", mls=True)
    dave = stage.player("dave", mls=True)
    stage.drop = lambda message, to: message.kind is MessageType.GROUP_ADD and to is bob
    alice.invite(dave.name, handle=20)
    stage.transfer()
    stage.advance(8)
    assert 20 in alice.done  # dave is welcome, whoever missed that
    assert "missed a change" in str(alice.errors[0])
    assert alice.members == carol.members == dave.members
    assert epochs(alice, carol, dave) == [4, 4, 4]
    alice.publish(b"x", handle=5)
    stage.transfer()
    assert 5 in alice.done


def test_a_bad_welcome_is_not_acknowledged(stage: Stage) -> None:
    bob = stage.player("bob", mls=True)
    alice = stage.player("alice", mls=True).create(ROOM, group(0.5, 1, mls=True))
    stage.drop = lambda message, to: spoil(bob)
    alice.invite(bob.name, handle=5)
    stage.transfer()
    stage.advance(2)
    assert [failure.handle for failure in alice.failed] == [5]
    assert bob.joined == 0


def spoil(player: Player) -> bool:
    """Make that player's library refuse every Welcome."""

    def join(welcome: bytes, moderator: Name, subject: str | None) -> None:
        raise CryptoError("no")

    if player.crypto is not None:
        player.crypto.join = join  # type: ignore[method-assign]
    return False


def test_without_mls_an_invitation_that_asks_for_it_is_refused(stage: Stage) -> None:
    bob = stage.player("bob", mls=False)
    stage.player("alice", mls=True).create(ROOM, group(mls=True)).invite(bob.name)
    stage.transfer()
    assert "asks for MLS" in bob.refused[0]
    assert bob.core is None


def test_no_credential_no_join(stage: Stage) -> None:
    bob = stage.player("bob", mls=True)
    alice = stage.player("alice", mls=True)
    alice.create(ROOM, group(mls=True))
    original = alice._perform
    alice._perform = lambda effects: original(  # type: ignore[method-assign]
        [effect for effect in effects if type(effect).__name__ != "CredentialWanted"]
    )
    alice.invite(bob.name, handle=5)
    stage.transfer()
    stage.advance(CREDENTIAL_PATIENCE - 1)
    assert not alice.failed
    stage.advance(2)
    assert "no credential for MLS" in str(alice.failed[0].error)


def test_a_refused_credential_fails_the_invitation(stage: Stage) -> None:
    bob = stage.player("bob", mls=True)
    alice = stage.player("alice", mls=True)
    original = alice.event
    alice.event = lambda event: original(  # type: ignore[method-assign]
        CredentialGranted(error=CryptoError("the provider cannot"))
        if isinstance(event, CredentialGranted)
        else event
    )
    alice.create(ROOM, group(mls=True))
    alice.invite(bob.name, handle=5)
    stage.transfer()
    assert "the provider cannot" in str(alice.failed[0].error)


def test_the_token_of_a_credential_is_not_shown() -> None:
    assert "secret" not in repr(CredentialGranted("secret"))


def test_secrets_are_forgotten_with_the_session(stage: Stage) -> None:
    alice, bob = make_pair(stage, mls=True)
    alice.close()
    stage.transfer()
    assert alice.crypto is not None
    assert bob.crypto is not None
    assert alice.crypto.closed
    assert bob.crypto.closed


def test_a_commit_ahead_of_its_turn_changes_nothing_and_keeps_no_place(stage: Stage) -> None:
    alice, bob = make_group(stage, "bob", mls=True)
    carol, dave = (stage.player(name, mls=True) for name in ("carol", "dave"))
    before, sent = bob.members, len(bob.sent)
    ahead = MlsPayload(3, b"garbage")
    forged = SessionMessage(
        alice.name, ROOM, GROUP, MessageType.GROUP_ADD, 7, 77, GroupAdd(dave.name, (), ahead), connection=1
    )
    bob.receive(forged)
    assert (bob.members, len(bob.sent)) == (before, sent)
    for number, player in enumerate((carol, dave)):
        alice.invite(player.name, handle=20 + number)
        stage.transfer()
        assert 20 + number in alice.done
    assert bob.members == alice.members == dave.members
    assert epochs(alice, bob, carol, dave) == [3, 3, 3, 3]
