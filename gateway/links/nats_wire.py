"""What nodes say to one another over NATS (`backbone.md`, backbone): subjects, and frames in messages. Pure.

    slim1.one.<hash>.<hash>.<hash>[.<id>]      to one of who wants it (queue group QUEUE)
    slim1.all.<hash>.<hash>.<hash>[.<id>]      to all

    message:  FORMAT, length of the node id, node id, boot (8 octets), then frames: length (varint), bytes

Hashes and ids are 16 hexadecimal digits each, so that no name can hold a dot or a wildcard, and none is told.
A frame is the message of the data plane as it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.messages.wire import ONE, Frame, Scanned
from actors.names import NO_INSTANCE, InstanceId, Key
from actors.record import record
from actors.routing.view import Instance
from gateway.codec import frame_pieces, varint
from gateway.codec.layout import head, payload

FAMILY = "slim1"
"""Of the wires of 0.7 to 1.4: nodes of another family never meet these."""
QUEUE = "slim"
FORMAT = 1
BATCH = 128 * 1024
"""Bytes up to which frames of one turn for one subject travel together."""
NODE_ID_BOUND = 255
FRAMES_BOUND = 65_536
"""Frames of one message."""

_BOUND = 8192
_MLS = b"\x00\x01\x00\x02"
"""How an encrypted payload begins: an MLSMessage, version 1, PrivateMessage (RFC 9420, section 6)."""


class Subjects:
    """The subjects of names, remembered."""

    def __init__(self) -> None:
        self._known: Memo[tuple[Key, InstanceId, bool], str] = Memo(_BOUND)

    def of(self, key: Key, instance: InstanceId, *, one: bool) -> str:
        """Where frames for (key, instance) go: to one, or to all."""
        known = self._known.get((key, instance, one))
        return (
            known
            if known is not None
            else self._known.remember((key, instance, one), subject((key, instance), one=one))
        )


def subject(wanted: Instance, *, one: bool) -> str:
    """The subject of a name, or of a name with an id."""
    key, instance = wanted
    hashes = [key[start : start + 8].hex() for start in (0, 8, 16)]
    ids = [] if instance == NO_INSTANCE else [instance.hex()]
    return ".".join((FAMILY, "one" if one else "all", *hashes, *ids))


@record
class Origin(NamedTuple):
    """The node that a message is from. `boot` is drawn when it starts."""

    node_id: str
    boot: int

    def prefix(self) -> bytes:
        """How its messages begin."""
        name = self.node_id.encode()[:NODE_ID_BOUND]
        return bytes((FORMAT, len(name))) + name + self.boot.to_bytes(8)


def unpack(data: bytes) -> tuple[Origin, list[bytes]]:
    """Who sent a message, and the frames in it. Raises ProtocolError."""
    try:
        if data[0] != FORMAT:
            raise ProtocolError(f"a message of format {data[0]}")
        end = 2 + data[1]
        origin = Origin(data[2:end].decode(), int.from_bytes(data[end : end + 8]))
        return origin, list(_frames(data, end + 8))
    except (IndexError, ValueError) as exc:
        raise ProtocolError("a message that was cut") from exc


def _frames(data: bytes, position: int) -> Iterator[bytes]:
    if position > len(data):
        raise ValueError("no whole origin")
    count = 0
    while position < len(data):
        length, start = varint.decode(data, position)
        position = start + length
        count += 1
        if position > len(data) or count > FRAMES_BOUND:
            raise ValueError("a frame that is not all there")
        yield data[start:position]


@record
class Batch(NamedTuple):
    """A message that is ready: where it goes, what is in it, and who asked for it if an answer is wanted."""

    subject: str
    payload: bytes
    frames: tuple[Frame, ...]
    """Where somebody is told that nobody wants them; else none."""
    asker: Any


_Place = tuple[Key, InstanceId, bool, Hashable]
"""What frames of one message have in common: name, whether they are for one, and then who asks."""


class _Open:
    """A message that may still grow."""

    __slots__ = ("frames", "one", "parts", "place", "size")

    def __init__(self, place: _Place, prefix: bytes) -> None:
        self.place = place
        self.one = place[2]
        self.parts = [prefix]
        self.size = len(prefix)
        self.frames: list[Frame] = []


class Batches:
    """Puts the frames of a turn together, in order by subject.

    Frames for any instance of a name travel alone: who gets one is chosen for each.
    """

    def __init__(self, origin: Origin) -> None:
        self._prefix = origin.prefix()
        self._subjects = Subjects()
        self._open: dict[_Place, _Open] = {}
        self._ready: list[Batch] = []
        self.size = 0
        """Bytes of what `take` would return."""

    @property
    def overhead(self) -> int:
        """Bytes of a message with one frame that are not the frame's."""
        return len(self._prefix) + 5

    def put(self, frames: Iterable[Frame], asker: Hashable, *, limit: int) -> list[Frame]:
        """Take frames that `asker` sends. Returns those of more than `limit` bytes, which are not taken.

        Those that follow one another mostly have one header and one length: what begins one begins the next.
        """
        refused: list[Frame] = []
        batch: _Open | None = None
        header, start = b"", b""
        inner = behind = length = -1
        for frame in frames:
            body = frame.body
            if frame.header is not header or frame.inner != inner or len(body) != behind:
                header, inner, behind = frame.header, frame.inner, len(body)
                prefix = frame_pieces(frame)[0]
                length = len(prefix) + len(header) + behind
                start = b"".join((varint.encode(length), prefix, header))
                batch = None
            if batch is None or batch.size + length > BATCH:
                if length > limit:
                    refused.append(frame)
                    continue
                batch = self._batch(frame, length, asker)
            batch.parts += (start, body)
            batch.size += length + 5
            self.size += length + 5
            if batch.one:
                batch.frames.append(frame)
                if frame.instance == NO_INSTANCE:
                    self._close(self._open.pop(_place(frame, asker)))
                    batch = None
        return refused

    def _batch(self, frame: Frame, length: int, asker: Hashable) -> _Open:
        """The message in which there is room for a frame of `length` bytes."""
        place = _place(frame, asker)
        known = self._open.get(place)
        if known is not None and known.size + length > BATCH:
            self._close(self._open.pop(place))
            known = None
        if known is None:
            known = self._open[place] = _Open(place, self._prefix)
        return known

    def take(self) -> list[Batch]:
        """All there is."""
        for batch in self._open.values():
            self._close(batch)
        self._open.clear()
        ready, self._ready, self.size = self._ready, [], 0
        return ready

    def _close(self, batch: _Open) -> None:
        key, instance, one, asker = batch.place
        where = self._subjects.of(key, instance, one=one)
        self._ready.append(Batch(where, b"".join(batch.parts), tuple(batch.frames), asker))


