"""`callboard token`: parts without secrets, new tokens, and verdicts with exit codes."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.token import describe
from identity import token_tool
from identity.jose.keys import Algorithm
from tests.identity.key_samples import encode, jwk, jwks, private_pem, public_pem

SECRET = "a-shared-secret-of-more-than-32-bytes"


class Files:
    """Keys and tokens in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.private = self.write("private.pem", private_pem(Algorithm.ES256))
        self.public = self.write("public.pem", public_pem(Algorithm.ES256))
        self.other = self.write("other.pem", public_pem(Algorithm.ES256, 1))
        self.jwks = self.write("jwks.json", jwks(jwk(Algorithm.ES256, kid="one", alg="ES256")))

    def write(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["token", *argv])
        return code, *capsys.readouterr()

    return run


def test_a_token_of_a_key_is_minted_and_verified(run, files: Files) -> None:
    code, token, _ = run(
        "mint", "--key", files.private, "--subject", "app", "--issuer", "https://i", "--audience", "a,b",
        "--duration", "5m", "--key-id", "one", "--claim", "team=stage", "--claim", "level=3",
    )  # fmt: skip
    assert code == 0
    for keys in (
        ["--public-key", files.public],
        ["--jwks", files.jwks],
        ["--spire-trust-bundle", files.jwks],
    ):
        code, out, _ = run("verify", token.strip(), *keys, "--audience", "b", "--issuer", "https://i")
        assert code == 0
        claims = json.loads(out)
        assert (claims["sub"], claims["team"], claims["level"]) == ("app", "stage", 3)
        assert claims["exp"] - claims["iat"] == 300


def test_a_token_of_a_secret_is_minted_and_verified(run) -> None:
    code, token, _ = run("mint", "--shared-secret", SECRET, "--subject", "app", "--claim", "x=1")
    assert code == 0
    code, out, _ = run("verify", token.strip(), "--shared-secret", SECRET)
    assert code == 0
    assert json.loads(out)["custom_claims"]["x"] == 1
    code, out, _ = run("verify", token.strip(), "--shared-secret", SECRET[::-1])
    assert code == 1
    assert out.startswith("refused (")


@pytest.mark.parametrize(
    ("claims", "flags", "word"),
    [
        ({"exp": -600}, [], "expired"),
        ({"aud": ["other"]}, ["--audience", "mine"], "aud"),
        ({}, ["--audience", "mine"], "aud"),
        ({"iss": "https://other"}, ["--issuer", "https://mine"], "iss"),
        ({}, ["--issuer", "https://mine"], "iss"),
        ({"sub": "other"}, ["--subject", "mine"], "sub"),
        ({"nbf": 600}, [], "not valid for another"),
    ],
)
def test_why_a_token_is_refused_is_one_line(
    run, files: Files, claims: dict[str, object], flags: list[str], word: str
) -> None:
    now = int(time.time())
    body = {"sub": "app", "exp": 60, **claims}
    dated = {name: now + value if name in ("exp", "nbf") else value for name, value in body.items()}  # type: ignore[operator]
    token = encode(dated, Algorithm.ES256)
    code, out, err = run("verify", token, "--public-key", files.public, *flags)
    assert (code, err) == (1, "")
    assert out.count("\n") == 1
    assert word in out
    assert token.split(".")[2] not in out


def test_another_key_is_refused(run, files: Files) -> None:
    token = encode({"sub": "app", "exp": int(time.time()) + 60}, Algorithm.ES256)
    code, out, _ = run("verify", token, "--public-key", files.other)
    assert code == 1
    assert "signature" in out


def test_inspecting_shows_parts_and_no_signature(run, files: Files) -> None:
    token = encode({"sub": "app", "exp": int(time.time()) - 5}, Algorithm.ES256, kid="one")
    for source in (token, files.write("token", token + "\n")):
        code, out, _ = run("inspect", source)
        assert code == 0
        assert "subject  app" in out
        assert "state    expired (not verified)" in out
        assert '"kid": "one"' in out
        assert token.split(".")[2] not in out
        code, out, _ = run("inspect", source, "--json")
        assert code == 0
        assert json.loads(out)["subject"] == "app"


def test_inspecting_a_shared_secret_token_shows_no_mac(run) -> None:
    _, token, _ = run("mint", "--shared-secret", SECRET, "--subject", "app")
    code, out, _ = run("inspect", token.strip())
    assert code == 0
    assert "kind     shared secret" in out
    for hidden in token.strip().split(":")[2:5:2]:
        assert hidden not in out


def test_inspecting_standard_input(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(encode({"sub": "app"}, Algorithm.ES256)))
    code, out, _ = run("inspect", "-")
    assert code == 0
    assert "undated" in out


def test_terminal_controls_in_a_token_are_shown_as_text() -> None:
    token = encode({"sub": "a\x1b[2Jb", "exp": 1e300}, Algorithm.ES256)
    shown = describe(token_tool.inspect(token), time.time())
    assert "\x1b" not in shown
    assert "out of range" in shown


def test_a_file_that_is_not_there_is_said_to_be_none(run) -> None:
    code, _, err = run("inspect", "no-such-file")
    assert (code, err) == (1, "callboard: this is neither a token nor a file that can be read\n")


@pytest.mark.parametrize("nonsense", ["", "x", "a.b.c", "a:b:c:d:e", "." * 70_000])
def test_what_is_no_token_is_said_in_one_line(run, nonsense: str) -> None:
    code, out, err = run("inspect", nonsense)
    assert (code, out) == (1, "")
    assert err.startswith("callboard: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["mint"], "say what to make the token with"),
        (["verify", "x"], "say what to check the token with"),
        (["mint", "--shared-secret", SECRET], "--subject"),
        (["mint", "--key", "/absent", "--subject", "a"], "/absent"),
        (["mint", "--key", "/absent", "--algorithm", "none", "--subject", "a"], "--algorithm: one of"),
        (["mint", "--shared-secret", SECRET, "--subject", "a", "--claim", "x"], "NAME=VALUE"),
        (["verify", "x", "--jwks", "/absent"], "No such file"),
        (["verify", "x", "--spire-socket-path", "tcp:no"], "tcp"),
    ],
)
def test_usage_errors_are_one_sentence(run, argv: list[str], text: str) -> None:
    code, _, err = run(*argv)
    assert code == 2
    assert text in err
    assert err.count("\n") == 1


def test_options_come_from_the_environment(run, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIM_KEY", files.private)
    monkeypatch.setenv("SLIM_SUBJECT", "app")
    monkeypatch.setenv("SLIM_CLAIM", "a=1,b=2")
    _, token, _ = run("mint")
    monkeypatch.setenv("SLIM_PUBLIC_KEY", files.public)
    code, out, _ = run("verify", token.strip())
    assert code == 0
    assert json.loads(out)["b"] == 2
