"""Names of trust domains that are none, wherever a file, a setting or an agent gives one."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.config import TlsConfig
from gateway.config.section import Section
from gateway.security.material import Side, TlsSource
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.jose.key_set import helper_bundle
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityVerifier
from identity.spiffe import parse_bundle_map
from identity.spiffe.errors import FetchJwtBundleError, SpiffeBundleError
from identity.spiffe.proto import workload_pb2 as pb
from identity.spiffe.workload_messages import jwt_bundle_set
from tests.identity.spiffe.trust import Authority

NO_NAMES = [
    "",
    "Example.org",
    "example.org\n",
    "example.org:8443",
    "spiffe://example.org/web",
    "example.org/web",
    " example.org",
    "exämple.org",
    "a" * 256,
]


def helper_file(name: str) -> dict[str, str]:
    return {name: base64.b64encode(Authority().jwks()).decode()}


@pytest.mark.parametrize("name", [*NO_NAMES, "spiffe://example.org"])
def test_a_file_of_spiffe_helper_is_refused(name: str) -> None:
    with pytest.raises(Malformed, match="no name of a trust domain") as refused:
        helper_bundle(helper_file(name))
    assert "\n" not in str(refused.value)
    content = KeyData.Content(json.dumps(helper_file(name)))
    with pytest.raises(ConfigError, match="no name of a trust domain"):
        IdentityVerifier.Jwt(Key(Algorithm.ES256, KeyFormat.Jwks, content))
    assert len(helper_bundle(helper_file("example.org"))) == 1


@pytest.mark.parametrize("name", [*NO_NAMES, "spiffe://example.org"])
def test_a_map_of_bundles_is_refused(name: str) -> None:
    document = {"trust_domains": {name: json.loads(Authority().spiffe_bundle())}}
    with pytest.raises(SpiffeBundleError):
        parse_bundle_map(json.dumps(document).encode())


@pytest.mark.parametrize("name", [each for each in NO_NAMES if each])
@pytest.mark.parametrize("authorities", ["client_ca", "ca_source"])
def test_a_setting_is_refused(authorities: str, name: str) -> None:
    tls = {authorities: {"type": "pem", "data": "x", "trust_domains": [name]}}
    side = Side.SERVER if authorities == "client_ca" else Side.CLIENT
    with pytest.raises(ConfigError, match="trust_domains") as refused:
        TlsSource(TlsConfig.read(Section(tls, "tls")), side)
    assert refused.value.field == "tls.trust_domains"


@pytest.mark.parametrize("name", NO_NAMES)
def test_an_agents_message_is_refused(name: str) -> None:
    response = pb.JWTBundlesResponse(bundles={name: Authority().jwks()})
    with pytest.raises(FetchJwtBundleError):
        jwt_bundle_set(response)
    good = pb.JWTBundlesResponse(bundles={"spiffe://example.org": Authority().jwks()})
    assert len(jwt_bundle_set(good).bundles) == 1
