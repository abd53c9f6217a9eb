"""Stages in which applications of a test live: one data plane, or one each with a node between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actors.messages.session import AppSettings
from actors.names import Name
from gateway.api.slim import Slim
from gateway.compat.lower import App
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from identity.provider import IdentityProvider, IdentityVerifier

SECRET = "a shared secret of enough bytes, for tests"
PLAIN = {"insecure": True}


def identity(name: str, secret: str = SECRET) -> tuple[Any, Any]:
    """Provider and verifier of one application."""
    return IdentityProvider.SharedSecret(name, secret), IdentityVerifier.SharedSecret(name, secret)


def name(app: str) -> Name:
    return Name("org", "default", app)


@asynccontextmanager
async def connected(app: str, address: str) -> AsyncIterator[Slim]:
    """An application with a data plane of its own, connected to the node at `address` in clear text."""
    async with Slim(app, *identity(app), local_service=True) as made:
        await made.connect({"endpoint": f"http://{address}", "tls": PLAIN})
        yield made


class AppStage:
    """Makes applications that can reach each other, and closes them. Data planes are strict unless told."""

    def __init__(self, kind: str, *, strict: bool = True) -> None:
        self.kind = kind
        self.networked = kind == "server"
        self.endpoint = ""
        self._strict = strict
        self._apps: list[Slim] = []
        self._planes: list[DataPlane] = []

    async def start(self) -> None:
        node = self._plane()
        if self.networked:
            self.endpoint = await node.serve(self.server_config("127.0.0.1:0"))
        self.node = node

    @staticmethod
    def server_config(endpoint: str) -> ServerConfig:
        return ServerConfig.read({"endpoint": endpoint, "tls": PLAIN})

    @property
    def client_config(self) -> dict[str, Any]:
        backoff = {"base": 20, "factor": 1.5, "max_delay": "100ms"}
        return {"endpoint": f"http://{self.endpoint}", "tls": PLAIN, "backoff": backoff}

    async def app(
        self,
        app: str,
        *,
        secret: str = SECRET,
        kind: type[Slim] = Slim,
        connect: bool = True,
        settings: AppSettings | None = None,
    ) -> Any:
        """An application; where there is a node, connected to it."""
        plane = self._plane() if self.networked else self.node
        made = kind(name(app), *identity(app, secret), data_plane=plane, settings=settings)
        self._apps.append(made)
        if self.networked and connect:
            await made.connect(self.client_config)
        return made

    async def lower(self, app: str) -> App:
        """The same as `App`; where there is a node, connected and subscribed as programs of 0.7 do it."""
        made = App(name(app), *identity(app), local_service=self.networked)
        self._apps.append(made.slim)
        if self.networked:
            connection = await made.connect(self.client_config)
            await made.subscribe(made.name, connection)
        return made

    async def route(self, app: Slim, *peers: str) -> None:
        if self.networked:
            for peer in peers:
                await app.set_route(name(peer))

    async def close(self) -> None:
        for app in self._apps:
            await app.close(0.5)
        for plane in self._planes:
            await plane.close(0.5)

    def _plane(self) -> DataPlane:
        plane = DataPlane(strict=self._strict)
        self._planes.append(plane)
        return plane
