"""Real SLIM groups, and the policy by which their members know one another."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest

from identity.errors import InvalidToken
from identity.mls.authentication_service import Occasion
from identity.mls.cipher_suite import suite
from identity.mls.commit import CommitApplied
from identity.mls.credential import Credential
from identity.mls.errors import ValidationError
from identity.mls.framing import PrivateMessage, PublicMessage, decode_message, encode_message
from identity.mls.group import Group
from identity.mls.leaf_node import LeafNode
from identity.mls.messages import Commit, Welcome
from identity.mls.private_message import padded_length
from identity.mls.proposal import Add, KeyPackage, Remove
from identity.mls.signatures import SignatureKey
from identity.mls.slim_identity import (
    SlimIdentity,
    credential_token,
    issue_time,
    public_key_claim,
    token_credential,
)
from identity.mls.welcome import make_key_package
from identity.mls_key import warn_of_unbound
from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier
from tests.identity.mls.support import WINDOW, Case, TokenBook, bundle_of, cases, unhex

NOW = 1_800_000_000
SUITE = suite(1)
TAG_LENGTH = 16
"""Of every AEAD in use."""


@pytest.mark.vectors
def test_slim_session_vectors() -> None:
    found = cases("slim-session")
    events = 0
    for case in found:
        now = issue_time(credential_token(bundle_of(case).key_package.leaf_node.credential))
        group = join(case, now)
        for event in case["events"]:
            message = unhex(event["mls_message"])
            if event["kind"] == "commit":
                applied = group.process(message, now=now)
                assert isinstance(applied, CommitApplied)
                assert applied.removed
                assert group.epoch_authenticator == unhex(event["epoch_authenticator"])
            else:
                opened = group.decrypt(message)
                assert opened.plaintext == unhex(event["plaintext"])
                assert opened.sender == event["sender_leaf"]
                assert opened.epoch == event["epoch"]
                assert opened.authenticated_data == unhex(event["authenticated_data"])
            events += 1
    print(f"slim-session: {len(found)} runs, {events} events passed")


@pytest.mark.vectors
def test_real_group_is_joined_long_after_but_its_old_committer_is_not_followed() -> None:
    long_after = 4e9
    for case in cases("slim-session"):
        group = join(case, long_after)
        for event in case["events"]:
            if event["kind"] == "commit":
                with pytest.raises(ValidationError, match="credential"):
                    group.process(unhex(event["mls_message"]), now=long_after)
                break


def join(case: Case, now: float) -> Group:
    identity = SlimIdentity(TokenBook(case["shared_secret"]))
    group = Group.join(unhex(case["welcome"]), bundle_of(case), identity=identity, now=now)
    assert group.epoch_authenticator == unhex(case["initial_epoch_authenticator"])
    assert group.group_id == unhex(case["group_id"])
    assert group.own_leaf == case["leaf_index"]
    return group


@pytest.mark.vectors
def test_slim_captures_vectors() -> None:
    found = cases("slim-captures")
    checked = 0
    for case in found:
        use = suite(case["cipher_suite"])
        identity = SlimIdentity(TokenBook(case["shared_secret"]))
        for entry in case["messages"]:
            data = unhex(entry["mls_message"])
            message = decode_message(data)
            assert encode_message(message) == data
            match entry["kind"], message:
                case "key_package", KeyPackage():
                    leaf = message.leaf_node
                    assert message.signature_fits(use)
                    assert leaf.signature_fits(use, b"")
                    assert identity.identify(leaf, Occasion.IN_TREE, NOW)
                case "commit", PublicMessage():
                    framed = message.content.content
                    assert framed.authenticated_data == b""
                    commit = framed.body
                    assert isinstance(commit, Commit)
                    (proposal,) = commit.proposals
                    assert isinstance(proposal, Add | Remove)
                    assert (commit.path is None) == isinstance(proposal, Add)
                case "application", PrivateMessage():
                    padded = len(message.ciphertext) - TAG_LENGTH
                    assert padded_length(padded - 1) == padded  # a step of the peer's padding
                case kind, Welcome():
                    assert kind == "welcome"
                case kind, _:
                    pytest.fail(f"a {type(message).__name__} as {kind}")
            checked += 1
    print(f"slim-captures: {len(found)} runs, {checked} messages passed")


BOOK = TokenBook()
SIGNER = SUITE.generate_signature_key(os.urandom)


def leaf_with(credential: Credential, signer: SignatureKey = SIGNER) -> LeafNode:
    return make_key_package(SUITE, signer, credential, random=os.urandom, now=NOW).key_package.leaf_node


def test_expiry_counts_when_a_leaf_enters_but_not_in_the_tree() -> None:
    identity = SlimIdentity(BOOK)
    leaf = leaf_with(token_credential(BOOK.token("alice", SIGNER.public, NOW)))
    assert identity.identify(leaf, Occasion.ENTERS, NOW) == b"alice"
    assert identity.identify(leaf, Occasion.IN_TREE, NOW + 100 * WINDOW) == b"alice"
    with pytest.raises(ValidationError, match=r"the token of .* is refused: "):
        identity.identify(leaf, Occasion.ENTERS, NOW + WINDOW + 1)


def test_token_from_the_future_is_refused_in_the_tree_too() -> None:
    leaf = leaf_with(token_credential(BOOK.token("alice", SIGNER.public, NOW + 60)))
    for occasion in Occasion:
        with pytest.raises(ValidationError, match=r"the token of .* is refused: "):
            SlimIdentity(BOOK).identify(leaf, occasion, NOW)


def test_wrong_secret_is_refused_in_the_tree_too() -> None:
    leaf = leaf_with(token_credential(TokenBook("another").token("alice", SIGNER.public, NOW)))
    for occasion in Occasion:
        with pytest.raises(ValidationError, match=r"the token of .* is refused: "):
            SlimIdentity(BOOK).identify(leaf, occasion, NOW)


def test_token_for_another_key_is_refused() -> None:
    other = SUITE.generate_signature_key(os.urandom)
    leaf = leaf_with(token_credential(BOOK.token("alice", other.public, NOW)))
    with pytest.raises(ValidationError, match="another signature key"):
        SlimIdentity(BOOK).identify(leaf, Occasion.ENTERS, NOW)


class Answer:
    """A verifier that accepts every token with the same claims."""

    def __init__(self, claims: dict[str, Any]) -> None:
        self.claims = claims

    def try_get_claims(self, token: str, now: float) -> dict[str, Any]:
        return self.claims


KEY = base64.b64encode(SIGNER.public).decode()


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        ({"sub": "s", "id": "i", "pubkey": KEY}, b"s"),
        ({"id": "i", "pubkey": KEY}, b"i"),
        ({"sub": "s", "custom_claims": {"pubkey": KEY}}, b"s"),
        ({"sub": "s", "pubkey": KEY, "custom_claims": {"pubkey": "other"}}, b"s"),
    ],
)
def test_subject_and_key_are_found_where_slim_puts_them(claims: dict[str, Any], identity: bytes) -> None:
    leaf = leaf_with(token_credential("token"))
    assert SlimIdentity(Answer(claims)).identify(leaf, Occasion.ENTERS, NOW) == identity


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "s"},
        {"sub": "s", "pubkey": 5},
        {"sub": "s", "custom_claims": "pubkey"},
        {"pubkey": KEY},
        {"sub": "", "pubkey": KEY},
        {"sub": ["s"], "pubkey": KEY},
        {"sub": "s", "pubkey": KEY.rstrip("=")},
    ],
)
def test_claims_that_say_too_little_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="rule credential"):
        SlimIdentity(Answer(claims)).identify(leaf_with(token_credential("t")), Occasion.ENTERS, NOW)


def test_a_token_without_a_key_counts_only_where_that_was_asked_for(recwarn: pytest.WarningsRecorder) -> None:
    warn_of_unbound.cache_clear()
    leaf = leaf_with(token_credential("t"))
    lenient = SlimIdentity(Answer({"sub": "s"}), takes_unbound_keys=True)
    assert lenient.identify(leaf, Occasion.ENTERS, NOW) == b"s"
    lenient.identify(leaf, Occasion.ENTERS, NOW)
    assert [str(one.message)[:20] for one in recwarn] == ["an encrypted session"]
    for wrong in ({"sub": "s", "pubkey": "other"}, {"sub": "s", "pubkey": 5}):
        with pytest.raises(ValidationError, match="rule credential"):
            SlimIdentity(Answer(wrong), takes_unbound_keys=True).identify(leaf, Occasion.ENTERS, NOW)


@pytest.mark.parametrize("credential", [Credential.basic(b"\xff"), Credential(2, b"certificate")])
def test_credential_that_is_no_text_or_not_basic_is_refused(credential: Credential) -> None:
    with pytest.raises(ValidationError, match="rule credential"):
        SlimIdentity(Answer({})).identify(leaf_with(credential), Occasion.ENTERS, NOW)


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def test_issue_time_is_read_from_both_kinds_of_token() -> None:
    assert issue_time("org/ns/app_x:1700000000:nonce:claims:mac") == 1_700_000_000
    assert issue_time(jwt(iat=5, nbf=4, exp=9)) == 5
    assert issue_time(jwt(nbf=4, exp=9)) == 4
    assert issue_time(jwt(exp=9)) == 8


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.!.c",
        "e30.W10.c",
        jwt(),
        jwt(iat=True),
        jwt(iat="soon"),
        jwt(iat=[1]),
        "a:nan:b:c:d",
        "a:x:b:c:d",
    ],
)
def test_token_without_issue_time_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="rule credential"):
        issue_time(token)


def test_refusal_keeps_its_cause_and_shows_no_token() -> None:
    token = BOOK.token("alice", SIGNER.public, NOW)
    leaf = leaf_with(token_credential(token))
    with pytest.raises(ValidationError) as caught:
        SlimIdentity(BOOK).identify(leaf, Occasion.ENTERS, 0)
    assert isinstance(caught.value.__cause__, InvalidToken)
    assert token not in f"{caught.value!r} {leaf.credential!r}"


async def test_tokens_of_the_applications_own_provider_make_members() -> None:
    secret = "a shared secret of more than thirty-two bytes"
    identity = SlimIdentity(SharedSecretVerifier("app", secret))
    provider = SharedSecretProvider("org/ns/alice", secret)
    claims = {"pubkey": public_key_claim(SIGNER.public)}
    leaf = leaf_with(token_credential(await provider.get_token_with_claims(claims, NOW)))
    for occasion, now in ((Occasion.ENTERS, NOW), (Occasion.IN_TREE, NOW), (Occasion.IN_TREE, NOW + 1e6)):
        assert identity.identify(leaf, occasion, now) == provider.get_id().encode()
    with pytest.raises(ValidationError, match=r"the token of .* is refused: "):
        identity.identify(leaf, Occasion.ENTERS, NOW + 1e6)
