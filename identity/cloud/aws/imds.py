"""The metadata service of EC2, version 2 (a session token first, then GET with it)."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from identity.cloud.aws.sts import expiration
from identity.cloud.cache import Cached
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import ServiceAnswer, fetch, parse_url
from identity.cloud.sigv4 import AwsCredentials

SERVICE = "the EC2 metadata service"
DEFAULT_ENDPOINT = "http://169.254.169.254"
TIMEOUT = 1.0
VERSION_1_TIMEOUT = 2.0
TOKEN_TTL = 21600
"""Seconds that a metadata session may last: the longest that EC2 allows."""
ROLES = "/latest/meta-data/iam/security-credentials/"

_ROLE = re.compile(r"[\w+=,.@-]{1,128}")


class Imds:
    """A client of the metadata service."""

    def __init__(self, endpoint: str, *, clock: Callable[[], float]) -> None:
        parse_url(endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
        self._endpoint = endpoint.rstrip("/")
        self._clock = clock
        self._token: Cached[str] = Cached(clock)

    async def get(self, path: str) -> ServiceAnswer:
        """GET a path inside a session. Raises CloudRequestFailed unless it answers 200."""
        token = await self._token.get(None, self._start_session)
        return (await self._get(path, {"X-aws-ec2-metadata-token": token})).expect_ok()

    async def probe(self) -> None:
        """Find out whether this is EC2; here, and only here, version 1 will do. Raises CloudRequestFailed."""
        path = "/latest/meta-data/instance-id"
        try:
            await self.get(path)
        except CloudRequestFailed:
            # A container behind one hop too many gets no token, yet version 1 answers it.
            (await self._get(path, {}, timeout=VERSION_1_TIMEOUT)).expect_ok()

    async def region(self) -> str:
        """The region of the instance. Raises CloudRequestFailed."""
        return (await self.get("/latest/meta-data/placement/region")).text()

    async def credentials(self) -> AwsCredentials:
        """The credentials of the instance's role. Raises CloudRequestFailed."""
        role = (await self.get(ROLES)).text().partition("\n")[0].strip()
        if not _ROLE.fullmatch(role):
            raise CloudRequestFailed(SERVICE, "the instance profile has no usable role name")
        return document_credentials(await self.get(ROLES + quote(role)))

    async def _start_session(self) -> tuple[str, float]:
        answer = await fetch(
            SERVICE,
            "PUT",
            self._endpoint + "/latest/api/token",
            timeout=TIMEOUT,
            headers={"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL)},
        )
        return answer.expect_ok().text(), self._clock() + TOKEN_TTL

    async def _get(self, path: str, headers: dict[str, str], *, timeout: float = TIMEOUT) -> ServiceAnswer:
        return await fetch(SERVICE, "GET", self._endpoint + path, timeout=timeout, headers=headers)


def document_credentials(answer: ServiceAnswer) -> AwsCredentials:
    """The JSON form in which EC2 and container endpoints give temporary credentials."""
    return AwsCredentials(
        answer.member("AccessKeyId"),
        answer.member("SecretAccessKey"),
        answer.member("Token"),
        expiration(answer.member("Expiration"), answer.service),
    )
