"""Session messages to frames and back: what an application's actor uses (`actors/codec.py`)."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from actors.errors import ProtocolError
from actors.messages.wire import Frame, MessageType, Payload, SessionMessage, SessionType
from actors.names import Name
from gateway.codec import varint
from gateway.codec.commands import decode_command, encode_command
from gateway.codec.header import HeaderReader, header_field
from gateway.codec.layout import scan
from gateway.codec.outbound import frame_bytes
from gateway.proto import dataplane_pb2 as pb

_TYPES = tuple(SessionType)
_KINDS = tuple(MessageType)
_DATA_KINDS = (MessageType.MSG, MessageType.RTX_REPLY)
_BOUND = 1024


class WireCodec:
    """Encodes and decodes session messages; remembers headers, which repeat."""

    def __init__(self) -> None:
        self._reader = HeaderReader()
        self._headers: dict[tuple[Name, Name, int, str, bool], bytes] = {}

    def encode(self, message: SessionMessage) -> Frame:
        """The frame of a message; its `connection` is not part of it."""
        (
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
            _,
        ) = message
        key = (source, destination, fanout, identity, error)
        header = self._headers.get(key)
        if header is None:
            header = header_field(source, destination, fanout, identity, error=error)
            if len(self._headers) >= _BOUND:
                self._headers.clear()
            self._headers[key] = header
        encode = varint.encode
        session = b"".join(
            (
                b"\x08" + encode(session_type) if session_type else b"",
                b"\x10" + encode(kind) if kind else b"",
                b"\x18" + encode(session_id) if session_id else b"",
                b"\x20" + encode(message_id) if message_id else b"",
            )
        )
        if isinstance(content, Payload):
            payload_type, blob = content
            inside = b""
            if payload_type:
                text = payload_type.encode()
                inside = b"\x0a" + encode(len(text)) + text
            if blob:
                inside += b"\x12" + encode(len(blob))
            length = len(inside) + len(blob)
            size = encode(length)
            pieces = (
                b"\x12", encode(len(session)), session,
                b"\x1a", encode(1 + len(size) + length), b"\x0a", size, inside, blob,
            )  # fmt: skip
            body = b"".join(pieces)
        else:
            command = encode_command(content).SerializeToString()
            inside = b"\x12" + encode(len(command)) + command
            body = b"".join((b"\x12", encode(len(session)), session, b"\x1a", encode(len(inside)), inside))
        inner = len(body)
        if metadata:
            body += pb.Message(metadata=metadata).SerializeToString(deterministic=True)
        return Frame(destination.key, destination.id, fanout, kind not in _DATA_KINDS, header, inner, body)

    def decode(self, frame: Frame) -> SessionMessage:
        """The message in a frame. Raises ProtocolError."""
        header = self._reader.read(frame.header)
        body = frame.body
        scanned = scan(body, frame.inner)
        if scanned is None or scanned.kind >= len(_KINDS) or scanned.session_type >= len(_TYPES):
            return self._decode(frame)
        metadata = None
        if frame.inner < len(body):
            metadata = dict(pb.Message.FromString(body[frame.inner :]).metadata) or None
        return SessionMessage(
            header.source,
            header.destination,
            _TYPES[scanned.session_type],
            _KINDS[scanned.kind],
            scanned.session_id,
            scanned.message_id,
            Payload(scanned.payload_type, body[scanned.blob : frame.inner]),
            header.fanout,
            metadata,
            header.identity,
            header.error,
            header.incoming_conn,
        )

    def _decode(self, frame: Frame) -> SessionMessage:
        """Any message, through protobuf."""
        try:
            message = pb.Message.FromString(frame_bytes(frame))
        except DecodeError as exc:
            raise ProtocolError("a frame that is not protobuf") from exc
        publish = message.publish
        header = self._reader.read(frame.header)
        session = publish.session
        content: Payload | None = None
        match publish.msg.WhichOneof("content_type"):
            case "app_payload":
                content = Payload(publish.msg.app_payload.payload_type, publish.msg.app_payload.blob)
            case "command_payload":
                command = decode_command(publish.msg.command_payload)
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
            dict(message.metadata) or None,
            header.identity,
            header.error,
            header.incoming_conn,
        )
