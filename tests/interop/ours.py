"""Our applications with the face of `OriginalApp` and `OriginalSession`, so that scenarios can mix them.

    async with CallboardApp("alice", node.endpoint) as alice, OriginalApp("bob", node.endpoint) as bob:
        await scenarios.p2p_both_ways(alice, bob, mls=False)

They live in the process of the test, each in a data plane of its own: what they say to each other crosses the
node. Messages between actors are packed and unpacked on the way (`strict`), unless a test measures.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from types import TracebackType
from typing import Any, Self

from actors.messages.session import AppSettings
from gateway import IdentityProvider, IdentityVerifier, Name, Session, SessionConfiguration, Slim
from gateway.api.message import MessageContext
from gateway.api.session_config import SessionType
from gateway.node.data_plane import DataPlane
from identity.errors import SlimError
from tests.interop.harness import SECRET, Message, PeerName, full_name, numbered


class CallboardApp:
    """An application of ours, connected to the node at `endpoint` and subscribed there with its name.

    `identity` is its provider and verifier, by default of a shared secret. `ping_interval` and `outage` are
    in seconds; `client` is added to the configuration it connects with.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        *,
        secret: str = SECRET,
        identity: tuple[IdentityProvider, IdentityVerifier] | None = None,
        ping_interval: float = 10.0,
        outage: float = 0.0,
        strict: bool = True,
        client: dict[str, Any] | None = None,
    ) -> None:
        self.name = full_name(name)
        self.connection = 0
        self._client = {"endpoint": endpoint, "tls": {"insecure": True}, **(client or {})}
        self._identity = identity or (
            IdentityProvider.SharedSecret(self.name, secret),
            IdentityVerifier.SharedSecret(self.name, secret),
        )
        self._settings = AppSettings(ping_interval=ping_interval, outage=outage)
        self._strict = strict
        self._slim: Slim | None = None

    @property
    def slim(self) -> Slim:
        """What applications hold."""
        assert self._slim is not None, f"{self.name} is not running"
        return self._slim

    @property
    def id(self) -> int:
        return self.slim.id

    async def __aenter__(self) -> Self:
        self._slim = Slim(
            Name.parse(self.name),
            *self._identity,
            data_plane=DataPlane(strict=self._strict),
            settings=self._settings,
        )
        try:
            self.connection = await self.slim.connect(self._client)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        """Close without waiting for peers that may be gone."""
        plane = self.slim.data_plane
        await self.slim.close(0.5)
        await plane.close(0.5)

    async def set_route(self, name: str) -> None:
        await self.slim.set_route(Name.parse(full_name(name)))

    async def create_session(
        self,
        destination: str,
        *,
        group: bool = False,
        mls: bool = False,
        reliable: bool = True,
        max_retries: int = 10,
        interval: float = 1.0,
        metadata: dict[str, str] | None = None,
        timeout: float = 10.0,
    ) -> CallboardSession:
        """Open a session and wait until it is established. `interval` and `timeout` are seconds."""
        kind = SessionConfiguration.Group if group else SessionConfiguration.PointToPoint
        config = kind(interval if reliable else None, max_retries if reliable else None, mls, metadata)
        session = await self.slim.create_session(Name.parse(full_name(destination)), config)
        await session.established.wait_for(timeout)
        return CallboardSession(self, session)

    async def listen(self, timeout: float = 10.0) -> CallboardSession:
        """Wait for the next inbound session."""
        return CallboardSession(self, await self.slim.listen_for_session(timeout))


