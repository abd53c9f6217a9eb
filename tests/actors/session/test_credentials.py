"""Who may be in an encrypted group, and for how long (`session.md` 11.2)."""

from __future__ import annotations

import os

import jwt
import pytest

from actors.session.credentials import Credentials, Survey, half_life
from identity.errors import AuthError
from identity.mls import (
    Group,
    MlsError,
    SignatureKey,
    make_key_package,
    public_key_claim,
    suite,
    token_credential,
)
from identity.protocols import Claims, KeysMissing
from identity.shared_secret import SharedSecretVerifier, make_token

SECRET = "a secret of the credentials' tests, 32 bytes"
NOW = 1_800_000_000
SUITE = suite(1)


def member(subject: str, now: float = NOW) -> tuple[SignatureKey, str]:
    """A fresh key and a token for it."""
    key = SUITE.generate_signature_key(os.urandom)
    claims = {"pubkey": public_key_claim(key.public)}
    return key, make_token(SECRET.encode(), subject, int(now), os.urandom(12), claims)


def group_with(policy: Credentials, count: int) -> Group:
    """A group whose policy was told of each success, as a session tells it."""
    key, token = member("moderator")
    policy.begin()
    group = Group.create(SUITE, key, token_credential(token), identity=policy, now=NOW)
    policy.accept(group)
    for number in range(count):
        add(policy, group, f"member{number}")
    return group


def add(policy: Credentials, group: Group, subject: str, *, made: float = NOW, now: float = NOW) -> None:
    key, token = member(subject, made)
    bundle = make_key_package(SUITE, key, token_credential(token), random=os.urandom, now=made)
    policy.begin()
    group.commit(add=[bundle.message], now=now)
    group.apply_pending()
    policy.accept(group)


def test_who_enters_is_judged_now() -> None:
    policy = Credentials(SharedSecretVerifier("app", SECRET))
    group = group_with(policy, 1)
    with pytest.raises(MlsError, match="refused"):
        add(policy, group, "late", made=NOW, now=NOW + 4000)
    assert len(group.members) == 2


def test_a_path_under_the_same_credential_is_not_judged_again() -> None:
    policy = Credentials(SharedSecretVerifier("app", SECRET))
    group = group_with(policy, 2)
    policy.begin()
    group.commit(remove=[1], now=NOW + 100_000)
    group.apply_pending()
    assert len(group.members) == 2


def test_the_memory_of_members_who_went_is_bounded() -> None:
    policy = Credentials(SharedSecretVerifier("app", SECRET))
    group = group_with(policy, 2)
    for number in range(300):
        add(policy, group, f"guest{number}")
        policy.begin()
        group.commit(remove=[3], now=NOW)
        group.apply_pending()
        policy.accept(group)
    assert len(policy._members) <= 2 * 4 + 65


class Ignorant(SharedSecretVerifier):
    """Has no keys yet."""

    def try_get_claims(self, token: str, now: float) -> Claims:
        raise KeysMissing


def test_what_the_verifier_lacks_is_gathered_over_a_whole_tree() -> None:
    founder = Credentials(SharedSecretVerifier("app", SECRET))
    group = group_with(founder, 3)
    key, token = member("joiner")
    bundle = make_key_package(SUITE, key, token_credential(token), random=os.urandom, now=NOW)
    founder.begin()
    welcome = group.commit(add=[bundle.message], now=NOW).welcome
    assert welcome is not None
    policy = Credentials(Ignorant("app", SECRET))
    policy.begin()
    Group.join(welcome, bundle, identity=policy, now=NOW)
    wanted = policy.keys_wanted()
    assert wanted is not None
    assert len(wanted.tokens) == 5
    assert {at for _, at in wanted.tokens} == {NOW}
    survey = Survey()
    Group.join(welcome, bundle, identity=survey, now=NOW)
    assert [leaf.credential.data.decode() for leaf in survey.leaves] == [text for text, _ in wanted.tokens]


def test_half_of_a_life() -> None:
    _, token = member("x")
    assert half_life(token) == NOW + 1800
    signed = jwt.encode({"sub": "x", "iat": NOW, "exp": NOW + 300}, "k" * 32, algorithm="HS256")
    assert half_life(signed) == NOW + 150
    unbounded = jwt.encode({"sub": "x", "iat": NOW}, "k" * 32, algorithm="HS256")
    assert half_life(unbounded) == NOW + 1800
    for bad in ("", "x", "a.b.c", "1:x:3:4:5"):
        with pytest.raises((MlsError, AuthError)):
            half_life(bad)
