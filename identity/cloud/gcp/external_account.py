"""Workload identity federation (Application Default Credentials of type `external_account`; RFC 8693).

    token of somebody else ──► Google's STS ──► access token ──► identity token of the account it impersonates

The token stands in a file, or a URL gives it. Google makes identity tokens for service accounts only, so the
credentials have to name one to impersonate.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from identity.cloud.environment import read_file
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.gcp.metadata import SCOPE
from identity.cloud.service import fetch, fetch_patiently, parse_object, require_private
from identity.errors import ConfigError

SERVICE = "Google's security token service"
SOURCE = "the source of the external account's token"
TIMEOUT = 5.0
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
WANTED = "urn:ietf:params:oauth:token-type:access_token"

_IMPERSONATION = re.compile(r"(https?://.+)/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken")


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the token of somebody else comes from: `file` or `url`, as text or a member of a JSON object."""

    file: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    member: str

    async def token(self) -> str:
        """The token as it is now. Raises ConfigError or CloudRequestFailed."""
        if self.file:
            content = read_file(self.file, "credential_source.file").strip()
        else:
            answer = await fetch_patiently(SOURCE, "GET", self.url, timeout=TIMEOUT, headers=self.headers)
            content = answer.text()
        if self.member:
            value = (parse_object(content) or {}).get(self.member)
            content = value if isinstance(value, str) else ""
        if not content or not content.isascii() or not content.isprintable():
            raise CloudRequestFailed(SOURCE, "gives no token")
        return content


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """Parsed credentials. The repr shows the service account only."""

    email: str
    """The service account that is impersonated."""
    iam: str = field(repr=False)
    """The address of the service that makes its tokens."""
    source: TokenSource = field(repr=False)
    form: Mapping[str, str] = field(repr=False)
    """What is sent to the token service, without the token."""
    token_url: str = field(repr=False)
    authorization: str = field(repr=False)

    async def identity_token(self, audience: str) -> str:
        """A Google-signed identity token for `audience`. Raises ConfigError or CloudRequestFailed."""
        return await self._generated("generateIdToken", "token", audience=audience, includeEmail=True)

    async def access_token(self) -> tuple[str, float]:
        """An access token, and 0 for its unknown life. Raises ConfigError or CloudRequestFailed."""
        return await self._generated("generateAccessToken", "accessToken", scope=[SCOPE]), 0.0

    async def _generated(self, method: str, member: str, **wanted: Any) -> str:
        bearer = await self._exchanged()
        answer = await fetch(
            "Google's IAM credentials service",
            "POST",
            f"{self.iam}/v1/projects/-/serviceAccounts/{quote(self.email, safe='@')}:{method}",
            timeout=TIMEOUT,
            headers={"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
            body=json.dumps(wanted).encode(),
        )
        return answer.expect_ok().member(member)

    async def _exchanged(self) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        form = {**self.form, "subject_token": await self.source.token()}
        answer = await fetch(
            SERVICE, "POST", self.token_url, timeout=TIMEOUT, headers=headers, body=urlencode(form).encode()
        )
        return answer.expect_ok().member("access_token")


def external_account(document: Mapping[str, Any], path: str) -> ExternalAccount:
    """The account that a credentials document describes. Raises ConfigError naming the member at fault."""
    found = _IMPERSONATION.fullmatch(_text(document, "service_account_impersonation_url", path))
    if found is None:
        raise ConfigError(
            f"the service_account_impersonation_url of {path} is none of generateAccessToken",
            field="service_account_impersonation_url",
        )
    form = {
        "grant_type": GRANT_TYPE,
        "requested_token_type": WANTED,
        "scope": SCOPE,
        "audience": _text(document, "audience", path),
        "subject_token_type": _text(document, "subject_token_type", path),
    }
    if document.get("workforce_pool_user_project") is not None:
        form["options"] = json.dumps({"userProject": _text(document, "workforce_pool_user_project", path)})
    authorization = ""
    if document.get("client_id") is not None:
        pair = f"{_text(document, 'client_id', path)}:{_text(document, 'client_secret', path)}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    token_url = _text(document, "token_url", path)
    require_private(token_url, "token_url")
    iam = require_private(found[1], "service_account_impersonation_url")
    return ExternalAccount(found[2], iam, _source(document, path), form, token_url, authorization)


def _source(document: Mapping[str, Any], path: str) -> TokenSource:
    source = document.get("credential_source")
    if not isinstance(source, dict):
        raise ConfigError(f"{path} has no object 'credential_source'", field="credential_source")
    for kind in ("environment_id", "executable", "certificate"):
        if kind in source:
            raise ConfigError(
                f"credential_source.{kind} of {path} is not supported: give a file or a url",
                field=f"credential_source.{kind}",
            )
    form = source.get("format") or {"type": "text"}
    if not isinstance(form, dict) or form.get("type", "text") not in ("text", "json"):
        raise ConfigError(
            f"credential_source.format of {path} is neither text nor json",
            field="credential_source.format",
        )
    member = _text(form, "subject_token_field_name", path) if form.get("type") == "json" else ""
    if source.get("file") is not None:
        return TokenSource(_text(source, "file", path), "", {}, member)
    url, headers = _text(source, "url", path), source.get("headers") or {}
    require_private(url, "credential_source.url")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ConfigError(
            f"credential_source.headers of {path} are no texts", field="credential_source.headers"
        )
    return TokenSource("", url, headers, member)


def _text(members: Mapping[str, Any], name: str, path: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{path} has no text {name!r}", field=name)
    return value
