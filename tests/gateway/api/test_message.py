"""What comes with a received message."""

from __future__ import annotations

from typing import Any

import pytest

from actors.messages.wire import REQUEST_KEY, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from gateway import CompletionHandle, Message, MessageContext
from gateway.api.message import answering

ALICE, BOB = Name("o", "n", "alice", 1), Name("o", "n", "bob", 2)


class Replies:
    """A session that keeps what is published to somebody."""

    def __init__(self) -> None:
        self.published: list[tuple[Any, ...]] = []

    async def publish_to(self, *what: Any) -> CompletionHandle:
        self.published.append(what)
        return CompletionHandle.completed()


def received(
    kind: str = "", metadata: dict[str, str] | None = None, connection: int | None = 7
) -> SessionMessage:
    return SessionMessage(
        ALICE,
        BOB,
        SessionKind.POINT_TO_POINT,
        MessageType.MSG,
        5,
        9,
        Payload(kind, b"blob"),
        metadata=metadata,
        identity="token",
        connection=connection,
    )


def test_a_context_shows_what_came() -> None:
    context = MessageContext.of(received("text", {"a": "b"}))
    assert (context.source_name, context.destination_name) == (ALICE, BOB)
    assert (context.payload_type, context.metadata) == ("text", {"a": "b"})
    assert (context.input_connection, context.identity, context.message_id) == (7, "token", 9)
    assert "token" not in repr(context)


def test_what_was_not_said_reads_as_published_code_expects() -> None:
    context = MessageContext.of(received(connection=None))
    assert (context.payload_type, context.metadata, context.input_connection) == ("msg", {}, 0)


def test_a_context_cannot_be_made_or_changed() -> None:
    with pytest.raises(TypeError, match="cannot be made"):
        MessageContext()
    context = MessageContext.of(received())
    with pytest.raises(AttributeError):
        context.payload_type = "other"  # type: ignore[misc]


def test_a_message_is_a_pair() -> None:
    session: Any = Replies()
    message = Message.of(received(metadata={"a": "b"}), session)
    context, payload = message
    assert context is message.context
    assert payload == message.payload == b"blob"
    assert (message.source, message.metadata, message.session) == (ALICE, {"a": "b"}, session)
    assert "blob" not in repr(message)


async def test_a_reply_goes_to_the_sender() -> None:
    session: Any = Replies()
    message = Message.of(received(), session)
    await (await message.reply(b"yes", "kind", {"c": "d"}))
    assert session.published == [(message.context, b"yes", "kind", {"c": "d"})]


def test_an_answer_to_a_request_names_it() -> None:
    context = MessageContext.of(received(metadata={REQUEST_KEY: "3"}))
    assert answering(context, None) == {REQUEST_KEY: "re:3"}
    assert answering(context, {"a": "b"}) == {"a": "b", REQUEST_KEY: "re:3"}
    assert answering(MessageContext.of(received()), None) is None
