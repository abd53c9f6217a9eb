"""gRPC's length-prefixed messages: a byte for "compressed", four for the length, the message.

`Assembler` finds them in the payloads of DATA frames, `SendBuffer` cuts a queue of them into DATA frames.
Messages and frames are independent: many messages may share a frame, one may span many.

Copies. A message inside one read is copied once, out of the read buffer. One that spans reads is
collected as views of the read buffers and copied once, by the join. A view keeps its whole read buffer
alive, so a view that is the smaller part of its buffer is replaced by a copy, and so are many small views
(`settle`): what an unfinished message makes us hold is about twice its size, whatever the peer's frames are.
Outgoing messages are copied once, into the bytes of a write. Until then a large one is two pieces, of which
the second may be waiting in other streams too (`SharedMessage`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct

from actors.routing.budget import ByteBudget
from gateway.http2 import frames
from gateway.http2.errors import ErrorCode, GrpcStatus, StreamViolation

PREFIX_SIZE = 5
FEW_PARTS = 16
SMALL_PART = 4096
"""An unfinished message in more than a few parts, small on average, is made one part."""
_PREFIX = Struct(">BI")
_read_prefix = _PREFIX.unpack_from
_prefix = _PREFIX.pack

UNCOUNTED = 4096
"""Bytes of a stream that need not be on the budget while nobody has tried to send them: most never wait."""
SHARED_SIZE = 16 * 1024
"""From this size on a payload is worth being shared between the streams that wait with it."""

Buffer = bytes | memoryview
Droppable = Callable[[bytes], bool]
"""Whether a message may be dropped when too much waits."""


class SharedMessage:
    """A large message that may be dropped: `head` is one stream's own, `body` everybody's who sends it."""

    __slots__ = ("_size", "body", "head")

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        self._size = len(head) + len(body)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return self.head + self.body


Message = bytes | SharedMessage


class Assembler:
    """Turns the payload bytes of one stream into whole messages."""

    __slots__ = ("_fresh", "_limit", "_missing", "_parts", "_prefix", "settled", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prefix = b""
        """The first bytes of a prefix that was cut."""
        self._parts: list[Buffer] | None = None
        """The message under way, without its prefix."""
        self._missing = 0
        """Bytes that the message under way still lacks."""
        self._fresh = 0
        """Parts from this index on are views of the current read buffer."""
        self.size = 0
        """Bytes of the message under way that are here."""
        self.settled = 0
        """The same at the end of the last read."""

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._parts is not None or bool(self._prefix)

    def take(self, data: bytes, at: int, end: int, messages: list[bytes]) -> None:
        """Append the messages that data[at:end] completes to `messages`.

        Raises StreamViolation for a message that is compressed or larger than the limit.
        """
        if self._parts is not None:
            size = end - at
            if size < self._missing:
                self._parts.append(memoryview(data)[at:end])
                self._missing -= size
                self.size += size
                return
            stop = at + self._missing
            self._parts.append(memoryview(data)[at:stop])
            messages.append(b"".join(self._parts))
            self._parts = None
            self.size = 0
            at = stop
        elif self._prefix:
            lacking = PREFIX_SIZE - len(self._prefix)
            self._prefix += data[at : min(at + lacking, end)]
            if len(self._prefix) < PREFIX_SIZE:
                return
            at += lacking
            compressed, length = _read_prefix(self._prefix)
            self._prefix = b""
            if compressed or length > self._limit:
                self._refuse(compressed, length)
            if end - at < length:
                self._begin(data, at, end, length)
                return
            messages.append(data[at : at + length])
            at += length
        limit = self._limit
        append = messages.append
        while end - at >= PREFIX_SIZE:
            compressed, length = _read_prefix(data, at)
            if compressed or length > limit:
                self._refuse(compressed, length)
            at += PREFIX_SIZE
            stop = at + length
            if stop > end:
                self._begin(data, at, end, length)
                return
            append(data[at:stop])
            at = stop
        if at < end:
            self._prefix = data[at:end]

    def clear(self) -> None:
        """Let go of a message that will not be finished."""
        self._prefix, self._parts = b"", None
        self.size = self.settled = 0

    def settle(self, read_size: int) -> int:
        """End of a read of `read_size` bytes: let go of what costs more memory than it holds.

        Returns by how many bytes the unfinished message has grown (or shrunk) in this read.
        """
        parts = self._parts
        if parts is not None:
            fresh = parts[self._fresh :]
            if fresh and 2 * sum(map(len, fresh)) < read_size:
                parts[self._fresh :] = [b"".join(fresh)]
            if len(parts) > FEW_PARTS + self.size // SMALL_PART:
                parts[:] = [b"".join(parts)]
            self._fresh = len(parts)
        grown = self.size - self.settled
        self.settled = self.size
        return grown

    def _begin(self, data: bytes, at: int, end: int, length: int) -> None:
        self._parts = [memoryview(data)[at:end]] if end > at else []
        self._fresh = 0
        self.size = end - at
        self._missing = length - self.size

    def _refuse(self, compressed: int, length: int) -> None:
        if compressed:
            detail = "a compressed message, though grpc-encoding is identity"
            raise StreamViolation(
                ErrorCode.PROTOCOL_ERROR, "compressed_message", detail, status=GrpcStatus.INTERNAL
            )
        raise StreamViolation(
            ErrorCode.CANCEL,
            "message_size",
            f"a message of {length} bytes; the limit is {self._limit}",
            status=GrpcStatus.RESOURCE_EXHAUSTED,
        )


class _SharedHead(bytes):
    """The first piece of a shared message, which tells it from others."""

    __slots__ = ()


class SendBuffer:
    """The messages of one stream that wait to be sent, in order. Its owner bounds it by `size`.

    What waits is on `budget`: a shared body whole, once for all who share it, until the last byte of it is
    sent; all else as this stream's own, as soon as it is more than `UNCOUNTED` or was not sent at once.
    """

    __slots__ = ("_bodies", "_budget", "_completed", "_own", "_parts", "_shared", "size")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._parts: deque[Buffer] = deque()
        """Two for each message; only the first one in the buffer may lack its first."""
        self._bodies: deque[tuple[int, bytes]] | None = None
        """The shared bodies that wait, if any, with the number of their message."""
        self._completed = self._shared = self._own = self.size = 0
        # Messages sent, bytes on the budget of those bodies and of this stream alone, and
        # (`size`) bytes that wait, prefixes included.

    def put(self, messages: Sequence[Message]) -> None:
        """Append messages."""
        append = self._parts.append
        size, prefix, shared_size = 0, _prefix, SHARED_SIZE
        for message in messages:
            length = len(message)
            size += length
            if length < shared_size or type(message) is bytes:
                append(prefix(0, length))
                append(message)  # type: ignore[arg-type]
            else:
                self._put_shared(message, length)  # type: ignore[arg-type]
        self.size += size + PREFIX_SIZE * len(messages)
        if self.size - self._shared > UNCOUNTED:
            self._count()

    def _put_shared(self, message: SharedMessage, length: int) -> None:
        parts, body = self._parts, message.body
        if self._bodies is None:
            self._bodies = deque()
        self._bodies.append((self._completed + (len(parts) + 1) // 2, body))
        parts.append(_SharedHead(_prefix(0, length) + message.head))
        parts.append(body)
        self._shared += len(body)
        self._budget.share(body)

    def clear(self) -> None:
        """Forget everything, and take it off the budget."""
        self._parts.clear()
        self.size = 0
        self._release_all()

    def shed(self, droppable: Droppable | None) -> int:
        """Drop the messages that were not begun and are shared or `droppable`; return how many."""
        parts = list(self._parts)
        begun = 2 - len(parts) % 2 if len(parts) % 2 or isinstance(parts[0], memoryview) else 0
        kept: list[Buffer] = parts[:begun]
        waiting = self._bodies or deque()
        bodies = [one for one in waiting if begun and one[0] == self._completed]
        for at in range(begun, len(parts), 2):
            first, body = parts[at : at + 2]
            if type(first) is not _SharedHead and (droppable is None or not droppable(bytes(body))):
                kept += (first, body)
        dropped = (len(parts) - len(kept)) // 2
        self._parts = deque(kept)
        self.size = sum(map(len, kept))
        for number, body in waiting:
            if (number, body) not in bodies:
                self._shared -= len(body)
                self._budget.release(body)
        self._bodies = deque(bodies)
        self._count()
        return dropped

    def _release(self, completed: int) -> None:
        """Take what is sent off the budget; the messages before number `completed` are."""
        self._completed = completed
        bodies = self._bodies
        while bodies and bodies[0][0] < completed:
            body = bodies.popleft()[1]
            self._shared -= len(body)
            self._budget.release(body)
        self._count()

    def _release_all(self) -> None:
        for _, body in self._bodies or ():
            self._budget.release(body)
        self._bodies = None
        self._shared = 0
        self._count()

    def _count(self) -> None:
        """Have on the budget what is this stream's own."""
        own = self.size - self._shared if self.size > self._shared else 0
        if own != self._own:
            grown, self._own = own - self._own, own
            # As `ByteBudget.add`, without the call: each batch comes by twice.
            budget: ByteBudget | None = self._budget
            while budget is not None:
                budget.size += grown
                budget = budget.parent

    def cut(self, stream_id: int, allowed: int, max_frame: int, out: list[Buffer]) -> tuple[int, int]:
        """Append DATA frames with up to `allowed` bytes of payload to `out`.

        Every frame but the last is full, whatever messages it holds. Returns how many bytes it was, and how
        many messages ended in them.
        """
        parts = self._parts
        total = self.size
        waiting = len(parts)
        if total <= allowed and total <= max_frame:
            out.append(frames.head(frames.DATA, 0, stream_id, total))
            out += parts
            parts.clear()
            self.size = 0
            if self._bodies:
                self._release_all()
            elif self._own:
                self._count()
            return total, (waiting + 1) // 2
        left = total = min(allowed, total)
        while left > 0:
            length = space = min(left, max_frame)
            out.append(frames.head(frames.DATA, 0, stream_id, length))
            while space:
                part = parts.popleft()
                size = len(part)
                if size > space:
                    view = memoryview(part)
                    parts.appendleft(view[space:])
                    part, size = view[:space], space
                out.append(part)
                space -= size
            left -= length
        self.size -= total
        # Two parts to a message, of which the first may have gone before.
        completed = (waiting + 1) // 2 - (len(parts) + 1) // 2
        if self._bodies:
            self._release(self._completed + completed)
        else:
            self._completed += completed
            self._count()
        return total, completed
