from __future__ import annotations

import os

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.codec import decode_whole
from identity.mls.credential import Credential
from identity.mls.errors import DecodeError
from identity.mls.leaf_node import LeafNode, LeafNodeSource, Lifetime, leaf_position
from identity.mls.proposal import Add
from identity.mls.welcome import CAPABILITIES, make_key_package

SUITE = suite(1)
KEY = SUITE.generate_signature_key(os.urandom)
TOKEN = b"org/ns/app:1700000000:nonce:claims:mac"


def leaf(source: LeafNodeSource, position: bytes = b"") -> LeafNode:
    return LeafNode.sign(
        SUITE,
        KEY,
        encryption_key=bytes(32),
        credential=Credential.basic(TOKEN),
        capabilities=CAPABILITIES,
        source=source,
        lifetime=Lifetime(1, 2) if source is LeafNodeSource.KEY_PACKAGE else None,
        parent_hash=bytes(32) if source is LeafNodeSource.COMMIT else b"",
        position=position,
    )


@pytest.mark.parametrize("source", LeafNodeSource)
def test_signed_leaf_is_read_back_and_fits_its_place_only(source: LeafNodeSource) -> None:
    place, other = leaf_position(b"group", 3), leaf_position(b"group", 4)
    made = leaf(source, b"" if source is LeafNodeSource.KEY_PACKAGE else place)
    assert decode_whole(made.encode(), LeafNode.decode) == made
    assert made.in_tree == b"\1\1" + made.encoded
    assert made.signature_fits(SUITE, place)
    assert made.signature_fits(SUITE, other) is (source is LeafNodeSource.KEY_PACKAGE)


def test_unknown_source_is_refused() -> None:
    made = leaf(LeafNodeSource.UPDATE)
    at = made.encoded.index(CAPABILITIES.encode()) + len(CAPABILITIES.encode())
    for source in (0, 4, 255):
        with pytest.raises(DecodeError, match=f"leaf node source {source} is unknown at byte {at}"):
            decode_whole(made.encoded[:at] + bytes([source]) + made.encoded[at + 1 :], LeafNode.decode)


def test_token_in_a_credential_is_not_shown() -> None:
    bundle = make_key_package(SUITE, KEY, Credential.basic(TOKEN), random=os.urandom, now=0)
    for value in (leaf(LeafNodeSource.UPDATE), bundle, Add(bundle.key_package)):
        assert "nonce:claims" not in repr(value)