class CallboardSession:
    """One end of a session of ours."""

    def __init__(self, app: CallboardApp, session: Session) -> None:
        self._app = app
        self.session = session
        self.id = session.id
        self.source = named(session.src)
        self.destination = named(session.dst)
        self.group = session.session_type is SessionType.Group
        self.metadata = session.metadata
        self._contexts: dict[int, MessageContext] = {}
        self._refs = itertools.count(1)
        self._echo: asyncio.Task[None] | None = None
        self._echoed = 0

    async def publish(
        self,
        *payloads: bytes,
        acknowledged: bool = True,
        payload_type: str | None = None,
        metadata: dict[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        """Publish in order; `acknowledged` waits for the acknowledgement of each, up to `timeout` seconds."""
        handles = [await self.session.publish(payload, payload_type, metadata) for payload in payloads]
        if acknowledged:
            async with asyncio.timeout(timeout):
                for handle in handles:
                    await handle

    async def publish_many(
        self, count: int, size: int = 64, *, prefix: str = "", window: int = 64, timeout: float = 30.0
    ) -> float:
        """Publish what `numbered(prefix, 0..count-1, size)` makes, all acknowledged; the seconds it took."""
        loop = asyncio.get_running_loop()
        start, pending = loop.time(), deque[Any]()
        async with asyncio.timeout(timeout):
            for number in range(count):
                if len(pending) == window:
                    await pending.popleft()
                pending.append(await self.session.publish(numbered(prefix, number, size)))
            for handle in pending:
                await handle
        return loop.time() - start

    async def publish_to(self, message: Message, payload: bytes, *, timeout: float = 10.0) -> None:
        """Answer the sender of `message` alone, and wait for the acknowledgement."""
        handle = await self.session.publish_to(self._contexts[message.ref], payload)
        await handle.wait_for(timeout)

    async def receive(self, n: int = 1, timeout: float = 10.0) -> list[Message]:
        """Exactly `n` messages. Raises SlimError when the session fails or time ends."""
        messages, error = await self.receive_some(n, timeout)
        assert error is None, f"{self._app.name}: {error} (after {len(messages)} of {n})"
        return messages

    async def receive_some(self, n: int, timeout: float) -> tuple[list[Message], str | None]:
        """Up to `n` messages, and why there are not more."""
        loop = asyncio.get_running_loop()
        messages: list[Message] = []
        deadline = loop.time() + timeout
        while len(messages) < n:
            try:
                context, payload = await self.session.get_message(max(0.0, deadline - loop.time()))
            except SlimError as error:
                return messages, str(error)
            messages.append(self._keep(context, payload))
        return messages, None

    async def ended(self, timeout: float = 10.0) -> str:
        """Wait until receiving fails, drop what comes before, and return what was said."""
        error = None
        while error is None:
            _, error = await self.receive_some(1, timeout)
        return error

    async def echo(self, *, privately: bool = False) -> None:
        """Answer every message from now on, to all or to its sender alone."""
        self._echoed = 0
        self._echo = asyncio.create_task(self._keep_echoing(privately))

    async def stop_echo(self) -> int:
        """Stop echoing; how many messages were echoed."""
        assert self._echo is not None
        self._echo.cancel()
        await asyncio.wait([self._echo])
        return self._echoed

    async def invite(self, name: str, timeout: float = 10.0) -> None:
        """Set the route to `name`, add it, and wait until all members know."""
        await self._app.set_route(name)
        await (await self.session.invite(Name.parse(full_name(name)))).wait_for(timeout)

    async def remove(self, name: str, timeout: float = 10.0) -> None:
        """Take `name` out and wait until all members know."""
        await (await self.session.remove(Name.parse(full_name(name)))).wait_for(timeout)

    async def participants(self) -> set[str]:
        """The members' names without their ids."""
        return {"/".join(name.strings) for name in self.session.members}

    async def delete(self, timeout: float = 10.0) -> None:
        """Close the session and wait until that is done."""
        await self.session.close().wait_for(timeout)

    async def _keep_echoing(self, privately: bool) -> None:
        async for message in self.session:
            if privately:
                await message.reply(message.payload)
            else:
                await self.session.publish(message.payload)
            self._echoed += 1

    def _keep(self, context: MessageContext, payload: bytes) -> Message:
        ref = next(self._refs)
        self._contexts[ref] = context
        return Message(
            payload, ref, named(context.source_name), context.payload_type, context.metadata, context.identity
        )


def named(name: Name) -> PeerName:
    return PeerName(tuple(name.strings), name.id)
