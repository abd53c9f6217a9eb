"""Callboard's own side of the comparison, with the interface that applications use."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path

from gateway import IdentityProvider, IdentityVerifier, Name, Session, SessionConfiguration, Slim
from tests.benchmarks.adapters import PATIENCE
from tests.benchmarks.trees import on_tree

SECRET = "a-secret-of-the-benchmark-with-32-bytes-or-more"
RETRIES, INTERVAL = 10, timedelta(seconds=5)


class Callboard:
    """Our applications and nodes: those of `tree`, or else of the checkout that runs."""

    label = "callboard"

    def __init__(self, tree: Path | None = None) -> None:
        self._tree = tree

    def node_command(self) -> Sequence[str]:
        start = ("start", "--listen", "127.0.0.1:0", "--insecure")
        if self._tree is not None:
            return on_tree(self._tree, "gateway.cli", *start)
        return [str(Path(sys.executable).with_name("callboard")), *start]

    async def application(self, name: str, endpoint: str) -> CallboardApplication:
        # A data plane each, because the applications of one data plane meet inside the process.
        slim = Slim(
            Name.parse(name),
            IdentityProvider.SharedSecret(name, SECRET),
            IdentityVerifier.SharedSecret(name, SECRET),
            local_service=True,
        )
        await slim.connect({"endpoint": endpoint, "tls": {"insecure": True}})
        return CallboardApplication(slim)


class CallboardApplication:
    """A `Slim` that is connected."""

    def __init__(self, slim: Slim) -> None:
        self._slim = slim

    async def open(self, destination: str, *, group: bool, reliable: bool, mls: bool) -> CallboardSession:
        target = Name.parse(destination)
        if not group:
            await self.route(target)
        kind = SessionConfiguration.Group if group else SessionConfiguration.PointToPoint
        config = kind(
            timeout=INTERVAL if reliable else None,
            max_retries=RETRIES if reliable else None,
            mls_enabled=mls,
        )
        session, established = await self._slim.create_session(target, config)
        await established
        return CallboardSession(self, session)

    async def accept(self) -> CallboardSession:
        return CallboardSession(self, await self._slim.listen_for_session(timedelta(seconds=PATIENCE)))

    async def route(self, name: Name) -> None:
        await self._slim.set_route(name)

    async def close(self) -> None:
        await self._slim.close()


class CallboardSession:
    """One end of our session."""

    def __init__(self, application: CallboardApplication, session: Session) -> None:
        self._application = application
        self._session = session

    async def publish(self, payload: bytes) -> Awaitable[object]:
        return await self._session.publish(payload)

    async def receive(self, timeout: float) -> bytes:
        _, payload = await self._session.get_message(timedelta(seconds=timeout))
        return payload

    async def invite(self, name: str) -> None:
        member = Name.parse(name)
        await self._application.route(member)
        await (await self._session.invite(member))
