"""The MLS key of a static token, vouched for by the X.509-SVID beside it."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from identity.encoding import b64url_decode, b64url_encode
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.jwt import JwtVerifier
from identity.vouched_token import is_vouched
from tests.identity.spiffe.helper_files import HelperFolder
from tests.identity.spiffe.trust import Authority

KEY = {"pubkey": base64.b64encode(b"k" * 32).decode()}


@pytest.fixture
def domain() -> Authority:
    return Authority()


@pytest.fixture
def web(domain: Authority, tmp_path: Path) -> HelperFolder:
    return HelperFolder(tmp_path / "web", domain, "/web")


async def vouched(folder: HelperFolder) -> str:
    made: str = await folder.provider().get_token_with_claims(KEY, time.time())
    return made


def refusal(verifier: JwtVerifier, token: str, now: float | None = None) -> InvalidToken:
    with pytest.raises(InvalidToken) as caught:
        verifier.try_get_claims(token, now or time.time())
    return caught.value


def rewritten(token: str, part: int, change: Any) -> str:
    """The token with one part changed, and the signature as it was."""
    parts = token.split(".")
    content = json.loads(b64url_decode(parts[part]))
    change(content)
    parts[part] = b64url_encode(json.dumps(content, separators=(",", ":")).encode())
    return ".".join(parts)


async def test_the_key_is_the_one_vouched_for_and_the_rest_is_the_issuers(web: HelperFolder) -> None:
    token = await vouched(web)
    assert is_vouched(token)
    assert not is_vouched(web.token.read_text())
    claims = web.verifier().try_get_claims(token, time.time())
    assert claims["sub"] == "spiffe://example.org/web"
    assert claims["aud"] == ["slim"]
    assert claims["pubkey"] == KEY["pubkey"]
    assert await web.verifier().get_claims(token, time.time()) == claims
    web.verifier().try_verify(token, time.time())


async def test_without_the_svid_the_provider_says_what_to_lay_there(web: HelperFolder) -> None:
    (web.folder / "tls.key").unlink()
    assert not web.provider().carries_claims
    with pytest.raises(ConfigError, match=r"beside it \(tls.crt, tls.key\)"):
        await vouched(web)


async def test_an_svid_of_another_workload_or_an_old_one_does_not_vouch(web: HelperFolder) -> None:
    web.write_svid("/other")
    with pytest.raises(ConfigError, match=r"is of spiffe://example.org/other, and the token of .*/web"):
        await vouched(web)
    web.write_svid("/web", ttl=-1.0, start=-60.0)
    with pytest.raises(AuthError, match="has expired; renew it"):
        await vouched(web)


async def test_while_the_files_are_replaced_the_svid_before_vouches(web: HelperFolder) -> None:
    provider = web.provider()
    before = await provider.get_token_with_claims(KEY, time.time())
    certificate = (web.folder / "tls.crt").read_bytes()
    web.write_svid("/web")
    (web.folder / "tls.crt").write_bytes(certificate)
    after = await provider.get_token_with_claims(KEY, time.time())
    assert web.verifier().try_get_claims(after, time.time()) == web.verifier().try_get_claims(
        before, time.time()
    )


async def test_an_authority_that_only_calls_itself_so_does_not_vouch(web: HelperFolder) -> None:
    web.write_svid("/web", Authority())
    why = refusal(web.verifier(), await vouched(web))
    assert (why.rule, "no valid path" in str(why)) == ("vouched", True)


async def test_somebody_elses_token_is_not_vouched_for_by_ones_own_svid(
    web: HelperFolder, domain: Authority, tmp_path: Path
) -> None:
    """A node that saw the token of another has only its own SVID to sign with."""
    thief = HelperFolder(tmp_path / "thief", domain, "/thief")
    stolen = rewritten(await vouched(thief), 1, lambda claims: claims.update(token=web.token.read_text()))
    assert refusal(web.verifier(), stolen).rule == "vouched"
    thief.token.write_text(web.token.read_text())
    with pytest.raises(ConfigError):
        await vouched(thief)


@pytest.mark.parametrize("change", [{"pubkey": "b3RoZXI="}, {"exp": 1 << 40}, {"iat": 1}, {"sub": "x"}])
async def test_nothing_that_is_signed_can_be_changed(web: HelperFolder, change: dict[str, Any]) -> None:
    changed = rewritten(await vouched(web), 1, lambda claims: claims.update(change))
    assert refusal(web.verifier(), changed).rule == "signature"


@pytest.mark.parametrize("chain", [None, [], [1], ["AAAA"], ["AAAA"] * 17])
async def test_chains_that_are_none(web: HelperFolder, chain: Any) -> None:
    changed = rewritten(await vouched(web), 0, lambda header: header.update(x5c=chain))
    assert refusal(web.verifier(), changed).rule == "vouched"


async def test_a_token_within_a_token_within_a_token_is_refused(web: HelperFolder) -> None:
    token = await vouched(web)
    nested = rewritten(token, 1, lambda claims: claims.update(token=token))
    assert refusal(web.verifier(), nested).rule == "format"


async def test_it_ends_with_the_token_and_with_the_certificate(web: HelperFolder) -> None:
    now = time.time()
    web.renew(ttl=300.0)
    token = await vouched(web)
    assert web.verifier().try_get_claims(token, now + 350)
    assert refusal(web.verifier(), token, now + 400).rule == "expired"
    web.write_svid("/web", ttl=100.0)
    assert refusal(web.verifier(), await vouched(web), now + 200).rule == "vouched"


async def test_who_has_no_authorities_refuses_unless_it_takes_unbound_keys(web: HelperFolder) -> None:
    token = await vouched(web)
    (web.folder / "svid_bundle.pem").rename(web.folder / "elsewhere.pem")
    assert "svid_bundle.pem beside the keys" in str(refusal(web.verifier(), token))
    assert "pubkey" not in web.verifier(mls_key="unbound").try_get_claims(token, time.time())
    named = web.verifier(x509_bundle=str(web.folder / "elsewhere.pem"))
    assert named.try_get_claims(token, time.time())["pubkey"] == KEY["pubkey"]
