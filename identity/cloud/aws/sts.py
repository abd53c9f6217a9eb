"""The four calls of AWS STS that identity needs, over its query API (version 2011-06-15)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlencode
from xml.etree import ElementTree

from identity.cloud.aws.arn import Caller
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import ServiceAnswer, fetch, parse_url, require_private
from identity.cloud.sigv4 import AwsCredentials, Signer, SigningRequest, sign_headers
from identity.errors import ConfigError

SERVICE = "AWS STS"
TIMEOUT = 5.0
FORM = "application/x-www-form-urlencoded; charset=utf-8"

# A region becomes part of a host name: nothing else may get in there.
REGION = re.compile(r"(?:[a-z]{2}|eusc)(?:-[a-z]+)+-[0-9]{1,2}")
DOMAINS = {
    "cn": "amazonaws.com.cn",
    "eusc": "amazonaws.eu",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "us-isof": "csp.hci.ic.gov",
    "eu-isof": "csp.hci.ic.gov",
}
"""The domain of services by how the names of regions begin: China, sovereign and isolated ones."""


class Sts:
    """STS of one region. `endpoint` replaces the address that follows from the region."""

    def __init__(
        self, region: str, *, endpoint: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if not REGION.fullmatch(region):
            raise ConfigError(f"{region[:40]!r} is not an AWS region such as eu-west-1", field="AWS_REGION")
        first, second = region.split("-")[:2]
        suffix = DOMAINS.get(first) or DOMAINS.get(f"{first}-{second}") or "amazonaws.com"
        self._region = region
        what = "AWS_ENDPOINT_URL_STS"
        self._url = parse_url(require_private(endpoint or f"https://sts.{region}.{suffix}", what) + "/", what)
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Sts {self._region}>"

    async def caller(self, credentials: AwsCredentials) -> Caller:
        """GetCallerIdentity: whose credentials these are. Raises CloudRequestFailed."""
        answer = await self._call({"Action": "GetCallerIdentity"}, credentials)
        return Caller(answer("Arn"), answer("Account"), answer("UserId"))

    async def session(self, credentials: AwsCredentials) -> AwsCredentials:
        """GetSessionToken: temporary credentials of an IAM user. Raises CloudRequestFailed."""
        return _credentials(await self._call({"Action": "GetSessionToken"}, credentials))

    async def assume_role(
        self, credentials: AwsCredentials, role_arn: str, session_name: str, *, external_id: str = ""
    ) -> AwsCredentials:
        """AssumeRole: temporary credentials of another role. Raises CloudRequestFailed."""
        form = {"Action": "AssumeRole", "RoleArn": role_arn, "RoleSessionName": session_name}
        if external_id:
            form["ExternalId"] = external_id
        return _credentials(await self._call(form, credentials))

    async def assume_role_with_web_identity(
        self, token: str, role_arn: str, session_name: str
    ) -> AwsCredentials:
        """AssumeRoleWithWebIdentity: the token itself is the proof, so nothing is signed."""
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": role_arn,
            "RoleSessionName": session_name,
            "WebIdentityToken": token,
        }
        return _credentials(await self._call(form, None))

    async def _call(
        self, form: Mapping[str, str], credentials: AwsCredentials | None
    ) -> Callable[[str], str]:
        body = urlencode({**form, "Version": "2011-06-15"}).encode()
        headers = {"Content-Type": FORM}
        if credentials:
            host, target = self._url.netloc.decode(), self._url.raw_path.decode()
            signed = SigningRequest("POST", target, (("Host", host), ("Content-Type", FORM)), body)
            signer = Signer(credentials, self._region, "sts", self._clock())
            headers |= dict(sign_headers(signed, signer).additions)
        answer = await fetch(SERVICE, "POST", str(self._url), timeout=TIMEOUT, headers=headers, body=body)
        elements = _elements(answer)
        if answer.status != 200:
            # The message of a refused signature quotes the signed headers, the session token among them.
            raise answer.failure(elements.get("Code"))

        def element(name: str) -> str:
            if not (value := elements.get(name, "")):
                raise CloudRequestFailed(SERVICE, f"the answer has no {name}", status=answer.status)
            return value

        return element


def _elements(answer: ServiceAnswer) -> dict[str, str]:
    """The leaf elements of a flat XML answer, by local name; the first of a name counts."""
    text = answer.text()
    if "<!" in text:  # no document type, so no entities to expand
        raise CloudRequestFailed(SERVICE, "the answer holds a declaration", status=answer.status)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # without declarations there is nothing to attack with
    except ElementTree.ParseError:
        if answer.status != 200:
            return {}
        raise CloudRequestFailed(SERVICE, "the answer is not XML", status=answer.status) from None
    found: dict[str, str] = {}
    for element in root.iter():
        if isinstance(element.tag, str) and element.text and element.text.strip():
            found.setdefault(element.tag.rpartition("}")[2], element.text.strip())
    return found


def _credentials(element: Callable[[str], str]) -> AwsCredentials:
    return AwsCredentials(
        element("AccessKeyId"),
        element("SecretAccessKey"),
        element("SessionToken"),
        expiration(element("Expiration"), SERVICE),
    )


def expiration(text: str, service: str) -> float:
    """Unix seconds of an ISO 8601 time such as `2030-01-01T00:00:00Z`. Raises CloudRequestFailed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CloudRequestFailed(service, "the expiry is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise CloudRequestFailed(service, "the expiry names no time zone")
    return moment.timestamp()
