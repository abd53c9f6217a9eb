"""Bytes to records and back (`dataplane.md` 2): the only place that knows protobuf."""

from gateway.codec.codec import WireCodec
from gateway.codec.inbound import InboundParser
from gateway.codec.outbound import encode_record, frame_bytes, frame_pieces, frames_bytes, is_data
from gateway.codec.reading import ends_of, kind_of

__all__ = [
    "InboundParser",
    "WireCodec",
    "encode_record",
    "ends_of",
    "frame_bytes",
    "frame_pieces",
    "frames_bytes",
    "is_data",
    "kind_of",
]
