"""The AWS side: temporary credentials are shown to the auth server, which asks STS whose they are."""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Callable, Mapping

from identity.cloud.aws.arn import Caller, identity_of
from identity.cloud.aws.credentials import CONTAINER_ENDPOINT, DEFAULT_SESSION_NAME, CredentialChain
from identity.cloud.aws.imds import Imds, endpoint_of
from identity.cloud.cache import Cached
from identity.cloud.environment import log_to
from identity.cloud.errors import (
    CloudRequestFailed,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
    S2IAMError,
    UnusableCredentials,
)
from identity.cloud.models import (
    CloudIdentity,
    CloudProviderClient,
    CloudProviderType,
    CredentialHeaders,
    Logger,
)
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError

ROLE_SESSION_NAME_PARAM = "roleSessionName"
PROBE_TIMEOUT = 3.0
"""Seconds for the whole probe of instance metadata."""

HINTS_OF_WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
HINTS = ("AWS_EXECUTION_ENV", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_NAME")


class AWSClient(CloudProviderClient):
    """Identity on AWS: EC2, ECS, EKS, Lambda, or wherever AWS credentials are configured.

    `imds_endpoint`, `sts_endpoint` and `container_endpoint` replace the addresses of the services; without
    them the SDKs' variables AWS_EC2_METADATA_SERVICE_ENDPOINT(_MODE) and AWS_ENDPOINT_URL_STS count, then the
    public addresses.
    """

    def __init__(
        self,
        logger: Logger | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        imds_endpoint: str | None = None,
        sts_endpoint: str | None = None,
        container_endpoint: str = CONTAINER_ENDPOINT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        env = os.environ if environ is None else environ
        self._environ = env
        self._log = log_to(logger, env)
        self._clock = clock
        self._detected = False
        self._role: str | None = None
        self._imds: Imds | None = None
        if env.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
            self._imds = Imds(imds_endpoint or endpoint_of(env), clock=clock)
        self._chain = CredentialChain(
            env,
            self._imds,
            sts_endpoint=sts_endpoint or env.get("AWS_ENDPOINT_URL_STS") or None,
            container_endpoint=container_endpoint,
            clock=clock,
        )
        self._session: Cached[tuple[AwsCredentials, Caller]] = Cached(clock)

    def __repr__(self) -> str:
        role = f" as {self._role}" if self._role else ""
        return f"<AWSClient {'detected' if self._detected else 'not detected'}{role}>"

    def get_type(self) -> CloudProviderType:
        return CloudProviderType.AWS

    async def fast_detect(self) -> None:
        for name in (*HINTS_OF_WEB_IDENTITY, *HINTS):
            if self._environ.get(name):
                self._log(f"AWS: recognised by {name}")
                self._detected = True
                return
        raise ProviderNotDetected(f"none of {', '.join((*HINTS_OF_WEB_IDENTITY, *HINTS))} is set")

    async def detect(self) -> None:
        """Recognise AWS by instance metadata, else by any credentials that STS accepts."""
        if self._detected:
            return
        problem = await self._probe()
        if problem:
            try:
                chain = self._chain.without_instance()
                caller = await (await chain.sts()).caller(await chain.get())
            except ConfigError as exc:
                raise UnusableCredentials(f"{problem}; {exc}", field=exc.field) from None
            except S2IAMError as exc:
                raise ProviderNotDetected(f"{problem}; {exc}") from None
            self._log(f"AWS: recognised by credentials of account {caller.account}")
        self._detected = True

    def assume_role(self, role_identifier: str) -> AWSClient:
        """A client that acts as the role of this ARN, with the credentials of this client as its start."""
        clone = copy.copy(self)
        clone._role = role_identifier
        clone._session = Cached(self._clock)
        return clone

    async def get_identity_headers(
        self, additional_params: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], CloudIdentity]:
        """The parameter `roleSessionName` names the session of an assumed role (else `s2iam-session`)."""
        if not self._detected:
            raise ProviderNotDetected("AWS was not detected: await detect() first")
        session_name = (additional_params or {}).get(ROLE_SESSION_NAME_PARAM) or DEFAULT_SESSION_NAME
        try:
            start = await self._chain.get()
            key = (start.access_key_id, session_name)
            credentials, caller = await self._session.get(key, lambda: self._open(start, session_name))
        except ConfigError as exc:
            raise UnusableCredentials(f"no AWS identity: {exc}", field=exc.field) from exc
        except CloudRequestFailed as exc:
            raise ProviderIdentityUnavailable(f"no AWS identity: {exc}") from exc
        self._log(f"AWS: acting as {caller.arn}")
        headers = CredentialHeaders(
            {
                "X-AWS-Access-Key-ID": credentials.access_key_id,
                "X-AWS-Secret-Access-Key": credentials.secret_access_key,
                "X-AWS-Session-Token": credentials.session_token or "",
                "X-Cloud-Provider": "aws",
            }
        )
        return headers, identity_of(caller)

    async def _open(
        self, start: AwsCredentials, session_name: str
    ) -> tuple[tuple[AwsCredentials, Caller], float | None]:
        """Credentials that may be shown, and whose they are.

        The auth server takes temporary credentials only: an IAM user's key becomes a session first.
        """
        sts = await self._chain.sts()
        if self._role:
            shown = await sts.assume_role(start, self._role, session_name)
        elif start.session_token:
            shown = start
        else:
            shown = await sts.session(start)
        return (shown, await sts.caller(shown)), shown.expires_at

    async def _probe(self) -> str:
        """What speaks against this being EC2; empty when metadata answered."""
        if self._imds is None:
            return "EC2 metadata is disabled"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._imds.probe()
        except TimeoutError:
            return f"no EC2 metadata within {PROBE_TIMEOUT:g} s"
        except CloudRequestFailed as exc:
            return str(exc)
        self._log("AWS: recognised by instance metadata")
        return ""


def new_client(logger: Logger | None = None) -> CloudProviderClient:
    """An AWSClient that takes everything from the environment."""
    return AWSClient(logger)
