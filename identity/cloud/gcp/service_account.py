"""A service account's key file (Application Default Credentials).

The file's key signs a short assertion, and Google's token endpoint gives an identity or access token for it
(RFC 7523). The key never leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from identity.cloud.gcp.metadata import SCOPE, lifetime
from identity.cloud.service import ServiceAnswer, fetch, require_private
from identity.errors import ConfigError

SERVICE = "Google's token endpoint"
TIMEOUT = 5.0
ASSERTION_LIFETIME = 3600
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A parsed key file. Its repr shows the e-mail address only."""

    email: str
    key_id: str = field(repr=False)
    key: RSAPrivateKey = field(repr=False)
    token_uri: str = field(repr=False)
    clock: Callable[[], float] = field(repr=False)

    async def identity_token(self, audience: str) -> str:
        """A Google-signed identity token for `audience`. Raises CloudRequestFailed."""
        return (await self._exchange("target_audience", audience)).member("id_token")

    async def access_token(self) -> tuple[str, float]:
        """An access token and its life in seconds. Raises CloudRequestFailed."""
        answer = await self._exchange("scope", SCOPE)
        return answer.member("access_token"), lifetime(answer.json())

    def assertion(self, claim: str, value: str) -> str:
        """The signed statement that asks for a token; `claim` says which kind."""
        now = int(self.clock())
        claims = {
            "iss": self.email,
            "sub": self.email,
            "aud": self.token_uri,
            claim: value,
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.key_id})

    async def _exchange(self, claim: str, value: str) -> ServiceAnswer:
        form = {"grant_type": GRANT_TYPE, "assertion": self.assertion(claim, value)}
        answer = await fetch(
            SERVICE,
            "POST",
            self.token_uri,
            timeout=TIMEOUT,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        return answer.expect_ok()


def service_account(document: Mapping[str, Any], path: str, clock: Callable[[], float]) -> ServiceAccount:
    """The service account that a credentials document describes.

    Raises ConfigError for a broken one; the text quotes nothing of it.
    """
    texts = {}
    for name in ("client_email", "private_key_id", "private_key", "token_uri"):
        if not isinstance(value := document.get(name), str) or not value:
            raise ConfigError(f"{path} has no text {name!r}", field=name)
        texts[name] = value
    try:
        key = load_pem_private_key(texts["private_key"].encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"the private_key of {path} is not a PEM key", field="private_key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise ConfigError(f"the private_key of {path} is not RSA of at least 2048 bits", field="private_key")
    require_private(texts["token_uri"], "token_uri")
    return ServiceAccount(texts["client_email"], texts["private_key_id"], key, texts["token_uri"], clock)
