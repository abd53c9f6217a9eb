"""Welcomes that a member of the group made by hand: each wrong in one place, sealed and signed properly."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from identity.mls import BasicIdentity, Group, KeyPackageBundle, MlsError, suite
from identity.mls.codec import decode_whole
from identity.mls.errors import ValidationError
from identity.mls.framing import decode_message, encode_message
from identity.mls.key_schedule import (
    EpochSecrets,
    JoinerSecrets,
    psk_secret,
    welcome_key_and_nonce,
    welcome_secret,
)
from identity.mls.leaf_node import Extension, ExtensionType, LeafNode
from identity.mls.messages import EncryptedGroupSecrets, GroupInfo, GroupSecrets, HpkeCiphertext, Welcome
from identity.mls.proposal import PreSharedKeyId, PskType, ResumptionUsage
from identity.mls.ratchet_tree import ParentNode, RatchetTree
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.transcript_hash import confirmation_tag
from tests.identity.mls.members import NOW, grow, package
from tests.identity.mls.support import bundle_of, cases, unhex

SUITE = suite(1)
TREE = ExtensionType.RATCHET_TREE


class Inviter:
    """A founder of a group of three who invites a fourth, and can take the Welcome apart."""

    def __init__(self, *, path: bool = False) -> None:
        self.founder = grow(3)[0]
        self.bundle = package("new")
        pending = self.founder.commit(add=[self.bundle.message], path=path, now=NOW)
        assert pending.welcome is not None
        self.honest = pending.welcome
        self.signer: SignatureKey = self.founder._state.signer
        welcome = decode_message(pending.welcome)
        assert isinstance(welcome, Welcome)
        sealed = welcome.secrets[0].encrypted_group_secrets
        opened = SUITE.decrypt_with_label(
            self.bundle.init_key,
            b"Welcome",
            welcome.encrypted_group_info,
            sealed.kem_output,
            sealed.ciphertext,
        )
        self.secrets = decode_whole(opened, GroupSecrets.decode)
        key, nonce = self._key(self.secrets)
        info = SUITE.open(key, nonce, welcome.encrypted_group_info, b"", "GroupInfo")
        self.info = decode_whole(info, GroupInfo.decode)
        self.tree = decode_whole(self.info.extensions[0].data, RatchetTree.decode)

    def _key(self, secrets: GroupSecrets) -> tuple[bytes, bytes]:
        psks = psk_secret(SUITE, [(psk.encode(), b"key") for psk in secrets.psks])
        return welcome_key_and_nonce(SUITE, welcome_secret(SUITE, secrets.joiner_secret, psks))

    def welcome(
        self, *, tree: RatchetTree | None = None, secrets: GroupSecrets | None = None, **changes: Any
    ) -> bytes:
        """A Welcome with other fields in its GroupInfo, another tree (hash included) or other secrets."""
        secrets = secrets or self.secrets
        fields: dict[str, Any] = {
            "group_context": self.info.group_context,
            "extensions": self.info.extensions,
            "confirmation_tag": self.info.confirmation_tag,
            "signer": self.info.signer,
        }
        if tree is not None:
            fields["extensions"] = (Extension(TREE, tree.encode()),)
            fields["group_context"] = replace(self.info.group_context, tree_hash=tree.tree_hash(SUITE))
        info = GroupInfo.sign(SUITE, self.signer, **{**fields, **changes}).encode()
        key, nonce = self._key(secrets)
        encrypted = SUITE.seal(key, nonce, info, b"")
        package = self.bundle.key_package
        sealed = SUITE.encrypt_with_label(package.init_key, b"Welcome", encrypted, secrets.encode())
        entry = EncryptedGroupSecrets(package.reference(SUITE), HpkeCiphertext(*sealed))
        return encode_message(Welcome(1, (entry,), encrypted))

    def join(self, welcome: bytes, bundle: KeyPackageBundle | None = None) -> Group:
        return Group.join(
            welcome, bundle or self.bundle, identity=BasicIdentity(), now=NOW, psks=lambda _: b"key"
        )


@pytest.mark.vectors
def test_welcome_vectors() -> None:
    found = cases("welcome")
    for case in found:
        use = suite(case["cipher_suite"])
        package, welcome = decode_message(unhex(case["key_package"])), decode_message(unhex(case["welcome"]))
        assert isinstance(welcome, Welcome)
        reference = package.reference(use)  # type: ignore[union-attr]
        (entry,) = [entry for entry in welcome.secrets if entry.new_member == reference]
        sealed = entry.encrypted_group_secrets
        opened = use.decrypt_with_label(
            use.hpke.load_key_pair(unhex(case["init_priv"])),
            b"Welcome",
            welcome.encrypted_group_info,
            sealed.kem_output,
            sealed.ciphertext,
        )
        secrets = decode_whole(opened, GroupSecrets.decode)
        assert secrets.psks == ()
        zero = Secret(use.hash_length)
        key, nonce = welcome_key_and_nonce(use, welcome_secret(use, secrets.joiner_secret, zero))
        data = use.open(key, nonce, welcome.encrypted_group_info, b"", "GroupInfo")
        info = decode_whole(data, GroupInfo.decode)
        assert info.signature_fits(use, unhex(case["signer_pub"]))
        context = info.group_context
        steps = JoinerSecrets.derive(use, secrets.joiner_secret, zero, context.encoded)
        key_of_tag = EpochSecrets.derive(use, steps.epoch).confirmation
        tag = confirmation_tag(use, key_of_tag, context.confirmed_transcript_hash)
        assert tag == info.confirmation_tag
    print(f"welcome: {len(found)} passed")


@pytest.mark.vectors
def test_tree_beside_the_welcome_must_be_there_and_the_right_one() -> None:
    for case in cases("passive-client-welcome"):
        if case["ratchet_tree"] and not case["external_psks"]:
            for tree in (None, unhex(case["ratchet_tree"])[:-1], b"\0"):
                with pytest.raises(MlsError):
                    Group.join(
                        unhex(case["welcome"]),
                        bundle_of(case),
                        identity=BasicIdentity(),
                        now=NOW,
                        ratchet_tree=tree,
                    )


def test_what_the_inviter_takes_apart_and_puts_together_is_still_good() -> None:
    inviter = Inviter()
    inviter.join(inviter.welcome())
    inviter = Inviter(path=True)
    inviter.join(inviter.welcome())


def with_leaf(tree: RatchetTree, index: int, leaf: LeafNode) -> RatchetTree:
    copy = tree.copy()
    copy.put_path_leaf(index, leaf)
    return copy


def broken_signature(inviter: Inviter) -> bytes:
    leaf = inviter.tree.leaf(1)
    assert leaf is not None
    encoded = leaf.encoded[:-1] + bytes([leaf.encoded[-1] ^ 1])
    return inviter.welcome(
        tree=with_leaf(inviter.tree, 1, replace(leaf, in_tree=b"\1\1" + encoded, signature=encoded[-64:]))
    )


def parent_without_link(inviter: Inviter) -> bytes:
    tree = inviter.tree.copy()
    tree.put_parent(1, ParentNode(SUITE.generate_key_pair(os.urandom).public, b"", ()))
    return inviter.welcome(tree=tree)


def parent_with_a_bad_key(inviter: Inviter) -> bytes:
    tree = inviter.tree.copy()
    tree.put_parent(1, ParentNode(b"no key", b"", ()))
    return inviter.welcome(tree=tree)


def without_us(inviter: Inviter) -> bytes:
    tree = inviter.tree.copy()
    tree.remove_leaf(3)
    return inviter.welcome(tree=tree)


def another_in_our_place(inviter: Inviter) -> bytes:
    return inviter.welcome(tree=with_leaf(inviter.tree, 3, package("new").key_package.leaf_node))


def our_name_twice(inviter: Inviter) -> bytes:
    tree = inviter.tree.copy()
    tree.add_leaf(package("new").key_package.leaf_node)
    return inviter.welcome(tree=tree)


def psks(*usages: ResumptionUsage) -> Callable[[Inviter], bytes]:
    def make(inviter: Inviter) -> bytes:
        found = tuple(
            PreSharedKeyId(PskType.RESUMPTION, bytes([number] * 32), b"", usage, b"other", 1)
            for number, usage in enumerate(usages)
        )
        return inviter.welcome(secrets=replace(inviter.secrets, psks=found))

    return make


def context(**changes: Any) -> Callable[[Inviter], bytes]:
    def make(inviter: Inviter) -> bytes:
        return inviter.welcome(group_context=replace(inviter.info.group_context, **changes))

    return make


def fields(**changes: Any) -> Callable[[Inviter], bytes]:
    def make(inviter: Inviter) -> bytes:
        return inviter.welcome(**changes)

    return make


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        (broken_signature, "leaf_signature"),
        (parent_without_link, "parent_hash"),
        (parent_with_a_bad_key, "public_key"),
        (without_us, "own_leaf"),
        (another_in_our_place, "own_leaf"),
        (our_name_twice, "unique_identity"),
        (psks(ResumptionUsage.BRANCH, ResumptionUsage.REINIT), "psk_usage"),
        (psks(ResumptionUsage.BRANCH), "psk_usage"),
        (context(tree_hash=bytes(32)), "tree_hash"),
        (context(epoch=99), "confirmation tag"),
        (context(confirmed_transcript_hash=b""), "confirmation tag"),
        (context(group_id=b"other"), "confirmation tag"),
        (context(cipher_suite=2), "cipher_suite"),
        (context(version=2), "cipher_suite"),
        (context(extensions=(Extension(0x0A0A, b""),)), "required_capabilities"),
        (fields(confirmation_tag=bytes(32)), "confirmation tag"),
        (fields(signer=1), "group_info_signature"),
        (fields(signer=7), "group_info_signer"),
        (fields(extensions=()), "ratchet_tree"),
        (fields(extensions=(Extension(TREE, b""),)), "1 byte wanted"),
        (fields(extensions=(Extension(TREE, b"\x01\x00"),)), "blank node"),
    ],
)
def test_welcome_wrong_in_one_place_is_refused(make: Callable[[Inviter], bytes], refusal: str) -> None:
    inviter = Inviter()
    with pytest.raises(MlsError, match=refusal):
        inviter.join(make(inviter))
    inviter.join(inviter.honest)


def test_path_secret_that_fits_no_node_is_refused() -> None:
    inviter = Inviter(path=True)
    for secret in (Secret(bytes(32)), Secret(b"")):
        with pytest.raises(ValidationError, match="path_key"):
            inviter.join(inviter.welcome(secrets=replace(inviter.secrets, path_secret=secret)))
    inviter = Inviter()
    with pytest.raises(ValidationError, match="path_secret"):
        inviter.join(inviter.welcome(secrets=replace(inviter.secrets, path_secret=Secret(bytes(32)))))


def test_other_messages_are_no_welcome() -> None:
    inviter = Inviter()
    with pytest.raises(ValidationError, match="where a Welcome is due"):
        inviter.join(inviter.bundle.message)
