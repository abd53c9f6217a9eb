"""Where Azure access tokens come from (`identity.md` 8.4): the first configured source of this order.

1. a service principal   AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET
2. a workload identity   AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE (AKS)
3. App Service           IDENTITY_ENDPOINT, IDENTITY_HEADER (also Functions and Container Apps)
4. the VM's metadata     the managed identity; AZURE_CLIENT_ID chooses among several

`token_request` decides and builds; `obtain` sends, with retries. All tokens are for Azure's management
resource.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from identity.cloud.claims import expiry_claim, unverified_claims
from identity.cloud.environment import read_file
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import Retries, fetch_patiently, require_private
from identity.errors import ConfigError

RESOURCE = "https://management.azure.com/"
AUTHORITY = "https://login.microsoftonline.com"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IMDS_TIMEOUT = 2.0
TIMEOUT = 5.0

RETRIES = "S2IAM_AZURE_MI_RETRIES"
BACKOFF = "S2IAM_AZURE_MI_BACKOFF_MS"

SEVERAL = "a machine with several identities needs AZURE_CLIENT_ID, the client id of the one to use"
UNSUPPORTED = {
    "AZURE_CLIENT_CERTIFICATE_PATH": "a service principal with a certificate",
    "AZURE_PASSWORD": "a user with a password",
    "IDENTITY_SERVER_THUMBPRINT": "the identity of Service Fabric",
    "IMDS_ENDPOINT": "the identity of Azure Arc",
}
"""Settings of the SDKs that name an identity of another kind than those above."""

_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}")


class Source(enum.Enum):
    """The kind of identity that is configured."""

    SERVICE_PRINCIPAL = "service principal"
    WORKLOAD_IDENTITY = "workload identity"
    APP_SERVICE = "App Service"
    VIRTUAL_MACHINE = "virtual machine"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for an access token. Its repr shows the service only."""

    service: str
    method: str = field(repr=False)
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float = TIMEOUT


def configured_retries(environ: Mapping[str, str]) -> Retries:
    """From S2IAM_AZURE_MI_RETRIES (1..20) and S2IAM_AZURE_MI_BACKOFF_MS (0..1600). Raises ConfigError."""
    return Retries(_number(environ, RETRIES, 6, 1, 20), _number(environ, BACKOFF, 50, 0, 1600) / 1000)


def source_of(environ: Mapping[str, str]) -> Source:
    """Which source the environment configures.

    Raises ConfigError naming a setting that is incomplete, or of a kind that is not supported here.
    """
    for name, source in (
        ("AZURE_CLIENT_SECRET", Source.SERVICE_PRINCIPAL),
        ("AZURE_FEDERATED_TOKEN_FILE", Source.WORKLOAD_IDENTITY),
    ):
        if environ.get(name):
            _with(environ, name, "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
            return source
    for name, what in UNSUPPORTED.items():
        if environ.get(name):
            raise ConfigError(f"{name} is set: {what} is not supported", field=name)
    if environ.get("IDENTITY_ENDPOINT"):
        _with(environ, "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
        return Source.APP_SERVICE
    if environ.get("MSI_ENDPOINT"):
        raise ConfigError(
            "MSI_ENDPOINT is set without IDENTITY_ENDPOINT: its older protocol is not supported",
            field="MSI_ENDPOINT",
        )
    return Source.VIRTUAL_MACHINE


def _with(environ: Mapping[str, str], name: str, *needed: str) -> None:
    """Raise ConfigError unless what a setting needs beside it is there."""
    for other in needed:
        if not environ.get(other):
            raise ConfigError(f"{name} is set without {other}", field=other)


def token_request(environ: Mapping[str, str], imds_endpoint: str, client_id: str | None) -> TokenRequest:
    """The request for a token of the configured source, as `client_id` if given. Raises ConfigError."""
    client_id = client_id or environ.get("AZURE_CLIENT_ID")
    match source_of(environ):
        case Source.SERVICE_PRINCIPAL:
            return _login(environ, client_id, {"client_secret": environ["AZURE_CLIENT_SECRET"]})
        case Source.WORKLOAD_IDENTITY:
            variable = "AZURE_FEDERATED_TOKEN_FILE"
            assertion = read_file(environ[variable], variable).strip()
            proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
            return _login(environ, client_id, proof)
        case Source.APP_SERVICE:
            return TokenRequest(
                "the App Service identity endpoint",
                "GET",
                _private(environ, "IDENTITY_ENDPOINT"),
                headers={"X-IDENTITY-HEADER": environ["IDENTITY_HEADER"]},
                params=_query("2019-08-01", client_id),
            )
        case Source.VIRTUAL_MACHINE:
            return TokenRequest(
                "Azure instance metadata",
                "GET",
                imds_endpoint + "/metadata/identity/oauth2/token",
                headers={"Metadata": "true"},
                params=_query("2018-02-01", client_id),
                timeout=IMDS_TIMEOUT,
            )


async def obtain(request: TokenRequest, retries: Retries, now: float) -> tuple[str, float | None]:
    """Send a request and give (access token, expiry in Unix seconds or None).

    Tried again as `fetch_patiently` says. Raises CloudRequestFailed.
    """
    try:
        answer = await fetch_patiently(
            request.service,
            request.method,
            request.url,
            retries=retries,
            timeout=request.timeout,
            headers=request.headers,
            params=request.params,
            body=request.body,
        )
    except CloudRequestFailed as exc:
        if exc.status == 400 and request.params and "client_id" not in request.params:
            raise CloudRequestFailed(
                request.service, f"{exc.problem}; {SEVERAL}", status=exc.status, code=exc.code
            ) from exc
        raise
    token = answer.member("access_token")
    return token, expiry(answer.json(), token, now)


def expiry(document: Mapping[str, Any], token: str, now: float) -> float | None:
    """When a token ends: `expires_on`, `now` plus `expires_in` (numbers or digits), else its own `exp`."""
    if (ends := _seconds(document.get("expires_on"))) is not None:
        return ends
    if (life := _seconds(document.get("expires_in"))) is not None:
        return now + life
    return expiry_claim(unverified_claims(token) or {})


def _login(environ: Mapping[str, str], client_id: str | None, proof: Mapping[str, str]) -> TokenRequest:
    tenant = environ["AZURE_TENANT_ID"]
    if not _TENANT.fullmatch(tenant):
        raise ConfigError("AZURE_TENANT_ID is not a tenant id or domain", field="AZURE_TENANT_ID")
    authority = require_private(environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY, "AZURE_AUTHORITY_HOST")
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id or "",
        "scope": RESOURCE + ".default",
        **proof,
    }
    return TokenRequest(
        "the Azure login service",
        "POST",
        f"{authority}/{tenant}/oauth2/v2.0/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def _private(environ: Mapping[str, str], name: str) -> str:
    """A URL to which a secret may be sent, as it stands in the environment: a slash at its end counts."""
    require_private(environ[name], name)
    return environ[name]


def _query(version: str, client_id: str | None) -> dict[str, str]:
    query = {"api-version": version, "resource": RESOURCE}
    return {**query, "client_id": client_id} if client_id else query


def _seconds(value: object) -> float | None:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return float(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def _number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}", field=name)
    return int(text)
