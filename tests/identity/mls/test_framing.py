from __future__ import annotations

import os
from dataclasses import replace

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.codec import decode_whole, u16
from identity.mls.errors import DecodeError, KeyUnavailable, ValidationError, VerificationError
from identity.mls.framing import (
    MAX_MESSAGE,
    AuthenticatedContent,
    ContentType,
    FramedContent,
    PrivateMessage,
    PublicMessage,
    Sender,
    WireFormat,
    decode_message,
    encode_message,
)
from identity.mls.messages import Commit, GroupContext
from identity.mls.private_message import EpochKeys, padded_length, sender_data_key_and_nonce
from identity.mls.proposal import decode_proposal
from identity.mls.secret import Secret
from identity.mls.secret_tree import SecretTree
from identity.mls.signatures import SignatureKey
from tests.identity.mls.members import package
from tests.identity.mls.support import Case, cases, unhex

SENDER = 1


def context_of(case: Case) -> GroupContext:
    return GroupContext(
        case["cipher_suite"],
        unhex(case["group_id"]),
        case["epoch"],
        unhex(case["tree_hash"]),
        unhex(case["confirmed_transcript_hash"]),
    )


def keys_of(case: Case) -> EpochKeys:
    use = suite(case["cipher_suite"])
    tree = SecretTree.grow(use, 2, Secret(unhex(case["encryption_secret"])))
    leaf = replace(package("sender").key_package.leaf_node, signature_key=unhex(case["signature_pub"]))
    sender_data = Secret(unhex(case["sender_data_secret"]))
    return EpochKeys(use, context_of(case), sender_data, tree, {1: leaf}.get, {1: b"sender"}.get)


def signer_of(case: Case) -> SignatureKey:
    return suite(case["cipher_suite"]).scheme.load_private(unhex(case["signature_priv"]))


def open_private(case: Case, data: bytes) -> AuthenticatedContent:
    message = decode_message(data)
    assert isinstance(message, PrivateMessage)
    content, _, _ = keys_of(case).unprotect(message, None)
    assert content.content.sender == Sender.member(SENDER)
    return content


def open_public(case: Case, data: bytes) -> AuthenticatedContent:
    use, context = suite(case["cipher_suite"]), context_of(case).encoded
    message = decode_message(data)
    assert isinstance(message, PublicMessage)
    message.verify_membership(use, unhex(case["membership_key"]), context)
    message.content.verify(use, unhex(case["signature_pub"]), context)
    return message.content


def encoded_body(content: AuthenticatedContent) -> bytes:
    body = content.content.body
    assert not isinstance(body, bytes)
    return body.encode() if isinstance(body, Commit) else u16(body.type) + body.encode()


def signed(case: Case, wire_format: WireFormat, body: object) -> AuthenticatedContent:
    content = FramedContent.build(
        group_id=unhex(case["group_id"]),
        epoch=case["epoch"],
        sender=Sender.member(SENDER),
        body=body,  # type: ignore[arg-type]
    )
    made = AuthenticatedContent.sign(
        suite(case["cipher_suite"]), signer_of(case), wire_format, content, context_of(case).encoded
    )
    return replace(made, confirmation_tag=b"tag") if isinstance(body, Commit) else made


@pytest.mark.vectors
def test_message_protection_vectors() -> None:
    found = cases("message-protection")
    for case in found:
        use = suite(case["cipher_suite"])
        for kind, decode in (("proposal", decode_proposal), ("commit", Commit.decode)):
            raw = unhex(case[kind])
            assert encoded_body(open_public(case, unhex(case[f"{kind}_pub"]))) == raw
            assert encoded_body(open_private(case, unhex(case[f"{kind}_priv"]))) == raw
            body = decode_whole(raw, decode)  # type: ignore[arg-type]
            content = signed(case, WireFormat.PUBLIC_MESSAGE, body)
            public = PublicMessage.protect(
                use, content, unhex(case["membership_key"]), context_of(case).encoded
            )
            assert open_public(case, encode_message(public)) == content
            content = signed(case, WireFormat.PRIVATE_MESSAGE, body)
            assert open_private(case, keys_of(case).protect(content, os.urandom(4))) == content

        application = unhex(case["application"])
        message = decode_message(unhex(case["application_priv"]))
        assert isinstance(message, PrivateMessage)
        assert keys_of(case).decrypt(message, None).plaintext == application
        own = keys_of(case).encrypt(SENDER, signer_of(case), application, b"aad", os.urandom(4))
        message = decode_message(own)
        assert isinstance(message, PrivateMessage)
        opened = keys_of(case).decrypt(message, None)
        assert (opened.plaintext, opened.sender, opened.authenticated_data) == (application, SENDER, b"aad")
        content = signed(case, WireFormat.PUBLIC_MESSAGE, application)
        public = PublicMessage.protect(use, content, unhex(case["membership_key"]), context_of(case).encoded)
        with pytest.raises(ValidationError, match="public_application"):
            open_public(case, encode_message(public))
    print(f"message-protection: {len(found)} passed")


