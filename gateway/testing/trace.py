"""What happened in a World, in one order: each message with its fate, each fault, each step of the test.

A line is put into words only when somebody reads it. The digest is of all lines, those included that are no
longer kept: two runs with equal digests sent the same bytes at the same moments.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import xxhash
from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.wire import Frame, Payload, SessionMessage, Subscription, SubscriptionAck
from actors.names import Name
from actors.record import record
from gateway.codec import InboundParser, WireCodec
from gateway.proto.controller_pb2 import ControlMessage

KEPT = 20_000
"""Lines kept at least; when there are twice as many, the oldest make way."""
_DONE = 20
"""Lines of what was done that a story shows besides its last."""
_new_line = tuple.__new__

_ON_A_BACKBONE = frozenset((b"SUB ", b"UNSU", b"PUB ", b"MSG ", b"NONE", b"PING", b"PONG"))


@record
class TraceLine(NamedTuple):
    """One thing that happened."""

    at: float
    """Virtual seconds since the beginning."""
    who: str
    """A host, or two of them with an arrow between."""
    what: str
    data: bytes | None = None
    """The message that it is about."""


class Trace:
    """The lines of one World."""

    def __init__(self) -> None:
        self._lines: deque[TraceLine] = deque()
        self._digest = xxhash.xxh3_128()
        self._undigested = 0
        """How many of the last lines the digest does not have yet."""
        self.count = 0

    def note(self, at: float, who: str, what: str, data: bytes | None = None) -> None:
        """Add a line."""
        self.count += 1
        lines = self._lines
        lines.append(_new_line(TraceLine, (at, who, what, data)))
        self._undigested += 1
        if len(lines) >= 2 * KEPT:
            self._take_up()
            for _ in range(len(lines) - KEPT):
                lines.popleft()

    def digest(self) -> str:
        """A text that is the same for the same history."""
        self._take_up()
        return self._digest.hexdigest()

    def _take_up(self) -> None:
        """Bring the digest up to date."""
        lines, update = self._lines, self._digest.update
        for at, who, what, data in itertools.islice(lines, len(lines) - self._undigested, None):
            update(f"{at!r} {who} {what}".encode())
            if data is not None:
                update(data)
        self._undigested = 0

    def kept(self) -> list[TraceLine]:
        """The lines themselves, as far as they are kept."""
        return list(self._lines)

    def story(self, last: int) -> Iterator[str]:
        """The `last` so many lines, after those before them that say what was done to hosts and lines."""
        lines = list(self._lines)
        earlier = [line for line in lines[:-last] if line.data is None and "→" not in line.who][-_DONE:]
        yield from map(_line, earlier)
        if earlier:
            yield f"{'...':>12}"
        yield from map(_line, lines[-last:])

    def lines(self, last: int | None = None) -> Iterator[str]:
        """The lines in words; the `last` so many of them."""
        lines = list(self._lines)
        yield from map(_line, lines if last is None else lines[-last:])


def _line(line: TraceLine) -> str:
    about = "" if line.data is None else " " + in_words(line.data)
    return f"{line.at:12.6f}  {line.who:<20}  {line.what}{about}"


def in_words(data: bytes) -> str:
    """What a message of the data plane says, or of a backbone."""
    if data[:4] in _ON_A_BACKBONE:
        return data.partition(b"\n")[0].decode()
    try:
        record = InboundParser(0).parse(data)
        message = WireCodec().decode(record) if isinstance(record, Frame) else record
    except (ProtocolError, DecodeError):
        return _of_a_controller(data) or f"{len(data)} bytes that are no message"
    match message:
        case SessionMessage():
            size = f", {len(message.content.blob)} bytes" if isinstance(message.content, Payload) else ""
            number = f" {message.message_id}" if message.message_id else ""
            return (
                f"{message.kind.name}{number} of session {message.session_id} from "
                f"{_short(message.source)} to {_short(message.destination)}{size}"
            )
        case Subscription():
            verb = "SUBSCRIBE" if message.subscribe else "UNSUBSCRIBE"
            return f"{verb} {_short(message.destination)}"
        case SubscriptionAck():
            return f"SUBSCRIPTION_ACK {'' if message.success else message.error}".rstrip()
        case None:
            return "a message without meaning here"
        case _:
            return type(message).__name__


def _of_a_controller(data: bytes) -> str:
    """What a message between a node and its controller is."""
    try:
        return ControlMessage.FromString(data).WhichOneof("payload") or ""
    except DecodeError:
        return ""


def _short(name: Name) -> str:
    """A name with the first four digits of its instance id, if it has one."""
    text = "/".join(name.strings)
    return f"{text}/{name.id >> 48:04x}" if name.has_id else text
