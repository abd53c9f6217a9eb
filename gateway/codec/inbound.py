"""What a link received: bytes to the records of `actors/messages/wire.py`, for one connection.

A Publish that begins with its header, as all known peers write it, is cut behind it. The header's bytes
are looked up among those seen before; the rest is judged (a data message by `layout`, anything else by
protobuf) and kept as it is. What begins otherwise goes through protobuf and comes out in the usual order.
Either way incoming_conn is overwritten with this connection's index, and recv_from and forward_to are
cleared (`dataplane.md` 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.messages.wire import (
    Frame,
    GroupFigures,
    GroupLed,
    Hint,
    HintReason,
    Inbound,
    Introduction,
    LinkNegotiation,
    MessageType,
    NodeInquiry,
    Role,
    Scanned,
    Subscription,
    SubscriptionAck,
)
from actors.names import InstanceId, Key
from actors.record import record
from actors.session.bounds import MEMBERS
from gateway.codec import varint
from gateway.codec.family import FIRST, Family
from gateway.codec.header import LARGEST, HeaderReader, TokenSpan, tags_to_identity, token_span
from gateway.codec.layout import SMALL_CONTENT, SMALL_METADATA, head, payload
from gateway.proto import dataplane_pb2 as pb

_HEADER = 0x0A
_BOUND = 2048
_MSG, _RTX_REPLY = int(MessageType.MSG), int(MessageType.RTX_REPLY)

_ROLES: dict[int, Role] = {int(role): role for role in Role}
_LIKE_BOUND = 64
_FORM_BOUND = 256
_TAIL_BOUND = 64


@record
class _Known(NamedTuple):
    """What the bytes of a header say."""

    key: Key
    instance: InstanceId
    fanout: int
    field: bytes
    """The header field as it goes on."""


@record
class _Form(NamedTuple):
    """What headers say that differ in their token only. Original peers make a token for each message."""

    key: Key
    instance: InstanceId
    fanout: int
    before: bytes
    """What goes on before the identity field."""
    behind: bytes


@dataclass(slots=True)
class _Like:
    """A data message seen before. One of the same length that differs from it only in its message id and
    the content of its blob needs no second reading: everything else is compared as bytes, metadata too."""

    before: bytes
    """Up to the message id."""
    between: bytes
    """From behind the message id to the blob (to the end of the Publish, without one)."""
    tail: bytes
    """What follows the Publish."""
    id_start: int
    id_end: int
    behind: int
    """Where the body begins."""
    frame: Frame
    """All of it but its body and message id."""


_REASONS = frozenset(HintReason)


class InboundParser:
    """Parses what arrives on connection `index`. Counts what it ignores."""

    def __init__(self, index: int, family: Family = FIRST) -> None:
        self._index = index
        self._schema, self._names = family.schema, family.names
        self._tags = tags_to_identity(family.header)
        self._known: Memo[bytes, _Known] = Memo(_BOUND)
        self._forms: Memo[tuple[bytes, bytes], _Form] = Memo(_FORM_BOUND)
        """By what surrounds the identity field."""
        self._likes: Memo[int, _Like] = Memo(_LIKE_BOUND)
        """By length."""
        self._contents: Memo[bytes, None] = Memo(_BOUND)
        """Content fields with commands that protobuf has judged well formed."""
        self._tails: Memo[bytes, None] = Memo(_TAIL_BOUND)
        """Well-formed metadata."""
        self._reader = HeaderReader(family)
        self.ignored = 0
        """Messages of kinds that this family does not know."""
        self.read = 0
        """Messages that had to be read in full, whole or their header: each costs as much as ten others."""

    def parse(self, data: bytes) -> Inbound | None:
        """One message; None for kinds from the future, which are ignored.

        Raises DecodeError for bytes that are not a Message (costs the peer its stream, `dataplane.md` 9)
        and ProtocolError for a Message that breaks a rule (costs it that message).
        """
        like = self._likes.get(len(data))
        if (
            like is not None
            and data.startswith(like.before)
            and data.startswith(like.between, like.id_end)
            and (not like.tail or data.endswith(like.tail))
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
        scanned, message_id = None, 0
        if found is None:
            kind = self._kind(body[:inner])
        else:
            kind = found.kind
            scanned = payload(body, inner, found)
            if scanned is not None:
                message_id = found.message_id
            elif (content := body[found.content : inner]) not in self._contents:
                kind = self._kind(body[:inner])
                if kind is not None and len(content) <= SMALL_CONTENT:
                    self._contents.remember(content, None)
        if kind is None or (inner < len(body) and not self._is_tail(body[inner:])):
            return None
        header = data[header_start:behind]
        seen = self._known.get(header)
        key, instance, fanout, field = self._learn(header) if seen is None else seen
        control = kind != _MSG and kind != _RTX_REPLY
        frame = Frame(key, instance, fanout, control, field, inner, body, scanned or found, message_id)
        # A header that was not seen before may be one that never comes again.
        if seen is not None and scanned is not None and message_id and len(body) - inner <= SMALL_METADATA:
            self._remember(data, behind, frame, scanned)
        return frame

    def _remember(self, data: bytes, behind: int, frame: Frame, scanned: Scanned) -> None:
        """Keep the frame as the one that the next messages of its length are compared with."""
        # Tags and values of session type and message type, the tags of session id and message id.
        id_start = behind + 8 + len(varint.encode(scanned.session_id))
        _, id_end = varint.decode(data, id_start)
        between = data[id_end : behind + scanned.blob]
        tail = frame.body[frame.inner :]
        like = _Like(
            data[:id_start], between, tail, id_start, id_end, behind, frame._replace(body=b"", message_id=0)
        )
        self._likes.remember(len(data), like)

    def _learn(self, header: bytes) -> _Known:
        """Read a header not seen before and prepare the one that goes on."""
        self.read += 1
        span = token_span(header, self._tags) if len(header) <= LARGEST else None
        known = self._with_token(header, span) if span is not None else None
        if known is None:
            try:
                message: pb.SLIMHeader = self._schema.SLIMHeader.FromString(header)
            except DecodeError as exc:
                raise ValueError("not a header") from exc
            known = self._rewrite(message)
            if span is not None:
                self._remember_form(header, span, known)
        if len(header) <= LARGEST:
            self._known.remember(header, known)
        return known

    def _with_token(self, header: bytes, span: TokenSpan) -> _Known | None:
        """The same as `_rewrite` for a header of a known form; None when it is not of one."""
        start, text, end = span
        form = self._forms.get((header[:start], header[end:]))
        # Text that is not ASCII has yet to be found to be UTF-8; protobuf drops an empty token.
        if form is None or text == end or not header[text:end].isascii():
            return None
        key, instance, fanout, before, behind = form
        body = b"".join((before, header[start:end], behind))
        return _Known(key, instance, fanout, b"\x0a" + varint.encode(len(body)) + body)

    def _remember_form(self, header: bytes, span: TokenSpan, known: _Known) -> None:
        """Keep what a header of the usual layout says for those that only carry another token."""
        start, _, end = span
        _, body_start = varint.decode(known.field, 1)
        body = known.field[body_start:]
        out = token_span(body, self._tags)
        # A second identity field behind the first would be the one that counts.
        if out is None or body[out.start : out.end] != header[start:end] or self._tags[-1] in header[end:]:
            return
        form = _Form(known.key, known.instance, known.fanout, body[: out.start], body[out.end :])
        self._forms.remember((header[:start], header[end:]), form)

    def _rewrite(self, message: pb.SLIMHeader) -> _Known:
        read = self._reader.take(message)
        message.incoming_conn = self._index
        message.ClearField("recv_from")
        message.ClearField("forward_to")
        body = message.SerializeToString()
        field = b"\x0a" + varint.encode(len(body)) + body
        return _Known(read.destination.key, read.destination.instance, read.fanout, field)

    def _parse(self, data: bytes) -> Inbound | None:
        """Any message, through protobuf."""
        self.read += 1
        message: pb.Message = self._schema.Message.FromString(data)
        kind = message.WhichOneof("message_type")
        match kind:
            case "publish":
                return self._publish(message)
            case "subscribe" | "unsubscribe":
                return self._subscription(message, kind == "subscribe")
            case "link":
                if message.link.WhichOneof("link_type") == "link_negotiation":
                    said = message.link.link_negotiation
                    return LinkNegotiation(
                        said.link_id, said.slim_version, said.is_reply, _introduction(said)
                    )
            case "subscription_ack":
                ack = message.subscription_ack
                return SubscriptionAck(ack.subscription_id, ack.success, ack.error)
        if message.HasField("hint"):
            return self._hint(message.hint)
        if message.HasField("group_led"):
            return self._group_led(message.group_led)
        if message.HasField("node_inquiry"):
            return self._inquiry(message.node_inquiry)
        self.ignored += 1
        return None

    def _hint(self, said: pb.Hint) -> Hint | None:
        """One whose reason is from the future says nothing."""
        if said.reason not in _REASONS:
            return None
        decode = self._names.decode
        return Hint(HintReason(said.reason), decode(said.about), decode(said.destination))

    def _group_led(self, said: pb.GroupLed) -> GroupLed:
        decode = self._names.decode
        if len(said.members) > MEMBERS:
            raise ProtocolError(f"a list of {len(said.members)} members, at most {MEMBERS} may be")
        members = tuple(map(decode, said.members))
        place = (decode(said.channel), decode(said.moderator))
        figures = None
        if said.HasField("figures"):
            counted = said.figures
            figures = GroupFigures(counted.unacknowledged, counted.retransmissions, counted.lag)
        return GroupLed(said.number, *place, members, said.epoch, said.over, figures)

    def _inquiry(self, said: pb.NodeInquiry) -> NodeInquiry:
        names = (self._names.decode(said.source), self._names.decode(said.target))
        return NodeInquiry(said.number, *names, said.node, said.facts if said.HasField("facts") else None)

    def _subscription(self, message: pb.Message, subscribe: bool) -> Subscription:
        said = message.subscribe if subscribe else message.unsubscribe
        if not said.HasField("header"):
            raise ProtocolError("a subscription without header")
        # A name that is too long is refused by the table, which says so.
        header = self._reader.take(said.header, longest=None)
        # recv_from and forward_to are orders to the peer's own node, never to us (`dataplane.md` 5.2).
        return Subscription(
            subscribe, header.source, header.destination, header.identity, said.subscription_id
        )

    def _publish(self, message: pb.Message) -> Frame:
        publish = message.publish
        if not publish.HasField("header") or not publish.HasField("session"):
            raise ProtocolError("a publish without header or session")
        key, instance, fanout, field = self._rewrite(publish.header)
        kind = publish.session.session_message_type
        publish.ClearField("header")
        inner = publish.SerializeToString()
        message.ClearField("publish")
        control = kind != _MSG and kind != _RTX_REPLY
        body = inner + message.SerializeToString()
        return Frame(key, instance, fanout, control, field, len(inner), body)

    def _kind(self, body: bytes) -> int | None:
        """The message type in the body of a Publish that is not in the usual layout, judged by protobuf."""
        try:
            publish: pb.Publish = self._schema.Publish.FromString(body)
        except DecodeError:
            return None
        if publish.HasField("header") or not publish.HasField("session"):
            return None
        return int(publish.session.session_message_type)

    def _is_tail(self, data: bytes) -> bool:
        """`_is_message`, from memory where it can be: metadata mostly repeats."""
        if data in self._tails:
            return True
        if not self._is_message(data):
            return False
        if len(data) <= SMALL_METADATA:
            self._tails.remember(data, None)
        return True

    def _is_message(self, data: bytes) -> bool:
        """Whether what follows the Publish (metadata) is well formed."""
        try:
            message: pb.Message = self._schema.Message.FromString(data)
        except DecodeError:
            return False
        return message.WhichOneof("message_type") is None


def _introduction(said: pb.LinkNegotiationPayload) -> Introduction | None:
    """What the other end says about itself, where it is one of ours; a role from the future is none."""
    ours = said.introduction
    if not said.HasField("introduction") or ours.role not in _ROLES:
        return None
    return Introduction(_ROLES[ours.role], ours.node_id, ours.boot, ours.token, ours.refusal)


def _alike(data: bytes, like: _Like) -> Frame | None:
    """The frame of a message that equals `like` but for its id and blob; None when the id is malformed."""
    try:
        message_id, position = varint.decode(data, like.id_start)
    except ValueError:
        return None
    if position != like.id_end or message_id >> 32:
        return None
    key, instance, fanout, control, field, inner, _, scanned, _ = like.frame
    return Frame(key, instance, fanout, control, field, inner, data[like.behind :], scanned, message_id)
