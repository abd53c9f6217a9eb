"""The metadata server of Google Cloud: tokens of the machine's default service account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from identity.cloud.errors import CloudRequestFailed
from identity.cloud.service import ServiceAnswer, fetch_patiently, parse_url

SERVICE = "the GCP metadata server"
DEFAULT_ENDPOINT = "http://169.254.169.254"
TIMEOUT = 5.0
PROBE_TIMEOUT = 10.0
FLAVOR = {"Metadata-Flavor": "Google"}
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT = "instance/service-accounts/default/"


class Metadata:
    """A client of the metadata server."""

    def __init__(self, endpoint: str) -> None:
        parse_url(endpoint, "GCE_METADATA_HOST")
        self._base = endpoint.rstrip("/") + "/computeMetadata/v1/"

    async def probe(self) -> None:
        """Find out whether the server is there. Raises CloudRequestFailed."""
        await self._get("instance/id", timeout=PROBE_TIMEOUT, probe=True)

    async def identity_token(self, audience: str) -> str:
        """A Google-signed identity token for `audience`. Raises CloudRequestFailed."""
        answer = await self._get(ACCOUNT + "identity", {"audience": audience, "format": "full"})
        return answer.text()

    async def access_token(self) -> tuple[str, float]:
        """An access token and its life in seconds. Raises CloudRequestFailed."""
        answer = await self._get(ACCOUNT + "token")
        return answer.member("access_token"), lifetime(answer.json())

    async def region(self) -> str:
        """The region of this machine, or an empty text: `projects/1/zones/us-east4-c` lies in `us-east4`."""
        try:
            zone = (await self._get("instance/zone")).text().rpartition("/")[2]
        except CloudRequestFailed:
            return ""
        region, _, letter = zone.rpartition("-")
        return region if "-" in region and letter else ""

    async def _get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float = TIMEOUT,
        probe: bool = False,
    ) -> ServiceAnswer:
        answer = await fetch_patiently(
            SERVICE, "GET", self._base + path, probe=probe, timeout=timeout, headers=FLAVOR, params=params
        )
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise CloudRequestFailed(
                SERVICE,
                f"answered {answer.status} without Metadata-Flavor: Google, so it is somebody else",
                status=answer.status,
            )
        return answer


def lifetime(document: Mapping[str, Any]) -> float:
    """`expires_in` of a token answer, in seconds; 0 when it is missing or unusable."""
    try:
        seconds = float(document.get("expires_in") or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if math.isfinite(seconds) and 0 < seconds < 1e9 else 0.0
