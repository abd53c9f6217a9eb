"""What a link received: bytes to the records of `actors/messages/wire.py`, for one connection.

A Publish that begins with its header, as all known peers write it, is cut behind it. The header's bytes
are looked up among those seen before; the rest is judged (a data message by `layout`, anything else by
protobuf) and kept as it is. What begins otherwise goes through protobuf and comes out in the usual order.
Either way incoming_conn is overwritten with this connection's index, and recv_from and forward_to are
cleared (`dataplane.md` 7).
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.wire import Frame, Inbound, LinkNegotiation, MessageType, Subscription, SubscriptionAck
from actors.names import Key
from gateway.codec import varint
from gateway.codec.header import LARGEST, HeaderReader, token_span
from gateway.codec.layout import Scan, head, payload
from gateway.proto import dataplane_pb2 as pb

_HEADER = 0x0A
_BOUND = 2048
_MSG, _RTX_REPLY = int(MessageType.MSG), int(MessageType.RTX_REPLY)

_LIKE_BOUND = 64
_FORM_BOUND = 256
_SMALL_CONTENT = 256
"""Bytes of a command that is worth remembering: those that repeat are empty or name the members of a pair."""

Known = tuple[Key, int, int, bytes]
"""From a header's bytes: (name key, instance id, fan-out, the header field as it goes on)."""


class _Form(NamedTuple):
    """What headers say that differ in their token only. Original peers make a token for each message."""

    key: Key
    id: int
    fanout: int
    before: bytes
    """What goes on before the identity field."""
    behind: bytes


class _Like(NamedTuple):
    """A data message seen before. One of the same length that differs from it only in its message id and
    the content of its blob needs no second reading: everything else is compared as bytes."""

    before: bytes
    """Up to the message id."""
    between: bytes
    """From behind the message id to the blob (to the end, without one)."""
    id_start: int
    id_end: int
    behind: int
    """Where the body begins."""
    frame: Frame
    scanned: Scan


