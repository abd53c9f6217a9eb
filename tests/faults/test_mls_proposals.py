"""No proposal that is pending, whoever said it, keeps a member from committing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from identity.mls import (
    Group,
    KeyUnavailable,
    MlsError,
    Removed,
    StateError,
    ValidationError,
    suite,
    validation,
)
from identity.mls.commit import PendingCommit
from identity.mls.credential import X509, Credential
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
from identity.mls.leaf_node import (
    Extension,
    ExtensionType,
    LeafNode,
    LeafNodeSource,
    RequiredCapabilities,
    leaf_position,
)
from identity.mls.pending_proposals import MAX_OUTSIDE_PROPOSALS
from identity.mls.proposal import (
    Add,
    GroupContextExtensions,
    KeyPackage,
    PreSharedKey,
    PreSharedKeyId,
    Proposal,
    PskType,
    ReInit,
    Remove,
    ResumptionUsage,
    Update,
)
from identity.mls.tree_index import TreeIndex
from identity.mls.welcome import KeyPackageBundle
from tests.faults.test_mls_keys import LOW, offered
from tests.identity.mls.members import NOW, agree, grow, join, package, talk

PSK = PreSharedKeyId(PskType.EXTERNAL, bytes(32), b"name")


def say(sender: Group, proposal: Proposal, *, to: list[Group]) -> None:
    """What a member that checks nothing would say, heard by others."""
    message, _ = sender._propose(proposal)
    for reader in to:
        reader.process(message, now=NOW)


def stranger(group: Group, bundle: KeyPackageBundle, data: bytes | None = None) -> bytes:
    """A proposal of one who is not in the group: to be added (12.1.8)."""
    package = bundle.key_package
    if data is not None:
        decoded = decode_message(data)
        assert isinstance(decoded, KeyPackage)
        package = decoded
    framed = FramedContent.build(
        group_id=group.group_id,
        epoch=group.epoch,
        sender=Sender(SenderType.NEW_MEMBER_PROPOSAL),
        body=Add(package),
    )
    content = AuthenticatedContent.sign(suite(1), bundle.signer, WireFormat.PUBLIC_MESSAGE, framed, b"")
    return encode_message(PublicMessage(content, None))


def committed(committer: Group, others: list[Group], **what: object) -> PendingCommit:
    """A commit that everybody follows; the members talk afterwards."""
    pending = committer.commit(now=NOW, **what)  # type: ignore[arg-type]
    for other in others:
        assert not isinstance(other.process(pending.commit, now=NOW), Removed)
    committer.apply_pending()
    agree([committer, *others])
    talk([committer, *others])
    return pending


def left(pending: PendingCommit) -> list[str]:
    """The rules for which proposals were left out."""
    return [
        error.rule if isinstance(error, ValidationError) else type(error).__name__
        for _, error in pending.left_out
    ]


def stale_update(group: Group) -> Update:
    return Update(replace(group._state.own_leaf_node, source=LeafNodeSource.UPDATE))


UNKNOWN = (Extension(0x0A0B, b""),)
MALFORMED = (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x05"),)
REQUIRING = (
    Extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((0x0A0B,), (), ()).encode()),
)

BAD: list[tuple[str, Callable[[Group], Proposal]]] = [
    ("public_key", lambda _: bad_add(leaf_key=LOW[0])),
    ("public_key", lambda _: bad_add(init_key=LOW[5])),
    ("unique_identity", lambda _: Add(package("member1").key_package)),
    ("lifetime", lambda _: Add(package("late", now=NOW - 4e7).key_package)),
    ("key_package_parameters", lambda _: Add(package("other suite", suite(3)).key_package)),
    ("remove_blank", lambda _: Remove(3)),
    ("remove_blank", lambda _: Remove(77)),
    ("removes_committer", lambda _: Remove(0)),
    ("new_encryption_key", stale_update),
    ("psk_nonce", lambda _: PreSharedKey(replace(PSK, nonce=b"", id=b"held"))),
    ("KeyUnavailable", lambda _: PreSharedKey(PSK)),
    (
        "psk_usage",
        lambda _: PreSharedKey(
            PreSharedKeyId(PskType.RESUMPTION, bytes(32), b"", ResumptionUsage.BRANCH, b"held", 1)
        ),
    ),
    ("required_capabilities", lambda _: GroupContextExtensions(UNKNOWN)),
    ("required_capabilities", lambda _: GroupContextExtensions(REQUIRING)),
    ("external_senders", lambda _: GroupContextExtensions(MALFORMED)),
    ("reinit_version", lambda _: ReInit(b"next", 0, 1, ())),
    ("external_senders", lambda _: ReInit(b"next", 1, 1, MALFORMED)),
]


def bad_add(**keys: bytes) -> Add:
    decoded = decode_message(offered(package("eve"), **keys))
    assert isinstance(decoded, KeyPackage)
    return Add(decoded)


def held(psk: PreSharedKeyId) -> bytes | None:
    return b"key" if b"held" in (psk.id, psk.group_id) else None


@pytest.mark.parametrize(("rule", "make"), BAD, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BAD)])
def test_invalid_pending_proposal_is_left_out_and_reported(
    rule: str, make: Callable[[Group], Proposal]
) -> None:
    alice, bob, carol = grow(3)
    alice._psks = held
    say(carol, make(carol), to=[alice, bob])
    pending = committed(alice, [bob, carol], path=True)
    assert left(pending) == [rule]
    assert pending.left_out[0].proposed.sender == Sender.member(carol.own_leaf)


def test_good_proposals_beside_all_bad_ones_are_committed() -> None:
    alice, bob, carol = grow(3)
    alice._psks = held
    for number, (_, make) in enumerate(BAD):
        if number == len(BAD) // 2:
            say(bob, Add((bundle := package("dave")).key_package), to=[alice, carol])
            update = bob.propose_update()
            for reader in (alice, carol):
                reader.process(update, now=NOW)
        say(carol, make(carol), to=[alice, bob])
    pending = committed(alice, [bob, carol])
    assert pending.effect.added == (3,)
    assert pending.effect.updated == (1,)
    assert len(pending.left_out) == len(BAD)
    agree([alice, join(pending, bundle)])


def test_stranger_cannot_keep_a_group_from_committing() -> None:
    alice, bob, carol = grow(3)
    bundle = package("eve")
    message = stranger(alice, bundle, offered(bundle, leaf_key=LOW[2]))
    for member in (alice, bob, carol):
        member.process(message, now=NOW)
    pending = alice.commit(remove=[bob.own_leaf], now=NOW)
    assert left(pending) == ["public_key"]
    carol.process(pending.commit, now=NOW)
    alice.apply_pending()
    agree([alice, carol])


def test_strangers_do_not_take_the_places_of_members() -> None:
    alice, bob = grow(2)
    for number in range(MAX_OUTSIDE_PROPOSALS):
        alice.process(stranger(alice, package(f"s{number}")), now=NOW)
    with pytest.raises(ValidationError, match=f"more than {MAX_OUTSIDE_PROPOSALS} such proposals"):
        alice.process(stranger(alice, package("one too many")), now=NOW)
    alice.process(bob.propose_update(), now=NOW)


def test_conflicts_are_resolved_as_the_rfc_says() -> None:
    alice, bob, carol, dave = members = grow(4)
    first, last = bob.propose_update(), bob.propose_update()
    dave_renewed = dave.propose_update()
    for message, sender in ((first, bob), (last, bob), (dave_renewed, dave)):
        for member in members:
            if member is not sender:
                member.process(message, now=NOW)
    say(carol, Remove(dave.own_leaf), to=[alice, bob, dave])
    say(bob, Remove(dave.own_leaf), to=[alice, carol, dave])
    say(bob, ReInit(b"next", 1, 1, ()), to=[alice, carol, dave])
    say(bob, GroupContextExtensions(()), to=[alice, carol, dave])
    say(carol, GroupContextExtensions(()), to=[alice, bob, dave])
    wanted = alice.proposals[1].proposal
    pending = alice.commit(now=NOW)
    assert sorted(left(pending)) == [
        "one_change_per_leaf",
        "one_change_per_leaf",
        "one_change_per_leaf",
        "one_group_context_extensions",
        "reinit_alone",
    ]
    for member in (bob, carol):
        member.process(pending.commit, now=NOW)
    assert isinstance(dave.process(pending.commit, now=NOW), Removed)
    alice.apply_pending()
    agree([alice, bob, carol])
    assert isinstance(wanted, Update)
    assert alice.leaf_node(bob.own_leaf) == wanted.leaf_node


def test_reinit_is_committed_when_nothing_else_is_pending() -> None:
    alice, bob = grow(2)
    say(bob, ReInit(b"next", 1, 1, ()), to=[alice])
    say(bob, ReInit(b"after", 1, 1, ()), to=[alice])
    pending = alice.commit(now=NOW)
    assert left(pending) == ["reinit_alone"]
    assert bob.process(pending.commit, now=NOW).reinit.group_id == b"next"  # type: ignore[union-attr]


def test_what_the_committer_chooses_itself_goes_first_and_is_not_left_out() -> None:
    alice, bob = grow(2)
    say(bob, Add(package("carol").key_package), to=[alice])
    bundle = package("carol")
    pending = committed(alice, [bob], add=[bundle.message])
    assert left(pending) == ["unique_identity"]
    agree([alice, bob, join(pending, bundle)])
    say(bob, bad_add(leaf_key=LOW[0]), to=[alice])
    with pytest.raises(ValidationError, match="remove_blank"):
        alice.commit(remove=[55], now=NOW)
    assert alice.pending is None


def test_proposals_can_be_seen_and_dropped() -> None:
    alice, bob, carol = grow(3)
    say(bob, Remove(carol.own_leaf), to=[alice])
    [proposed] = alice.proposals
    assert proposed.proposal == Remove(carol.own_leaf)
    assert proposed.reference is not None
    alice.drop_proposal(proposed.reference)
    assert alice.proposals == ()
    committed(alice, [bob, carol])
    with pytest.raises(StateError, match="no proposal with that reference"):
        alice.drop_proposal(proposed.reference)


def test_own_update_that_is_dropped_is_gone_with_its_key() -> None:
    alice, bob = grow(2)
    message = bob.propose_update()
    alice.process(message, now=NOW)
    reference = bob.proposals[0].reference
    assert reference is not None
    bob.drop_proposal(reference)
    with pytest.raises(KeyUnavailable, match="has not arrived"):
        bob.process(alice.commit(now=NOW).commit, now=NOW)


def test_nobody_proposes_what_no_commit_could_hold() -> None:
    alice, *_ = grow(3)
    before = alice.snapshot()
    for rule, proposal in (
        ("remove_blank", Remove(77)),
        ("public_key", bad_add(leaf_key=LOW[0])),
        ("lifetime", Add(package("late", now=NOW - 4e7).key_package)),
        ("external_senders", GroupContextExtensions(MALFORMED)),
        ("psk_nonce", PreSharedKey(replace(PSK, nonce=b""))),
    ):
        with pytest.raises(ValidationError) as caught:
            alice.propose(proposal, now=NOW)
        assert caught.value.rule == rule
    assert alice.snapshot() == before


def test_garbage_changes_no_members() -> None:
    alice, bob, carol = grow(3)
    commits = []
    for _ in range(3):
        commits.append(alice.commit(path=True, now=NOW).commit)
        alice.apply_pending()
    before, members = bob.snapshot(), bob.members
    removal = alice.commit(remove=[carol.own_leaf], now=NOW).commit
    for garbage in (
        removal,
        commits[2],
        commits[1],
        removal[:-1],
        removal[:50] + os.urandom(60),
        b"\0\1\0\1",
    ):
        with pytest.raises(MlsError):
            bob.process(garbage, now=NOW)
        assert (bob.members, bob.snapshot()) == (members, before)
    for commit in (*commits, removal):
        bob.process(commit, now=NOW)
    assert carol.own_leaf not in bob.members


def test_extensions_that_only_the_new_leaf_of_the_committer_supports_are_taken() -> None:
    """What its old leaf could do is of no account: the commit's path replaces it."""
    alice, bob = grow(2)
    able = able_leaf(alice, 0x0A0B), able_leaf(bob, 0x0A0B)
    assert all(0x0A0B in leaf.capabilities.extensions for leaf, _ in able)
    update, pair = able[1]
    message, reference = bob._propose(Update(update))
    bob._proposals.own_updates[reference] = pair  # type: ignore[assignment]
    alice.process(message, now=NOW)
    leaf = alice._state.own_leaf_node
    capabilities = replace(leaf.capabilities, extensions=(0x0A0B,))
    tree = alice._state.tree.copy()
    tree.nodes[0] = replace(leaf, capabilities=capabilities)
    tree._index = None
    alice._state = replace(alice._state, tree=tree)
    pending = alice.commit(proposals=[GroupContextExtensions(UNKNOWN)], now=NOW)
    bob.process(pending.commit, now=NOW)
    alice.apply_pending()
    assert alice.extensions == bob.extensions == UNKNOWN


