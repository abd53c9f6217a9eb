"""The Azure side: an access token for Azure's management resource is shown to the auth server."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from identity.cloud.azure.tokens import Source, configured_retries, obtain, source_of, token_request
from identity.cloud.cache import Cached
from identity.cloud.claims import text_claim, unverified_claims
from identity.cloud.environment import log_to
from identity.cloud.errors import (
    AssumeRoleNotSupported,
    CloudRequestFailed,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
    UnusableCredentials,
)
from identity.cloud.models import (
    FORMAT_AZURE_OBJECT_ID,
    FORMAT_AZURE_RESOURCE_ID,
    CloudIdentity,
    CloudProviderClient,
    CloudProviderType,
    CredentialHeaders,
    Logger,
)
from identity.cloud.service import Retries, fetch_patiently, parse_url
from identity.errors import ConfigError

IMDS_ENDPOINT = "http://169.254.169.254"
IMDS_SERVICE = "Azure instance metadata"
PROBE_ATTEMPTS = 3
PROBE_TIMEOUT = 1.0
HINTS = ("AZURE_ENV", "AZURE_CLIENT_ID", "MSI_ENDPOINT", "IDENTITY_ENDPOINT")


class AzureClient(CloudProviderClient):
    """Identity on Azure: virtual machines, App Service, AKS workloads, or a service principal.

    `imds_endpoint` replaces the address of instance metadata; without it S2IAM_AZURE_IMDS_ENDPOINT counts.
    """

    def __init__(
        self,
        logger: Logger | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        imds_endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        env = os.environ if environ is None else environ
        self._environ = env
        self._log = log_to(logger, env)
        self._clock = clock
        self._detected = False
        self._client_id: str | None = None
        address = imds_endpoint or env.get("S2IAM_AZURE_IMDS_ENDPOINT") or IMDS_ENDPOINT
        parse_url(address, "S2IAM_AZURE_IMDS_ENDPOINT")
        self._imds = address.rstrip("/")
        self._token: Cached[str] = Cached(clock)

    def __repr__(self) -> str:
        client = f" as {self._client_id}" if self._client_id else ""
        return f"<AzureClient {'detected' if self._detected else 'not detected'}{client}>"

    def get_type(self) -> CloudProviderType:
        return CloudProviderType.AZURE

    async def fast_detect(self) -> None:
        found = next((name for name in HINTS if self._environ.get(name)), None)
        if self._environ.get("AZURE_FEDERATED_TOKEN_FILE"):
            found = "AZURE_FEDERATED_TOKEN_FILE"
        if found is None:
            raise ProviderNotDetected(f"none of {', '.join(HINTS)} is set, nor AZURE_FEDERATED_TOKEN_FILE")
        self._log(f"Azure: recognised by {found}")
        self._detected = True

    async def detect(self) -> None:
        """Recognise an Azure machine that has an identity.

        Raises ProviderNotDetected, and ProviderIdentityUnavailable on a machine without managed identity.
        """
        if self._detected:
            return
        try:
            await self._instance(attempts=PROBE_ATTEMPTS)
        except CloudRequestFailed as exc:
            raise ProviderNotDetected(str(exc)) from None
        self._log("Azure: recognised by instance metadata")
        await self._access_token()
        self._detected = True

    def assume_role(self, role_identifier: str) -> AzureClient:
        """A client that acts as the managed identity or federated application with this client id.

        Raises AssumeRoleNotSupported for a service principal, whose secret is its own only.
        """
        if source_of(self._environ) is Source.SERVICE_PRINCIPAL:
            raise AssumeRoleNotSupported(
                "an Azure service principal cannot become another identity: set AZURE_CLIENT_ID instead"
            )
        clone = copy.copy(self)
        clone._client_id = role_identifier
        clone._token = Cached(self._clock)
        return clone

    async def get_identity_headers(
        self, additional_params: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], CloudIdentity]:
        """No parameter has a meaning here."""
        if not self._detected:
            raise ProviderNotDetected("Azure was not detected: await detect() first")
        token = await self._access_token()
        claims = unverified_claims(token) or {}
        compute = await self._compute()
        subscription = text_claim(compute, "subscriptionId")
        identity = _identity(claims, subscription, text_claim(compute, "location"))
        self._log(f"Azure: acting as {identity.identifier}")
        headers = CredentialHeaders(
            {
                "Authorization": f"Bearer {token}",
                "X-Cloud-Provider": "azure",
                "X-Azure-Subscription-ID": identity.account_id,
                "X-Azure-Resource-Group": text_claim(compute, "resourceGroupName"),
            }
        )
        return headers, identity

    async def _access_token(self) -> str:
        try:
            retries = configured_retries(self._environ)
            request = token_request(self._environ, self._imds, self._client_id)
            return await self._token.get(
                (request.url, self._client_id), lambda: obtain(request, retries, self._clock())
            )
        except ConfigError as exc:
            raise UnusableCredentials(f"no Azure identity: {exc}", field=exc.field) from exc
        except CloudRequestFailed as exc:
            raise ProviderIdentityUnavailable(f"no Azure identity: {exc}") from exc

    async def _compute(self) -> dict[str, Any]:
        """What instance metadata says about the machine; nothing, where there is no such service."""
        try:
            compute: dict[str, Any] = await self._instance(attempts=1)
        except CloudRequestFailed:
            return {}
        return compute

    async def _instance(self, *, attempts: int) -> dict[str, Any]:
        """The `compute` part of instance metadata. Raises CloudRequestFailed."""
        answer = await fetch_patiently(
            IMDS_SERVICE,
            "GET",
            self._imds + "/metadata/instance",
            retries=Retries(attempts),
            timeout=PROBE_TIMEOUT,
            headers={"Metadata": "true"},
            params={"api-version": "2021-02-01"},
        )
        compute = answer.json().get("compute")
        if not isinstance(compute, dict):
            raise CloudRequestFailed(IMDS_SERVICE, "the answer does not describe an Azure machine")
        return compute


def _identity(claims: dict[str, Any], subscription: str, location: str) -> CloudIdentity:
    """The identity of a token's claims; `subscription` and `location` come from unsigned metadata."""
    principal = next((found for name in ("oid", "sub", "appid") if (found := text_claim(claims, name))), "")
    if not principal:
        raise ProviderIdentityUnavailable("no Azure identity: the access token is not a JWT with an `oid`")
    resource_id = text_claim(claims, "xms_mirid")
    region = _region(resource_id)
    candidates = [(FORMAT_AZURE_OBJECT_ID, principal)]
    if resource_id:
        candidates.append((FORMAT_AZURE_RESOURCE_ID, resource_id))
    return CloudIdentity(
        provider=CloudProviderType.AZURE,
        identifier=principal,
        account_id=subscription,
        region=region,
        resource_type="azure-managed-identity",
        additional_claims={"metadata_location": location} if location and location != region else {},
        identity_format=FORMAT_AZURE_OBJECT_ID,
        candidates=candidates,
    )


def _region(resource_id: str) -> str:
    """The region that the auth server reads from a signed resource id: the end of its resource group's name.

    `/subscriptions/S/resourceGroups/team-west-europe/...` lies in `west-europe`; shorter names tell nothing.
    """
    steps = pairwise(resource_id.split("/"))
    group = next((following for step, following in steps if step == "resourceGroups"), "")
    words = group.split("-")
    return "-".join(words[-2:]) if len(words) > 2 else ""


def new_client(logger: Logger | None = None) -> CloudProviderClient:
    """An AzureClient that takes everything from the environment."""
    return AzureClient(logger)
