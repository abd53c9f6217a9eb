"""From a cloud identity to a token of the auth server (`identity.md` 8.1, 8.2).

The auth server is shown the identity's credentials and answers with a JWT. It is the one party that gets
them: https only (unless asked otherwise), no redirects, and no error tells what was sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypedDict, Unpack

from identity.cloud.aws.client import ROLE_SESSION_NAME_PARAM
from identity.cloud.detection import DETECT_PROVIDER_DEFAULT_TIMEOUT, detect_provider
from identity.cloud.environment import log_to
from identity.cloud.errors import CloudRequestFailed, JwtRequestFailed
from identity.cloud.models import (
    FORMAT_AWS_ARN,
    FORMAT_AWS_IAM_ROLE_ARN,
    FORMAT_AZURE_OBJECT_ID,
    FORMAT_GCP_SA_EMAIL,
    FORMAT_GCP_SA_UNIQUE_ID,
    CloudIdentity,
    CloudProviderClient,
    JWTType,
    Logger,
)
from identity.cloud.service import ServiceAnswer, fetch, parse_object, parse_url
from identity.errors import ConfigError
from identity.record import record
from identity.renewal import backoff

DEFAULT_SERVER = "https://authsvc.singlestore.com"
SERVER_VARIABLES = ("S2IAM_SERVER_URL", "S2IAM_JWT_SERVER_URL")
IDENTITY_FORMAT_PREFERENCE_HEADER = "X-S2IAM-Identity-Format-Preference"
IDENTITY_FORMAT_PREFERENCE_ENV = "S2IAM_IDENTITY_FORMAT_PREFERENCE"
DEFAULT_PREFERENCE = (
    FORMAT_AWS_IAM_ROLE_ARN,
    FORMAT_AWS_ARN,
    FORMAT_GCP_SA_EMAIL,
    FORMAT_GCP_SA_UNIQUE_ID,
    FORMAT_AZURE_OBJECT_ID,
)
"""Names every cloud, so that the form of `sub` does not move with a change of the server's own order."""

SERVICE = "the auth server"
RETRIES = 2
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 1.0
"""Seconds before the first retry, and before any; each is shortened at random by up to a half."""
QUOTED = 300
"""Characters of the server's text that an error quotes."""


class Unset:
    """The type of UNSET, which stands for an argument that was not given."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


@record
class Exchange(NamedTuple):
    """One request to the auth server. Holds credentials: has no repr of its fields."""

    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return "<Exchange>"


async def get_jwt(
    jwt_type: JWTType,
    workspace_group_id: str | None = None,
    server_url: str | None = None,
    allow_http: bool = False,
    provider: CloudProviderClient | None = None,
    additional_params: Mapping[str, str] | None = None,
    assume_role_identifier: str | None = None,
    assume_role_session_name: str | None = None,
    identity_format_preference: str | Iterable[str] | Unset | None = UNSET,
    timeout: float = DETECT_PROVIDER_DEFAULT_TIMEOUT,
    logger: Logger | None = None,
    clients: Sequence[CloudProviderClient] | None = None,
    **params: str,
) -> str:
    """A JWT that the auth server issues for this machine's cloud identity.

    Arguments:
        jwt_type: what the token is for.
        workspace_group_id: limits a database token to one workspace group.
        server_url: where to ask, else S2IAM_SERVER_URL, S2IAM_JWT_SERVER_URL, the public service. A URL
            without a path gets the public service's path.
        allow_http: take an http URL too; for tests only.
        provider: a detected client; without one, the cloud is detected among `clients` (default: all three).
        additional_params: for the client, such as `audience` (GCP).
        assume_role_identifier: act as this role (AWS ARN, GCP e-mail address, Azure client id).
        assume_role_session_name: the session's name of an assumed AWS role.
        identity_format_preference: forms of `sub` in order of preference, as a sequence or a comma list; else
            S2IAM_IDENTITY_FORMAT_PREFERENCE, else DEFAULT_PREFERENCE. Empty: the server chooses.
        timeout: seconds for everything together.
        params: further parameters for the client, one by one; they go before `additional_params`.

    Raises ConfigError (a ValueError) for an unusable argument and S2IAMError for everything else.
    """
    url = server_address(jwt_type, server_url, os.environ, allow_http=allow_http)
    preference = format_preference(identity_format_preference, os.environ)
    for name, value in params.items():
        if not isinstance(value, str):
            raise ConfigError(f"{name}: expected a text, got {type(value).__name__}", field=name)
    params = {**(additional_params or {}), **params}
    if assume_role_session_name:
        params[ROLE_SESSION_NAME_PARAM] = assume_role_session_name
    deadline = asyncio.get_running_loop().time() + timeout
    if provider is None:
        provider = await detect_provider(timeout, logger, clients)
    try:
        async with asyncio.timeout_at(deadline):
            if assume_role_identifier:
                provider = provider.assume_role(assume_role_identifier)
            headers, identity = await provider.get_identity_headers(params)
            log_to(logger)(f"asking {parse_url(url, 'server_url').host} for a {jwt_type.value} token")
            return await _perform(exchange(url, headers, identity, preference, workspace_group_id), timeout)
    except TimeoutError:
        raise CloudRequestFailed(SERVICE, f"no token within {timeout:g} s", transient=True) from None


class JwtOptions(TypedDict, total=False):
    """The arguments of `get_jwt` that are the same for every kind of token; they are explained there."""

    allow_http: bool
    provider: CloudProviderClient | None
    additional_params: Mapping[str, str] | None
    assume_role_identifier: str | None
    assume_role_session_name: str | None
    identity_format_preference: str | Iterable[str] | Unset | None
    timeout: float
    logger: Logger | None
    clients: Sequence[CloudProviderClient] | None


async def get_jwt_database(
    workspace_group_id: str | None = None, server_url: str | None = None, **options: Unpack[JwtOptions]
) -> str:
    """A JWT for the database. Options are those of `get_jwt`."""
    return await get_jwt(JWTType.DATABASE_ACCESS, workspace_group_id, server_url, **options)


async def get_jwt_api(
    workspace_group_id: str | None = None, server_url: str | None = None, **options: Unpack[JwtOptions]
) -> str:
    """A JWT for the API gateway. Options are those of `get_jwt`."""
    return await get_jwt(JWTType.API_GATEWAY_ACCESS, workspace_group_id, server_url, **options)


def server_address(
    jwt_type: JWTType, server_url: str | None, environ: Mapping[str, str], *, allow_http: bool
) -> str:
    """The URL to ask: argument, environment, public service. Raises ConfigError."""
    configured = (environ.get(name) for name in SERVER_VARIABLES)
    url = server_url or next((found for found in configured if found), DEFAULT_SERVER)
    parsed = parse_url(url, "server_url")
    if parsed.scheme != "https" and not allow_http:
        raise ConfigError(
            "the auth server's URL must use https; pass allow_http=True for tests", field="server_url"
        )
    return f"{url.rstrip('/')}/auth/iam/{jwt_type.value}" if parsed.path == "/" else url


def format_preference(
    wanted: str | Iterable[str] | Unset | None, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The forms of `sub` in order: argument, environment, default."""
    if isinstance(wanted, Unset) or wanted is None:
        wanted = environ.get(IDENTITY_FORMAT_PREFERENCE_ENV) or DEFAULT_PREFERENCE
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    return tuple(name.strip() for name in names if name.strip())


def exchange(
    url: str,
    headers: Mapping[str, str],
    identity: CloudIdentity,
    preference: tuple[str, ...],
    workspace_group_id: str | None,
) -> Exchange:
    """Build the request. The server reads the workspace group from the query; the body is informative."""
    described: dict[str, Any] = {
        "provider": identity.provider.value,
        "identity": {
            "identifier": identity.identifier,
            "account_id": identity.account_id,
            "region": identity.region,
            "resource_type": identity.resource_type,
            "additional_claims": identity.additional_claims,
        },
    }
    sent = {**headers, "Content-Type": "application/json"}
    if preference:
        sent[IDENTITY_FORMAT_PREFERENCE_HEADER] = ",".join(preference)
    if workspace_group_id:
        described["workspace_group_id"] = workspace_group_id
    query = {"workspaceGroupID": workspace_group_id} if workspace_group_id else {}
    return Exchange(url, query, sent, json.dumps(described).encode())


def issued_token(answer: ServiceAnswer, sent: Mapping[str, str]) -> str:
    """The `jwt` of a good answer. Raises JwtRequestFailed, quoting the server without anything secret."""
    document = parse_object(answer.body)
    if answer.status != 200:
        said = document.get("message") if document else None
        text = said if isinstance(said, str) else answer.body.decode(errors="replace")
        raise JwtRequestFailed(answer.status, _quote(text, sent))
    token = (document or {}).get("jwt")
    if not isinstance(token, str) or not token:
        raise JwtRequestFailed(answer.status, "there is no text `jwt` in its JSON object")
    return token


async def _perform(request: Exchange, timeout: float) -> str:
    """Send, and try again after server errors and broken connections; the caller limits the time."""
    for failures in range(1, RETRIES + 1):
        try:
            answer = await _send(request, timeout)
        except CloudRequestFailed as exc:
            if not exc.transient:
                raise
        else:
            if answer.status < 500:
                return issued_token(answer, request.headers)
        pause = backoff(failures, FIRST_BACKOFF, LONGEST_BACKOFF)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads load, guards nothing
    return issued_token(await _send(request, timeout), request.headers)


async def _send(request: Exchange, timeout: float) -> ServiceAnswer:
    return await fetch(
        SERVICE,
        "POST",
        request.url,
        timeout=timeout,
        headers=request.headers,
        params=request.query,
        body=request.body,
    )


def _quote(text: str, sent: Mapping[str, str]) -> str:
    """The start of a server's text on one line, with every header value that was sent taken out."""
    for value in sorted(sent.values(), key=len, reverse=True):
        for secret in (value, value.removeprefix("Bearer ")):
            if len(secret) >= 4:
                text = text.replace(secret, "[removed]")
    return " ".join(text.split())[:QUOTED]