def able_leaf(group: Group, extension: int) -> tuple[LeafNode, object]:
    use, state = suite(1), group._state
    pair, before = use.generate_key_pair(os.urandom), state.own_leaf_node
    leaf = LeafNode.sign(
        use,
        state.signer,
        encryption_key=pair.public,
        credential=before.credential,
        capabilities=replace(before.capabilities, extensions=(extension,)),
        source=LeafNodeSource.UPDATE,
        position=leaf_position(group.group_id, group.own_leaf),
    )
    return leaf, pair


def test_last_user_of_a_credential_type_may_leave_it() -> None:
    """RFC 9420, 7.3 asks of a leaf that it knows the types in use by *other* members."""
    both = replace(package("x").key_package.leaf_node.capabilities, credentials=(1, X509))
    other = replace(package("other").key_package.leaf_node, capabilities=both)
    last = replace(package("last").key_package.leaf_node, capabilities=both, credential=Credential(X509, b""))
    index = TreeIndex()
    index.add_leaf(0, other)
    index.add_leaf(2, last)
    basic = package("last").key_package.leaf_node
    validation.leaf_credential_type(basic, index, last)
    with pytest.raises(ValidationError, match="credential_type"):
        validation.leaf_credential_type(basic, index)
    with pytest.raises(ValidationError, match="credential_type"):
        validation.leaf_credential_type(basic, index, other)
    index.remove_leaf(last)
    index.add_leaf(2, basic)
    validation.members_agree(index, ())
