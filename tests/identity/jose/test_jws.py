"""Compact tokens: one form or none, and a header that chooses nothing."""

from __future__ import annotations

import json

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.encoding import b64url_encode
from identity.errors import InvalidToken
from identity.jose import jws
from identity.jose.key_material import SigningKey
from identity.jose.key_set import read_keys, read_signing_key
from identity.jose.keys import Algorithm, KeyFormat
from tests.identity.key_samples import encode, private_pem, public_pem

GOOD = encode({"sub": "a"}, Algorithm.HS256)


def token(header: object, payload: object = "{}", signature: bytes = b"x") -> str:
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    return ".".join([*(b64url_encode(text.encode()) for text in texts), b64url_encode(signature)])


def rule(text: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        jws.parse(text)
    return caught.value.rule


def test_parts_of_a_token() -> None:
    opened = jws.parse(encode({"sub": "a"}, Algorithm.HS256, kid="k"))
    assert (opened.algorithm, opened.kid) == (Algorithm.HS256, "k")
    assert jws.claims_of(opened.payload) == {"sub": "a"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b",
        GOOD + ".x",
        f"{GOOD}.x.y",
        " " + GOOD,
        GOOD + "\n",
        GOOD + "\r\n",
        GOOD + "=",
        GOOD.replace(".", ".=", 1),
        GOOD.replace(".", "\0.", 1),
        GOOD.replace("e", "é", 1),
        GOOD.replace(".", "\ud800.", 1),
        json.dumps({"payload": "", "signatures": []}),
        token("[]"),
        token('"x"'),
        token("null"),
        token("{"),
        token('{"alg":"HS256","alg":"none"}'),
        token('{"alg":"HS256","x":NaN}'),
        token('{"alg":"HS256","x":' + "[" * 100 + "]" * 100 + "}"),
    ],
)
def test_anything_but_three_strict_parts(text: str) -> None:
    assert rule(text) == "format"


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "nOnE", "", "hs256", "ES512", "HS256 ", None, 5, ["HS256"], {}]
)
def test_algorithms_that_do_not_exist(name: object) -> None:
    assert rule(token({"alg": name})) == "algorithm"
    assert rule(token({"alg": name}, signature=b"")) == "algorithm"


def test_no_algorithm_and_no_signature() -> None:
    assert rule(token({})) == "algorithm"
    assert rule(token({"alg": "RS256"}, signature=b"")) == "signature"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"crit": None},
        {"kid": 5},
        {"kid": None},
        {"kid": ["a"]},
    ],
)
def test_headers_that_are_refused(header: dict[str, object]) -> None:
    assert rule(token({"alg": "HS256", **header})) == "header"


def test_a_huge_token() -> None:
    assert rule("a" * (jws.MAX_TOKEN_CHARACTERS + 1)) == "size"


@pytest.mark.parametrize("payload", ["[]", "null", "5", '{"a":1,"a":1}', '{"exp":NaN}', "{"])
def test_claims_that_are_no_object(payload: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        jws.payload_of(token({"alg": "HS256"}, payload))
    assert caught.value.rule == "claims"


@pytest.mark.parametrize("algorithm", Algorithm)
def test_pyjwt_reads_what_we_sign_and_we_check_what_it_signs(algorithm: Algorithm) -> None:
    claims = {"sub": "ä", "n": [1, None, {"a": True}]}
    key = read_signing_key(private_pem(algorithm).encode(), algorithm, KeyFormat.Pem)
    ours = jws.sign(key, {"typ": "JWT", "alg": algorithm.value}, claims)
    assert (
        pyjwt.decode(ours, public_pem(algorithm), [algorithm.value], options={"verify_sub": False}) == claims
    )
    keys = read_keys(public_pem(algorithm).encode(), algorithm, KeyFormat.Pem)
    opened = jws.parse(encode(claims, algorithm))
    jws.check_signature(opened, keys.candidates(opened.algorithm, opened.kid, claims))


@pytest.mark.parametrize(
    "public", [public_pem(Algorithm.RS256), public_pem(Algorithm.ES256), public_pem(Algorithm.EdDSA), ""]
)
def test_a_public_key_is_no_hmac_key(public: str) -> None:
    """Algorithm confusion: HMAC keyed with what everybody knows."""

    for secret in (public.encode(), public.strip().encode(), b""):
        forged = jws.sign(SigningKey(secret, Algorithm.HS256), {"alg": "HS256"}, {})
        for algorithm in (Algorithm.RS256, Algorithm.ES256, Algorithm.EdDSA):
            keys = read_keys(public_pem(algorithm).encode(), algorithm, KeyFormat.Pem)
            with pytest.raises(InvalidToken) as caught:
                keys.candidates(jws.parse(forged).algorithm, None, {})
            assert caught.value.rule == "algorithm"


@given(
    st.text(max_size=60)
    | st.lists(st.text(alphabet="eyJhbGciOiJ_-=", max_size=20), min_size=3, max_size=3).map(".".join)
)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        jws.parse(text)
    except InvalidToken:
        pass