@pytest.mark.vectors
def test_sender_data_vectors() -> None:
    found = cases("mls-rs-sender-data")
    for case in found:
        use = suite(case["cipher_suite"])
        key, nonce = sender_data_key_and_nonce(use, unhex(case["secret"]), unhex(case["ciphertext_bytes"]))
        assert (key, nonce) == (unhex(case["expected_key"]), unhex(case["expected_nonce"]))
        given, place = case["sender_data"], case["sender_data_aad"]
        plain = given["sender"].to_bytes(4, "big") + given["generation"].to_bytes(4, "big")
        aad = PrivateMessage(
            unhex(place["group_id"]), place["epoch"], ContentType.APPLICATION, b"", b"", b""
        ).encode()[:-3]
        sealed = unhex(case["expected_ciphertext"])
        assert use.seal(key, nonce, plain + unhex(given["reuse_guard"]), aad) == sealed
    print(f"mls-rs-sender-data: {len(found)} passed")


@pytest.mark.vectors
def test_padding_vectors() -> None:
    found = cases("mls-rs-padding")
    for case in found:
        assert padded_length(case["input"]) == case["output"]
    print(f"mls-rs-padding: {len(found)} passed")


def test_message_with_another_version_format_or_length_is_refused() -> None:
    for data in (b"", b"\0\2\0\1", b"\0\1\0\6", b"\0\1\0\0"):
        with pytest.raises(DecodeError):
            decode_message(data)
    with pytest.raises(DecodeError, match="is the most"):
        decode_message(bytes(MAX_MESSAGE + 1))


class Pair:
    """The keys of one epoch, held by a sender at leaf 0 and a reader at leaf 1."""

    def __init__(self, number: int = 1) -> None:
        self.suite = suite(number)
        self.signer = self.suite.generate_signature_key(os.urandom)
        leaves = [package("sender", self.suite).key_package.leaf_node for _ in range(2)]
        leaves[0] = replace(leaves[0], signature_key=self.signer.public)
        secret, data = Secret(os.urandom(32)), Secret(os.urandom(32))
        context = GroupContext(number, b"group", 7, b"", b"")
        self.sender, self.reader = (
            EpochKeys(
                self.suite,
                context,
                data,
                SecretTree.grow(self.suite, 4, secret),
                dict(enumerate(leaves)).get,
                dict(enumerate((b"sender", b"reader"))).get,
            )
            for _ in range(2)
        )

    def send(self, plaintext: bytes = b"hello", *, signer: SignatureKey | None = None) -> PrivateMessage:
        data = self.sender.encrypt(0, signer or self.signer, plaintext, b"", os.urandom(4))
        message = decode_message(data)
        assert isinstance(message, PrivateMessage)
        return message


def test_message_is_opened_once() -> None:
    pair = Pair()
    message = pair.send()
    assert pair.reader.decrypt(message, 1).plaintext == b"hello"
    with pytest.raises(KeyUnavailable, match="was used before"):
        pair.reader.decrypt(message, 1)


def test_message_signed_by_another_member_is_refused_and_burns_no_key() -> None:
    pair = Pair()
    forged = pair.send(signer=pair.suite.generate_signature_key(os.urandom))
    with pytest.raises(VerificationError, match="signature of the message"):
        pair.reader.decrypt(forged, 1)
    ratchet = pair.reader.secret_tree.leaf(0).application
    assert ratchet.generation == 0


def test_own_message_and_blank_sender_are_refused() -> None:
    pair = Pair()
    with pytest.raises(ValidationError, match="own_message"):
        pair.reader.decrypt(pair.send(), 0)
    data = pair.sender.encrypt(2, pair.signer, b"", b"", os.urandom(4))
    message = decode_message(data)
    assert isinstance(message, PrivateMessage)
    with pytest.raises(ValidationError, match="leaf 2 is blank"):
        pair.reader.decrypt(message, 1)


def test_padding_hides_the_length_in_steps() -> None:
    for length in (0, 1, 31, 255, 256, 1000, 5000, 100_000):
        padded = padded_length(length)
        assert length < padded <= max(length * 1.25, 32 + length)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7])
def test_every_suite_protects_messages(number: int) -> None:
    pair = Pair(number)
    for plaintext in (b"", b"x", bytes(5000)):
        assert pair.reader.decrypt(pair.send(plaintext), 1).plaintext == plaintext


def test_padding_other_than_zeros_is_refused() -> None:
    pair = Pair()
    keys = pair.sender
    found = keys.secret_tree.leaf(0).application.find(pair.suite, 0)
    header = b"\5group" + (7).to_bytes(8, "big") + b"\1"
    ciphertext = pair.suite.seal(found.key, found.nonce, b"\0\0" + b"\1", header + b"\0")
    key, nonce = sender_data_key_and_nonce(pair.suite, keys.sender_data_secret, ciphertext)
    sender_data = pair.suite.seal(key, nonce, bytes(12), header)
    message = PrivateMessage(b"group", 7, ContentType.APPLICATION, b"", sender_data, ciphertext)
    with pytest.raises(DecodeError, match="padding that is not zero"):
        pair.reader.decrypt(message, 1)