def _place(frame: Frame, asker: Hashable) -> _Place:
    one = frame.fanout == ONE
    return frame.key, frame.instance, one, asker if one else None


class AskedOfNats:
    """What was sent to one of who wants it, while it may turn out that nobody does.

    Bounded: the oldest goes first.
    """

    def __init__(self, *, count: int = 1024, size: int = 4 * 1024 * 1024) -> None:
        self._count, self._bound = count, size
        self._size = 0
        self._asked: dict[int, Batch] = {}
        self._last = 0

    def ask(self, batch: Batch) -> int:
        """Remember it. Returns its number."""
        self._last += 1
        self._asked[self._last] = batch
        self._size += len(batch.payload)
        while len(self._asked) > self._count or self._size > self._bound:
            first = next(iter(self._asked))
            self._size -= len(self._asked.pop(first).payload)
        return self._last

    def unanswered(self, number: int) -> Batch | None:
        """Nobody wants it; None when it is not remembered any more."""
        batch = self._asked.pop(number, None)
        if batch is not None:
            self._size -= len(batch.payload)
        return batch

    def forget(self) -> list[Batch]:
        """Forget all, and return it."""
        asked, self._asked, self._size = list(self._asked.values()), {}, 0
        return asked


def looks_encrypted(frame: Frame) -> bool:
    """Whether a message shows no payload in clear: it is a control message, empty, or looks like MLS."""
    if frame.control:
        return True
    scanned = frame.scanned
    if not isinstance(scanned, Scanned):
        found = head(frame.body, frame.inner)
        scanned = payload(frame.body, frame.inner, found) if found is not None else None
    if scanned is None:
        return False
    blob = scanned.blob
    return blob >= frame.inner or frame.body[blob : min(blob + len(_MLS), frame.inner)] == _MLS
