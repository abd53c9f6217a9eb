"""Shared secret tokens (`identity.md` 2): the rules one by one, then the shared vectors."""

from __future__ import annotations

import base64
import json
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import shared_secret
from identity.errors import ConfigError, InvalidToken
from identity.protocols import Provider, Verifier
from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier, make_token
from identity.verified import VERIFIED_TOKENS
from tests.identity.vectors import Case, each_case

SECRET = "abcdefghijklmnopqrstuvwxyz012345"
OTHER = "another-secret-of-more-than-32-bytes"
NOW = 1795360177.0
NONCE = bytes(range(12))


def provider(**options: object) -> SharedSecretProvider:
    return SharedSecretProvider("org/ns/app", SECRET, **options)  # type: ignore[arg-type]


def verifier(**options: object) -> SharedSecretVerifier:
    return SharedSecretVerifier("app", SECRET, **options)  # type: ignore[arg-type]


def token(claims: dict[str, object] | None = None, *, at: float = NOW, secret: str = SECRET) -> str:
    return make_token(secret.encode(), "svc_Ab3dE5gH", int(at), NONCE, claims or {})


def refusal(check: SharedSecretVerifier, text: str, now: float = NOW) -> str:
    with pytest.raises(InvalidToken) as caught:
        check.try_verify(text, now)
    assert len(text) < 20 or text not in str(caught.value)
    return caught.value.rule


# Making


def test_both_are_what_sessions_expect() -> None:
    assert isinstance(provider(), Provider)
    assert isinstance(verifier(), Verifier)


def test_id_is_the_identity_and_a_random_suffix() -> None:
    first, second = provider(), provider()
    assert re.fullmatch(r"org/ns/app_[A-Za-z0-9]{8}", first.get_id())
    assert first.get_id() != second.get_id()


def test_suffix_takes_no_byte_that_would_favour_a_letter() -> None:
    batches = iter([b"\xff\xf8\x00\x3d\x3e\xf7\xff\xff", b"\x01" * 8])
    assert (
        provider(random=lambda count: next(batches) if count == 8 else bytes(count)).get_id()
        == "org/ns/app_A9A9BBBB"
    )


def test_token_without_claims_is_the_text_of_the_specification() -> None:
    made = make_token(SECRET.encode(), "svc_Ab3dE5gH", int(NOW), NONCE, {})
    assert made == "svc_Ab3dE5gH:1795360177:AAECAwQFBgcICQoL::RJLKKjPXfO5Km6qiVn8d4ANBX5Wo9g02eTmhqBKFzaw"


def test_each_token_carries_the_public_key_of_its_provider() -> None:
    mine = provider(token_reuse=0)
    first, second = (
        json.loads(base64.urlsafe_b64decode(t.split(":")[3] + "==")) for t in (mine.get_token(NOW),) * 2
    )
    assert list(first) == ["pubkey"]
    assert first == second
    assert len(base64.b64decode(first["pubkey"], validate=True)) == 32


def test_token_is_reused_for_five_seconds() -> None:
    mine = provider()
    first = mine.get_token(NOW)
    assert mine.get_token(NOW + 4.9) == first
    assert mine.get_token(NOW + 5) != first


def test_token_is_never_reused_past_two_thirds_of_its_life() -> None:
    mine = provider(validity_window=3)
    first = mine.get_token(NOW)
    assert mine.get_token(NOW + 1.9) == first
    assert mine.get_token(NOW + 2) != first


def test_token_is_made_anew_when_the_clock_goes_back() -> None:
    mine = provider()
    assert mine.get_token(NOW) != mine.get_token(NOW - 1)


def test_every_token_is_new_without_reuse() -> None:
    mine = provider(token_reuse=0)
    assert mine.get_token(NOW) != mine.get_token(NOW)


