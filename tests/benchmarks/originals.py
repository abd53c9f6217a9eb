"""The originals' side of the comparison: `slim-bindings` 1.4 with its asyncio interface.

Run as a module it is an original node on a free loopback port.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Generator, Sequence
from datetime import timedelta
from typing import Any

import slim_bindings as slim

from tests.benchmarks.adapters import PATIENCE, READY

SECRET = "a-secret-of-the-benchmark-with-32-bytes-or-more"
RETRIES, INTERVAL = 10, timedelta(seconds=5)


class Originals:
    """Original applications and nodes."""

    label = "originals"

    def node_command(self) -> Sequence[str]:
        return [sys.executable, "-m", "tests.benchmarks.originals"]

    async def application(self, name: str, endpoint: str) -> OriginalApplication:
        prepare()
        # A service each, because a service shares one connection among its applications.
        service = slim.create_service(name.replace("/", "-"))
        connection = await service.connect_async(slim.new_insecure_client_config(endpoint))
        app = service.create_app_with_secret(slim.Name(*name.split("/")), SECRET)
        await app.subscribe_async(app.name(), connection)
        return OriginalApplication(service, app, connection)


class OriginalApplication:
    """An original `App` with the service and the connection that it runs on."""

    def __init__(self, service: slim.Service, app: slim.App, connection: int) -> None:
        self._service = service
        self._app = app
        self._connection = connection

    async def open(self, destination: str, *, group: bool, reliable: bool, mls: bool) -> OriginalSession:
        target = slim.Name(*destination.split("/"))
        if not group:
            await self.route(target)
        config = slim.SessionConfig(
            session_type=slim.SessionType.GROUP if group else slim.SessionType.POINT_TO_POINT,
            enable_mls=mls,
            max_retries=RETRIES if reliable else None,
            interval=INTERVAL if reliable else None,
            metadata={},
        )
        made = await self._app.create_session_async(config, target)
        await made.completion.wait_async()
        return OriginalSession(self, made.session)

    async def accept(self) -> OriginalSession:
        return OriginalSession(self, await self._app.listen_for_session_async(timedelta(seconds=PATIENCE)))

    async def route(self, name: slim.Name) -> None:
        await self._app.set_route_async(name, self._connection)

    async def close(self) -> None:
        await self._service.shutdown_async()


class OriginalSession:
    """One end of an original session."""

    def __init__(self, application: OriginalApplication, session: slim.Session) -> None:
        self._application = application
        self._session = session

    async def publish(self, payload: bytes) -> Awaitable[object]:
        return Acknowledgement(await self._session.publish_async(payload, None, None))

    async def receive(self, timeout: float) -> bytes:
        try:
            message = await self._session.get_message_async(timedelta(seconds=timeout))
        except slim.SlimError as error:
            if "timeout" in str(error) or "timed out" in str(error):
                raise TimeoutError(str(error)) from error
            raise
        payload: bytes = message.payload
        return payload

    async def invite(self, name: str) -> None:
        member = slim.Name(*name.split("/"))
        await self._application.route(member)
        await (await self._session.invite_async(member)).wait_async()


class Acknowledgement:
    """An original completion handle, awaitable."""

    __slots__ = ("_handle",)

    def __init__(self, handle: slim.CompletionHandle) -> None:
        self._handle = handle

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._handle.wait_async().__await__()


_prepared = False


def prepare() -> None:
    """Start the library's runtime once, quiet and with one thread per core as it is by default."""
    global _prepared
    if not _prepared:
        _prepared = True
        slim.initialize_with_configs(
            slim.new_runtime_config(),
            slim.new_tracing_config_with("error", False, False, []),
            [slim.new_service_config()],
        )


async def serve() -> None:
    """Be a node until stdin ends."""
    prepare()
    with socket.socket() as probe:  # the library does not tell which port it got
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    await slim.get_global_service().run_server_async(slim.new_insecure_server_config(address))
    sys.stdout.write(f"{READY}{address}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
    os._exit(0)  # the library's threads need not be waited for
