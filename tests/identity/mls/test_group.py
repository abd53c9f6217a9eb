"""Own clients among themselves: every suite, every way in, every refusal."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from identity.mls import SUITES, BasicIdentity, CipherSuite, Credential, Group, Occasion, SlimIdentity, suite
from identity.mls.codec import opaque, vector
from identity.mls.commit import CommitApplied, Removed
from identity.mls.errors import KeyUnavailable, MlsError, StateError, ValidationError, VerificationError
from identity.mls.framing import PrivateMessage, decode_message
from identity.mls.group import ProposalReceived
from identity.mls.leaf_node import Extension, ExtensionType, LeafNode, RequiredCapabilities
from identity.mls.past_epochs import PAST_EPOCHS
from identity.mls.proposal import (
    Add,
    GroupContextExtensions,
    KeyPackage,
    PreSharedKey,
    PreSharedKeyId,
    PskType,
    ReInit,
    Remove,
    ResumptionUsage,
)
from identity.mls.slim_identity import token_credential
from identity.mls.welcome import LIFETIME, KeyPackageBundle, make_key_package
from tests.identity.mls.members import NOW, add, agree, found, grow, join, package, talk
from tests.identity.mls.support import WINDOW, TokenBook

every_suite = pytest.mark.parametrize("algorithms", SUITES.values(), ids=lambda s: f"suite{s.id}")


@every_suite
def test_members_come_and_go(algorithms: CipherSuite) -> None:
    members = grow(5, algorithms)
    agree(members)
    talk(members)
    gone = members.pop(2)
    pending = members[0].commit(remove=[gone.own_leaf], now=NOW)
    assert isinstance(gone.process(pending.commit, now=NOW), Removed)
    for member in members[1:]:
        member.process(pending.commit, now=NOW)
    members[0].apply_pending()
    members.append(add(members[3], members[:3], "back"))
    agree(members)
    talk(members)
    with pytest.raises(KeyUnavailable):
        gone.decrypt(members[0].encrypt(b"secret"))


def test_parameters_are_those_of_slim() -> None:
    alice = found()
    leaf = alice.leaf_node(0)
    assert leaf is not None
    assert leaf.capabilities.encode().hex() == "020001" + "0a" + "00010003000200070005" + "0000" + "020001"
    assert leaf.extensions == ()
    assert leaf.lifetime is not None
    assert leaf.lifetime.not_after - leaf.lifetime.not_before == LIFETIME == 31_536_000
    assert len(alice.group_id) == 32
    bundle = package("bob")
    assert bundle.message[:4] == b"\0\1\0\5"
    pending = alice.commit(add=[bundle.message], now=NOW)
    assert pending.commit[:4] == b"\0\1\0\1"
    assert pending.welcome is not None
    assert pending.welcome[:4] == b"\0\1\0\3"
    alice.apply_pending()
    assert alice.encrypt(b"")[:4] == b"\0\1\0\2"


def test_many_can_be_added_and_removed_at_once() -> None:
    alice = found()
    bundles = [package(f"m{number}") for number in range(6)]
    pending = alice.commit(add=[bundle.message for bundle in bundles], now=NOW)
    alice.apply_pending()
    others = [join(pending, bundle) for bundle in bundles]
    pending = alice.commit(remove=[2, 3, 6], add=[package("new").message], now=NOW)
    outcomes = [other.process(pending.commit, now=NOW) for other in others]
    assert [type(outcome) for outcome in outcomes].count(Removed) == 3
    effect = alice.apply_pending()
    assert (effect.removed, effect.added) == ((2, 3, 6), (2,))
    agree([alice, *(other for other in others if other.epoch == alice.epoch)])


@pytest.mark.parametrize("path", [False, True])
def test_joiner_of_a_commit_with_a_path_follows_the_next_one(path: bool) -> None:
    members = grow(3)
    for number in range(4):
        members.append(
            add(members[number], members[:number] + members[number + 1 :], f"n{number}", path=path)
        )
        agree(members)
    talk(members)


def test_update_proposals_of_others_are_committed() -> None:
    members = grow(4)
    for sender in members[1:]:
        message = sender.propose_update()
        for other in members:
            if other is not sender:
                assert isinstance(other.process(message, now=NOW), ProposalReceived)
    before = [members[0].leaf_node(member.own_leaf) for member in members]
    pending = members[0].commit(now=NOW)
    for member in members[1:]:
        effect = member.process(pending.commit, now=NOW)
        assert isinstance(effect, CommitApplied)
        assert sorted(effect.updated) == [1, 2, 3]
    members[0].apply_pending()
    agree(members)
    talk(members)
    assert all(members[0].leaf_node(m.own_leaf) != b for m, b in zip(members, before, strict=True))


def test_joiner_of_an_older_proposal_is_unknown_to_the_commit() -> None:
    alice, bob, carol = grow(3)
    message = bob.propose(Remove(carol.own_leaf), now=NOW)
    alice.process(message, now=NOW)
    pending = alice.commit(now=NOW)
    with pytest.raises(KeyUnavailable, match="refers to a proposal that has not arrived"):
        carol.process(pending.commit, now=NOW)
    carol.process(message, now=NOW)
    assert isinstance(carol.process(pending.commit, now=NOW), Removed)


def test_external_join_and_rejoin() -> None:
    members = grow(4)
    signer = suite(1).generate_signature_key(os.urandom)
    for name in ("eve", "member2"):
        signer = suite(1).generate_signature_key(os.urandom)
        joined, commit = Group.join_external(
            members[0].group_info(),
            signer,
            Credential.basic(name.encode()),
            identity=BasicIdentity(),
            now=NOW,
        )
        outcomes = [member.process(commit, now=NOW) for member in members]
        members = [m for m, out in zip(members, outcomes, strict=True) if not isinstance(out, Removed)]
        members.append(joined)
        agree(members)
        talk(members)
    assert len(members) == 5


def test_psks_are_taken_in_and_a_missing_one_is_an_error() -> None:
    psk = PreSharedKeyId(PskType.EXTERNAL, bytes(32), b"name")
    alice = found()
    bob = add(alice, [], "bob")
    alice._psks = bob._psks = {psk: b"the key"}.get  # type: ignore[assignment]
    pending = alice.commit(proposals=[PreSharedKey(psk)], now=NOW)
    bob._psks = lambda _: None
    before = bob.snapshot()
    with pytest.raises(KeyUnavailable, match="pre-shared key"):
        bob.process(pending.commit, now=NOW)
    bob._psks = lambda _: b"another key"
    with pytest.raises(VerificationError, match="confirmation tag"):
        bob.process(pending.commit, now=NOW)
    assert bob.snapshot() == before
    bob._psks = {psk: b"the key"}.get  # type: ignore[assignment]
    bob.process(pending.commit, now=NOW)
    alice.apply_pending()
    agree([alice, bob])


def test_resumption_psk_of_a_past_epoch_is_known_to_its_members() -> None:
    members = grow(3)
    psk = PreSharedKeyId(
        PskType.RESUMPTION, bytes(32), b"", ResumptionUsage.APPLICATION, members[0].group_id, members[0].epoch
    )
    pending = members[0].commit(proposals=[PreSharedKey(psk)], path=True, now=NOW)
    for member in members[1:]:
        member.process(pending.commit, now=NOW)
    members[0].apply_pending()
    agree(members)
    assert len({bytes(member.resumption_psk(psk.epoch)) for member in members}) == 1


def test_reinit_ends_the_group() -> None:
    alice, bob = grow(2)
    reinit = ReInit(b"next", 1, 2, ())
    pending = alice.commit(proposals=[reinit], now=NOW)
    bob.process(pending.commit, now=NOW)
    alice.apply_pending()
    assert alice.reinit == bob.reinit == reinit
    for refused in (lambda: alice.encrypt(b""), lambda: alice.commit(now=NOW), alice.propose_update):
        with pytest.raises(StateError, match="ReInit has ended"):
            refused()  # type: ignore[operator]


def test_group_context_extensions_change_and_external_senders_propose() -> None:
    alice, bob = grow(2)
    outside = suite(1).generate_signature_key(os.urandom)
    senders = vector([opaque(outside.public) + Credential.basic(b"outside").encode()])
    extension = Extension(ExtensionType.EXTERNAL_SENDERS, senders)
    pending = alice.commit(proposals=[GroupContextExtensions((extension,))], now=NOW)
    bob.process(pending.commit, now=NOW)
    alice.apply_pending()
    assert alice.extensions == bob.extensions == (extension,)
    agree([alice, bob])


def test_extension_that_a_member_does_not_know_is_refused() -> None:
    alice, _ = grow(2)
    for extension in (
        Extension(0x0A0B, b""),
        Extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((0x0A0B,), (), ()).encode()),
    ):
        with pytest.raises(ValidationError, match="required_capabilities"):
            alice.commit(proposals=[GroupContextExtensions((extension,))], now=NOW)


def bad_package(change: str) -> bytes:
    bundle = package("bob")
    data = bytearray(bundle.message)
    leaf = bundle.key_package.leaf_node
    match change:
        case "leaf signature":
            data[data.index(leaf.signature)] ^= 1
        case "package signature":
            data[-1] ^= 1
        case "credential":
            data[data.index(b"bob")] ^= 1
        case "suite":
            data[7] = 2
        case "version":
            data[5] = 2
    return bytes(data)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("leaf signature", "key_package_signature"),
        ("package signature", "key_package_signature"),
        ("credential", "key_package_signature"),
        ("suite", "key_package_parameters"),
        ("version", "key_package_parameters"),
    ],
)
def test_bad_key_package_is_refused(change: str, rule: str) -> None:
    alice = found()
    before = alice.snapshot()
    with pytest.raises(ValidationError, match=rule):
        alice.commit(add=[bad_package(change)], now=NOW)
    assert alice.snapshot() == before
    assert alice.pending is None


def test_key_package_outside_its_lifetime_is_not_added() -> None:
    alice, late = found(), package("bob").message
    for now in (NOW + LIFETIME, NOW - 4000):
        with pytest.raises(ValidationError, match="lifetime"):
            alice.commit(add=[late], now=now)


def resigned(bundle: KeyPackageBundle, *, init_key: bytes) -> bytes:
    leaf = bundle.key_package.leaf_node
    made = KeyPackage.sign(suite(1), bundle.signer, init_key=init_key, leaf_node=leaf)
    return b"\0\1\0\5" + made.encode()


def test_init_key_that_is_the_encryption_key_is_refused() -> None:
    bundle = package("bob")
    with pytest.raises(ValidationError, match="init_key"):
        found().commit(add=[resigned(bundle, init_key=bundle.leaf_key.public)], now=NOW)


def test_lists_of_proposals_against_the_rules_are_refused() -> None:
    members = grow(3)
    alice = members[0]
    psk = PreSharedKey(PreSharedKeyId(PskType.EXTERNAL, bytes(32), b"name"))
    short = PreSharedKey(PreSharedKeyId(PskType.EXTERNAL, b"", b"name"))
    branch = PreSharedKeyId(PskType.RESUMPTION, bytes(32), b"", ResumptionUsage.BRANCH, b"g", 1)
    bob = package("bob")
    cases: list[tuple[str, Callable[[], object]]] = [
        ("removes_committer", lambda: alice.commit(remove=[0], now=NOW)),
        ("one_change_per_leaf", lambda: alice.commit(remove=[1, 1], now=NOW)),
        ("remove_blank", lambda: alice.commit(remove=[3], now=NOW)),
        ("remove_blank", lambda: alice.commit(remove=[99], now=NOW)),
        ("unique_identity", lambda: alice.commit(add=[package("member1").message], now=NOW)),
        ("unique_identity", lambda: alice.commit(add=[bob.message, package("bob").message], now=NOW)),
        ("unique_identity", lambda: alice.commit(add=[bob.message, bob.message], now=NOW)),
        ("distinct_psks", lambda: alice.commit(proposals=[psk, psk], now=NOW)),
        ("psk_nonce", lambda: alice.commit(proposals=[short], now=NOW)),
        ("psk_usage", lambda: alice.commit(proposals=[PreSharedKey(branch)], now=NOW)),
        (
            "one_group_context_extensions",
            lambda: alice.commit(proposals=[GroupContextExtensions(())] * 2, now=NOW),
        ),
        ("reinit_alone", lambda: alice.commit(proposals=[ReInit(b"", 1, 1, ()), psk], now=NOW)),
        ("message_kind", lambda: alice.commit(add=[alice.encrypt(b"")], now=NOW)),
    ]
    for rule, attempt in cases:
        with pytest.raises(ValidationError) as caught:
            attempt()
        assert caught.value.rule == rule
    agree(members)


def test_same_member_can_be_replaced_in_one_commit() -> None:
    alice, bob, carol = grow(3)
    bundle = package("member1")
    pending = alice.commit(remove=[1], add=[bundle.message], now=NOW)
    assert isinstance(bob.process(pending.commit, now=NOW), Removed)
    carol.process(pending.commit, now=NOW)
    alice.apply_pending()
    agree([alice, carol, join(pending, bundle)])


def test_stale_repeated_and_own_messages_are_refused() -> None:
    alice, bob = grow(2)
    pending = alice.commit(path=True, now=NOW)
    with pytest.raises(ValidationError, match="own_message"):
        alice.process(pending.commit, now=NOW)
    bob.process(pending.commit, now=NOW)
    with pytest.raises(ValidationError, match="handshake message of epoch 1 in epoch 2"):
        bob.process(pending.commit, now=NOW)
    with pytest.raises(ValidationError, match="own_message"):
        bob.decrypt(bob.encrypt(b""))
    stranger = found("stranger")
    with pytest.raises(ValidationError, match="another group"):
        bob.decrypt(stranger.encrypt(b""))


def test_pending_commit_yields_to_the_one_that_came_first() -> None:
    alice, bob = grow(2)
    bob.commit(path=True, now=NOW)
    with pytest.raises(StateError, match="apply or discard"):
        bob.commit(path=True, now=NOW)
    pending = alice.commit(path=True, now=NOW)
    bob.process(pending.commit, now=NOW)
    alice.apply_pending()
    assert bob.pending is None
    with pytest.raises(StateError, match="no commit is pending"):
        bob.apply_pending()
    agree([alice, bob])


def test_late_messages_of_the_last_epochs_are_read_and_older_ones_are_not() -> None:
    alice, bob = grow(2)
    late = []
    for _ in range(PAST_EPOCHS + 2):
        late.append(alice.encrypt(f"{alice.epoch}".encode()))
        bob.process(alice.commit(path=True, now=NOW).commit, now=NOW)
        alice.apply_pending()
    for message in late[-PAST_EPOCHS:]:
        opened = bob.decrypt(message)
        assert opened.plaintext == f"{opened.epoch}".encode()
    for message in late[:-PAST_EPOCHS]:
        with pytest.raises(KeyUnavailable, match="3 past ones are kept, for 600 s"):
            bob.decrypt(message)


def test_welcome_is_for_its_key_package_only() -> None:
    alice, bundle, other = found(), package("bob"), package("eve")
    pending = alice.commit(add=[bundle.message], now=NOW)
    with pytest.raises(KeyUnavailable, match="not for this key package"):
        join(pending, other)
    mixed = KeyPackageBundle(bundle.key_package, other.init_key, bundle.leaf_key, bundle.signer)
    with pytest.raises(StateError, match="not those of this key package"):
        join(pending, mixed)


def test_signatures_of_a_tree_are_checked_in_threads() -> None:
    alice = found()
    bundles = [package(f"m{number}") for number in range(70)]
    pending = alice.commit(add=[bundle.message for bundle in bundles], now=NOW)
    assert pending.welcome is not None
    with ThreadPoolExecutor(2) as pool:
        joined = Group.join(
            pending.welcome, bundles[5], identity=BasicIdentity(), now=NOW, verify_many=pool.map
        )
    assert len(joined.members) == 71
    with pytest.raises(ValidationError, match="leaf_signature"):
        Group.join(
            pending.welcome,
            bundles[5],
            identity=BasicIdentity(),
            now=NOW,
            verify_many=lambda _, items: [False for _ in items],
        )


def test_snapshot_goes_on_where_the_group_was() -> None:
    alice, bob, carol = grow(3)
    messages = [alice.encrypt(bytes([number])) for number in range(5)]
    bob.decrypt(messages[3])
    bob.process(alice.commit(path=True, now=NOW).commit, now=NOW)
    alice.apply_pending()
    update = bob.propose_update()
    saved = bob.snapshot()
    again = Group.load(saved, identity=BasicIdentity())
    assert again.snapshot() == saved
    assert again.decrypt(messages[1]).plaintext == b"\1"
    with pytest.raises(KeyUnavailable):
        again.decrypt(messages[3])
    alice.process(update, now=NOW)
    again.process(alice.commit(now=NOW).commit, now=NOW)
    alice.apply_pending()
    agree([alice, again])
    assert carol.epoch == 2
    with pytest.raises(MlsError):
        Group.load(saved[:-1], identity=BasicIdentity())


def test_restored_group_does_not_repeat_a_generation() -> None:
    alice, bob = grow(2)
    first = bob.decrypt(alice.encrypt(b"x"))
    again = Group.load(alice.snapshot(), identity=BasicIdentity())
    assert bob.decrypt(again.encrypt(b"y")).generation == first.generation + 1


def test_exported_secrets_agree_and_depend_on_label_and_context() -> None:
    alice, bob = grow(2)
    assert alice.export(b"label", b"context", 40) == bob.export(b"label", b"context", 40)
    assert alice.export(b"label", b"context", 40) != bob.export(b"label", b"other", 40)
    assert len(alice.export(b"label", b"", 40)) == 40


def test_nothing_secret_is_shown() -> None:
    alice, bob = grow(2)
    pending = alice.commit(add=[package("x").message], now=NOW)
    opened = bob.decrypt(alice.encrypt(b"the plaintext"))
    shown = f"{alice!r} {pending!r} {opened!r} {alice._state.secrets!r} {alice.snapshot()!r}"
    assert "the plaintext" not in shown
    assert bytes(alice.epoch_authenticator).hex() not in shown
    assert str(bytes(alice.epoch_authenticator)) not in shown


class Moderator:
    """A group whose members are known by tokens."""

    def __init__(self) -> None:
        self.book = TokenBook()
        self.identity = SlimIdentity(self.book)
        self.signer = suite(1).generate_signature_key(os.urandom)
        token = self.book.token("alice", self.signer.public, NOW)
        self.group = Group.create(
            suite(1), self.signer, token_credential(token), identity=self.identity, now=NOW
        )

    def package(self, name: str, now: float) -> KeyPackageBundle:
        signer = suite(1).generate_signature_key(os.urandom)
        token = token_credential(self.book.token(name, signer.public, now))
        return make_key_package(suite(1), signer, token, random=os.urandom, now=now)

    def add(self, name: str, now: float, **options: object) -> tuple[Group, bytes]:
        bundle = self.package(name, now)
        pending = self.group.commit(add=[bundle.message], now=now, **options)  # type: ignore[arg-type]
        self.group.apply_pending()
        assert pending.welcome is not None
        return Group.join(pending.welcome, bundle, identity=self.identity, now=now), pending.commit


def test_credential_is_renewed_with_an_add_under_the_same_key() -> None:
    alice = Moderator()
    bob, _ = alice.add("bob", NOW)
    later = NOW + WINDOW + 1
    renewed = token_credential(alice.book.token("alice", alice.signer.public, later))
    carol, commit = alice.add("carol", later, credential=renewed)
    bob.process(commit, now=later)
    agree([alice.group, bob, carol])
    leaf = bob.leaf_node(0)
    assert leaf is not None
    assert (leaf.credential, leaf.signature_key) == (renewed, alice.signer.public)
    assert bob.members == {0: b"alice", 1: b"bob", 2: b"carol"}


def test_old_members_do_not_keep_new_ones_out_but_an_old_committer_must_renew() -> None:
    alice = Moderator()
    alice.add("bob", NOW)
    later = NOW + 10 * WINDOW
    carol, _ = alice.add("carol", later)
    agree([alice.group, carol])
    with pytest.raises(ValidationError, match="credential"):
        alice.group.commit(remove=[1], now=later)
    renewed = token_credential(alice.book.token("alice", alice.signer.public, later))
    carol.process(alice.group.commit(remove=[1], credential=renewed, now=later).commit, now=later)


def test_credential_of_another_subject_or_key_is_no_renewal() -> None:
    alice = Moderator()
    alice.add("bob", NOW)
    other = suite(1).generate_signature_key(os.urandom)
    for subject, public in (("mallory", alice.signer.public), ("alice", other.public)):
        renewed = token_credential(alice.book.token(subject, public, NOW))
        with pytest.raises(ValidationError, match=r"successor|another signature key"):
            alice.group.commit(credential=renewed, now=NOW)


def test_two_members_with_one_subject_are_refused() -> None:
    alice = Moderator()
    alice.add("bob", NOW)
    with pytest.raises(ValidationError, match="unique_identity"):
        alice.add("bob", NOW)


def test_verifier_that_would_block_leaves_the_group_as_it_was() -> None:
    class Blocking(BasicIdentity):
        ready = False

        def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
            if not self.ready and leaf.credential.data == b"new":
                raise BlockingIOError
            return super().identify(leaf, occasion, now)

    alice, bob = grow(2)
    policy = bob._identity = Blocking()
    pending = alice.commit(add=[package("new").message], now=NOW)
    before = bob.snapshot()
    with pytest.raises(BlockingIOError):
        bob.process(pending.commit, now=NOW)
    assert bob.snapshot() == before
    policy.ready = True
    bob.process(pending.commit, now=NOW)


def test_application_data_is_not_mistaken_for_a_handshake() -> None:
    alice, bob = grow(2)
    commit = alice.commit(path=True, now=NOW).commit
    with pytest.raises(ValidationError, match="PublicMessage where application data is due"):
        bob.decrypt(commit)
    message = alice.encrypt(b"x")
    assert isinstance(decode_message(message), PrivateMessage)
    assert bob.process(message, now=NOW).plaintext == b"x"  # type: ignore[union-attr]
    for bundle in (package("c").message, alice.group_info()):
        with pytest.raises(ValidationError, match="not for a group's members"):
            bob.process(bundle, now=NOW)


def test_only_proposals_that_a_sender_may_make_are_kept() -> None:
    alice, bob = grow(2)
    received = bob.process(alice.propose(Add(package("c").key_package), now=NOW), now=NOW)
    assert isinstance(received, ProposalReceived)
    assert received.sender.index == 0
    pending = bob.commit(now=NOW)
    assert pending.effect.added == (2,)
