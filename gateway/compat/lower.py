"""The lower layer of 0.7, `App` and `SessionContext`, over the same objects as `Slim` and `Session`.

Connections are named by their ids here, nothing is subscribed unasked, and a handle of this layer may be
awaited once (`api.md` 10).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from typing import Any

from actors.errors import SessionError
from actors.names import Name
from gateway.api.arguments import Blob
from gateway.api.completion import CompletionHandle
from gateway.api.message import MessageContext
from gateway.api.session import Message, Session
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.api.slim import Slim
from identity.protocols import Provider, Verifier


class OneTimeHandle(CompletionHandle):
    """A handle that may be awaited once; the second time raises SessionError, as callers of 0.7 expect."""

    __slots__ = ("_awaited", "_inner")

    def __init__(self, inner: CompletionHandle) -> None:
        self._inner = inner
        self._awaited = False

    def finish(self, error: BaseException | None = None) -> None:
        self._inner.finish(error)

    def done(self) -> bool:
        return self._inner.done()

    def when_failed(self, tell: Callable[[BaseException], object]) -> None:
        self._inner.when_failed(tell)

    def __await__(self) -> Generator[object, None, None]:
        if self._awaited:
            raise SessionError("No future found. Did you call await twice?")
        self._awaited = True
        return self._inner.__await__()

    def __repr__(self) -> str:
        return f"<OneTimeHandle of {self._inner!r}>"


class SessionContext:
    """One session. Everything raises what `Session` raises."""

    def __init__(self, session: Session) -> None:
        self.session = session
        """The same session, as `Slim` hands it out."""

    @property
    def id(self) -> int:
        return self.session.id

    @property
    def metadata(self) -> dict[str, str]:
        return self.session.metadata

    @property
    def session_type(self) -> SessionType:
        return self.session.session_type

    @property
    def session_config(self) -> SessionConfiguration:
        return self.session.session_config

    @property
    def src(self) -> Name:
        return self.session.src

    @property
    def dst(self) -> Name:
        return self.session.dst

    async def publish(
        self,
        fanout: int,
        blob: Blob,
        message_ctx: MessageContext | None = None,
        name: Name | None = None,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> OneTimeHandle:
        """Send `blob`: with `message_ctx` to that message's sender, else to the peer or to all members.

        `fanout` and `name` are accepted and change nothing: a session knows its peers.
        """
        if message_ctx is not None:
            return await self.publish_to(message_ctx, blob, payload_type, metadata)
        return OneTimeHandle(await self.session.publish(blob, payload_type, metadata))

    async def publish_to(
        self,
        message_ctx: MessageContext,
        blob: Blob,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> OneTimeHandle:
        """Answer the sender of a message, over the connection it came from."""
        return OneTimeHandle(await self.session.publish_to(message_ctx, blob, payload_type, metadata))

    async def invite(self, name: Name | str) -> OneTimeHandle:
        return OneTimeHandle(await self.session.invite(name))

    async def remove(self, name: Name | str) -> OneTimeHandle:
        return OneTimeHandle(await self.session.remove(name))

    async def get_message(self, timeout: timedelta | float | None = None) -> Message:
        return await self.session.get_message(timeout)

    def __repr__(self) -> str:
        return f"<SessionContext of {self.session!r}>"


class App:
    """An application. Everything raises what `Slim` raises."""

    def __init__(
        self, name: Name | str, provider: Provider, verifier: Verifier, local_service: bool = False
    ) -> None:
        self.slim = Slim(name, provider, verifier, local_service)
        """The same application, as the upper layer has it."""

    @property
    def id(self) -> int:
        return self.slim.id

    @property
    def name(self) -> Name:
        """The name with the instance id."""
        return self.slim.local_name

    async def create_session(
        self, destination: Name | str, config: SessionConfiguration
    ) -> tuple[SessionContext, OneTimeHandle]:
        session = await self.slim.create_session(destination, config)
        return SessionContext(session), OneTimeHandle(session.established)

    async def listen_for_session(self, timeout: timedelta | float | None = None) -> SessionContext:
        return SessionContext(await self.slim.listen_for_session(timeout))

    async def delete_session(self, session_context: SessionContext) -> OneTimeHandle:
        return OneTimeHandle(await self.slim.delete_session(session_context.session))

    async def run_server(self, config: Mapping[str, Any]) -> str:
        return await self.slim.run_server(config)

    async def stop_server(self, endpoint: str) -> None:
        await self.slim.stop_server(endpoint)

    async def connect(self, config: Mapping[str, Any]) -> int:
        """Dial a node; what is received from there, `subscribe` says. Returns the connection's id."""
        return await self.slim.connect(config, subscribe=False)

    async def disconnect(self, conn: int) -> None:
        await self.slim.disconnect(conn)

    async def subscribe(self, name: Name | str, conn: int | None = None) -> None:
        await self.slim.subscribe(name, conn)

    async def unsubscribe(self, name: Name | str, conn: int | None = None) -> None:
        await self.slim.unsubscribe(name, conn)

    async def set_route(self, name: Name | str, conn: int) -> None:
        await self.slim.set_route(name, conn)

    async def remove_route(self, name: Name | str, conn: int) -> None:
        await self.slim.remove_route(name, conn)

    def __repr__(self) -> str:
        return f"<App {self.name}>"
