"""Sessions with real MLS, back to back (`session.md` 11, 14)."""

from __future__ import annotations

from typing import Any

import pytest

from actors.messages.session import CredentialGranted, EpochChanged
from actors.messages.wire import (
    GroupAdd,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    MessageType,
    Payload,
)
from actors.session import mls_session
from actors.session.crypto import ClearText, KeysWanted
from actors.session.mls_session import fingerprint
from identity.errors import AuthError, ConfigError, CryptoError
from identity.mls import DecodeError, KeyUnavailable
from identity.mls.framing import PrivateMessage, PublicMessage, decode_message
from identity.mls.messages import Commit, Welcome
from identity.mls.proposal import Add, KeyPackage, Remove
from identity.shared_secret import SharedSecretVerifier
from tests.actors.session.mls_stage import (
    EPOCH,
    SECRET,
    Forgetful,
    MlsPlayer,
    MlsStage,
    mls_group,
    mls_pair,
    pubkey,
    run,
)
from tests.actors.session.stage import ROOM, group


@pytest.fixture
def stage() -> MlsStage:
    return MlsStage()


def payload(message: Any) -> bytes:
    assert isinstance(message.content, Payload)
    return message.content.blob


def contents(player: MlsPlayer, kind: type) -> list[Any]:
    return [message.content for message in player.sent if isinstance(message.content, kind)]


def agree(*players: MlsPlayer) -> None:
    assert len({(player.mls.epoch, player.mls.fingerprint) for player in players}) == 1


# What travels


def test_point_to_point_is_a_group_of_two(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    alice.publish(b"secret", handle=5)
    bob.publish(b"reply", handle=6)
    stage.transfer()
    assert (bob.blobs, alice.blobs) == ([b"secret"], [b"reply"])
    assert 5 in alice.done
    assert 6 in bob.done
    agree(alice, bob)
    assert alice.mls.epoch == 1


def test_handshakes_are_what_slim_sends(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    alice.remove(carol.name.without_id())
    stage.transfer()
    [reply] = contents(bob, JoinReply)
    package = decode_message(reply.key_package)
    assert isinstance(package, KeyPackage)
    assert package.cipher_suite == 1
    assert package.leaf_node.signature_key == pubkey(package.leaf_node.credential.data.decode())
    assert [w.mls.commit_id for w in contents(alice, GroupWelcome)] == [1, 2]
    for welcome in contents(alice, GroupWelcome):
        decoded = decode_message(welcome.mls.content)
        assert isinstance(decoded, Welcome)
        assert len(decoded.secrets) == 1
    [added], [removed] = contents(alice, GroupAdd), contents(alice, GroupRemove)
    for change, kind, has_path, number in ((added, Add, False, 2), (removed, Remove, True, 3)):
        assert change.mls.commit_id == number
        message = decode_message(change.mls.content)
        assert isinstance(message, PublicMessage)
        framed = message.content.content
        assert framed.authenticated_data == b""
        assert isinstance(framed.body, Commit)
        assert [type(proposal) for proposal in framed.body.proposals] == [kind]
        assert (framed.body.path is not None) is has_path


def test_a_message_is_a_padded_private_message_of_its_epoch(stage: MlsStage) -> None:
    alice, _bob = mls_pair(stage)
    for size in (1, 10, 20):
        alice.publish(b"x" * size)
    blobs = [payload(message) for message in alice.sent if message.kind is MessageType.MSG]
    assert len({len(blob) for blob in blobs}) == 1
    decoded = decode_message(blobs[0])
    assert isinstance(decoded, PrivateMessage)
    assert (decoded.epoch, decoded.authenticated_data) == (1, b"")


def test_every_session_has_its_own_key(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    alice.close()
    stage.transfer()
    alice.create(bob.name.without_id(), group(mls=True)._replace(session_type=alice.core.config.session_type))  # type: ignore[union-attr]
    stage.transfer()
    assert len(alice.tokens) == len(bob.tokens) == 2
    assert len({claims["pubkey"] for claims in [*alice.tokens, *bob.tokens]}) == 4


def test_what_was_published_early_is_for_the_first_member(stage: MlsStage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.create(ROOM, group(mls=True))
    alice.publish(b"1", b"2", handle=5)
    assert not [message for message in alice.sent if message.kind is MessageType.MSG]
    alice.invite(bob.name.without_id())
    stage.transfer()
    assert bob.blobs == [b"1", b"2"]


# Losses


def test_a_duplicate_is_acknowledged_and_a_retransmission_decrypted(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    stage.lose(MessageType.MSG_ACK)
    alice.publish(b"1", handle=5)
    stage.transfer()
    stage.advance(1)
    stage.lose(MessageType.MSG, message_id=2)
    alice.publish(b"2", b"3")
    stage.transfer()
    assert bob.blobs == [b"1", b"2", b"3"]
    assert 5 in alice.done
    assert bob.core is not None
    assert bob.core.figures()["undecryptable"] == 0


def test_a_lost_message_can_be_read_many_epochs_later(stage: MlsStage) -> None:
    alice, bob = mls_group(stage, "bob")
    stage.lose(MessageType.MSG)
    alice.publish(b"of epoch 1", handle=5)
    stage.transfer()
    for number in range(8):
        alice.invite(stage.player(f"guest{number}").name.without_id(), handle=20 + number)
        stage.transfer()
    assert bob.mls.epoch == 9
    stage.advance(2)
    assert bob.blobs == [b"of epoch 1"]


def test_a_message_from_before_its_time_does_not_hold_up_a_new_member(stage: MlsStage) -> None:
    alice, bob = mls_group(stage, "bob")
    carol = stage.player("carol")
    stage.drop = lambda message, to: to is bob and message.kind is MessageType.GROUP_ADD
    alice.invite(carol.name.without_id(), handle=20)
    stage.transfer()
    bob.publish(b"of epoch 1")
    stage.transfer()
    stage.drop = lambda message, to: False
    stage.advance(2)
    bob.publish(b"of epoch 2", handle=5)
    stage.transfer()
    assert carol.blobs == [b"of epoch 2"]
    assert 5 in bob.done


# Who reads what


def test_the_removed_reads_nothing_more(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    key = carol.mls._group
    assert key is not None
    alice.remove(carol.name.without_id())
    stage.transfer()
    alice.publish(b"without her")
    stage.transfer()
    assert (bob.blobs, carol.blobs) == ([b"without her"], [])
    blob = payload(next(m for m in reversed(alice.sent) if m.kind is MessageType.MSG))
    with pytest.raises(CryptoError, match="not in a group"):
        carol.opens(blob, alice.name)
    with pytest.raises(KeyUnavailable):
        key.decrypt(blob)
    agree(alice, bob)


def test_a_message_in_another_members_name_is_refused_by_the_moderator(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    with pytest.raises(CryptoError, match="another member wrote"):
        alice.opens(carol.mls.encrypt(b"I am bob"), bob.name)
    assert alice.opens(carol.mls.encrypt(b"I am carol"), carol.name) == b"I am carol"


def test_clear_text_is_refused_once_loudly_and_never_acknowledged(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    for number in (1, 2):
        message = next(m for m in alice.sent if m.kind is MessageType.GROUP_WELCOME)
        before = len(bob.sent)
        bob.receive(
            message._replace(
                kind=MessageType.MSG, message_id=number, content=Payload("msg", b"hello"), connection=1
            )
        )
        assert len(bob.sent) == before
    assert bob.blobs == []
    [complaint] = bob.refused
    assert "clear text" in complaint
    with pytest.raises(ClearText, match="upgrade it"):
        bob.opens(b"hello", alice.name)


def test_who_wrote_clear_text_and_went_is_forgotten(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    message = next(m for m in alice.sent if m.kind is MessageType.GROUP_WELCOME)._replace(
        source=carol.name, kind=MessageType.MSG, message_id=1, content=Payload("msg", b"hello"), connection=1
    )
    for player in (alice, bob):
        player.receive(message._replace(destination=player.name))
        assert player.complained_of == {carol.name}
    alice.remove(carol.name.without_id())
    stage.transfer()
    assert (
        alice.core._conversation.encryption._clear_text
        == bob.core._conversation.encryption._clear_text
        == set()
    )


def test_only_the_moderator_commits(stage: MlsStage) -> None:
    _, bob, carol = mls_group(stage, "bob", "carol")
    mutiny = carol.mls._group
    assert mutiny is not None
    pending = mutiny.commit(now=EPOCH + stage.now, remove=[0])
    with pytest.raises(CryptoError, match="not the moderator's"):
        bob.mls.process(pending.commit)
    with pytest.raises(CryptoError, match="no PublicMessage"):
        bob.mls.process(carol.mls.encrypt(b"x"))
    with pytest.raises(CryptoError, match="no commit"):
        bob.mls.process(_proposal_of_the_moderator(stage))
    with pytest.raises(DecodeError):
        bob.mls.process(b"\x00\x01")


def _proposal_of_the_moderator(stage: MlsStage) -> bytes:
    alice = stage.players[0]
    assert isinstance(alice, MlsPlayer)
    assert alice.mls._group is not None
    return alice.mls._group.propose(Remove(1), now=alice.mls._wall())


def test_a_key_package_is_used_once(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    [welcome] = contents(alice, GroupWelcome)
    with pytest.raises(CryptoError, match="no key package"):
        run(bob.mls.join(welcome.mls.content, alice.name))


# Credentials and their time


def test_the_moderator_renews_its_credential_after_half_its_life(stage: MlsStage) -> None:
    alice, bob = mls_group(stage, "bob")
    carol, dave = stage.player("carol"), stage.player("dave")
    stage.now += 1790
    alice.invite(carol.name.without_id(), handle=20)
    stage.transfer()
    assert len(alice.tokens) == 1
    stage.now += 20
    alice.invite(dave.name.without_id(), handle=21)
    stage.transfer()
    assert {20, 21} <= set(alice.done)
    assert len(alice.tokens) == 2
    assert alice.tokens[0] == alice.tokens[1]
    message = decode_message(contents(alice, GroupAdd)[-1].mls.content)
    assert isinstance(message, PublicMessage)
    body = message.content.content.body
    assert isinstance(body, Commit)
    assert body.path is not None
    renewed = int(body.path.leaf_node.credential.data.decode().split(":")[1])
    assert renewed == int(EPOCH + stage.now)
    agree(alice, bob, carol, dave)
    alice.remove(carol.name.without_id(), handle=22)
    stage.transfer()
    assert len(alice.tokens) == 2
    agree(alice, bob, dave)


def test_a_renewal_that_fails_keeps_nobody_out(stage: MlsStage) -> None:
    alice, _bob = mls_group(stage, "bob")
    original = alice.event
    alice.event = lambda event: original(  # type: ignore[method-assign]
        CredentialGranted(error=AuthError("the issuer is away"))
        if isinstance(event, CredentialGranted)
        else event
    )
    stage.now += 2000
    alice.invite(stage.player("carol").name.without_id(), handle=20)
    stage.transfer()
    assert 20 in alice.done
    assert "the old one must do" in alice.refused[-1]


def test_members_whose_tokens_ran_out_stay_members(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    stage.now += 4000
    late = stage.player("late")
    alice.invite(late.name.without_id(), handle=20)
    alice.remove(carol.name.without_id(), handle=21)
    stage.transfer()
    assert {20, 21} <= set(alice.done)
    agree(alice, bob, late)


def test_a_path_under_the_old_credential_is_followed_when_its_token_ran_out(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    alice.mls._renew_at = float("inf")
    stage.now += 4000
    alice.remove(carol.name.without_id(), handle=21)
    stage.transfer()
    assert 21 in alice.done
    agree(alice, bob)


def test_an_expired_token_does_not_enter(stage: MlsStage) -> None:
    alice, bob = mls_group(stage, "bob")
    late = stage.player("late")
    late.token = lambda claims: MlsPlayer._token(late, claims).replace(str(int(EPOCH + stage.now)), "1")
    alice.invite(late.name.without_id(), handle=20)
    stage.transfer()
    [failure] = alice.failed
    assert "the token of 'org/default/late_1002'" in str(failure.error)
    assert "is refused: " in str(failure.error)
    agree(alice, bob)


def test_a_provider_that_cannot_carry_the_key_says_so_itself(stage: MlsStage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    original = alice.event
    cannot = ConfigError("a static JWT cannot carry the MLS key: use SharedSecret, Jwt or Spire")
    alice.event = lambda event: original(  # type: ignore[method-assign]
        CredentialGranted(error=cannot) if isinstance(event, CredentialGranted) else event
    )
    alice.create(ROOM, group(mls=True))
    alice.invite(bob.name.without_id(), handle=5)
    stage.transfer()
    assert [failure.error for failure in alice.failed] == [cannot]


# Keys that must be fetched first


def forget(player: MlsPlayer) -> Forgetful:
    verifier = Forgetful(SharedSecretVerifier("app", SECRET))
    player.verifier, player.verify = verifier, verifier.learn
    return verifier


def test_keys_of_credentials_are_fetched_outside(stage: MlsStage) -> None:
    names = ("bob", "carol", "dave")
    alice = stage.player("alice")
    others = [stage.player(name) for name in names]
    verifiers = [forget(player) for player in (alice, *others)]
    alice.create(ROOM, group(mls=True))
    for number, player in enumerate(others):
        alice.invite(player.name.without_id(), handle=10 + number)
        stage.transfer()
    alice.remove(others[0].name.without_id(), handle=20)
    stage.transfer()
    assert {10, 11, 12, 20} <= set(alice.done)
    agree(alice, *others[1:])
    # Dave met three members and himself in the tree: one question for all of them.
    assert verifiers[-1].asked == 1
    assert not alice.refused
    assert not others[1].refused


def test_keys_that_never_come_fail_the_invitation(stage: MlsStage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.create(ROOM, group(mls=True))
    bob.verifier = Forgetful(SharedSecretVerifier("app", SECRET))
    alice.invite(bob.name.without_id(), handle=5)
    stage.transfer()
    assert bob.joined == 0
    assert any("not at hand" in reason for reason in bob.refused)
    stage.advance(10)
    assert [failure.handle for failure in alice.failed] == [5]


def test_the_tokens_that_are_looked_at_are_not_shown(stage: MlsStage) -> None:
    error = KeysWanted((("secret", 1.0),))
    assert "secret" not in repr(error) + str(error)


# Large groups


def test_large_groups_run_in_threads_and_end_the_same(
    stage: MlsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mls_session, "LARGE", 2)
    monkeypatch.setattr(mls_session, "LARGE_WELCOME", 1500)
    monkeypatch.setattr(mls_session, "BATCH", 2)
    alice, *others = mls_group(stage, "bob", "carol", "dave", "erin")
    agree(alice, *others)
    stage.now += 2000
    late = stage.player("late")
    alice.invite(late.name.without_id(), handle=20)
    stage.transfer()
    alice.remove(others[0].name.without_id(), handle=21)
    stage.transfer()
    assert {20, 21} <= set(alice.done)
    assert len(alice.tokens) == 2
    agree(alice, *others[1:], late)


def test_a_session_that_ends_meanwhile_takes_no_result(
    stage: MlsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mls_session, "LARGE", 1)
    alice, bob, carol = mls_group(stage, "bob", "carol")
    steps = alice.mls.remove(bob.name)
    next(steps)
    alice.mls.encrypt(b"meanwhile")
    alice.mls.close()
    next(steps)
    with pytest.raises(CryptoError, match="has ended"):
        next(steps)
    assert carol.mls.epoch == 2


# Watching


def test_epochs_are_told_with_members_cause_and_fingerprint(stage: MlsStage) -> None:
    alice, bob, carol = mls_group(stage, "bob", "carol")
    alice.remove(carol.name.without_id())
    stage.transfer()
    told = {
        player: [event for event in player.changes if isinstance(event, EpochChanged)]
        for player in (alice, bob)
    }
    assert [event.epoch for event in told[alice]] == [event.epoch for event in told[bob]] == [1, 2, 3]
    for mine, yours in zip(told[alice], told[bob], strict=True):
        assert mine.fingerprint == yours.fingerprint
        assert {str(name) for name in mine.members} == {str(name) for name in yours.members}
    assert told[alice][-1].cause == f"{carol.name} removed"
    assert len({event.fingerprint for event in told[alice]}) == 3


def test_a_fingerprint_is_forty_digits() -> None:
    shown = fingerprint(b"\x01" * 32)
    assert len(shown.split()) == 8
    assert all(len(part) == 5 and part.isdigit() for part in shown.split())
    assert shown != fingerprint(b"\x02" * 32)


def test_nothing_is_left_after_the_end(stage: MlsStage) -> None:
    alice, bob = mls_pair(stage)
    alice.close()
    stage.transfer()
    for player in (alice, bob):
        assert player.mls._group is None
        assert player.mls.epoch == 1
        with pytest.raises(CryptoError):
            player.mls.encrypt(b"x")