async def test_given_claims_stand_in_for_the_providers_own() -> None:
    mine = provider()
    made = await mine.get_token_with_claims({"pubkey": "leaf", "role": ["a"]}, NOW)
    claims = verifier().try_get_claims(made, NOW)
    assert claims == {
        "sub": mine.get_id(),
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
        "custom_claims": {"pubkey": "leaf", "role": ["a"]},
    }


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), "\ud800", b"bytes"])
async def test_claims_without_a_json_form_are_a_configuration_error(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        await provider().get_token_with_claims({"x": value}, NOW)
    assert caught.value.field == "claims"


@pytest.mark.parametrize("identity", ["", "a:b", "a b", "a\n", "\u2003", "a\ud800", None])
def test_unusable_identity(identity: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SharedSecretProvider(identity, SECRET)
    assert caught.value.field == "identity"


def test_a_secret_in_the_place_of_the_identity_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        SharedSecretProvider("a secret with spaces", "org/ns/app")
    assert "a secret" not in str(caught.value)


# Secrets


@pytest.mark.parametrize("secret", ["", None, b"x" * 32, "x" * 31 + "\ud800"])
def test_unusable_secret(secret: str) -> None:
    for make in (lambda: SharedSecretProvider("a", secret), lambda: SharedSecretVerifier("app", secret)):
        with pytest.raises(ConfigError) as caught:
            make()
        assert caught.value.field == "shared_secret"


def test_short_secrets_work_with_one_warning() -> None:
    shared_secret._warn_short_secret.cache_clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = SharedSecretProvider("a", "tiny-words").get_token(NOW)
        SharedSecretVerifier("app", "tiny-words").try_verify(made, NOW)
    assert len(warned) == 1
    assert "32 bytes" in str(warned[0].message)
    assert "tiny-words" not in str(warned[0].message)
    assert warned[0].filename == shared_secret.__file__, "a line of the caller's would show the secret"


def test_strict_refuses_short_secrets_and_counts_bytes() -> None:
    with pytest.raises(ConfigError, match="31 bytes"):
        SharedSecretProvider("a", "x" * 31, strict=True)
    with pytest.raises(ConfigError, match="31 bytes"):
        SharedSecretVerifier("app", "x" * 31, strict=True)
    SharedSecretProvider("a", "é" * 16, strict=True)


@pytest.mark.parametrize("field", ["validity_window", "clock_skew"])
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "5", True])
def test_unusable_durations(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        verifier(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_unusable_replay_cache(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        verifier(replay_cache=value)
    assert caught.value.field == "replay_cache"


def test_no_repr_shows_the_secret() -> None:
    check = verifier()
    check.replace_secret(OTHER, now=NOW, overlap=9)
    text = repr([provider(), check, check._previous])
    assert SECRET not in text
    assert OTHER not in text


# Checking


def test_window_and_skew_are_inclusive() -> None:
    for remembered in (False, True):
        check = verifier()
        if remembered:
            check.try_verify(token(), NOW)
        check.try_verify(token(), NOW - 5)
        check.try_verify(token(), NOW + 3600)
        assert refusal(check, token(), NOW - 6) == "not_yet_valid"
        assert refusal(check, token(), NOW + 3601) == "expired"


def test_a_changed_part_does_not_fit_its_mac() -> None:
    for index in range(4):
        parts = token({"a": 1}).split(":")
        parts[index] = parts[index][:-1] + ("1" if parts[index][-1] != "1" else "2")
        assert refusal(verifier(), ":".join(parts)) == "secret"


def test_another_secret() -> None:
    assert refusal(verifier(), token(secret=OTHER)) == "secret"


@pytest.mark.parametrize("text", ["", ":", "a:b:c:d:e:f", "eyJ.eyJ.x", token() + ":"])
def test_anything_but_five_parts(text: str) -> None:
    assert refusal(verifier(), text) == "format"


def test_text_that_cannot_be_signed() -> None:
    assert refusal(verifier(), token().replace("svc", "\ud800")) == "format"
    assert refusal(verifier(), token()[:-1] + "é") == "format"


def test_a_huge_token() -> None:
    assert refusal(verifier(), "x" * 70_000 + token()) == "size"


def test_claims_are_looked_at_only_when_wanted() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    for claims in (
        "***",
        b64(b"[1]"),
        b64(b'{"a":1,"a":2}'),
        b64(b'{"a":NaN}'),
        b64(f'{{"a":{deep[:100]}'.encode()),
    ):
        signed = f"svc:{int(NOW)}:n:{claims}"
        made = f"{signed}:{shared_secret._mac(SECRET.encode(), signed.encode()).decode()}"
        verifier().try_verify(made, NOW)
        with pytest.raises(InvalidToken) as caught:
            verifier().try_get_claims(made, NOW)
        assert caught.value.rule == "claims"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_asynchronous_forms_agree() -> None:
    check = verifier()
    await check.initialize()
    await check.verify(token(), NOW)
    assert await check.get_claims(token(), NOW) == check.try_get_claims(token(), NOW)
    with pytest.raises(InvalidToken):
        await check.verify(token(secret=OTHER), NOW)
    await check.close()


def test_memory_of_verified_tokens_is_bounded() -> None:
    check = verifier()
    for count in range(VERIFIED_TOKENS + 10):
        made = make_token(SECRET.encode(), "a", int(NOW), count.to_bytes(12, "big"), {})
        check.try_verify(made, NOW)
    assert len(check._verified) == VERIFIED_TOKENS


# Replay


def test_a_token_is_accepted_once_with_a_replay_cache() -> None:
    check = verifier(replay_cache=4)
    check.try_verify(token(), NOW)
    assert refusal(check, token()) == "replay"
    assert refusal(check, token({"a": 1})) == "replay"


def test_a_refused_token_leaves_no_trace_in_the_replay_cache() -> None:
    check = verifier(replay_cache=4)
    assert refusal(check, token(secret=OTHER)) == "secret"
    check.try_verify(token(), NOW)


def test_replay_cache_forgets_the_oldest_when_full_and_the_expired() -> None:
    check = verifier(replay_cache=2)
    made = [make_token(SECRET.encode(), "a", int(NOW), bytes([n]) * 12, {}) for n in range(3)]
    for each in made:
        check.try_verify(each, NOW)
    check.try_verify(made[0], NOW)
    check.try_verify(token(at=NOW + 4000), NOW + 4000)
    assert check._replay is not None
    assert len(check._replay._seen) == 1


# Rotation


def test_a_replaced_secret_overlaps_with_the_new_one() -> None:
    mine, check = provider(), verifier()
    old = mine.get_token(NOW)
    check.try_verify(old, NOW)
    check.replace_secret(OTHER, now=NOW, overlap=60)
    mine.replace_secret(OTHER)
    check.try_verify(mine.get_token(NOW), NOW)
    check.try_verify(old, NOW)
    check.try_verify(old, NOW + 60)
    assert refusal(check, old, NOW + 61) == "secret"
    assert refusal(check, make_token(SECRET.encode(), "a", int(NOW), NONCE, {}), NOW + 61) == "secret"


def test_a_replaced_secret_counts_no_longer_without_overlap() -> None:
    check = verifier()
    check.try_verify(token(), NOW)
    check.replace_secret(OTHER, now=NOW)
    assert refusal(check, token()) == "secret"


# Properties


@given(
    st.dictionaries(
        st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4
    ),
    st.integers(0, 2**40),
)
def test_claims_come_out_as_they_went_in(claims: dict[str, object], at: int) -> None:
    made = make_token(SECRET.encode(), "a", at, NONCE, claims)
    assert verifier().try_get_claims(made, at)["custom_claims"] == claims


@given(st.text(max_size=80) | st.lists(st.text(max_size=12), min_size=5, max_size=5).map(":".join))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    refusal(verifier(), text)


# Vectors


def came_out_right(case: Case) -> bool:
    check = SharedSecretVerifier(
        "app",
        case["secret"],
        validity_window=case["validity_window"],
        clock_skew=case["clock_skew"],
        replay_cache=case.get("replay_cache") or 0,
    )
    accepted = True
    try:
        for earlier in case.get("before", ()):
            check.try_verify(earlier, case["now"])
        for _ in range(case.get("repeat", 1) - 1):
            try:
                check.try_verify(case["token"], case["now"])
            except InvalidToken:
                pass
        if "claims_out" in case:
            expected = dict(case["claims_out"])
            # A case may write "no claims" as null, as nothing, or as an empty object.
            expected["custom_claims"] = expected.get("custom_claims") or {}
            return bool(check.try_get_claims(case["token"], case["now"]) == expected)
        check.try_verify(case["token"], case["now"])
    except InvalidToken:
        accepted = False
    return case["accept"] == "either" or accepted == case["accept"]


@each_case("shared_secret.json")
def test_vector(case: Case) -> None:
    assert came_out_right(case)
