"""The receiving half of a session: order, duplicates, gaps (`session.md` 7.3 to 7.6, 14).

    message ─► known? ─► decrypt ─► in order? ── yes ──► room? ── yes ──► delivered, acknowledged
                 │                     │ no                │ no
                 └► acknowledged       └► reorder buffer,  └► held, not acknowledged until the
                    again                 acknowledged;       application makes room
                                          the holes are
                                          asked for

Bounds, per session: WIDEST_GAP ids between what was delivered last and the newest (beyond it the oldest holes
are given up as lost), HELD messages that wait for room (beyond it a reliable message is dropped without
acknowledgement, so that its sender keeps it; a best-effort one pushes out the oldest), and one stream per
member. There is room while the application has less than `space` items and INBOX_BYTES to take; what is held
or in reorder buffers has HELD_BYTES together. `dropped` and `undecryptable` count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from actors.errors import MessageLost
from actors.messages.wire import (
    ACKNOWLEDGES,
    ONE,
    PUBLISH_TO,
    SINCE,
    TRUE,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.record import record
from actors.session.beginnings import beginning
from actors.session.bounds import WIDEST_GAP, paced
from actors.session.counts import SessionCounts
from actors.session.retry import Attempt, ResendPolicy, review
from actors.session.serial import HALF, MASK, ahead
from actors.session.turn import Turn
from identity.errors import CryptoError, SlimError

HELD = 512
INBOX_BYTES = 64 * 1024 * 1024
"""Payload delivered and not taken at which there is no room. More than senders of ours have under way (2 MiB
each) in a group of thirty; those of others may send 32,768 messages of 4 MiB."""
HELD_BYTES = 64 * 1024 * 1024
"""Payload in reorder buffers and held at which messages are dropped as if they had not come."""
DIRECT_KNOWN = 512
"""Ids of publish_to that are remembered per member, to recognise duplicates."""

EMPTY = Payload()
_DIRECT = {PUBLISH_TO: TRUE}
_WILL_ACKNOWLEDGE = {ACKNOWLEDGES: TRUE}
_ACK = MessageType.MSG_ACK
_METADATA = SessionMessage._fields.index("metadata")


@record
class PayloadCipher(NamedTuple):
    """What an encrypted session does to the messages of its members."""

    decrypt: Callable[[SessionMessage, Turn], Payload]
    """The payload in clear; raises CryptoError."""
    repeats: Callable[[SessionMessage], bool]
    """Whether a message with a known id is a copy, of the same member; else it says nothing of what came."""


class _Requested(Attempt):
    """An RTX_REQUEST that is not answered yet."""

    __slots__ = ("message",)

    def __init__(self, message: SessionMessage, policy: ResendPolicy, now: float) -> None:
        super().__init__(policy, now)
        self.message = message


class _Stream:
    """What one member has sent so far."""

    __slots__ = ("buffer", "direct", "first", "held", "last", "lost", "newest", "requests", "since")

    def __init__(self, last: int | None) -> None:
        self.last = last
        """The id up to which everything was delivered, held or lost; None before a first message."""
        self.first = last
        """Where we came in: earlier messages were never ours."""
        self.since: int | None = None
        """Where the member counts us in, as it says: what of earlier messages is not to be had is no loss."""
        self.newest = last
        self.buffer: dict[int, SessionMessage | None] = {}
        """Messages after a hole; None marks one that is lost."""
        self.requests: dict[int, _Requested] = {}
        self.lost: dict[int, None] = {}
        """Ids that the application was told are lost, the last WIDEST_GAP of them."""
        self.held: dict[int, None] = {}
        """Ids that wait for room and are not acknowledged."""
        self.direct: dict[int, None] = {}


@record
class _Held(NamedTuple):
    """A message, or the news of a lost one, that waits for the application to make room."""

    item: SessionMessage | SlimError
    stream: _Stream | None
    """Where to strike out the id once the acknowledgement leaves; None: nothing is owed."""


class DataReceiver:
    """Everybody's data messages towards one application.

    What is to be delivered gathers in the Turn, in order; `space` is how many more items the application
    takes; `counts` are numbers of many sessions.
    """

    __slots__ = (
        "_cipher",
        "_counts",
        "_deadline",
        "_held",
        "_kept",
        "_local",
        "_mark",
        "_session_id",
        "_session_type",
        "_sizes",
        "_streams",
        "_untaken",
        "dropped",
        "outsider",
        "policy",
        "space",
        "undecryptable",
    )

    def __init__(
        self,
        local: Name,
        session_type: SessionKind,
        session_id: int,
        *,
        space: int,
        policy: ResendPolicy | None,
        cipher: PayloadCipher | None = None,
        counts: SessionCounts | None = None,
    ) -> None:
        self.policy = policy
        """How missing messages are asked for; None: best effort."""
        self.space = space
        self.dropped = 0
        """Messages dropped because they came from no member, there was no room, or they were given up."""
        self.undecryptable = 0
        self.outsider: Callable[[SessionMessage, Turn], None] = _nothing
        """What is done about a message of somebody who is not in."""
        self._counts = counts or SessionCounts()
        self._local = local
        self._session_type = session_type
        self._session_id = session_id
        self._cipher = cipher
        self._streams: dict[Name, _Stream] = {}
        self._held: deque[_Held] = deque()
        self._sizes: deque[int] = deque()
        """Payload bytes of each item that the application has not taken."""
        self._untaken = 0
        """Their sum."""
        self._kept = 0
        """Payload bytes in reorder buffers and held."""
        self._deadline: float | None = None
        self._mark: tuple[str, int | None] = ("", None)
        """Where we begin, as the mark read last says: the messages of a batch mostly bear the same."""

    @property
    def bytes(self) -> int:
        """Payload that is kept, or was delivered and not taken yet."""
        return self._kept + self._untaken

    def progress(self, member: Name) -> object:
        """Something that changes whenever a member says something new; None of one that is not in."""
        stream = self._streams.get(member)
        return None if stream is None else (stream.newest, len(stream.direct))

    @property
    def held(self) -> int:
        """Messages that wait for room."""
        return len(self._held)

    def next_deadline(self) -> float | None:
        return self._deadline

    def admit(self, member: Name, *, from_start: bool) -> None:
        """Accept messages of `member`: from its first one on, or wherever its sequence stands now."""
        if member not in self._streams:
            self._streams[member] = _Stream(0 if from_start else None)

    def resume(self, member: Name, last: int, direct: Iterable[int]) -> None:
        """What `member` said up to the id `last`, and under the ids `direct`, was taken before our time."""
        stream = self._streams[member] = _Stream(last)
        stream.first = 0
        stream.direct.update(dict.fromkeys(direct))

    def expel(self, member: Name, turn: Turn) -> None:
        """Forget a member, once what came behind holes is delivered; should it come back, its sequence starts
        afresh."""
        stream = self._streams.pop(member, None)
        if stream is not None:
            self._close_holes(stream, member, turn)

    def finish(self, turn: Turn) -> None:
        """The session is over: all that came is delivered, whether there is room or not, since it may be
        acknowledged."""
        for member, stream in self._streams.items():
            self._close_holes(stream, member, turn)
        self._streams.clear()
        while self._held:
            item = self._held.popleft().item
            self._kept -= _size(item)
            self._deliver(item, turn)

    def message(self, message: SessionMessage, turn: Turn) -> None:
        """A MSG arrived. It may have to be acknowledged, or others asked for."""
        stream = self._streams.get(message.source)
        if stream is None:
            self._drop()
            self.outsider(message, turn)
        elif self._kept >= HELD_BYTES:
            self._drop()
        elif (policy := self.policy) is None:
            self._unordered(message, turn)
        elif message.message_id > MASK or ((metadata := message.metadata) and PUBLISH_TO in metadata):
            self._direct(stream, message, turn)
        else:
            if metadata and SINCE in metadata:
                message = self._beginning(stream, message)
            self._ordered(stream, message, policy, turn)

    def reply(self, message: SessionMessage, turn: Turn) -> None:
        """An RTX_REPLY arrived: the message itself, or the news that it is no longer to be had."""
        stream = self._streams.get(message.source)
        if stream is None or message.message_id not in stream.requests:
            return
        if message.metadata and SINCE in message.metadata:
            message = self._beginning(stream, message)
        if message.error:
            self._lose(stream, message.message_id)
        else:
            expected = message.metadata is not None and ACKNOWLEDGES in message.metadata
            message = _without(message._replace(kind=MessageType.MSG), ACKNOWLEDGES)
            opened = self._opened(message, turn)
            if opened is None:
                return
            stream.buffer[message.message_id] = opened
            self._kept += _size(opened)
            del stream.requests[message.message_id]
            if expected:
                turn.send(self._ack(message))
        self._drain(stream, message.source, turn)

    def taken(self, count: int, turn: Turn) -> None:
        """The application took `count` items: what was held moves up, and is acknowledged now."""
        self.space += count
        sizes = self._sizes
        for _ in range(min(count, len(sizes))):
            self._untaken -= sizes.popleft()
        while self._held and self._room():
            item, stream = self._held.popleft()
            self._kept -= _size(item)
            self._deliver(item, turn)
            if stream is not None and isinstance(item, SessionMessage):
                stream.held.pop(item.message_id, None)
                turn.send(self._ack(item))

    def report(self, error: SlimError, turn: Turn) -> None:
        """Let the application's next receive meet `error`."""
        self._deliver(error, turn)

    def expire(self, turn: Turn) -> None:
        """Repeat the requests that are due; what nobody answered is lost, and the stream goes on."""
        if self._deadline is None or turn.now < self._deadline:
            return
        self._deadline = None
        for source, stream in self._streams.items():
            if not stream.requests:
                continue
            again, failed, deadline = review(stream.requests.values(), turn.now)
            for request in again:
                turn.send(request.message)
            for request in failed:
                self._lose(stream, request.message.message_id)
            if deadline is not None:
                self._due(deadline)
            self._drain(stream, source, turn)

    # Private: the ways of a message, by kind of session.

    def _beginning(self, stream: _Stream, message: SessionMessage) -> SessionMessage:
        """The first message that reaches us may tell that earlier ones are for us too, and on their way."""
        text = (message.metadata or {})[SINCE]
        if text != self._mark[0]:
            self._mark = text, beginning(text, self._local)
        start = self._mark[1]
        if start is not None:
            stream.since = start
        if stream.last is None and start is not None and 0 <= ahead(start, message.message_id) < WIDEST_GAP:
            stream.first = stream.last = stream.newest = (start - 1) & MASK
        return _without(message, SINCE)

    def _ordered(self, stream: _Stream, message: SessionMessage, policy: ResendPolicy, turn: Turn) -> None:
        id = message.message_id
        unknown = stream.last is None
        if stream.last is None:
            stream.first = stream.last = stream.newest = (id - 1) & MASK
        last = stream.last
        distance = (id - last) & MASK
        if distance == 1 and not stream.buffer:
            if len(self._held) >= HELD and not self._room():
                self._drop()
                return
            opened = message if self._cipher is None else self._opened(message, turn)
            if opened is None:
                if unknown:
                    # Of an epoch before ours, say: our place in the sequence is not known by it.
                    stream.first = stream.last = stream.newest = None
                return
            stream.last = stream.newest = id
            if stream.requests:
                stream.requests.pop(id, None)
            if self.space > 0 and self._untaken < INBOX_BYTES and not self._held:
                self._deliver(opened, turn)
                turn.send(self._ack(message))
            else:
                stream.held[id] = None
                self._hold(opened, stream)
        elif distance == 0 or distance > HALF or stream.buffer.get(id) is not None:
            if id in stream.lost:
                # Too late. Acknowledging it would claim that the application had it.
                self._drop()
            elif self._before_us(stream, id):
                if message.destination == self._local:
                    # A re-send to us of what we missed while coming in: too late for its place in the order.
                    self._direct(stream, message, turn)
            else:
                self._again(stream, message, turn)
        else:
            self._after_a_hole(stream, message, policy, turn)

    def _after_a_hole(
        self, stream: _Stream, message: SessionMessage, policy: ResendPolicy, turn: Turn
    ) -> None:
        if len(self._held) >= HELD:
            self._drop()
            return
        opened = message if self._cipher is None else self._opened(message, turn)
        if opened is None:
            return
        assert stream.last is not None
        assert stream.newest is not None
        id, source = message.message_id, message.source
        while ahead(stream.last, id) > WIDEST_GAP:
            self._give_up_oldest(stream, source, id, turn)
        if ahead(stream.newest, stream.last) > 0:
            stream.newest = stream.last
        missing = ahead(stream.newest, id) - 1
        policy = paced(policy, len(stream.requests) + missing)
        for step in range(1, missing + 1):
            self._request(stream, message, (stream.newest + step) & MASK, policy, turn)
        if ahead(stream.newest, id) > 0:
            stream.newest = id
        stream.requests.pop(id, None)
        stream.lost.pop(id, None)
        stream.buffer[id] = opened
        self._kept += _size(opened)
        turn.send(self._ack(message))
        self._drain(stream, source, turn)

    def _direct(self, stream: _Stream, message: SessionMessage, turn: Turn) -> None:
        """Without order: publish_to, which has its own ids (`session.md` 7.6), and stragglers."""
        id = message.message_id
        if id in stream.direct:
            self._again(stream, message, turn)
            return
        if len(self._held) >= HELD and not self._room():
            self._drop()
            return
        opened = self._opened(message, turn)
        if opened is None:
            return
        stream.direct[id] = None
        if len(stream.direct) > DIRECT_KNOWN:
            del stream.direct[next(iter(stream.direct))]
        if not self._held and self._room():
            self._deliver(opened, turn)
            turn.send(self._ack(message))
        else:
            stream.held[id] = None
            self._hold(opened, stream)

    def _unordered(self, message: SessionMessage, turn: Turn) -> None:
        """Best effort: no acknowledgement, no order; without room the oldest makes way."""
        opened = message if self._cipher is None else self._opened(message, turn)
        if opened is None:
            return
        if len(self._held) >= HELD:
            self._kept -= _size(self._held.popleft().item)
            self._drop()
        self._place(opened, turn)

    # Private: holes.

    def _request(
        self, stream: _Stream, message: SessionMessage, id: int, policy: ResendPolicy, turn: Turn
    ) -> None:
        request = SessionMessage(
            self._local,
            message.source,
            self._session_type,
            MessageType.RTX_REQUEST,
            self._session_id,
            id,
            EMPTY,
            metadata=_WILL_ACKNOWLEDGE,
            connection=message.connection,
        )
        requested = _Requested(request, policy, turn.now)
        stream.requests[id] = requested
        self._due(requested.deadline)
        turn.send(request)

    def _lose(self, stream: _Stream, id: int) -> None:
        stream.requests.pop(id, None)
        stream.buffer[id] = None
        _remember(stream.lost, id)

    def _close_holes(self, stream: _Stream, source: Name, turn: Turn) -> None:
        """Nothing comes of this sender any more: what is behind holes follows, with the news of each."""
        while stream.buffer:
            assert stream.last is not None
            id = (stream.last + 1) & MASK
            if id not in stream.buffer:
                self._lose(stream, id)
            self._drain(stream, source, turn)

    def _give_up_oldest(self, stream: _Stream, source: Name, newest: int, turn: Turn) -> None:
        """Make room in the reorder buffer: the hole in front is lost; far ones all at once."""
        assert stream.last is not None
        if not stream.buffer:
            skipped = ahead(stream.last, newest) - WIDEST_GAP
            stream.last = (stream.last + skipped) & MASK
            for step in range(min(skipped, WIDEST_GAP)):
                _remember(stream.lost, (stream.last - step) & MASK)
            for id in [id for id in stream.requests if ahead(stream.last, id) <= 0]:
                del stream.requests[id]
            self._place(MessageLost(self._session_id, str(source), stream.last), turn)
            return
        front = (stream.last + 1) & MASK
        self._lose(stream, front)
        self._drain(stream, source, turn)

    def _drain(self, stream: _Stream, source: Name, turn: Turn) -> None:
        """Deliver what follows without a hole."""
        buffer = stream.buffer
        while buffer:
            assert stream.last is not None
            id = (stream.last + 1) & MASK
            if id not in buffer:
                return
            message = buffer.pop(id)
            self._kept -= _size(message)
            stream.last = id
            stream.requests.pop(id, None)
            if message is not None:
                self._place(message, turn)
            elif stream.since is None or not 0 < ahead(id, stream.since) <= WIDEST_GAP:
                self._place(MessageLost(self._session_id, str(source), id), turn)

    def _place(self, item: SessionMessage | SlimError, turn: Turn) -> None:
        """Deliver, behind what is held; acknowledged already, or nothing is owed."""
        if not self._held and self._room():
            self._deliver(item, turn)
        else:
            self._hold(item, None)

    def _room(self) -> bool:
        return self.space > 0 and self._untaken < INBOX_BYTES

    def _deliver(self, item: SessionMessage | SlimError, turn: Turn) -> None:
        size = _size(item)
        self.space -= 1
        self._untaken += size
        self._sizes.append(size)
        turn.items.append(item)

    def _hold(self, item: SessionMessage | SlimError, stream: _Stream | None) -> None:
        self._kept += _size(item)
        self._held.append(_Held(item, stream))

    # Private: small things.

    def _again(self, stream: _Stream, message: SessionMessage, turn: Turn) -> None:
        """A message with an id that came before: a copy is acknowledged again, unless it waits for room."""
        if message.message_id in stream.held:
            return
        if self._cipher is None or self._cipher.repeats(message):
            turn.send(self._ack(message))
        else:
            self.undecryptable += 1
            self._counts.undecryptable += 1

    def _ack(self, message: SessionMessage) -> SessionMessage:
        metadata = message.metadata
        return SessionMessage(
            self._local,
            message.source,
            self._session_type,
            _ACK,
            self._session_id,
            message.message_id,
            EMPTY,
            ONE,
            _DIRECT if metadata and PUBLISH_TO in metadata else None,
            "",
            False,
            message.connection,
        )

    def _opened(self, message: SessionMessage, turn: Turn) -> SessionMessage | None:
        if self._cipher is None:
            return message
        try:
            return message._replace(content=self._cipher.decrypt(message, turn))
        except CryptoError:
            # Not an attack: a message of an epoch that we have not reached yet looks the same. Without an
            # acknowledgement its sender will send it again.
            self.undecryptable += 1
            self._counts.undecryptable += 1
            return None

    def _drop(self) -> None:
        self.dropped += 1
        self._counts.dropped += 1

    def _before_us(self, stream: _Stream, id: int) -> bool:
        """Sent before the first message that reached us: acknowledging it would claim that we had it."""
        if stream.first is None or stream.last is None:
            return False
        if ahead(stream.first, stream.last) > 2 * WIDEST_GAP:
            stream.first = None
            return False
        return ahead(stream.first, id) <= 0

    def _due(self, deadline: float) -> None:
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline


def _without(message: SessionMessage, *signs: str) -> SessionMessage:
    """The message less signs that were for us and not for the application."""
    metadata = message.metadata or {}
    left = {key: metadata[key] for key in metadata if key not in signs}
    # `_replace` takes twice as long, and this is done for each message of a first window.
    return SessionMessage._make((*message[:_METADATA], left or None, *message[_METADATA + 1 :]))


def _remember(lost: dict[int, None], id: int) -> None:
    lost[id] = None
    if len(lost) > WIDEST_GAP:
        del lost[next(iter(lost))]


def _size(item: SessionMessage | SlimError | None) -> int:
    """Bytes of payload."""
    if type(item) is not SessionMessage:
        return 0
    content = item.content
    return len(content.blob) if type(content) is Payload else 0


def _nothing(_: SessionMessage, __: Turn) -> None:
    """Outsiders are the moderator's affair."""
