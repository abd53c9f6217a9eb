"""A family of wires: what differs between generations of SLIM that cannot read one another's messages.

Everything that knows bytes takes its family as an argument. There is one today; another one is another value
here, and no question asked anywhere else. Instance ids of different families differ in length, so that
names of one are never those of another in a table, and an encoded form belongs to one family.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple, Protocol

from actors.errors import ProtocolError
from actors.memo import Memo
from actors.names import NO_INSTANCE, InstanceId, Name, hashes_of, key_of
from actors.record import record
from actors.routing.shares import NAME_BOUND
from gateway.proto import dataplane_pb2 as pb

TEXTS = 1024
"""Texts in names that are worth having once."""


@record
class HeaderFields(NamedTuple):
    """Numbers of the fields of a SLIMHeader that are written and found without protobuf."""

    source: int
    destination: int
    fanout: int
    identity: int
    error: int


class NameCodec(Protocol):
    """Names to protobuf and back."""

    def encode(self, name: Name) -> bytes:
        """The serialised Name, kept with it once made."""

    def message(self, name: Name) -> pb.Name:
        """The protobuf form."""

    def decode(self, message: pb.Name, *, longest: int | None = NAME_BOUND) -> Name:
        """A Name of the protocol's. Raises ProtocolError when one of its halves is missing, or when it has
        more than `longest` characters."""


@dataclass(frozen=True, slots=True)
class Family:
    """One generation, as the codec needs it."""

    versions: str
    """Of the original, for people."""
    schema: ModuleType
    """The protobuf messages."""
    header: HeaderFields
    names: NameCodec
    no_instance: InstanceId
    """The instance id of a name that stands for any instance, or for a channel: route tables are told it."""
    link_key: int
    """Octets of the key on which both ends of a link agree, to seal headers with; 0: they are not sealed."""


class _LongIds:
    """Names whose instance ids are 64-bit numbers."""

    def __init__(self) -> None:
        self._texts: Memo[str, str] = Memo(TEXTS)
        """Organisations and namespaces: one text serves thousands of names."""

    def encode(self, name: Name) -> bytes:
        wire = name.wire
        if wire is None:
            (a, b, c), (x, y, z) = hashes_of(name.key), name.strings
            wire = pb.Name(
                name=pb.EncodedName(component_0=a, component_1=b, component_2=c, component_3=name.id),
                str_name=pb.StringName(str_component_0=x, str_component_1=y, str_component_2=z),
            ).SerializeToString()
            name.remember(wire)
        return wire

    def message(self, name: Name) -> pb.Name:
        return pb.Name.FromString(self.encode(name))

    def decode(self, message: pb.Name, *, longest: int | None = NAME_BOUND) -> Name:
        # Peers of the reference implementation read both halves without a check, so a message that lacks
        # one must not be handed on to them (`dataplane.md` 2.3).
        if not message.HasField("name") or not message.HasField("str_name"):
            raise ProtocolError("a name without its hashes or its strings")
        hashes, strings = message.name, message.str_name
        texts = strings.str_component_0, strings.str_component_1, strings.str_component_2
        length = sum(map(len, texts))
        if longest is not None and length > longest:
            raise ProtocolError(f"a name of {length} characters, at most {longest} may be")
        return Name.from_wire(
            key_of(hashes.component_0, hashes.component_1, hashes.component_2),
            (self._once(texts[0]), self._once(texts[1]), texts[2]),
            hashes.component_3.to_bytes(8),
        )

    def _once(self, text: str) -> str:
        # Not interned: some Pythons never let go of what is, and peers choose it.
        return self._texts.get(text) or self._texts.remember(text, text)


FIRST = Family(
    versions="0.7 - 1.4",
    schema=pb,
    header=HeaderFields(source=1, destination=2, fanout=3, identity=4, error=8),
    names=_LongIds(),
    no_instance=NO_INSTANCE,
    link_key=0,
)
"""The wire of 0.7 to 1.4."""
