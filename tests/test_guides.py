"""The Python of the published guides and its `unicast` commands, run as printed.

What is applied to a cluster is read as YAML; what a shell does there is not run.

The quick starts are run in `tests/gateway/api/test_quick_starts.py`, the controller's snippets in
`tests/gateway/controller/test_services.py`.
"""

from __future__ import annotations

import asyncio
import base64
import re
import shlex
import sys
import tempfile
import textwrap
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import gateway
from actors.names import Name
from gateway import compat
from gateway.config import ClientConfig
from identity.jose.keys import Algorithm
from tests.gateway.app_stage import PLAIN, AppStage
from tests.gateway.cli.processes import running
from tests.guides import block, blocks
from tests.identity.cloud.fake_clouds import FakeClouds
from tests.identity.key_samples import encode, jwk, jwks, private_pem, public_pem
from tests.identity.spiffe.workload_server import WorkloadServer

RS256 = Algorithm.RS256
BIN = Path(sys.executable).parent
PORTED = {"slim_bindings": "gateway", "spiffe": "identity.spiffe", "s2iam": "identity.cloud"}


def ported(text: str) -> str:
    """The text with the one change that the porting page asks for."""
    for theirs, ours in (
        ("slim_bindings", "gateway"),
        ("spiffe", "identity.spiffe"),
        ("s2iam", "identity.cloud"),
    ):
        text = re.sub(rf"^(\s*)from {theirs} import", rf"\1from {ours} import", text, flags=re.MULTILINE)
        text = re.sub(rf"^(\s*)import {theirs}$", rf"\1import {ours} as {theirs}", text, flags=re.MULTILINE)
    return text


async def run(text: str, **names: Any) -> dict[str, Any]:
    """Run a block that may await; returns its names."""
    code = f"async def block():\n{textwrap.indent(text, '    ')}\n    return locals()"
    space = dict(names)
    exec(code, space)
    return dict(await space["block"]())


# The guide "slim-bindings"


def identity_blocks() -> list[str]:
    marks = ("IdentityProvider.Jwt(", "IdentityProvider.StaticJwt(", "IdentityVerifier.Jwt(", "Spire(")
    return [code for code in blocks("slim-bindings") if any(mark in code for mark in marks)]


async def test_providers_and_verifiers_are_made_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("private_key.pem").write_text(private_pem(RS256))
    Path("public_key.pem").write_text(public_pem(RS256))
    Path("issued.jwt").write_text(encode({"sub": "local-service", "exp": int(time.time()) + 60}, RS256))
    made = [await run(ported(code), IdentityVerifier=gateway.IdentityVerifier) for code in identity_blocks()]
    providers = [names["provider"] for names in made if "provider" in names]
    verifiers = [names["verifier"] for names in made if "verifier" in names]
    assert (len(providers), len(verifiers)) == (3, 3)
    strict = next(each for each in verifiers if getattr(each, "public_key", None))
    signing = next(each for each in providers if isinstance(each, gateway.IdentityProvider.Jwt))
    await strict.verify(signing.get_token(time.time()), time.time())


async def test_tracing_starts_as_printed() -> None:
    text = block("slim-bindings", "init_tracing").replace('"enabled": True', '"enabled": False')
    await run(text, slim_bindings=gateway)


def test_the_printed_dependencies_are_toml() -> None:
    for text in blocks("slim-bindings", "toml"):
        tomllib.loads(text)


# The guide "group-management"


@pytest.fixture
async def node() -> AsyncIterator[AppStage]:
    made = AppStage("server")
    await made.start()
    yield made
    await made.close()


async def test_a_group_is_led_as_printed(node: AppStage, capsys: pytest.CaptureFixture[str]) -> None:
    create, invite, listen = (
        block("group-management", mark)
        for mark in ("PySessionConfiguration.Streaming", "for invitee in invitees", "participant_slim_app")
    )
    names = {"PyName": compat.PyName, "datetime": __import__("datetime")}
    names |= {each: getattr(compat, each) for each in ("PySessionConfiguration", "PySessionDirection")}
    moderator = await node.app("moderator", kind=compat.Slim)
    participant = await node.app("guest", kind=compat.Slim)
    listening = asyncio.create_task(run(listen, participant_slim_app=participant))
    made = await run(create, slim_app=moderator, **names)
    info = made["session_info"]
    await run(invite, slim_app=moderator, session_info=info, invitees=[Name("org", "default", "guest")])
    await moderator.publish(info, b"good evening", made["shared_channel"])
    async with asyncio.timeout(10):
        heard = await listening
    assert heard["msg_rcv"] == b"good evening"
    assert "Inviting" in capsys.readouterr().out


def helper_files(folder: Path, *members: str) -> dict[str, str]:
    """What spiffe-helper writes: the keys by trust domain, and a token for each member; their paths."""
    keys = jwks(jwk(RS256, kid="one", use="jwt-svid"))
    (folder / "key.jwt").write_text(f'{{"example.org": "{base64.b64encode(keys.encode()).decode()}"}}')
    paths = {}
    for member in members:
        now = int(time.time())
        claims = {"sub": f"spiffe://example.org/{member}", "aud": ["slim-demo"], "exp": now + 600, "iat": now}
        path = folder / f"{member}.token"
        path.write_text(encode(claims, RS256, kid="one"))
        paths[member] = str(path)
    return paths


