"""Small stand-ins for what a desk does not have: an issuer, a SPIFFE agent, a cloud.

They say what the real ones say, to whoever asks, and protect nothing: use them for nothing else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from identity.spiffe.proto import workload_pb2 as pb

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"


class SigningKey:
    """An ES256 key that issues tokens and is published as a set of one key."""

    def __init__(self) -> None:
        self.kid = secrets.token_hex(4)
        self._key = ec.generate_private_key(ec.SECP256R1())

    def private_pem(self) -> str:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def public_pem(self) -> str:
        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def jwks(self, use: str = "sig") -> str:
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self.kid, "alg": "ES256", "use": use}]})

    def token(self, lifetime: float = 600.0, **claims: Any) -> str:
        now = int(time.time())
        body = {"iat": now, "exp": now + int(lifetime), **claims}
        return jwt.encode(body, self._key, "ES256", headers={"kid": self.kid})


class _HttpServer:
    """Answers requests on the loopback interface; `answer` gives the body, or None for 404."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: dict[str, str] = {}
        self._server: asyncio.Server | None = None

    def answer(self, method: str, path: str) -> str | None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        body = self.answer(method, target.partition("?")[0])
        status = "404 Not Found" if body is None else "200 OK"
        content = (body or "").encode()
        headers = {"Content-Length": str(len(content)), "Connection": "close", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + content)
        await writer.drain()
        writer.close()


class Issuer(_HttpServer):
    """An OpenID issuer, as far as verifiers of its tokens see it."""

    def __init__(self) -> None:
        super().__init__()
        self.key = SigningKey()

    def answer(self, method: str, path: str) -> str | None:
        if path == DISCOVERY:
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + KEYS})
        return self.key.jwks() if path == KEYS else None


class Cloud(_HttpServer):
    """The metadata server of Google Cloud, and an auth server that takes the tokens of its machines."""

    MACHINE = "node@project.iam.gserviceaccount.com"
    _METADATA = "/computeMetadata/v1/instance/"
    _ISSUER = "/auth/oidc/op/Customer"

    def __init__(self) -> None:
        super().__init__()
        self.headers = {"Metadata-Flavor": "Google"}
        self._google, self._auth_server = SigningKey(), SigningKey()

    @property
    def issuer(self) -> str:
        """Whom the auth server's tokens name."""
        return self.url + self._ISSUER

    def answer(self, method: str, path: str) -> str | None:
        account = self._METADATA + "service-accounts/default/"
        match path:
            case "/auth/iam/database" if method == "POST":
                return json.dumps({"jwt": self._auth_server.token(iss=self.issuer, sub=self.MACHINE)})
            case _ if path == account + "identity":
                return self._google.token(
                    iss="https://accounts.google.com", sub="1", email=self.MACHINE, email_verified=True
                )
            case _ if path == account + "email":
                return self.MACHINE
            case _ if path == self._METADATA + "zone":
                return "projects/1/zones/europe-west4-a"
            case _ if path == self._METADATA + "id":
                return "1"
            case _ if path == self._ISSUER + DISCOVERY:
                return json.dumps({"issuer": self.issuer, "jwks_uri": self.issuer + KEYS})
            case _ if path == self._ISSUER + KEYS:
                return self._auth_server.jwks()
        return None


class Agent:
    """A SPIFFE agent of the trust domain example.org that gives JWT-SVIDs for some paths, and its bundle."""

    def __init__(self, *paths: str) -> None:
        self._ids = [f"spiffe://example.org{path}" for path in paths]
        self._key = SigningKey()
        self._directory = tempfile.TemporaryDirectory(prefix="agent")
        self.socket_path = str(Path(self._directory.name) / "agent.sock")
        self._server = grpc.aio.server()

    async def __aenter__(self) -> Self:
        handlers = {
            "FetchJWTSVID": grpc.unary_unary_rpc_method_handler(
                self._fetch, pb.JWTSVIDRequest.FromString, pb.JWTSVIDResponse.SerializeToString
            ),
            "FetchJWTBundles": grpc.unary_stream_rpc_method_handler(
                self._bundles, pb.JWTBundlesRequest.FromString, pb.JWTBundlesResponse.SerializeToString
            ),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", handlers),)
        )
        self._server.add_insecure_port(f"unix:{self.socket_path}")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)
        self._directory.cleanup()

    async def _fetch(self, request: pb.JWTSVIDRequest, _: Any) -> pb.JWTSVIDResponse:
        chosen = [one for one in self._ids if request.spiffe_id in ("", one)]
        audience = list(request.audience)
        return pb.JWTSVIDResponse(
            svids=[pb.JWTSVID(spiffe_id=one, svid=self._key.token(sub=one, aud=audience)) for one in chosen]
        )

    async def _bundles(self, _: pb.JWTBundlesRequest, context: Any) -> AsyncIterator[pb.JWTBundlesResponse]:
        yield pb.JWTBundlesResponse(bundles={"spiffe://example.org": self._key.jwks("jwt-svid").encode()})
        await asyncio.Event().wait()
