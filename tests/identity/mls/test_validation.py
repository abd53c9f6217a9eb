"""Rules that no well-behaved client of ours can be made to break, asked directly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from identity.mls import validation
from identity.mls.cipher_suite import suite
from identity.mls.credential import Credential
from identity.mls.errors import ValidationError
from identity.mls.framing import Sender, SenderType
from identity.mls.leaf_node import (
    Capabilities,
    Extension,
    ExtensionType,
    LeafNodeSource,
    RequiredCapabilities,
)
from identity.mls.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    PreSharedKeyId,
    Proposal,
    PskType,
    ReInit,
    Remove,
    Update,
)
from identity.mls.tree_index import TreeIndex
from tests.identity.mls.members import NOW, package

LEAF = package("leaf").key_package.leaf_node
MEMBER = Sender.member(1)
EXTERNAL = Sender(SenderType.EXTERNAL, 0)
NEW_PROPOSAL = Sender(SenderType.NEW_MEMBER_PROPOSAL)
PSK = PreSharedKeyId(PskType.EXTERNAL, bytes(32), b"name")
ADD, UPDATE, REMOVE = Add(package("x").key_package), Update(LEAF), Remove(3)
INIT, EXTENSIONS = ExternalInit(b"kem"), GroupContextExtensions(())


def refused(rule: str, check: object, *arguments: object) -> None:
    with pytest.raises(ValidationError) as caught:
        check(*arguments)  # type: ignore[operator]
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("proposal", "sender", "allowed"),
    [
        (ADD, EXTERNAL, True),
        (REMOVE, EXTERNAL, True),
        (EXTENSIONS, EXTERNAL, True),
        (UPDATE, EXTERNAL, False),
        (INIT, EXTERNAL, False),
        (ADD, NEW_PROPOSAL, True),
        (REMOVE, NEW_PROPOSAL, False),
        (UPDATE, MEMBER, True),
    ],
)
def test_senders_propose_what_they_may(proposal: Proposal, sender: Sender, allowed: bool) -> None:
    if allowed:
        validation.sender_may_propose(proposal, sender)
    else:
        refused("proposal_sender", validation.sender_may_propose, proposal, sender)


@pytest.mark.parametrize(
    ("proposals", "needed"),
    [
        ((), True),
        ((ADD,), False),
        ((PreSharedKey(PSK),), False),
        ((ReInit(b"", 1, 1, ()),), False),
        ((ADD, REMOVE), True),
        ((UPDATE,), True),
        ((INIT,), True),
        ((EXTENSIONS,), True),
    ],
)
def test_path_is_needed_as_the_registry_says(proposals: tuple[Proposal, ...], needed: bool) -> None:
    listed = [(proposal, MEMBER) for proposal in proposals]
    assert validation.path_is_needed(listed) is needed
    if needed:
        refused("path_required", validation.path_present, listed, None)


def test_member_commit_rules() -> None:
    def listed(*proposals: Proposal) -> list[tuple[Proposal, Sender]]:
        return [(proposal, MEMBER) for proposal in proposals]

    refused("own_update", validation.member_commit, listed(UPDATE), 1)
    refused("removes_committer", validation.member_commit, listed(REMOVE), 3)
    refused("one_change_per_leaf", validation.member_commit, listed(UPDATE, Remove(1)), 0)
    refused("distinct_psks", validation.member_commit, listed(PreSharedKey(PSK), PreSharedKey(PSK)), 0)
    refused("external_init", validation.member_commit, listed(INIT), 0)
    refused("reinit_alone", validation.member_commit, listed(ReInit(b"", 1, 1, ()), ADD), 0)
    refused("reinit_version", validation.member_commit, listed(ReInit(b"", 0, 1, ())), 0)
    validation.member_commit(listed(ADD, REMOVE, PreSharedKey(PSK), EXTENSIONS), 0)


def test_external_commit_rules() -> None:
    def listed(*proposals: Proposal) -> list[tuple[Proposal, Sender]]:
        return [(proposal, Sender(SenderType.NEW_MEMBER_COMMIT)) for proposal in proposals]

    refused("external_init", validation.external_commit, listed(REMOVE))
    refused("external_init", validation.external_commit, listed(INIT, INIT))
    refused("external_remove", validation.external_commit, listed(INIT, REMOVE, Remove(4)))
    refused("external_proposals", validation.external_commit, listed(INIT, ADD))
    validation.external_commit(listed(INIT, REMOVE, PreSharedKey(PSK)))


def test_leaf_rules() -> None:
    refused("leaf_source", validation.leaf_source, LEAF, LeafNodeSource.COMMIT)
    refused(
        "leaf_extensions", validation.leaf_extensions, replace(LEAF, extensions=(Extension(0x0A0A, b""),))
    )
    validation.leaf_extensions(replace(LEAF, extensions=(Extension(ExtensionType.APPLICATION_ID, b""),)))
    refused("public_key", validation.leaf_keys, suite(1), replace(LEAF, encryption_key=b""))
    refused("public_key", validation.leaf_keys, suite(1), replace(LEAF, signature_key=b""))
    refused("new_encryption_key", validation.path_leaf_key_is_new, LEAF, LEAF)
    refused("lifetime", validation.leaf_lifetime, replace(LEAF, lifetime=None), NOW)
    refused("leaf_signature", validation.leaf_signature, suite(1), replace(LEAF, signature=b""), b"", 0)


@pytest.mark.parametrize(
    ("required", "able"),
    [
        (RequiredCapabilities((), (), ()), True),
        (RequiredCapabilities((1, 2, 5), (1, 7), (1,)), True),
        (RequiredCapabilities((0x0A0A,), (), ()), False),
        (RequiredCapabilities((), (0x0A0A,), ()), False),
        (RequiredCapabilities((), (), (2,)), False),
    ],
)
def test_required_capabilities(required: RequiredCapabilities, able: bool) -> None:
    extensions = (Extension(ExtensionType.REQUIRED_CAPABILITIES, required.encode()),)
    assert validation.can_do(LEAF.capabilities, extensions) is able


def test_credential_type_is_known_to_all_both_ways() -> None:
    members = TreeIndex()
    members.add_leaf(0, LEAF)
    both = Capabilities((1,), (1,), (), (), (1, 2))
    certified = replace(package("c").key_package.leaf_node, credential=Credential(2, b""), capabilities=both)
    refused("credential_type", validation.leaf_credential_type, certified, members)
    only = replace(certified, capabilities=replace(both, credentials=(2,)))
    refused(
        "credential_type", validation.leaf_credential_type, only, index_of(replace(LEAF, capabilities=both))
    )
    validation.leaf_credential_type(certified, index_of(replace(LEAF, capabilities=both)))


def index_of(*leaves: object) -> TreeIndex:
    members = TreeIndex()
    for number, leaf in enumerate(leaves):
        members.add_leaf(2 * number, leaf)  # type: ignore[arg-type]
    return members
