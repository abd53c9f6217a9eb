"""The metadata service of EC2, version 2 (a session token first, then GET with it)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from identity.cloud.aws.sts import REGION, expiration
from identity.cloud.cache import Cached
from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import ServiceAnswer, fetch_patiently, parse_url
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError

SERVICE = "the EC2 metadata service"
ENDPOINTS = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
"""By AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE."""
ENDPOINT, MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
TIMEOUT = 1.0
VERSION_1_TIMEOUT = 2.0
TOKEN_TTL = 21600
"""Seconds that a metadata session may last: the longest that EC2 allows."""
ROLES = "/latest/meta-data/iam/security-credentials/"

_ROLE = re.compile(r"[\w+=,.@-]{1,128}")
_INSTANCE = re.compile(r"i-[0-9A-Za-z]{1,64}")
_SESSION = re.compile(r"[\x21-\x7e]{1,1024}")


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Where the service is: the address that is set, else that of the mode. Raises ConfigError."""
    if address := environ.get(ENDPOINT):
        return address
    mode = environ.get(MODE) or "IPv4"
    if mode.lower() not in ENDPOINTS:
        raise ConfigError(f"{MODE} is IPv4 or IPv6, got {mode[:40]!r}", field=MODE)
    return ENDPOINTS[mode.lower()]


class Imds:
    """A client of the metadata service."""

    def __init__(self, endpoint: str, *, clock: Callable[[], float]) -> None:
        parse_url(endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
        self._endpoint = endpoint.rstrip("/")
        self._clock = clock
        self._token: Cached[str] = Cached(clock)

    async def get(self, path: str) -> ServiceAnswer:
        """GET a path inside a session. Raises CloudRequestFailed unless it answers 200."""
        return await self._in_session(path)

    async def probe(self) -> None:
        """Find out whether this is EC2; here, and only here, version 1 will do. Raises CloudRequestFailed."""
        path = "/latest/meta-data/instance-id"
        try:
            answer = await self._in_session(path, probe=True)
        except CloudRequestFailed:
            # A container behind one hop too many gets no token, yet version 1 answers it.
            answer = await self._get(path, {}, timeout=VERSION_1_TIMEOUT, probe=True)
        if not _INSTANCE.fullmatch(answer.text()):
            raise CloudRequestFailed(SERVICE, "answered with no instance id, so it is somebody else")

    async def region(self) -> str:
        """The region of the instance. Raises CloudRequestFailed."""
        region = (await self.get("/latest/meta-data/placement/region")).text()
        if not REGION.fullmatch(region):
            raise CloudRequestFailed(SERVICE, "the answer is no region")
        return region

    async def credentials(self) -> AwsCredentials:
        """The credentials of the instance's role. Raises CloudRequestFailed."""
        role = (await self.get(ROLES)).text().partition("\n")[0].strip()
        if not _ROLE.fullmatch(role):
            raise CloudRequestFailed(SERVICE, "the instance profile has no usable role name")
        return document_credentials(await self.get(ROLES + quote(role)))

    async def _in_session(self, path: str, *, probe: bool = False) -> ServiceAnswer:
        token = await self._token.get(None, lambda: self._start_session(probe=probe))
        return await self._get(path, {"X-aws-ec2-metadata-token": token}, probe=probe)

    async def _start_session(self, *, probe: bool) -> tuple[str, float]:
        answer = await fetch_patiently(
            SERVICE,
            "PUT",
            self._endpoint + "/latest/api/token",
            probe=probe,
            timeout=TIMEOUT,
            headers={"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL)},
        )
        if not _SESSION.fullmatch(token := answer.text()):
            raise CloudRequestFailed(SERVICE, "answered with no session token, so it is somebody else")
        return token, self._clock() + TOKEN_TTL

    async def _get(
        self, path: str, headers: dict[str, str], *, timeout: float = TIMEOUT, probe: bool = False
    ) -> ServiceAnswer:
        url = self._endpoint + path
        return await fetch_patiently(SERVICE, "GET", url, probe=probe, timeout=timeout, headers=headers)


def document_credentials(answer: ServiceAnswer) -> AwsCredentials:
    """The JSON form in which EC2 and container endpoints give temporary credentials."""
    return AwsCredentials(
        answer.member("AccessKeyId"),
        answer.member("SecretAccessKey"),
        answer.member("Token"),
        expiration(answer.member("Expiration"), answer.service),
    )
