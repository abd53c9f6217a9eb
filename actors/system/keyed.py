"""The keyed serializer: what travels between the processes of a `multiprocTCPBase` instead of pickles.

    frame = HMAC-SHA256(key, body) (32 bytes) || body (msgpack)

The tag is checked before a single byte of the body is decoded. The body can hold plain values, addresses,
messages of the vocabulary (their own msgpack form), and Thespian's own messages from the allow-list below:
their fields are set on a bare instance, so no constructor and no code of the sender's choice ever runs. The
messages by which Thespian moves source code between hosts are not on the list.

The key proves who speaks; it hides nothing, and a frame that was recorded on the way can be sent again. Use
it on loopback or on a network of one's own.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgpack
from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ActorSystemConventionUpdate,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    WakeupMessage,
)
from thespian.system.addressManager import CannotPickleAddress
from thespian.system.logdirector import LogAggregator, LoggerExitRequest
from thespian.system.messages import admin, convention, multiproc, status
from thespian.system.timing import ExpirationTimer

from actors.system.address import Address, address_from_text, address_to_text
from actors.system.errors import BadFrame, NotAllowed
from actors.system.vocabulary import MessageCodec
from identity.errors import ConfigError

TAG_BYTES = 32
MIN_KEY_BYTES = 32
ALLOWED: tuple[type, ...] = (
    ActorExitRequest,
    ActorSystemConventionUpdate,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    WakeupMessage,
    LogAggregator,
    LoggerExitRequest,
    admin.CapabilityUpdate,
    admin.HandleDeadLetters,
    admin.NewCapabilities,
    admin.PendingActor,
    admin.PendingActorResponse,
    admin.QueryAck,
    admin.QueryExists,
    admin.SystemShutdown,
    admin.SystemShutdownCompleted,
    convention.ConventionDeRegister,
    convention.ConventionInvite,
    convention.ConventionRegister,
    convention.NotifyOnSystemRegistration,
    multiproc.EndpointConnected,
    multiproc.LoggerConnected,
    status.Thespian_ActorStatus,
    status.Thespian_StatusReq,
    status.Thespian_SystemStatus,
    ExpirationTimer,
)
"""Thespian's classes that may cross a process boundary."""

# msgpack's extension types of the body.
_TUPLE, _ADDRESS, _TIMEDELTA, _OBJECT, _MESSAGE, _LOG_RECORD = range(1, 7)

_BY_NAME = {f"{cls.__module__}:{cls.__qualname__}": cls for cls in ALLOWED}
_NAMES = {cls: name for name, cls in _BY_NAME.items()}
# What a log record is reduced to: text and numbers.
_LOG_FIELDS = (
    *("name", "msg", "levelname", "levelno", "pathname", "filename", "module", "lineno", "funcName"),
    *("created", "msecs", "process", "processName", "threadName", "exc_text", "actorAddress"),
)


def _without_message(text: str) -> str:
    """The text of a log record; where Thespian quotes the message that an actor failed on, it is left out."""
    before, quoted, _ = text.partition(" exception on message ")
    return f"{before} exception on a message" if quoted else text


class ClusterKey:
    """The secret that the processes of one system share, at least 32 bytes. Shows itself to nobody."""

    __slots__ = ("_bytes",)

    def __init__(self, key: bytes | None) -> None:
        """Raises ConfigError when there is no key or a short one."""
        if not key:
            raise ConfigError(
                "multiprocTCPBase does not start without a key; give it 32 random bytes", field="key"
            )
        if len(key) < MIN_KEY_BYTES:
            raise ConfigError(
                f"the key has {len(key)} bytes and needs {MIN_KEY_BYTES}; `openssl rand 32` makes one",
                field="key",
            )
        self._bytes = bytes(key)

    def __repr__(self) -> str:
        return f"<Key of {len(self._bytes)} bytes>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterKey) and hmac.compare_digest(self._bytes, other._bytes)

    __hash__ = None  # type: ignore[assignment]

    def tag(self, body: bytes | memoryview) -> bytes:
        """HMAC-SHA256 of `body`."""
        return hmac.digest(self._bytes, body, "sha256")


