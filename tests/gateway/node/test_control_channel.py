"""The stream of a node to its controller, without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.node.control_channel import RegisteredChannel
from gateway.proto import controller_pb2 as pb


class Greeting:
    """A stream whose other end has greeted before anybody reads, as controllers do."""

    unsent = 0

    def __init__(self) -> None:
        self.sent: list[pb.ControlMessage] = []

    def start(self, handler: Any, *_: object) -> None:
        handler.stream_messages([pb.ControlMessage(ack=pb.Ack(success=True)).SerializeToString()])

    def send(self, messages: Sequence[bytes]) -> None:
        self.sent += map(pb.ControlMessage.FromString, messages)

    def abort(self, cause: str) -> None:
        raise AssertionError(cause)


class Followed:
    """The node: what was asked to be told."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def follow(self, inbox: Any) -> Callable[[], None]:
        self.asked.append("names")
        return lambda: None

    def follow_groups(self, inbox: Any) -> Callable[[], None]:
        self.asked.append("groups")
        return lambda: None


async def test_a_greeting_that_is_there_at_once_is_not_the_answer_to_the_registration() -> None:
    node, stream = Followed(), Greeting()
    closed: list[str] = []
    channel = RegisteredChannel(node, stream, closed.append, pb.RegisterNodeRequest(node_id="slim/0"))  # type: ignore[arg-type]
    channel.start()
    assert (channel.registered, node.asked) == (False, [])
    (registration,) = stream.sent
    answer = pb.Ack(original_message_id=registration.message_id, success=True, callboard_version="0.1.0")
    channel.stream_messages([pb.ControlMessage(ack=answer).SerializeToString()])
    assert (channel.registered, node.asked) == (True, ["names", "groups"])
    channel.stream_closed("over")
    assert closed == ["over"]
