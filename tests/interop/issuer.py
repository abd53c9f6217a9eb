"""An issuer of JWT identities: a key pair, and a server that publishes the public half as a key set."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.interop.harness import JwtKey

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"


class Issuer:
    """One ES256 key. Inside its block `url` answers with the discovery document and the key set."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._server: asyncio.Server | None = None
        self.asked: list[str] = []
        self.url = ""

    @property
    def private(self) -> JwtKey:
        """The key that applications of this issuer sign with."""
        return JwtKey("ES256", data=self._pem().decode())

    @property
    def public(self) -> JwtKey:
        """The key that verifies what they sign."""
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return JwtKey("ES256", data=pem.decode())

    def token(self, subject: str, audience: list[str], lifetime: float = 3600.0) -> str:
        """A signed token, for applications that show one from a file."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime),
        }
        return jwt.encode(claims, self._pem(), algorithm="ES256", headers={"kid": "only"})

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def _pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(path)
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        documents = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + KEYS},
            KEYS: {"keys": [{**public, "kid": "only", "alg": "ES256", "use": "sig"}]},
        }
        body = json.dumps(documents.get(path, {})).encode()
        status = "200 OK" if path in documents else "404 Not Found"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()
