"""Which token source an Azure environment configures, and how often it is asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from identity.cloud.azure.tokens import Source, configured_retries, expiry, source_of, token_request
from identity.cloud.service import Retries
from identity.errors import ConfigError

APP = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
SERVICE = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi", "IDENTITY_HEADER": "h"}


def test_order_of_sources(tmp_path: Path) -> None:
    token = tmp_path / "token"
    federated = {**APP, "AZURE_FEDERATED_TOKEN_FILE": str(token)}
    assert source_of({}) is Source.VIRTUAL_MACHINE
    assert source_of(APP) is Source.VIRTUAL_MACHINE
    assert source_of({**APP, **SERVICE}) is Source.APP_SERVICE
    assert source_of({**SERVICE, **federated}) is Source.WORKLOAD_IDENTITY
    assert source_of({**SERVICE, **federated, "AZURE_CLIENT_SECRET": "s"}) is Source.SERVICE_PRINCIPAL


def test_waits_double_up_to_the_cap() -> None:
    assert list(Retries().waits()) == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])
    assert list(Retries(8, 0.1).waits())[-2:] == [1.6, 1.6]
    assert list(Retries(1).waits()) == []


def test_retries_of_the_environment() -> None:
    assert configured_retries({}) == Retries(6, 0.05)
    assert configured_retries({"S2IAM_AZURE_MI_RETRIES": "20", "S2IAM_AZURE_MI_BACKOFF_MS": "1"}) == Retries(
        20,
        0.001,
    )


@pytest.mark.parametrize("value", ["0", "21", "-1", "six", "1.5", "9" * 5000, "٣"])
def test_retries_out_of_range(value: str) -> None:
    with pytest.raises(ConfigError, match="from 1 to 20") as caught:
        configured_retries({"S2IAM_AZURE_MI_RETRIES": value})
    assert caught.value.field == "S2IAM_AZURE_MI_RETRIES"


def test_expiry_forms() -> None:
    now = time.time()
    assert expiry({"expires_on": "2000000000", "expires_in": 5}, "", now) == 2e9
    assert expiry({"expires_in": "60"}, "", now) == now + 60
    assert expiry({"expires_in": 60}, "", now) == now + 60
    for odd in (None, True, "soon", -1, "9" * 40, 1.5, []):
        assert expiry({"expires_in": odd, "expires_on": odd}, "", now) is None


@pytest.mark.parametrize(
    "change",
    [
        {"AZURE_TENANT_ID": "../other"},
        {"AZURE_TENANT_ID": "a\n"},
        {"AZURE_AUTHORITY_HOST": "http://evil.example"},
        {"AZURE_AUTHORITY_HOST": "nonsense"},
    ],
)
def test_secret_goes_to_no_stranger(change: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        token_request({**APP, "AZURE_CLIENT_SECRET": "s", **change}, "http://127.0.0.1", None)


@pytest.mark.parametrize("url", ["http://evil.example/msi", "file:///x", "http://u:p@127.0.0.1/"])
def test_identity_header_goes_to_no_stranger(url: str) -> None:
    with pytest.raises(ConfigError, match="IDENTITY_ENDPOINT"):
        token_request({**SERVICE, "IDENTITY_ENDPOINT": url}, "http://127.0.0.1", None)


def test_no_repr_shows_a_secret() -> None:
    request = token_request({**APP, "AZURE_CLIENT_SECRET": "hush-hush"}, "http://127.0.0.1", None)
    assert "hush" not in repr(request)
    assert b"hush-hush" in (request.body or b"")
