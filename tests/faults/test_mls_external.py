"""What comes from outside a group, or leads into another one, is checked in full before it counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from identity.mls import (
    BasicIdentity,
    Credential,
    Group,
    KeyUnavailable,
    MlsError,
    Removed,
    SlimIdentity,
    ValidationError,
    suite,
    validation,
)
from identity.mls.authentication_service import Occasion
from identity.mls.external_senders import ExternalSender, external_senders_extension
from identity.mls.framing import (
    AuthenticatedContent,
    FramedContent,
    PublicMessage,
    Sender,
    SenderType,
    WireFormat,
    decode_message,
    encode_message,
)
from identity.mls.group import ProposalReceived
from identity.mls.leaf_node import (
    Extension,
    Extensions,
    ExtensionType,
    LeafNode,
    LeafNodeSource,
    leaf_position,
)
from identity.mls.messages import Commit, GroupInfo, UpdatePath
from identity.mls.proposal import (
    GroupContextExtensions,
    PreSharedKey,
    PreSharedKeyId,
    PskType,
    ReInit,
    Remove,
    ResumptionUsage,
)
from identity.mls.signatures import SignatureKey
from tests.identity.mls.members import NOW, agree, found, grow, package, talk

SUITE = suite(1)


class Suspicious(BasicIdentity):
    """Believes no leaf that enters, and no external sender."""

    def __init__(self) -> None:
        self.judged: list[tuple[ExternalSender, Occasion]] = []

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        if occasion is Occasion.ENTERS:
            raise ValidationError("credential", "a credential that is not believed")
        return super().identify(leaf, occasion, now)

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        self.judged.append((sender, occasion))
        raise ValidationError("external_senders", "an external sender that is not believed")


class Rejoin:
    """Bob, of a group of four, joins anew by an external commit that removes his old leaf; and forgeries."""

    def __init__(self) -> None:
        self.alice, self.bob, self.carol, self.dave = grow(4)
        self.signer: SignatureKey = SUITE.generate_signature_key(os.urandom)
        self.joined, self.commit = Group.join_external(
            self.alice.group_info(),
            self.signer,
            Credential.basic(b"member1"),
            identity=BasicIdentity(),
            now=NOW,
        )
        message = decode_message(self.commit)
        assert isinstance(message, PublicMessage)
        self.content = message.content
        assert isinstance(self.content.content.body, Commit)
        self.body = self.content.content.body
        assert self.body.path is not None
        self.path = self.body.path

    def forged(self, body: Commit, tag: bytes | None = None) -> bytes:
        framed = FramedContent.build(
            group_id=self.bob.group_id,
            epoch=self.bob.epoch,
            sender=Sender(SenderType.NEW_MEMBER_COMMIT),
            body=body,
        )
        content = AuthenticatedContent.sign(
            SUITE, self.signer, WireFormat.PUBLIC_MESSAGE, framed, self.bob._state.context.encoded
        )
        tag = self.content.confirmation_tag if tag is None else tag
        return encode_message(PublicMessage(replace(content, confirmation_tag=tag), None))

    def with_path(self, path: UpdatePath) -> bytes:
        return self.forged(replace(self.body, path=path))

    def with_leaf(self, **changes: bytes) -> bytes:
        leaf = self.path.leaf_node
        signed = LeafNode.sign(
            SUITE,
            self.signer,
            encryption_key=changes.get("encryption_key", leaf.encryption_key),
            credential=leaf.credential,
            capabilities=leaf.capabilities,
            source=LeafNodeSource.COMMIT,
            parent_hash=changes.get("parent_hash", leaf.parent_hash),
            position=leaf_position(self.bob.group_id, self.joined.own_leaf),
        )
        return self.with_path(replace(self.path, leaf_node=signed))

    def old_key(self) -> bytes:
        leaf = self.bob.leaf_node(self.bob.own_leaf)
        assert leaf is not None
        return leaf.encryption_key


def test_member_is_told_that_it_rejoined_and_all_others_follow() -> None:
    scene = Rejoin()
    outcome = scene.bob.process(scene.commit, now=NOW)
    assert outcome == Removed(scene.alice.epoch + 1, scene.joined.own_leaf, external=True)
    for member in (scene.alice, scene.carol, scene.dave):
        member.process(scene.commit, now=NOW)
    agree([scene.alice, scene.carol, scene.dave, scene.joined])
    talk([scene.alice, scene.carol, scene.dave, scene.joined])


FORGERIES: dict[str, tuple[Callable[[Rejoin], bytes], str]] = {
    "parent hash": (lambda s: s.with_leaf(parent_hash=bytes(32)), "parent_hash"),
    "old key": (lambda s: s.with_leaf(encryption_key=s.old_key()), "new_encryption_key"),
    "path length": (lambda s: s.with_path(replace(s.path, nodes=s.path.nodes[1:])), "path_length"),
    "ciphertexts": (
        lambda s: s.with_path(
            replace(s.path, nodes=(replace(s.path.nodes[0], encrypted_path_secret=()), *s.path.nodes[1:]))
        ),
        "path_ciphertexts",
    ),
    "leaf signature": (
        lambda s: s.with_path(replace(s.path, leaf_node=package("x").key_package.leaf_node)),
        "signature of the message",
    ),
    "no path": (lambda s: s.forged(replace(s.body, path=None)), "cannot send"),
    "tag": (lambda s: s.forged(s.body, b""), "confirmation tag"),
}


@pytest.mark.parametrize("what", FORGERIES)
@pytest.mark.parametrize("victim", [1, 3])
def test_forged_external_commit_removes_nobody(what: str, victim: int) -> None:
    scene = Rejoin()
    make, refusal = FORGERIES[what]
    member = scene.bob if victim == 1 else scene.dave
    before = member.snapshot()
    with pytest.raises(MlsError, match=refusal):
        member.process(make(scene), now=NOW)
    assert member.snapshot() == before


def test_stranger_removes_nobody_under_its_own_name() -> None:
    class Liar(BasicIdentity):
        def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
            return super().identify(leaf, occasion, now).replace(b"mallory", b"member1")

    alice, bob, carol = grow(3)
    signer = SUITE.generate_signature_key(os.urandom)
    _, commit = Group.join_external(
        alice.group_info(), signer, Credential.basic(b"mallory"), identity=Liar(), now=NOW
    )
    for member in (alice, bob, carol):
        before = member.snapshot()
        with pytest.raises(ValidationError, match="external_remove"):
            member.process(commit, now=NOW)
        assert member.snapshot() == before


def test_stranger_whose_credential_is_refused_removes_nobody() -> None:
    scene = Rejoin()
    scene.bob._identity = Suspicious()
    before = scene.bob.snapshot()
    with pytest.raises(ValidationError, match="not believed"):
        scene.bob.process(scene.commit, now=NOW)
    assert scene.bob.snapshot() == before


def test_removal_by_a_member_is_checked_too() -> None:
    alice, bob, _ = grow(3)
    pending = alice.commit(remove=[1], now=NOW)
    bob._identity = Suspicious()
    with pytest.raises(ValidationError, match="not believed"):
        bob.process(pending.commit, now=NOW)
    bob._identity = BasicIdentity()
    assert bob.process(pending.commit, now=NOW) == Removed(alice.epoch + 1, 0)


# External senders


def sender(name: str = "outside") -> tuple[SignatureKey, ExternalSender]:
    signer = SUITE.generate_signature_key(os.urandom)
    return signer, ExternalSender(signer.public, Credential.basic(name.encode()))


MALFORMED: list[Extensions] = [
    (Extension(ExtensionType.EXTERNAL_SENDERS, data),)
    for data in (b"", b"\x05", b"\x01\x00", b"\x00\x00", b"\x06\x02ab\x00\x01\x09")
]
BAD_KEY: Extensions = (external_senders_extension(ExternalSender(b"no key", Credential.basic(b"x"))),)


def create(extensions: Extensions, identity: BasicIdentity | None = None) -> Group:
    return Group.create(
        SUITE,
        SUITE.generate_signature_key(os.urandom),
        Credential.basic(b"alice"),
        identity=identity or BasicIdentity(),
        now=NOW,
        extensions=extensions,
    )


def careless(monkeypatch: pytest.MonkeyPatch, extensions: Extensions) -> Group:
    """A group founded by one who checks nothing."""
    with monkeypatch.context() as nothing:
        for module in ("creation", "proposal_list"):
            nothing.setattr(f"identity.mls.{module}.accept_extensions", lambda *_, **__: None)
        return create(extensions)


@pytest.mark.parametrize("extensions", [*MALFORMED, BAD_KEY], ids=str)
def test_malformed_external_senders_are_refused_wherever_they_enter(
    extensions: Extensions, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = grow(2)
    change = GroupContextExtensions(extensions)
    group = careless(monkeypatch, extensions)
    bundle = package("bob")
    welcome = group.commit(add=[bundle.message], now=NOW).welcome
    assert welcome is not None
    message, _ = alice._propose(change)
    bob.process(message, now=NOW)
    signer = SUITE.generate_signature_key(os.urandom)
    me = Credential.basic(b"me")
    with monkeypatch.context() as nothing:
        nothing.setattr("identity.mls.proposal_list.accept_extensions", lambda *_, **__: None)
        commit = alice.commit(now=NOW)
    assert not commit.left_out
    attempts: list[Callable[[], object]] = [
        lambda: create(extensions),
        lambda: Group.join(welcome, bundle, identity=BasicIdentity(), now=NOW),
        lambda: Group.join_external(group.group_info(), signer, me, identity=BasicIdentity(), now=NOW),
        lambda: bob.propose(change, now=NOW),
        lambda: bob.commit(proposals=[change], now=NOW),
        lambda: bob.process(commit.commit, now=NOW),
    ]
    for attempt in attempts:
        with pytest.raises(ValidationError) as caught:
            attempt()
        assert caught.value.rule == "external_senders"
    assert bob.commit(now=NOW).left_out[0].error.rule == "external_senders"  # type: ignore[attr-defined]


def test_credentials_of_external_senders_reach_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    _, outside = sender()
    extensions = (external_senders_extension(outside),)
    group = create(extensions)
    bundle = package("bob")
    welcome = group.commit(add=[bundle.message], now=NOW).welcome
    assert welcome is not None
    group.discard_pending()
    alice, bob = grow(2)
    bob._identity = Suspicious()
    commit = alice.commit(proposals=[GroupContextExtensions(extensions)], now=NOW).commit

    class InTree(Suspicious):
        def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
            return BasicIdentity.identify(self, leaf, occasion, now)

    attempts: list[tuple[Suspicious, Occasion, Callable[[Suspicious], object]]] = [
        (InTree(), Occasion.ENTERS, lambda policy: create(extensions, policy)),
        (InTree(), Occasion.IN_TREE, lambda policy: Group.join(welcome, bundle, identity=policy, now=NOW)),
        (bob._identity, Occasion.ENTERS, lambda _: bob.process(commit, now=NOW)),
    ]
    for policy, occasion, attempt in attempts:
        with pytest.raises(ValidationError, match="external sender that is not believed"):
            attempt(policy)
        assert policy.judged == [(outside, occasion)]
    with pytest.raises(ValidationError, match="in a group of SLIM"):
        SlimIdentity(None).accept_external_sender(outside, Occasion.ENTERS, NOW)  # type: ignore[arg-type]


def test_known_external_senders_are_not_judged_again_and_their_proposals_count() -> None:
    signer, outside = sender()
    other = sender("other")[1]
    alice, bob = grow(2)
    for change in ((outside,), (other, outside)):
        pending = alice.commit(
            proposals=[GroupContextExtensions((external_senders_extension(*change),))], now=NOW
        )
        bob.process(pending.commit, now=NOW)
        alice.apply_pending()

    class Noting(BasicIdentity):
        def __init__(self) -> None:
            self.judged: list[ExternalSender] = []

        def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
            self.judged.append(sender)

    policy = alice._identity = Noting()
    third = sender("third")[1]
    pending = alice.commit(
        proposals=[GroupContextExtensions((external_senders_extension(other, outside, third),))], now=NOW
    )
    assert policy.judged == [third]
    alice.discard_pending()
    framed = FramedContent.build(
        group_id=alice.group_id, epoch=alice.epoch, sender=Sender(SenderType.EXTERNAL, 1), body=Remove(1)
    )
    content = AuthenticatedContent.sign(SUITE, signer, WireFormat.PUBLIC_MESSAGE, framed, b"")
    message = encode_message(PublicMessage(content, None))
    assert isinstance(alice.process(message, now=NOW), ProposalReceived)
    alice._identity = BasicIdentity()
    assert alice.commit(now=NOW).effect.removed == (1,)


# Groups that follow others


def test_group_info_of_another_version_is_refused() -> None:
    alice = found()
    info = decode_message(alice.group_info())
    assert isinstance(info, GroupInfo)
    other = GroupInfo.sign(
        SUITE,
        alice._state.signer,
        group_context=replace(info.group_context, version=2),
        extensions=info.extensions,
        confirmation_tag=info.confirmation_tag,
        signer=info.signer,
    )
    signer, me = SUITE.generate_signature_key(os.urandom), Credential.basic(b"me")
    with pytest.raises(ValidationError, match="version 2"):
        Group.join_external(encode_message(other), signer, me, identity=BasicIdentity(), now=NOW)


def successor(
    monkeypatch: pytest.MonkeyPatch,
    before: Group,
    usage: ResumptionUsage,
    *,
    group_id: bytes = b"next",
    extensions: Extensions = (),
    named: bytes = b"member1",
    predecessor: Group | None = None,
) -> Group:
    """Bob's way into a group that the founder of `before` makes from it."""
    psk = PreSharedKeyId(PskType.RESUMPTION, bytes(32), b"", usage, before.group_id, before.epoch)
    secret = before.resumption_psk(before.epoch)
    monkeypatch.setattr(validation, "proposed_psk_usage", lambda _: None)
    founder = Group.create(
        SUITE,
        SUITE.generate_signature_key(os.urandom),
        Credential.basic(b"member0"),
        identity=BasicIdentity(),
        now=NOW,
        group_id=group_id,
        extensions=extensions,
        psks=lambda _: secret,
    )
    bundle = package(named.decode())
    welcome = founder.commit(add=[bundle.message], proposals=[PreSharedKey(psk)], now=NOW).welcome
    founder.apply_pending()
    assert welcome is not None
    joined = Group.join(welcome, bundle, identity=BasicIdentity(), now=NOW, predecessor=predecessor)
    agree([founder, joined])
    return joined