async def test_an_identity_of_spiffe_helper_as_printed_with_mls(tmp_path: Path) -> None:
    paths = helper_files(tmp_path, "moderator", "guest")
    names = await run(
        block("group-management", "def jwt_identity"),
        slim_bindings=compat,
        json=__import__("json"),
        base64=base64,
    )
    made = names["jwt_identity"]

    def pair(member: str) -> Any:
        return made(paths[member], str(tmp_path / "key.jwt"), aud=["slim-demo"])

    async with (
        gateway.Slim("org/ns/moderator", *pair("moderator")) as moderator,
        gateway.Slim("org/ns/guest", *pair("guest")) as guest,
        moderator.group("org/ns/channel", ["org/ns/guest"], mls=True) as session,
    ):
        joined = await guest.listen_for_session(5)
        await (await session.publish(b"good evening"))
        assert (await joined.get_message(5)).payload == b"good evening"
        assert joined.fingerprint == session.fingerprint != ""


def test_what_the_guides_apply_to_a_cluster_is_yaml() -> None:
    for guide in ("group-management", "identity-management"):
        for text in blocks(guide, "bash"):
            for document in re.findall(r"<<EOF.*?\n(.*?)^EOF$", text, re.MULTILINE | re.DOTALL):
                assert all(each["kind"] for each in yaml.safe_load_all(document))


# The guide "identity-management"


def unicast(who: str, endpoint: str, folder: Path) -> list[str]:
    """The printed command of the receiver or the sender, with the paths and the node of here."""
    text = block("identity-management", f"--local agntcy/example/{who}", "bash")
    words = shlex.split(text.replace("\\\n", " "))
    here = {
        "/app/bin/unicast": str(BIN / "unicast"),
        "/svids/jwt_svid.token": str(folder / f"{who}.token"),
        "/svids/key.jwt": str(folder / "key.jwt"),
    }
    return [here.get(word, word.replace("http://slim.slim:46357", endpoint)) for word in words]


async def test_the_unicast_example_as_printed(tmp_path: Path) -> None:
    helper_files(tmp_path, "receiver", "sender")

    async def start(*words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)

    with running("start", "--insecure", "--listen", "127.0.0.1:0") as node:
        endpoint = f"http://{node.until(r'listening on (.*)').group(1)}"
        receiver = await start(*unicast("receiver", endpoint, tmp_path))
        try:
            assert receiver.stdout is not None
            async with asyncio.timeout(20):
                while b"waiting" not in await receiver.stdout.readline():
                    pass
                # As printed, but for the number: ten are a second apart.
                sender = await start(*unicast("sender", endpoint, tmp_path), "--iterations", "1")
                out, err = await sender.communicate()
        finally:
            receiver.kill()
            await receiver.wait()
    assert sender.returncode == 0, err.decode()
    printed = [
        line for line in sample_output() if "received" in line or "Created" in line or "Connect" in line
    ]
    for sample in printed:
        pattern = (
            re.escape(sample).replace(r"\.\.\.", "[^ ]+").replace(re.escape("slim.slim:46357"), r"[\d.:]+")
        )
        pattern = re.sub(r"(?:\\ )+", " +", pattern)
        assert re.search(f"^{pattern}", out.decode(), re.MULTILINE), out.decode()


def sample_output() -> list[str]:
    [text] = [code for code in blocks("identity-management", "") if "Created app" in code]
    return text.splitlines()


def test_the_printed_connection_is_a_configuration() -> None:
    text = block("identity-management", "--local agntcy/example/receiver", "bash")
    document = yaml.safe_load(shlex.split(text.replace("\\\n", " "))[2])
    assert ClientConfig.read(document).endpoint == "http://slim.slim:46357"
    assert document["tls"] == PLAIN


# The guide "singlestore-auth-iam"


@pytest.mark.parametrize("number", range(3))
async def test_a_cloud_token_is_fetched_as_printed(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = [each for each in blocks("singlestore-auth-iam") if "import get_jwt" in each][number]
    async with FakeClouds("gcp") as clouds:
        host = clouds.url.removeprefix("http://")
        for name, value in {"GCE_METADATA_HOST": host, "S2IAM_SERVER_URL": clouds.url, "HOME": "/no"}.items():
            monkeypatch.setenv(name, value)
        # Fake clouds have no certificate.
        text = re.sub(r"get_jwt_(\w+)\(([^)]*)\)", r"get_jwt_\1(\2 allow_http=True)", ported(code))
        text = text.replace('" allow_http', '", allow_http').replace("asyncio.run(main())", "pass")
        names = await run(text)
        if "main" in names:
            await names["main"]()
            assert "JWT: ey" in capsys.readouterr().out
        else:
            assert names["jwt_token"].startswith("ey")


# The guide "spiffe"


@pytest.mark.parametrize("number", range(3))
async def test_the_workload_api_is_asked_as_printed(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ported(blocks("spiffe")[number])
    # Not tmp_path: a unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spiffe") as folder:
        async with WorkloadServer(Path(folder)) as server:
            monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix:{server.path}")
            await asyncio.to_thread(exec, code, {})
    if "print(" in code:
        assert "spiffe://example.org/web" in capsys.readouterr().out
