"""Users, tokens and rules at the command line, and that no password stands in a list of processes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.concealed import MOVED, concealed
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.config.options import overlaid
from gateway.security.users import load_users
from identity.errors import ConfigError
from identity.jose.keys import Algorithm
from tests.gateway.cli.processes import running
from tests.identity.key_samples import public_pem

SECRET = "a shared secret of at least thirty-two bytes"


def test_users_are_added_changed_listed_and_removed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "users")

    def user(*words: str, password: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        code = main(["user", *words])
        said = capfd.readouterr()
        return f"{code} {said.out}{said.err}"

    assert user("add", path, "alice", password="correct horse") == f"0 {path}: alice added\n"
    assert "correct horse" not in Path(path).read_text()
    first = load_users(path)["alice"]
    assert first.fits(b"correct horse")
    assert "another password" in user("add", path, "alice", password="battery staple")
    assert load_users(path)["alice"] != first
    assert user("list", path) == "0 alice\n"
    assert user("add", path, "bob", password="short").startswith("2 callboard: a password has 8 characters")
    assert user("remove", path, "bob").startswith("2 ")
    assert user("remove", path, "alice").startswith("0 ")
    assert not load_users(path)


def test_which_line_decides(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rules"
    path.write_text("allow user:alice publish org/*\ndeny anyone publish *\n")
    check = ["acl", "check", str(path)]
    assert main(check) == 0
    assert "2 rules" in capfd.readouterr().out
    assert main([*check, "--as", "user:alice", "--may", "publish", "org/a/b"]) == 0
    assert f"user:alice may publish org/a/b: {path}, line 1:" in capfd.readouterr().out
    assert main([*check, "--may", "publish", "org/a/b"]) == 1
    assert f"anonymous may not publish org/a/b: {path}, line 2:" in capfd.readouterr().out
    assert main([*check, "--may", "invite", "org/a/b"]) == 0
    assert "no line is about it" in capfd.readouterr().out
    for words in (
        ["--may", "read", "org/a/b"],
        ["--may", "publish", "org"],
        ["--as", "x", "--may", "invite", "a/b/c"],
    ):
        assert main([*check, *words]) == 2
    path.write_text("deny\n")
    assert main(check) == 2
    assert f"{path}, line 1: expected four words" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--auth-basic", "--auth-basic-f", "--basic"])
def test_an_option_that_is_nearly_right_starts_no_open_node(
    option: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left, moved = concealed(["start", "--insecure", option, "users"])
    if moved:
        monkeypatch.setenv(MOVED, " ".join(moved))
    with pytest.raises(SystemExit) as caught:
        main(left)
    assert caught.value.code == 2
    said = capfd.readouterr().err
    assert f"unrecognized arguments: {option}" in said
    assert "--auth-basic-file" in said or option == "--basic"


def test_what_is_secret_is_moved_and_nothing_else() -> None:
    words = ["start", "--basic-auth", "u:p", "--listen=a", "--shared-secret=s", "--", "--auth-basic", "x"]
    assert concealed(words) == (
        ["start", "--listen=a", "--", "--auth-basic", "x"], {"--basic-auth": "u:p", "--shared-secret": "s"},
    )  # fmt: skip
    assert concealed(["send", "--connect", "http://a:1", "hello"]) == (
        ["send", "--connect", "http://a:1", "hello"],
        {},
    )
    assert concealed(["send", "--connect", "http://u:p@a:1"]) == (["send"], {"--connect": "http://u:p@a:1"})
    assert concealed(["start", "--basic-auth"]) == (["start", "--basic-auth"], {})


def test_no_password_stands_in_a_list_of_processes() -> None:
    with running("start", "--insecure", "--listen", "127.0.0.1:0", "--basic-auth", "me:hidden-word") as node:
        address = node.until(r"listening on (\S+)")[1]
        assert "shows a password" in node.err
        assert "--auth-basic-file" in node.err
        listen = ("listen", "--name", "org/demo/bob", "--connect", f"http://me:hidden-word@{address}")
        with running(*listen, "--shared-secret", SECRET) as listening:
            listening.until("-- listening")
            for process in (node.process, listening.process):
                shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                assert b"callboard" in shown
                assert b"hidden-word" not in shown
                assert SECRET.encode() not in shown
        assert MOVED not in node.out


def given(**options: str) -> NodeConfig:
    flags = {f"--{name.replace('_', '-')}": text for name, text in options.items()}
    return NodeConfig.read(overlaid(Document({}, {}), {"--listen": "a:1", "--insecure": True, **flags}).value)


def test_tokens_are_demanded_by_options(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    for algorithm in (Algorithm.ES256, Algorithm.ES384, Algorithm.RS256, Algorithm.EdDSA):
        key.write_text(public_pem(algorithm))
        auth = given(auth_jwt_key=str(key), auth_audience="a, b", auth_issuer="https://i").servers[0].auth
        assert auth.key is not None
        assert (auth.kind, auth.key.role, auth.key.algorithm) == ("jwt", "decoding", algorithm.value)
        assert auth.values["claims.audience"] == ["a", "b"]
    asked = given(auth_issuer="https://i").servers[0].auth
    assert asked.key is not None
    assert asked.key.role == "autoresolve"
    jwks = given(auth_jwks="keys.json", auth_subject="me").servers[0].auth
    assert jwks.key is not None
    assert jwks.key.format == "jwks"
    assert given(auth_basic_file="users").servers[0].auth.file == "users"
    key.write_text("no key")
    with pytest.raises(ConfigError, match=r"--auth-jwt-key .*: no public key in PEM"):
        given(auth_jwt_key=str(key))
