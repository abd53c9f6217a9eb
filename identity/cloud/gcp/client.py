"""The Google Cloud side: an identity token made for the auth server is shown to it."""

from __future__ import annotations

import copy
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

from identity.cloud.cache import Cached
from identity.cloud.claims import expiry_claim, text_claim, unverified_claims
from identity.cloud.environment import host_url, is_file, log_to, read_file
from identity.cloud.errors import (
    CloudRequestFailed,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
    UnusableCredentials,
)
from identity.cloud.gcp.credentials import VARIABLE, credentials_file, load_credentials
from identity.cloud.gcp.external_account import ExternalAccount
from identity.cloud.gcp.metadata import DEFAULT_ENDPOINT, Metadata
from identity.cloud.gcp.service_account import ServiceAccount
from identity.cloud.models import (
    FORMAT_GCP_SA_EMAIL,
    FORMAT_GCP_SA_UNIQUE_ID,
    CloudIdentity,
    CloudProviderClient,
    CloudProviderType,
    CredentialHeaders,
    Logger,
)
from identity.cloud.service import fetch, require_private
from identity.errors import ConfigError

AUDIENCE = "https://authsvc.singlestore.com"
IAM_CREDENTIALS = "https://iamcredentials.googleapis.com"
IAM_SERVICE = "Google's IAM credentials service"
IAM_TIMEOUT = 5.0
SNIFFED = 4096
"""Characters of a credentials file that fast detection looks at."""

_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+|[0-9]+")


class GCPClient(CloudProviderClient):
    """Identity on Google Cloud: the metadata server, a service account's key file, or an external account.

    `metadata_endpoint` and `iam_endpoint` replace the addresses of the services; without the first the SDKs'
    variable GCE_METADATA_HOST counts. What GOOGLE_APPLICATION_CREDENTIALS names, or else the file of `gcloud
    auth application-default`, goes before the metadata server.
    """

    def __init__(
        self,
        logger: Logger | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        metadata_endpoint: str | None = None,
        iam_endpoint: str = IAM_CREDENTIALS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        env = os.environ if environ is None else environ
        self._environ = env
        self._log = log_to(logger, env)
        self._clock = clock
        self._detected = False
        self._impersonated: str | None = None
        host = env.get("GCE_METADATA_HOST")
        default = host_url(host, "GCE_METADATA_HOST") if host else DEFAULT_ENDPOINT
        self._metadata = Metadata(metadata_endpoint or default)
        self._iam = require_private(iam_endpoint, "iam_endpoint")
        self._token: Cached[str] = Cached(clock)

    def __repr__(self) -> str:
        account = f" as {self._impersonated}" if self._impersonated else ""
        return f"<GCPClient {'detected' if self._detected else 'not detected'}{account}>"

    def get_type(self) -> CloudProviderType:
        return CloudProviderType.GCP

    async def fast_detect(self) -> None:
        if self._environ.get("GCE_METADATA_HOST"):
            self._log("GCP: recognised by GCE_METADATA_HOST")
        elif self._names_external_account():
            self._log(f"GCP: recognised by the external account of {VARIABLE}")
        else:
            raise ProviderNotDetected(
                f"GCE_METADATA_HOST is not set, and {VARIABLE} names no external account"
            )
        self._detected = True

    async def detect(self) -> None:
        """Recognise Google Cloud by named credentials, else by the metadata server."""
        if self._detected:
            return
        try:
            if account := self._account():
                self._log(f"GCP: recognised by the credentials of {account.email}")
            else:
                await self._metadata.probe()
                self._log("GCP: recognised by the metadata server")
        except ConfigError as exc:
            raise UnusableCredentials(str(exc), field=exc.field) from None
        except CloudRequestFailed as exc:
            raise ProviderNotDetected(str(exc)) from None
        self._detected = True

    def assume_role(self, role_identifier: str) -> GCPClient:
        """A client that impersonates the service account of this e-mail address. Raises ConfigError."""
        if not _EMAIL.fullmatch(role_identifier):
            raise ConfigError(
                "a GCP role is the e-mail address (or number) of a service account",
                field="assume_role_identifier",
            )
        clone = copy.copy(self)
        clone._impersonated = role_identifier
        clone._token = Cached(self._clock)
        return clone

    async def get_identity_headers(
        self, additional_params: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], CloudIdentity]:
        """The parameter `audience` replaces the audience that the public auth server expects."""
        if not self._detected:
            raise ProviderNotDetected("GCP was not detected: await detect() first")
        audience = (additional_params or {}).get("audience") or AUDIENCE
        try:
            account = self._account()
            key = (account.email if account else None, audience)
            token = await self._token.get(key, lambda: self._fetch(account, audience))
        except ConfigError as exc:
            raise UnusableCredentials(f"no GCP identity: {exc}", field=exc.field) from exc
        except CloudRequestFailed as exc:
            raise ProviderIdentityUnavailable(f"no GCP identity: {exc}") from exc
        identity = self._identity(token, "" if account else await self._metadata.region())
        self._log(f"GCP: acting as {identity.identifier}")
        return CredentialHeaders({"Authorization": f"Bearer {token}"}), identity

    async def _fetch(
        self, account: ServiceAccount | ExternalAccount | None, audience: str
    ) -> tuple[str, float | None]:
        source = account or self._metadata
        if self._impersonated:
            bearer, _ = await source.access_token()
            token = await self._impersonate(self._impersonated, bearer, audience)
        else:
            token = await source.identity_token(audience)
        return token, expiry_claim(unverified_claims(token) or {})

    async def _impersonate(self, email: str, bearer: str, audience: str) -> str:
        answer = await fetch(
            IAM_SERVICE,
            "POST",
            f"{self._iam}/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:generateIdToken",
            timeout=IAM_TIMEOUT,
            headers={"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
            body=json.dumps({"audience": audience, "includeEmail": True}).encode(),
        )
        return answer.expect_ok().member("token")

    def _identity(self, token: str, region: str) -> CloudIdentity:
        claims = unverified_claims(token) or {}
        subject = text_claim(claims, "sub")
        if not subject:
            raise ProviderIdentityUnavailable("no GCP identity: the identity token is not a JWT with a `sub`")
        candidates = [(FORMAT_GCP_SA_UNIQUE_ID, subject)]
        if claims.get("email_verified") is True and (email := text_claim(claims, "email")):
            candidates.append((FORMAT_GCP_SA_EMAIL, email))
        identity_format, identifier = candidates[-1]
        return CloudIdentity(
            provider=CloudProviderType.GCP,
            identifier=identifier,
            account_id=subject,
            region=region,
            resource_type="gcp-compute-instance",
            identity_format=identity_format,
            candidates=candidates,
        )

    def _account(self) -> ServiceAccount | ExternalAccount | None:
        """The named credentials, if any are named. Raises ConfigError."""
        file = credentials_file(self._environ)
        return load_credentials(file, self._clock) if file else None

    def _names_external_account(self) -> bool:
        file = credentials_file(self._environ)
        if file is None or not is_file(file.path):
            return False
        try:
            start = read_file(file.path, file.named_by)[:SNIFFED]
        except ConfigError:
            return False
        return '"type"' in start and '"external_account"' in start


def new_client(logger: Logger | None = None) -> CloudProviderClient:
    """A GCPClient that takes everything from the environment."""
    return GCPClient(logger)
