"""Where AWS credentials come from (`identity.md` 8.4): the first source that has any, in this order.

1. the environment           AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
2. a profile                 AWS_PROFILE or `default`: an access key, a role from another profile, or a
                             role by a web identity
3. a web identity            AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (EKS)
4. the container's endpoint  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS pod identity)
5. the instance's role       EC2 metadata, version 2

A source that is configured and fails, or is of another kind than these, is an error: falling through would
act as somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from identity.cloud.aws.imds import Imds, document_credentials
from identity.cloud.aws.profile import Profiles, RoleSource, WebIdentity, access_key, load_profiles
from identity.cloud.aws.sts import Sts
from identity.cloud.cache import Cached
from identity.cloud.environment import read_file
from identity.cloud.errors import CloudRequestFailed, ProviderIdentityUnavailable
from identity.cloud.service import fetch_patiently, require_private
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError

DEFAULT_SESSION_NAME = "s2iam-session"
CONTAINER_ENDPOINT = "http://169.254.170.2"
CONTAINER_TIMEOUT = 2.0
DEFAULT_REGION = "us-east-1"
LONGEST_CHAIN = 8
"""Profiles that may stand between a role and the access key it starts from."""


class CredentialChain:
    """The credentials of this process. Temporary ones are kept until five minutes before their end."""

    def __init__(
        self,
        environ: Mapping[str, str],
        imds: Imds | None,
        *,
        sts_endpoint: str | None,
        container_endpoint: str,
        clock: Callable[[], float],
    ) -> None:
        self._environ = environ
        self._imds = imds
        self._sts_endpoint = sts_endpoint
        self._container_endpoint = container_endpoint
        self._clock = clock
        self._region = ""
        self._kept: Cached[AwsCredentials] = Cached(clock)

    def without_instance(self) -> CredentialChain:
        """The same without EC2 metadata, for a machine that has none."""
        return CredentialChain(
            self._environ,
            None,
            sts_endpoint=self._sts_endpoint,
            container_endpoint=self._container_endpoint,
            clock=self._clock,
        )

    async def get(self) -> AwsCredentials:
        """Raises ProviderIdentityUnavailable, ConfigError or CloudRequestFailed; never quotes a secret."""
        env = self._environ
        if found := access_key(env, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            return found
        profiles, name = self._profiles()
        assumes = profiles.role(name) or profiles.web_identity(name)
        if not assumes and (found := profiles.static_credentials(name)):
            return found
        return await self._kept.get(name, lambda: self._temporary(profiles, name))

    async def sts(self) -> Sts:
        """STS in the region of this process."""
        return Sts(await self._find_region(), endpoint=self._sts_endpoint, clock=self._clock)

    async def _temporary(self, profiles: Profiles, name: str) -> tuple[AwsCredentials, float | None]:
        found = await self._obtained(profiles, name)
        return found, found.expires_at

    async def _obtained(self, profiles: Profiles, name: str) -> AwsCredentials:
        env = self._environ
        federated = _web_identity(env)
        if profiles.role(name):
            return await self._from_role(profiles, name)
        if identity := profiles.web_identity(name):
            return await self._from_web_identity(identity, "web_identity_token_file")
        if env.get("AWS_PROFILE") or federated is None:
            profiles.check_supported(name)
        if federated is not None:
            return await self._from_web_identity(federated, "AWS_WEB_IDENTITY_TOKEN_FILE")
        if env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return await self._from_container()
        if self._imds:
            return await self._imds.credentials()
        raise ProviderIdentityUnavailable("no AWS credentials are configured, and there is no EC2 metadata")

    async def _from_role(self, profiles: Profiles, name: str) -> AwsCredentials:
        """Walk from the wanted profile to an access key, then assume the roles on the way back."""
        roles: list[RoleSource] = []
        credentials: AwsCredentials | None = None
        while credentials is None:
            role = profiles.role(name)
            if role is None and roles and (identity := profiles.web_identity(name)):
                credentials = await self._from_web_identity(identity, "web_identity_token_file")
                break
            if role is None:
                profiles.check_supported(name)
            if role is None or len(roles) == LONGEST_CHAIN:
                raise ConfigError(
                    f"AWS profile {name!r} has neither an access key nor a role that leads to one",
                    field="source_profile",
                )
            roles.append(role)
            # A profile may be its own source: then its access key counts, not its role again.
            credentials = profiles.static_credentials(role.source_profile)
            name = role.source_profile
        sts = await self.sts()
        for role in reversed(roles):
            session = role.session_name or DEFAULT_SESSION_NAME
            credentials = await sts.assume_role(
                credentials, role.role_arn, session, external_id=role.external_id
            )
        return credentials

    async def _from_web_identity(self, identity: WebIdentity, setting: str) -> AwsCredentials:
        """The role of a token in the file that `setting` names; the file is read each time."""
        token = read_file(identity.token_file, setting).strip()
        session = identity.session_name or DEFAULT_SESSION_NAME
        sts = await self.sts()
        return await sts.assume_role_with_web_identity(token, identity.role_arn, session)

    async def _from_container(self) -> AwsCredentials:
        env = self._environ
        if relative := env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            if not relative.startswith("/"):
                raise ConfigError(
                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must start with a slash",
                    field="AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                )
            url = self._container_endpoint.rstrip("/") + relative
        else:
            what = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
            url = env[what]
            require_private(url, what)
        headers = {}
        if path := env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            headers["Authorization"] = read_file(path, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").strip()
        elif token := env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["Authorization"] = token
        answer = await fetch_patiently(
            "the container credentials endpoint", "GET", url, timeout=CONTAINER_TIMEOUT, headers=headers
        )
        return document_credentials(answer)

    async def _find_region(self) -> str:
        """Environment, profile, instance metadata, else us-east-1 (where STS serves every account)."""
        env = self._environ
        if not self._region:
            profiles, name = self._profiles()
            self._region = (
                env.get("AWS_REGION")
                or env.get("AWS_DEFAULT_REGION")
                or profiles.region(name)
                or await self._instance_region()
                or DEFAULT_REGION
            )
        return self._region

    async def _instance_region(self) -> str:
        if self._imds is None:
            return ""
        try:
            return await self._imds.region()
        except CloudRequestFailed:
            return ""

    def _profiles(self) -> tuple[Profiles, str]:
        profiles, wanted = load_profiles(self._environ), self._environ.get("AWS_PROFILE", "")
        if wanted and wanted not in profiles.settings:
            raise ConfigError(
                f"AWS_PROFILE names {wanted!r}, which stands in neither AWS file", field="AWS_PROFILE"
            )
        return profiles, wanted or "default"


def _web_identity(environ: Mapping[str, str]) -> WebIdentity | None:
    """What the environment says of a web identity. Raises ConfigError for half of it."""
    file, role = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", ""), environ.get("AWS_ROLE_ARN", "")
    if bool(file) != bool(role):
        missing = "AWS_ROLE_ARN" if file else "AWS_WEB_IDENTITY_TOKEN_FILE"
        raise ConfigError(f"a web identity is set without {missing}", field=missing)
    return WebIdentity(role, file, environ.get("AWS_ROLE_SESSION_NAME", "")) if file else None
