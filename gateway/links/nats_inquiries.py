"""What nodes on a backbone ask one another about names, over NATS (`backbone.md`, backbone).

    who asks ── subject of a name, to all ──► the nodes that have it ── reply subject ──► who asks

    message:  FORMAT, the record NodeInquiry

Nodes that know nothing of it count one more message that they cannot read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.wire import NodeInquiry
from actors.names import NO_INSTANCE, Name
from gateway.codec import InboundParser
from gateway.codec.outbound import encode_record
from gateway.links.nats_wire import subject

if TYPE_CHECKING:
    from nats.aio.client import Client

FORMAT = b"\x02"
"""How such a message begins; frames begin with another octet."""
SIZE = 128 * 1024
"""Bytes of a question or an answer at most."""
OPEN = 64
"""Questions of others that wait for their answers, and answers to one of ours."""
MARK = "i"
"""How the last part of a reply subject for answers begins."""


class NatsInquiries:
    """Of one link. Questions of others have numbers of this link's here."""

    def __init__(self, inbox: str) -> None:
        self._inbox = inbox
        self._parser = InboundParser(0)
        self._numbers = 0
        self._replies: dict[int, tuple[str, int]] = {}
        """Where answers go, and the number that the question came with."""
        self._answers: dict[str, list[bytes]] = {}

    async def ask(self, client: Client, whom: Name, inquiry: NodeInquiry, wait: float) -> list[bytes]:
        """What the nodes say within `wait` seconds that have the name `whom`, unread."""
        mark = f"{MARK}{self._next()}"
        answers = self._answers[mark] = []
        try:
            to = subject((whom.key, NO_INSTANCE), one=False)
            await client.publish(to, FORMAT + encode_record(inquiry), f"{self._inbox}.{mark}")
            await client.flush()
            await asyncio.sleep(wait)
        finally:
            del self._answers[mark]
        return answers

    async def answer(self, client: Client, number: int, inquiry: NodeInquiry) -> None:
        """Answer the question that `asked` returned under that number."""
        reply = self._replies.pop(number, None)
        if reply is not None:
            to, known_as = reply
            await client.publish(to, FORMAT + encode_record(inquiry._replace(number=known_as)))

    def asked(self, data: bytes, reply: str) -> NodeInquiry:
        """A question that came, with the subject of its answer. Raises ProtocolError."""
        inquiry = self._read(data)
        if inquiry.facts is not None or not reply:
            raise ProtocolError("an answer where questions come")
        if len(self._replies) >= OPEN:
            # Whoever asked the oldest waits no more.
            del self._replies[next(iter(self._replies))]
        number = self._next()
        self._replies[number] = (reply, inquiry.number)
        return inquiry._replace(number=number)

    def answered(self, mark: str, data: bytes) -> None:
        """Something came for who asked under `mark`. Raises ProtocolError."""
        answers = self._answers.get(mark)
        if answers is not None and len(answers) < OPEN:
            answers.append(self._read(data).facts or b"")

    def _read(self, data: bytes) -> NodeInquiry:
        try:
            record: Any = self._parser.parse(data[len(FORMAT) :]) if len(data) <= SIZE else None
        except DecodeError:
            record = None
        if not isinstance(record, NodeInquiry):
            raise ProtocolError("no question of a node")
        return record

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers
