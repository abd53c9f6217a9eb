"""Keys that nothing can be sealed to, or that anybody can sign for, come into no group."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from identity.mls import ValidationError, hpke, signatures, suite
from identity.mls.leaf_node import LeafNode, LeafNodeSource
from identity.mls.messages import UpdatePathNode
from identity.mls.proposal import Add, KeyPackage
from identity.mls.tree_kem import make_path, merge_path
from identity.mls.welcome import KeyPackageBundle
from tests.identity.mls.members import NOW, agree, grow, package

P = 2**255 - 19
LOW = sorted(hpke._LOW_ORDER)
LOW_SIGNATURE = sorted(signatures._LOW_ORDER)


def test_low_order_x25519_keys_are_all_of_those_and_only_those() -> None:
    assert len(LOW) == 14
    private = X25519PrivateKey.from_private_bytes(os.urandom(32))
    for data in LOW:
        with pytest.raises(ValueError, match="shared key"):
            private.exchange(X25519PublicKey.from_public_bytes(data))
    for number in range(2, 200):  # neighbours of the small ones, and of p
        for u in (number, P - number, min(P + number, 2**255 - 1)):
            data = u.to_bytes(32, "little")
            suite(1).hpke.check_public(data, "a key")
            private.exchange(X25519PublicKey.from_public_bytes(data))


def test_low_order_ed25519_keys_are_of_low_order() -> None:
    d = -121665 * pow(121666, -1, P) % P

    def root(square: int) -> int:
        found = pow(square, (P + 3) // 8, P)
        return found if found * found % P == square else found * pow(2, (P - 1) // 4, P) % P

    assert len(LOW_SIGNATURE) == 14
    for data in LOW_SIGNATURE:
        y = (int.from_bytes(data, "little") & (1 << 255) - 1) % P
        x = root((y * y - 1) * pow(d * y * y + 1, -1, P) % P)
        for _ in range(3):
            k = d * x * x * y * y % P
            x, y = 2 * x * y * pow(1 + k, -1, P) % P, (y * y + x * x) * pow(1 - k, -1, P) % P
        assert (x, y) == (0, 1)
        with pytest.raises(ValidationError, match="low order"):
            suite(1).scheme.load_public(data)


def offered(
    bundle: KeyPackageBundle, *, leaf_key: bytes | None = None, init_key: bytes | None = None
) -> bytes:
    """The key package signed anew, with other public keys."""
    use, leaf = suite(1), bundle.key_package.leaf_node
    made = LeafNode.sign(
        use,
        bundle.signer,
        encryption_key=leaf_key or leaf.encryption_key,
        credential=leaf.credential,
        capabilities=leaf.capabilities,
        source=LeafNodeSource.KEY_PACKAGE,
        lifetime=leaf.lifetime,
    )
    signed = KeyPackage.sign(use, bundle.signer, init_key=init_key or bundle.init_key.public, leaf_node=made)
    return b"\0\1\0\5" + signed.encode()


@pytest.mark.parametrize("key", LOW, ids=lambda key: key.hex()[:8])
def test_key_package_with_a_low_order_key_is_not_added(key: bytes) -> None:
    alice, bob, carol = grow(3)
    for data, whose in (
        (offered(package("eve"), leaf_key=key), "the encryption key of a key package"),
        (offered(package("eve"), init_key=key), "the init key of a key package"),
    ):
        with pytest.raises(ValidationError, match=f"{whose} is an X25519 public key of low order") as caught:
            alice.commit(add=[data], now=NOW)
        assert caught.value.rule == "public_key"
    pending = alice.commit(remove=[bob.own_leaf], now=NOW)
    carol.process(pending.commit, now=NOW)
    alice.apply_pending()
    agree([alice, carol])


def test_committer_that_adds_a_low_order_key_is_followed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = grow(2)
    with monkeypatch.context() as careless:
        careless.setattr(hpke, "_LOW_ORDER", frozenset())
        suite(1).hpke._load_public.cache_clear()  # type: ignore[attr-defined]
        pending = alice.commit(add=[offered(package("eve"), leaf_key=LOW[0])], now=NOW)
    suite(1).hpke._load_public.cache_clear()  # type: ignore[attr-defined]
    before = bob.snapshot()
    with pytest.raises(ValidationError, match="the encryption key of a key package is"):
        bob.process(pending.commit, now=NOW)
    assert bob.snapshot() == before


def test_path_with_a_low_order_key_names_its_committer() -> None:
    alice, _, carol = grow(3)
    use, tree = suite(1), carol._state.tree.copy()
    before = carol._state.own_leaf_node

    def sign_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        return replace(before, encryption_key=encryption_key, parent_hash=parent_hash)

    made = make_path(use, tree, carol.own_leaf, os.urandom, sign_leaf)
    path = made.seal(use, tree, b"", set())
    path = replace(path, nodes=(UpdatePathNode(LOW[0], path.nodes[0].encrypted_path_secret), *path.nodes[1:]))
    with pytest.raises(ValidationError, match="a key in the path of leaf 2 is an X25519 public key of low"):
        merge_path(use, alice._state.tree.copy(), carol.own_leaf, path)


def test_member_whose_key_is_none_is_named_by_those_who_would_seal_to_it() -> None:
    alice, bob, _ = grow(3)
    tree = alice._state.tree
    leaf = tree.leaf(bob.own_leaf)
    assert leaf is not None
    tree.nodes[2 * bob.own_leaf] = replace(leaf, encryption_key=LOW[3])
    with pytest.raises(ValidationError, match="the encryption key of leaf 1 is an X25519 public key"):
        alice.commit(path=True, now=NOW)


def test_low_order_signature_key_is_refused() -> None:
    alice = grow(2)[0]
    with pytest.raises(ValidationError, match="low order"):
        alice.commit(proposals=[Add(forged_for(LOW_SIGNATURE[1]))], now=NOW)


def forged_for(public: bytes) -> KeyPackage:
    bundle = package("nobody")
    leaf = replace(bundle.key_package.leaf_node, signature_key=public)
    return replace(bundle.key_package, leaf_node=leaf)


def test_external_key_of_low_order_is_refused() -> None:
    pair = suite(1).generate_key_pair(os.urandom)
    for act in (
        lambda: suite(1).hpke.setup_export_sender(LOW[0], pair, b""),
        lambda: suite(1).hpke.setup_export_receiver(pair, LOW[0], b""),
    ):
        with pytest.raises(ValidationError, match="low order"):
            act()  # type: ignore[no-untyped-call]
