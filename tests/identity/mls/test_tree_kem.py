from __future__ import annotations

import os

import pytest

from identity.mls.cipher_suite import CipherSuite, suite
from identity.mls.codec import decode_whole
from identity.mls.errors import KeyUnavailable, ValidationError, VerificationError
from identity.mls.leaf_node import LeafNode, LeafNodeSource, leaf_position
from identity.mls.messages import GroupContext, UpdatePath
from identity.mls.ratchet_tree import RatchetTree
from identity.mls.secret import Secret
from identity.mls.tree_kem import (
    PrivateKeys,
    follow_path,
    make_path,
    merge_path,
    node_key_pair,
    open_path_secret,
    readers_of_path,
)
from tests.identity.mls.support import Case, cases, unhex


def context_of(case: Case, use: CipherSuite, tree: RatchetTree) -> bytes:
    confirmed = unhex(case["confirmed_transcript_hash"])
    return GroupContext(
        use.id, unhex(case["group_id"]), case["epoch"], tree.tree_hash(use), confirmed
    ).encoded


def private_keys(case: Case, use: CipherSuite) -> dict[int, PrivateKeys]:
    found = {}
    for entry in case["leaves_private"]:
        keys = {2 * entry["index"]: use.hpke.load_key_pair(unhex(entry["encryption_priv"]))}
        for step in entry["path_secrets"]:
            keys[step["node"]] = node_key_pair(use, unhex(step["path_secret"]))
        found[entry["index"]] = keys
    return found


@pytest.mark.vectors
def test_treekem_vectors() -> None:
    found = cases("treekem")
    paths = 0
    for case in found:
        use = suite(case["cipher_suite"])
        before = decode_whole(unhex(case["ratchet_tree"]), RatchetTree.decode)
        private = private_keys(case, use)
        for keys in private.values():
            for at, pair in keys.items():
                node = before.nodes[at]
                assert node is not None
                assert node.encryption_key == pair.public
        for entry in case["update_paths"]:
            path = decode_whole(unhex(entry["update_path"]), UpdatePath.decode)
            tree = before.copy()
            steps = merge_path(use, tree, entry["sender"], path)
            assert tree.tree_hash(use) == unhex(entry["tree_hash_after"])
            context = context_of(case, use, tree)
            readers = readers_of_path(tree, path, steps, set())
            for own, secret in enumerate(entry["path_secrets"]):
                if secret is None:
                    continue
                number, opened = open_path_secret(
                    use, path, steps, readers, own=own, private=private[own], context=context
                )
                assert opened == unhex(secret)
                _, commit_secret = follow_path(use, tree, [node for node, _ in steps[number:]], opened)
                assert commit_secret == unhex(entry["commit_secret"])
                paths += 1
    print(f"treekem: {len(found)} cases, {paths} paths passed")


@pytest.mark.vectors
def test_own_path_is_followed_by_all_others() -> None:
    for case in cases("treekem"):
        use = suite(case["cipher_suite"])
        before = decode_whole(unhex(case["ratchet_tree"]), RatchetTree.decode)
        private = private_keys(case, use)
        entry = case["leaves_private"][0]
        sender = entry["index"]
        signer = use.scheme.load_private(unhex(entry["signature_priv"]))
        old = before.leaf(sender)
        assert old is not None

        def sign_leaf(
            encryption_key: bytes, parent_hash: bytes, old: LeafNode = old, sender: int = sender
        ) -> LeafNode:
            return LeafNode.sign(
                use,  # noqa: B023
                signer,  # noqa: B023
                encryption_key=encryption_key,
                credential=old.credential,
                capabilities=old.capabilities,
                source=LeafNodeSource.COMMIT,
                parent_hash=parent_hash,
                position=leaf_position(unhex(case["group_id"]), sender),  # noqa: B023
            )

        ours = before.copy()
        made = make_path(use, ours, sender, os.urandom, sign_leaf)
        context = context_of(case, use, ours)
        path = made.seal(use, ours, context, set())
        theirs = before.copy()
        steps = merge_path(use, theirs, sender, path)
        assert theirs.tree_hash(use) == ours.tree_hash(use)
        readers = readers_of_path(theirs, path, steps, set())
        for own, keys in private.items():
            if own == sender:
                continue
            number, opened = open_path_secret(
                use, path, steps, readers, own=own, private=keys, context=context
            )
            _, commit_secret = follow_path(use, theirs, [node for node, _ in steps[number:]], opened)
            assert commit_secret == made.commit_secret
            with pytest.raises(VerificationError):
                open_path_secret(use, path, steps, readers, own=own, private=keys, context=b"")
            with pytest.raises(KeyUnavailable):
                open_path_secret(use, path, steps, readers, own=own, private={}, context=context)
            with pytest.raises(ValidationError, match="path_key"):
                follow_path(use, theirs, [node for node, _ in steps[number:]], Secret(opened[::-1]))
        with pytest.raises(ValidationError, match="path_length"):
            merge_path(use, before.copy(), sender, UpdatePath(path.leaf_node, path.nodes[1:]))
