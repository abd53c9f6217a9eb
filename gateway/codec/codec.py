"""Session messages to frames and back: what an application's actor uses (`actors/messages/codec.py`)."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.messages.codec import LARGE, TokenFirst, Unread
from actors.messages.wire import (
    Command,
    DiscoveryReply,
    DiscoveryRequest,
    Frame,
    GroupAck,
    GroupWelcome,
    Head,
    JoinRequest,
    MessageType,
    Payload,
    Ping,
    Scanned,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.bounds import MEMBERS, METADATA
from gateway.codec import varint
from gateway.codec.commands import decode_command, encode_command
from gateway.codec.family import FIRST, Family
from gateway.codec.header import HeaderReader, header_field
from gateway.codec.layout import SMALL_CONTENT, SMALL_METADATA, has_few_fields, head, payload
from gateway.codec.outbound import frame_bytes
from gateway.proto import dataplane_pb2 as pb

_TYPES = tuple(SessionKind)
_KINDS = tuple(MessageType)
_MSG, _RTX_REPLY = MessageType.MSG, MessageType.RTX_REPLY
_EMPTY = Payload()
_BOUND = 1024
_FIELDS = MEMBERS + 8
"""Fields of a command: the members that it lists, and what else there may be."""
_METADATA_BOUND = 64
_REPEATED = (DiscoveryRequest, DiscoveryReply, JoinRequest, GroupWelcome, GroupAck, Ping)
"""Commands that are often the same from session to session."""


def _first_fields(session_type: SessionKind, kind: MessageType) -> bytes:
    """The session header up to its session id."""
    type_field = b"\x08" + varint.encode(session_type) if session_type else b""
    return type_field + b"\x10" + varint.encode(kind) if kind else type_field


_FIRST_FIELDS = {(type_, kind): _first_fields(type_, kind) for type_ in _TYPES for kind in _KINDS}


class WireCodec:
    """Encodes and decodes session messages; remembers headers and small commands, which repeat."""

    def __init__(self, family: Family = FIRST) -> None:
        self._family, self._schema = family, family.schema
        self._reader = HeaderReader(family)
        self._headers: Memo[tuple[Name, Name, int, str, bool], bytes] = Memo(_BOUND)
        self._last_source: Name | None = None
        self._last_destination: Name | None = None
        self._last_rest = (0, "", False)
        """Fan-out, token and error of the last header."""
        self._last_header = b""
        self._last_scanned: Scanned | None = None
        self._last_read = (SessionKind.UNSPECIFIED, MessageType.UNSPECIFIED, 0, "", 0)
        """What it says: the messages of a stream share one."""
        self._sessions: Memo[tuple[int, int, int], bytes] = Memo(_BOUND)
        self._encoded: Memo[Command, bytes] = Memo(_BOUND)
        self._commands: Memo[bytes, Command] = Memo(_BOUND)
        """By their content field."""
        self._last_metadata: dict[str, str] = {}
        self._last_tail = b""
        """The metadata encoded last, and how: it mostly repeats."""
        self._metadatas: Memo[bytes, dict[str, str]] = Memo(_METADATA_BOUND)

    def encode(self, message: SessionMessage, identity: str) -> Frame:
        """The frame of a message with `identity` as token; its `connection` is not part of it."""
        source, destination, type_, kind, session_id, message_id, content, fanout, metadata, _, error, _ = (
            message
        )
        if (
            self._last_source is source
            and self._last_destination is destination
            and self._last_rest == (fanout, identity, error)
        ):
            header = self._last_header
        else:
            header = self._header(source, destination, fanout, identity, error)
        session = self._sessions.get((type_, kind, session_id))
        if session is None:
            session = self._session(type_, kind, session_id)
        encode = varint.encode
        if message_id:
            session = b"".join((session, b"\x20", encode(message_id)))
        if isinstance(content, Payload):
            payload_type, blob = content
            if payload_type:
                text = payload_type.encode()
                tail = b"\x12" + encode(len(blob)) if blob else b""
                inside = b"".join((b"\x0a", encode(len(text)), text, tail))
            else:
                inside = b"\x12" + encode(len(blob)) if blob else b""
            length = len(inside) + len(blob)
            size = encode(length)
            body = b"".join(
                (
                    b"\x12",
                    encode(len(session)),
                    session,
                    b"\x1a",
                    encode(1 + len(size) + length),
                    b"\x0a",
                    size,
                    inside,
                    blob,
                )
            )
        else:
            body = b"".join((b"\x12", encode(len(session)), session, self._command(content)))
        inner = len(body)
        if metadata:
            body += self._last_tail if metadata == self._last_metadata else self._tail(metadata)
        control = kind is not _MSG and kind is not _RTX_REPLY
        return Frame(destination.key, destination.instance, fanout, control, header, inner, body)

    def _header(self, source: Name, destination: Name, fanout: int, identity: str, error: bool) -> bytes:
        """The header field, from memory where it can be; remembered as the last one too."""
        key = (source, destination, fanout, identity, error)
        header = self._headers.get(key)
        if header is None:
            header = header_field(self._family, source, destination, fanout, identity, error=error)
            self._headers.remember(key, header)
        self._last_source, self._last_destination = source, destination
        self._last_rest, self._last_header = (fanout, identity, error), header
        return header

    def _session(self, session_type: SessionKind, kind: MessageType, session_id: int) -> bytes:
        """The session header up to its message id."""
        prefix = _FIRST_FIELDS[session_type, kind]
        if session_id:
            prefix += b"\x18" + varint.encode(session_id)
        return self._sessions.remember((session_type, kind, session_id), prefix)

    def _tail(self, metadata: dict[str, str]) -> bytes:
        """What follows the Publish."""
        tail: bytes = self._schema.Message(metadata=metadata).SerializeToString(deterministic=True)
        if len(tail) <= SMALL_METADATA:
            # A copy: this one is somebody else's, who may change it.
            self._last_metadata, self._last_tail = dict(metadata), tail
        return tail

    def _command(self, command: Command) -> bytes:
        """The content field with a command."""
        repeated = isinstance(command, _REPEATED)
        content = self._encoded.get(command) if repeated else None
        if content is None:
            inner = encode_command(command, self._family.names).SerializeToString()
            inside = b"\x12" + varint.encode(len(inner)) + inner
            content = b"\x1a" + varint.encode(len(inside)) + inside
            if repeated and len(content) <= SMALL_CONTENT:
                self._encoded.remember(command, content)
        return content

    def decode(self, frame: Frame, *, verified: bool = True) -> SessionMessage:
        """The message in a frame.

        Raises ProtocolError, and TokenFirst for what takes long while its token is not `verified`.
        """
        _, _, _, _, _, inner, body, known, message_id = frame
        last = self._last_scanned
        if last is None or known is not last:
            found: Head | None = None
            scanned: Scanned | None = None
            if isinstance(known, Scanned):
                scanned = known
            elif known is not None:
                found = known
            else:
                found = head(body, inner)
                if found is not None:
                    scanned, message_id = payload(body, inner, found), found.message_id
            if scanned is None:
                if not verified and len(body) > LARGE:
                    raise TokenFirst(self._unread(frame))
                return self._decode(frame, found)
            if scanned.kind >= len(_KINDS) or scanned.session_type >= len(_TYPES):
                return self._decode(frame, None)
            self._last_scanned = scanned
            self._last_read = (
                _TYPES[scanned.session_type],
                _KINDS[scanned.kind],
                scanned.session_id,
                scanned.payload_type,
                scanned.blob,
            )
        session_type, kind, session_id, payload_type, blob = self._last_read
        content = Payload(payload_type, body[blob:inner]) if payload_type or blob < inner else _EMPTY
        if not verified and len(body) - inner > LARGE:
            raise TokenFirst(self._unread(frame))
        return self._read(frame, session_type, kind, session_id, message_id, content)

    def _unread(self, frame: Frame) -> Unread:
        """What the header of a message tells, and its kind if that is where it mostly is."""
        header = self._reader.read(frame.header)
        found = head(frame.body, frame.inner)
        number = found.kind if found is not None else 0
        kind = _KINDS[number] if number < len(_KINDS) else MessageType.UNSPECIFIED
        return Unread(header.source, header.identity, kind, header.incoming_conn, frame)

    def _metadata(self, data: bytes) -> dict[str, str] | None:
        known = self._metadatas.get(data)
        if known is None:
            metadata = self._schema.Message.FromString(data).metadata
            if len(metadata) > METADATA:
                raise ProtocolError(f"{len(metadata)} entries of metadata, at most {METADATA} may be")
            known = dict(metadata)
            if len(data) <= SMALL_METADATA:
                self._metadatas.remember(data, known)
        # A copy: who gets the message may change it.
        return known.copy() or None

    def _read(
        self,
        frame: Frame,
        session_type: SessionKind,
        kind: MessageType,
        session_id: int,
        message_id: int,
        content: Payload | Command,
    ) -> SessionMessage:
        """The message of which the body up to `inner` is read."""
        source, destination, fanout, identity, _, _, connection, error = self._reader.read(frame.header)
        inner, body = frame.inner, frame.body
        metadata = None
        if inner < len(body):
            metadata = self._metadata(body[inner:])
        return SessionMessage(
            source,
            destination,
            session_type,
            kind,
            session_id,
            message_id,
            content,
            fanout,
            metadata,
            identity,
            error,
            connection,
        )

    def _decode(self, frame: Frame, found: Head | None) -> SessionMessage:
        """A command that is known, or any message through protobuf."""
        small = b""
        if found is not None:
            session_type, number, session_id, message_id, start, _ = found
            inner, body = frame.inner, frame.body
            if inner - start <= SMALL_CONTENT:
                small = body[start:inner]
                known = self._commands.get(small)
                if known is not None and session_type < len(_TYPES) and number < len(_KINDS):
                    type_, kind = _TYPES[session_type], _KINDS[number]
                    return self._read(frame, type_, kind, session_id, message_id, known)
            elif inner - start > LARGE and not has_few_fields(body, inner, found, _FIELDS):
                raise ProtocolError("a command of more parts than there can be members")
        try:
            message: pb.Message = self._schema.Message.FromString(frame_bytes(frame))
        except DecodeError as exc:
            raise ProtocolError("a frame that is not protobuf") from exc
        publish = message.publish
        header = self._reader.read(frame.header)
        session = publish.session
        if len(message.metadata) > METADATA:
            raise ProtocolError(f"{len(message.metadata)} entries of metadata, at most {METADATA} may be")
        metadata = dict(message.metadata)
        content: Payload | None = None
        match publish.msg.WhichOneof("content_type"):
            case "app_payload":
                content = Payload(publish.msg.app_payload.payload_type, publish.msg.app_payload.blob)
            case "command_payload":
                command = decode_command(publish.msg.command_payload, self._family.names)
                if small:
                    self._commands.remember(small, command)
            case _:
                raise ProtocolError("a message without content")
        if session.session_message_type >= len(_KINDS) or session.session_type >= len(_TYPES):
            raise ProtocolError(f"unknown session message type {session.session_message_type}")
        return SessionMessage(
            header.source,
            header.destination,
            _TYPES[session.session_type],
            _KINDS[session.session_message_type],
            session.session_id,
            session.message_id,
            command if content is None else content,
            header.fanout,
            metadata or None,
            header.identity,
            header.error,
            header.incoming_conn,
        )