def ended(reinit: ReInit) -> tuple[Group, Group]:
    alice, bob = grow(2)
    bob.process(alice.commit(proposals=[reinit], now=NOW).commit, now=NOW)
    alice.apply_pending()
    return alice, bob


def test_group_after_a_reinit_is_what_that_said(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = ended(ReInit(b"next", 1, 1, ()))
    successor(monkeypatch, alice, ResumptionUsage.REINIT, predecessor=bob)
    outside = (external_senders_extension(sender()[1]),)
    for wrong in ({"group_id": b"another"}, {"extensions": outside}):
        with pytest.raises(ValidationError, match="other parameters than its ReInit said"):
            successor(monkeypatch, alice, ResumptionUsage.REINIT, predecessor=bob, **wrong)  # type: ignore[arg-type]
    for said in (ReInit(b"next", 1, 2, ()), ReInit(b"next", 1, 1, outside)):
        alice, bob = ended(said)
        with pytest.raises(ValidationError, match="other parameters than its ReInit said"):
            successor(monkeypatch, alice, ResumptionUsage.REINIT, predecessor=bob)
    alice, bob = grow(2)
    with pytest.raises(ValidationError, match="no ReInit has ended"):
        successor(monkeypatch, alice, ResumptionUsage.REINIT, predecessor=bob)


def test_branch_has_members_of_its_group_only(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = grow(2)
    successor(monkeypatch, alice, ResumptionUsage.BRANCH, predecessor=bob)
    with pytest.raises(ValidationError, match="somebody who is not in the group"):
        successor(monkeypatch, alice, ResumptionUsage.BRANCH, predecessor=bob, named=b"stranger")
    bob._state = replace(bob._state, context=replace(bob._state.context, cipher_suite=2))
    with pytest.raises(ValidationError, match="another version or cipher suite"):
        successor(monkeypatch, alice, ResumptionUsage.BRANCH, predecessor=bob)


def test_group_that_follows_another_needs_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _ = grow(2)
    with pytest.raises(KeyUnavailable, match="pre-shared key"):
        successor(monkeypatch, alice, ResumptionUsage.BRANCH)