class KeyedSerializer:
    """`dumps` and `loads`, as Thespian's TCP transport calls its serializer."""

    def __init__(self, key: ClusterKey, vocabulary: MessageCodec | None = None) -> None:
        self._key = key
        self._vocabulary = vocabulary
        self._decoders: dict[int, Callable[[bytes], Any]] = {
            _TUPLE: lambda data: tuple(self._unpack(data)),
            _ADDRESS: lambda data: address_from_text(data.decode("ascii")),
            _TIMEDELTA: lambda data: timedelta(*self._unpack(data)),
            _OBJECT: self._object,
            _MESSAGE: self._message,
            _LOG_RECORD: lambda data: logging.makeLogRecord(self._unpack(data)),
        }

    def dumps(self, value: Any) -> bytes:
        """The frame of `value`. Raises NotAllowed, or Thespian's CannotPickleAddress (it will try again)."""
        body = self._pack(value)
        return self._key.tag(body) + body

    def loads(self, frame: bytes) -> Any:
        """The value of a frame. Raises BadFrame, before decoding anything unless the tag is right."""
        if len(frame) < TAG_BYTES:
            raise BadFrame("short", f"a frame of {len(frame)} bytes; one has at least {TAG_BYTES}")
        body = memoryview(frame)[TAG_BYTES:]
        if not hmac.compare_digest(self._key.tag(body), frame[:TAG_BYTES]):
            raise BadFrame("forged", "a frame was not made with this system's key")
        try:
            return self._unpack(body)
        except BadFrame:
            raise
        except Exception as error:
            raise BadFrame("damaged", f"a frame cannot be decoded ({type(error).__name__})") from error

    def _pack(self, value: Any) -> bytes:
        # strict_types: a tuple must stay one, and a subclass of dict or str is nothing we know.
        try:
            packed: bytes = msgpack.packb(value, default=self._default, strict_types=True)
            return packed
        except (ValueError, OverflowError, TypeError) as error:
            raise NotAllowed(type(value).__name__) from error

    def _unpack(self, data: bytes | memoryview) -> Any:
        return msgpack.unpackb(data, ext_hook=self._ext, strict_map_key=False)

    def _default(self, value: Any) -> msgpack.ExtType:
        # A record may be a tuple too, and is the vocabulary's.
        if type(value) is tuple:
            return msgpack.ExtType(_TUPLE, self._pack(list(value)))
        if isinstance(value, Address):
            # Nobody could answer to it: the loop's actors live in this process only.
            raise NotAllowed("an address of the loop")
        if isinstance(value, ActorAddress):
            return msgpack.ExtType(_ADDRESS, address_to_text(value).encode("ascii"))
        if isinstance(value, timedelta):
            return msgpack.ExtType(_TIMEDELTA, self._pack([value.days, value.seconds, value.microseconds]))
        if isinstance(value, logging.LogRecord):
            fields = {name: getattr(value, name, None) for name in _LOG_FIELDS}
            fields["msg"] = _without_message(str(value.msg))
            return msgpack.ExtType(_LOG_RECORD, self._pack(fields))
        name = _NAMES.get(type(value))
        if name is not None:
            return msgpack.ExtType(_OBJECT, self._pack([name, vars(value)]))
        return msgpack.ExtType(_MESSAGE, self._packed_message(value))

    def _packed_message(self, value: Any) -> bytes:
        type_name = f"{type(value).__module__}.{type(value).__qualname__}"
        if self._vocabulary is None:
            raise NotAllowed(type_name)
        try:
            return self._vocabulary.pack(value)
        except CannotPickleAddress:
            raise
        except Exception as error:
            raise NotAllowed(type_name) from error

    def _ext(self, code: int, data: bytes) -> Any:
        decode = self._decoders.get(code)
        if decode is None:
            raise BadFrame("class", f"a frame holds an unknown extension type ({code})")
        return decode(data)

    def _object(self, data: bytes) -> Any:
        name, fields = self._unpack(data)
        cls = _BY_NAME.get(name)
        if cls is None or not isinstance(fields, dict):
            raise BadFrame("class", "a frame holds an object of a class that is not allowed")
        value: Any = object.__new__(cls)
        vars(value).update(fields)
        return value

    def _message(self, data: bytes) -> Any:
        if self._vocabulary is None:
            raise BadFrame("class", "a frame holds a message, and this system has no vocabulary")
        return self._vocabulary.unpack(data)
