"""Our applications with the interface that the harness gives the originals, so that scenarios take both.

They run inside the test's process, each with a data plane of its own and one connection to the node.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Self

from gateway import IdentityProvider, IdentityVerifier, Name, Session, SessionConfiguration, Slim
from gateway import Message as OurMessage
from identity.errors import SlimError
from tests.interop.harness import SECRET, Message, PeerError, PeerName, full_name, numbered


def name_of(text: str) -> Name:
    return Name(*full_name(text).split("/"))  # type: ignore[arg-type]


class CallboardApp:
    """One of our applications, connected to the node at `endpoint`."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.label = name
        self.name = full_name(name)
        self.verifier = IdentityVerifier.SharedSecret(self.name, SECRET)
        self._endpoint = endpoint
        self._slim: Slim | None = None

    @property
    def slim(self) -> Slim:
        assert self._slim is not None, f"{self.label} is not running"
        return self._slim

    @property
    def id(self) -> int:
        return self.slim.id

    async def __aenter__(self) -> Self:
        provider = IdentityProvider.SharedSecret(self.name, SECRET)
        self._slim = Slim(name_of(self.name), provider, self.verifier, local_service=True)
        await self._slim.connect({"endpoint": self._endpoint, "tls": {"insecure": True}})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.slim.close(1.0)

    async def set_route(self, name: str) -> None:
        """Send what is for `name` to the node."""
        await self.slim.set_route(name_of(name))

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
        config = kind(
            timeout=interval if reliable else None,
            max_retries=max_retries if reliable else None,
            mls_enabled=mls,
            metadata=metadata or {},
        )
        session, established = await self.slim.create_session(name_of(destination), config)
        async with asyncio.timeout(timeout):
            await established
        return CallboardSession(self, session, initiator=True)

    async def listen(self, timeout: float = 10.0) -> CallboardSession:
        """Wait for the next inbound session."""
        return CallboardSession(self, await self.slim.listen_for_session(timeout), initiator=False)


class CallboardSession:
    """One end of a session of ours."""

    def __init__(self, app: CallboardApp, session: Session, *, initiator: bool) -> None:
        self.session = session
        self.id = session.id
        self.group = session.session_type.name == "Group"
        self.initiator = initiator
        self.metadata = session.metadata
        self._app = app
        self._received: dict[int, OurMessage] = {}

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
        start, pending = time.monotonic(), deque()
        async with asyncio.timeout(timeout):
            for number in range(count):
                if len(pending) == window:
                    await pending.popleft()
                pending.append(await self.session.publish(numbered(prefix, number, size)))
            for handle in pending:
                await handle
        return time.monotonic() - start

    async def publish_to(self, message: Message, payload: bytes, *, timeout: float = 10.0) -> None:
        """Answer the sender of a message alone, and wait for the acknowledgement."""
        async with asyncio.timeout(timeout):
            await (await self.session.publish_to(self._received[message.ref].context, payload))

    async def receive(self, n: int = 1, timeout: float = 10.0) -> list[Message]:
        """Exactly `n` messages. Raises PeerError when the session fails or time ends."""
        messages, error = await self.receive_some(n, timeout)
        if error is not None:
            raise PeerError(self._app.label, "receive", f"{error} (after {len(messages)} of {n})", "receive")
        return messages

    async def receive_some(self, n: int, timeout: float) -> tuple[list[Message], str | None]:
        """Up to `n` messages, and why there are not more."""
        messages: list[Message] = []
        deadline = time.monotonic() + timeout
        while len(messages) < n:
            try:
                received = await self.session.get_message(max(0.0, deadline - time.monotonic()))
            except SlimError as error:
                return messages, str(error)
            context = received.context
            self._received[len(self._received)] = received
            messages.append(
                Message(
                    bytes(received.payload),
                    len(self._received) - 1,
                    PeerName(tuple(context.source_name.strings), context.source_name.id),
                    context.payload_type,
                    dict(context.metadata),
                    context.identity,
                )
            )
        return messages, None

    async def ended(self, timeout: float = 10.0) -> str:
        """Wait until receiving fails, drop what comes before, and return what the library said."""
        error = None
        while error is None:
            _, error = await self.receive_some(1, timeout)
        return error

    async def invite(self, name: str, timeout: float = 10.0) -> None:
        """Set the route to `name`, add it, and wait until all members know."""
        await self._app.set_route(name)
        async with asyncio.timeout(timeout):
            await (await self.session.invite(name_of(name)))

    async def remove(self, name: str, timeout: float = 10.0) -> None:
        """Take `name` out and wait until all members know."""
        async with asyncio.timeout(timeout):
            await (await self.session.remove(name_of(name)))

    async def participants(self) -> set[str]:
        """The members' names without their ids."""
        return {"/".join(name.strings) for name in self.session.members}

    async def delete(self, timeout: float = 10.0) -> None:
        """Close the session and wait until that is done."""
        async with asyncio.timeout(timeout):
            await self.session.close()
