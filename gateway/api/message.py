"""What a session hands to its application: a message and its context (`api.md` 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from actors.messages.wire import REQUEST_KEY, UNSET_PAYLOAD_TYPE, Payload, SessionMessage
from actors.names import Name
from gateway.api.arguments import Blob, texts_of

if TYPE_CHECKING:
    from gateway.api.completion import CompletionHandle


class MessageContext:
    """Where a message came from and what came with it. Read-only; sessions make it."""

    __slots__ = ("_message", "_seen")

    _message: SessionMessage
    _seen: Any
    """What an observer wants to know again when the message is answered."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("a MessageContext comes with a received message; it cannot be made")

    @classmethod
    def of(cls, message: SessionMessage) -> Self:
        """The context of a received message."""
        context = cls.__new__(cls)
        context._message = message
        context._seen = None
        return context

    @property
    def source_name(self) -> Name:
        """The sender, with its instance id."""
        return self._message.source

    @property
    def destination_name(self) -> Name:
        """Where it was sent: this application, or the channel."""
        return self._message.destination

    @property
    def payload_type(self) -> str:
        content = self._message.content
        return (content.payload_type if isinstance(content, Payload) else "") or UNSET_PAYLOAD_TYPE

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._message.metadata or {})

    @property
    def input_connection(self) -> int:
        """The connection it came over."""
        connection = self._message.connection
        return 0 if connection is None else connection

    @property
    def identity(self) -> str:
        """The sender's token, verified before delivery."""
        return self._message.identity

    @property
    def message_id(self) -> int:
        """The number its sender gave it."""
        return self._message.message_id

    def __repr__(self) -> str:
        return f"<MessageContext from {self.source_name}, {self.payload_type}>"


def answering(context: MessageContext, metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    """`metadata` of an answer to the message of `context`: marked, if that is a request."""
    marks = texts_of(metadata, "metadata")
    if (request := (context._message.metadata or {}).get(REQUEST_KEY)) is not None:
        marks.setdefault(REQUEST_KEY, f"re:{request}")
    return marks or None


class Answering(Protocol):
    """What a message needs of the session that it came in."""

    async def publish_to(
        self,
        message_ctx: MessageContext,
        msg: Blob,
        payload_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> CompletionHandle:
        """Answer the sender of a message alone."""


S = TypeVar("S", bound=Answering)


class ReceivedMessage(tuple[MessageContext, bytes], Generic[S]):
    """A message that a session of type `S` received; `Message` is the one of `Session`."""

    _session: S

    @classmethod
    def of(cls, message: SessionMessage, session: S) -> Self:
        content = message.content
        blob = content.blob if isinstance(content, Payload) else b""
        made = tuple.__new__(cls, (MessageContext.of(message), blob))
        made._session = session
        return made

    @property
    def context(self) -> MessageContext:
        return self[0]

    @property
    def payload(self) -> bytes:
        return self[1]

    @property
    def session(self) -> S:
        """The session it came in."""
        return self._session

    @property
    def source(self) -> Name:
        return self[0].source_name

    @property
    def metadata(self) -> dict[str, str]:
        return self[0].metadata

    async def reply(
        self, payload: Blob, payload_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> CompletionHandle:
        """Answer its sender alone. Raises what `Session.publish_to` raises."""
        return await self._session.publish_to(self[0], payload, payload_type, metadata)

    def __repr__(self) -> str:
        return f"<Message of {len(self.payload)} bytes from {self.source}>"