class InboundParser:
    """Parses what arrives on connection `index`. Counts what it ignores."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._known: dict[bytes, Known] = {}
        self._forms: dict[tuple[bytes, bytes], _Form] = {}
        """By what surrounds the identity field."""
        self._likes: dict[int, _Like] = {}
        """By length."""
        self._contents: set[bytes] = set()
        """Content fields with commands that protobuf has judged well formed."""
        self._reader = HeaderReader()
        self.ignored = 0
        """Messages of kinds that this family does not know."""

    def parse(self, data: bytes) -> Inbound | None:
        """One message; None for kinds from the future, which are ignored.

        Raises DecodeError for bytes that are not a Message (costs the peer its stream, `dataplane.md` 9)
        and ProtocolError for a Message that breaks a rule (costs it that message).
        """
        like = self._likes.get(len(data))
        if (
            like is not None
            and data.startswith(like[0])
            and data.startswith(like[1], like[3])
            and (frame := _alike(data, like)) is not None
        ):
            return frame
        if data[:1] == b"\x1a":
            try:
                frame = self._cut(data)
            except (IndexError, ValueError):
                frame = None
            if frame is not None:
                return frame
        return self._parse(data)

    def _cut(self, data: bytes) -> Frame | None:
        """A Publish in the usual layout; None when it is not in that layout."""
        length, start = varint.decode(data, 1)
        end = start + length
        if data[start] != _HEADER or end > len(data):
            return None
        header_length, header_start = varint.decode(data, start + 1)
        behind = header_start + header_length
        body = data[behind:]
        inner = end - behind
        found = head(body, inner)
        scanned = payload(body, inner, found) if found is not None else None
        if scanned is not None:
            kind: int | None = scanned[1]
        elif found is not None and body[found[4] : inner] in self._contents:
            kind = found[1]
        else:
            kind = _kind(body[:inner])
            if kind is not None and found is not None and inner - found[4] <= _SMALL_CONTENT:
                if len(self._contents) >= _BOUND:
                    self._contents.clear()
                self._contents.add(body[found[4] : inner])
        if kind is None or (inner < len(body) and not _is_message(body[inner:])):
            return None
        header = data[header_start:behind]
        seen = self._known.get(header)
        key, id, fanout, field = self._learn(header) if seen is None else seen
        frame = Frame(key, id, fanout, kind != _MSG and kind != _RTX_REPLY, field, inner, body, scanned)
        # A header that was not seen before may be one that never comes again.
        if seen is not None and scanned is not None and scanned[3] and inner == len(body):
            self._remember(data, behind, frame, scanned)
        return frame

    def _remember(self, data: bytes, behind: int, frame: Frame, scanned: Scan) -> None:
        """Keep the frame as the one that the next messages of its length are compared with."""
        # Tags and values of session type and message type, the tags of session id and message id.
        id_start = behind + 8 + len(varint.encode(scanned[2]))
        _, id_end = varint.decode(data, id_start)
        if len(self._likes) >= _LIKE_BOUND:
            self._likes.clear()
        between = data[id_end : behind + scanned[5]]
        self._likes[len(data)] = _Like(
            data[:id_start], between, id_start, id_end, behind, frame._replace(body=b""), scanned
        )

    def _learn(self, header: bytes) -> Known:
        """Read a header not seen before and prepare the one that goes on."""
        span = token_span(header) if len(header) <= LARGEST else None
        known = self._with_token(header, span) if span is not None else None
        if known is None:
            try:
                message = pb.SLIMHeader.FromString(header)
            except DecodeError as exc:
                raise ValueError("not a header") from exc
            known = self._rewrite(message)
            if span is not None:
                self._remember_form(header, span, known)
        if len(header) <= LARGEST:
            if len(self._known) >= _BOUND:
                self._known.clear()
            self._known[header] = known
        return known

    def _with_token(self, header: bytes, span: tuple[int, int, int]) -> Known | None:
        """The same as `_rewrite` for a header of a known form; None when it is not of one."""
        start, text, end = span
        form = self._forms.get((header[:start], header[end:]))
        # Text that is not ASCII has yet to be found to be UTF-8; protobuf drops an empty token.
        if form is None or text == end or not header[text:end].isascii():
            return None
        key, id, fanout, before, behind = form
        body = b"".join((before, header[start:end], behind))
        return key, id, fanout, b"\x0a" + varint.encode(len(body)) + body

    def _remember_form(self, header: bytes, span: tuple[int, int, int], known: Known) -> None:
        """Keep what a header of the usual layout says for those that only carry another token."""
        start, _, end = span
        key, id, fanout, field = known
        _, body_start = varint.decode(field, 1)
        body = field[body_start:]
        out = token_span(body)
        # A second identity field behind the first would be the one that counts.
        if out is None or body[out[0] : out[2]] != header[start:end] or b"\x22" in header[end:]:
            return
        if len(self._forms) >= _FORM_BOUND:
            self._forms.clear()
        self._forms[header[:start], header[end:]] = _Form(key, id, fanout, body[: out[0]], body[out[2] :])

    def _rewrite(self, message: pb.SLIMHeader) -> Known:
        read = self._reader.take(message)
        message.incoming_conn = self._index
        message.ClearField("recv_from")
        message.ClearField("forward_to")
        body = message.SerializeToString()
        field = b"\x0a" + varint.encode(len(body)) + body
        return read.destination.key, read.destination.id, read.fanout, field

    def _parse(self, data: bytes) -> Inbound | None:
        """Any message, through protobuf."""
        message = pb.Message.FromString(data)
        kind = message.WhichOneof("message_type")
        match kind:
            case "publish":
                return self._publish(message)
            case "subscribe" | "unsubscribe":
                return self._subscription(message, kind == "subscribe")
            case "link":
                if message.link.WhichOneof("link_type") == "link_negotiation":
                    said = message.link.link_negotiation
                    return LinkNegotiation(said.link_id, said.slim_version, said.is_reply)
            case "subscription_ack":
                ack = message.subscription_ack
                return SubscriptionAck(ack.subscription_id, ack.success, ack.error)
        self.ignored += 1
        return None

    def _subscription(self, message: pb.Message, subscribe: bool) -> Subscription:
        said = message.subscribe if subscribe else message.unsubscribe
        if not said.HasField("header"):
            raise ProtocolError("a subscription without header")
        header = self._reader.take(said.header)
        # recv_from and forward_to are orders to the peer's own node, never to us (`dataplane.md` 5.2).
        return Subscription(
            subscribe, header.source, header.destination, header.identity, said.subscription_id
        )

    def _publish(self, message: pb.Message) -> Frame:
        publish = message.publish
        if not publish.HasField("header") or not publish.HasField("session"):
            raise ProtocolError("a publish without header or session")
        key, id, fanout, field = self._rewrite(publish.header)
        kind = publish.session.session_message_type
        publish.ClearField("header")
        inner = publish.SerializeToString()
        message.ClearField("publish")
        control = kind != _MSG and kind != _RTX_REPLY
        return Frame(key, id, fanout, control, field, len(inner), inner + message.SerializeToString())


def _alike(data: bytes, like: _Like) -> Frame | None:
    """The frame of a message that equals `like` but for its id and blob; None when the id is malformed."""
    _, _, id_start, id_end, behind, (key, id, fanout, control, field, inner, _, _), scanned = like
    try:
        message_id, position = varint.decode(data, id_start)
    except ValueError:
        return None
    if position != id_end or message_id >> 32:
        return None
    type_, kind, session_id, _, payload_type, blob = scanned
    return Frame(
        key,
        id,
        fanout,
        control,
        field,
        inner,
        data[behind:],
        (type_, kind, session_id, message_id, payload_type, blob),
    )


def _kind(body: bytes) -> int | None:
    """The message type in the body of a Publish that is not in the usual layout, judged by protobuf."""
    try:
        publish = pb.Publish.FromString(body)
    except DecodeError:
        return None
    if publish.HasField("header") or not publish.HasField("session"):
        return None
    return int(publish.session.session_message_type)


def _is_message(data: bytes) -> bool:
    """Whether what follows the Publish (metadata) is well formed."""
    try:
        return pb.Message.FromString(data).WhichOneof("message_type") is None
    except DecodeError:
        return False
