"""Thespian's `multiprocTCPBase`, made safe: keyed frames, one bound address, bounded reads.

As it comes the base unpickles whatever arrives on any actor's port, and listens on all interfaces. Thespian
has no parameter for either; its seam is the names in its TCP transport module: the serializer, the buffer
that reads frames, the two prepared acknowledgements and the class of addresses. `install` replaces these five
in each process of the system, as its transport is made. They hold for the whole process, so a process cannot
run a keyed and an open base side by side; that is as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from ipaddress import AddressValueError, IPv4Address
from types import SimpleNamespace
from typing import Any

from thespian.actors import ActorAddress, ActorSystem
from thespian.system import multiprocTCPBase
from thespian.system.transport import TCPTransport as tcp
from thespian.system.transport.IPBase import TCPv4ActorAddress
from thespian.system.transport.streamBuffer import ackDataErrPacket, ackPacket
from thespian.system.utilis import thesplog_control

from actors.system.errors import KeyedError
from actors.system.keyed import ClusterKey, KeyedSerializer
from actors.system.vocabulary import MessageCodec
from identity.errors import ConfigError

MAX_FRAME = 16 * 1024 * 1024
"""Bytes of the largest frame a port reads, unless the system is given another number."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all processes of one keyed system share. Child processes inherit it; no port ever carries it."""

    key: ClusterKey
    host: str
    vocabulary: MessageCodec | None
    max_frame: int


_installed: Settings | None = None


def keyed_actor_system(
    *,
    key: bytes | None,
    port: int,
    host: str = "127.0.0.1",
    vocabulary: MessageCodec | None = None,
    max_frame: int = MAX_FRAME,
    capabilities: dict[str, Any] | None = None,
    log_defs: dict[str, Any] | None = None,
) -> ActorSystem:
    """Start (or join) a system of actor processes whose administrator listens on `host:port`.

    Every process of it listens on `host` only, a numeric IPv4 address. `vocabulary` is what the actors may
    say beside plain values. The system is not the process-wide singleton; end it with its `shutdown`.

    Raises ConfigError without a key of 32 bytes or more, for a host that is not one address, for capabilities
    that route through the administrator, and when this process runs a keyed system with other settings.
    """
    settings = Settings(ClusterKey(key), _one_address(host), vocabulary, max_frame)
    capabilities = {**(capabilities or {}), "Admin Port": port}
    for routing in ("Admin Routing", "Outbound Only"):
        if capabilities.get(routing):
            raise ConfigError(
                f"a keyed system does not route: remove the capability {routing!r}", field="capabilities"
            )
    install(settings)
    base = KeyedSystemBase(SimpleNamespace(capabilities=capabilities), logDefs=log_defs)
    return ActorSystem(systemBase=base, capabilities=capabilities, transientUnique=True)


def _one_address(host: str) -> str:
    try:
        address = IPv4Address(host)
    except AddressValueError as error:
        raise ConfigError(
            f"{host!r} is not a numeric IPv4 address, such as 127.0.0.1", field="host"
        ) from error
    if address.is_unspecified:
        raise ConfigError("name the one address to listen on; 0.0.0.0 means all of them", field="host")
    return str(address)


def install(settings: Settings) -> None:
    """Replace what Thespian's TCP transport reads and writes with, and where it listens. Idempotent.

    Raises ConfigError when other settings are in force in this process.
    """
    global _installed
    if _installed is not None:
        if _installed != settings:
            raise ConfigError("this process runs a keyed system with other settings already", field="key")
        return
    serializer = KeyedSerializer(settings.key, settings.vocabulary)
    tcp.serializer = serializer
    tcp.ReceiveBuffer = partial(FrameBuffer, max_frame=settings.max_frame)
    tcp.ackMsg = tcp.toSendBuffer(ackPacket, serializer.dumps)
    tcp.ackDataErrMsg = tcp.toSendBuffer(ackDataErrPacket, serializer.dumps)
    tcp.TCPv4ActorAddress = type("KeyedAddress", (BoundAddress,), {"host": settings.host})
    # Thespian's own log quotes messages, in a file that everybody can read.
    thesplog_control(tmpFileMaxSize=0, useLogging=False)
    _installed = settings


class BoundAddress(TCPv4ActorAddress):  # type: ignore[misc]
    """An address of Thespian's TCP transport that listens where it says, not on every interface."""

    host = "127.0.0.1"

    def __init__(
        self, initialIPAddr: str | None = None, initialIPPort: int = 0, external: Any = False
    ) -> None:
        super().__init__(initialIPAddr or self.host, initialIPPort, external)

    @property
    def bindArgs(self) -> tuple[tuple[str, int]]:
        return (self.sockname,)

    def __reduce__(self) -> tuple[Any, ...]:
        # The subclass that `install` makes exists in this process only.
        return (BoundAddress, self.sockname)


class FrameBuffer:
    """Reads one frame, `<length in digits>><length bytes>`, and never more than `max_frame` bytes.

    Has the methods of Thespian's ReceiveBuffer. What is no frame, too large or forged counts as complete and
    without content, which the transport answers by closing the connection it came on.
    """

    MAX_DIGITS = 10

    __slots__ = ("_body", "_extra", "_header", "_loads", "_max_frame", "_refused", "_size")

    def __init__(self, loads: Any, *, max_frame: int) -> None:
        self._loads = loads
        self._max_frame = max_frame
        self._header = b""
        self._body = bytearray()
        self._extra = b""
        self._size: int | None = None
        self._refused = False

    def addMore(self, data: bytes) -> None:
        """Take what a read brought."""
        if self._refused or not data:
            return
        if self._size is None:
            header, mark, data = (self._header + data).partition(b">")
            if not mark and len(header) <= self.MAX_DIGITS:
                self._header = header
                return
            if len(header) > self.MAX_DIGITS or not header.isdigit() or int(header) > self._max_frame:
                self._refused = True
                return
            self._size = int(header)
        missing = self._size - len(self._body)
        self._body += data[:missing]
        self._extra += data[missing:]

    def is_empty(self) -> bool:
        """Whether nothing has come yet."""
        return self._size is None and not self._header and not self._refused

    def remainingAmount(self) -> int:
        """Bytes to read next."""
        return self.MAX_DIGITS + 1 if self._size is None else self._size - len(self._body)

    def isDone(self) -> bool:
        """Whether no more should be read."""
        return self._refused or (self._size is not None and len(self._body) == self._size)

    def removeExtra(self) -> None:
        """Forget what came after the frame."""
        self._extra = b""

    def completed(self) -> tuple[Any, bytes] | None:
        """The value of the frame and what came after it; None when it is not complete, or refused."""
        if self._refused or not self.isDone():
            return None
        try:
            return self._loads(bytes(self._body)), self._extra
        except KeyedError:
            self._refused = True
            return None


class KeyedEndpoint(tcp.TCPEndpoint):  # type: ignore[misc]
    """What a parent process gives its child to start from: Thespian's part, and the settings."""

    def __init__(self, settings: Settings, *args: Any) -> None:
        super().__init__(*args)
        self.settings = settings


class KeyedTransport(tcp.TCPTransport):  # type: ignore[misc]
    """Thespian's TCP transport; whichever process makes one has the keyed parts in place first."""

    def __init__(self, start: Any, *args: Any) -> None:
        if isinstance(start, KeyedEndpoint):
            install(start.settings)
        if _installed is None:
            raise ConfigError("a keyed transport is made by keyed_actor_system only", field="key")
        super().__init__(start, *args)

    def prepEndpoint(self, address: ActorAddress, capabilities: dict[str, Any]) -> KeyedEndpoint:
        assert _installed is not None
        return KeyedEndpoint(_installed, *super().prepEndpoint(address, capabilities).args)


class KeyedSystemBase(multiprocTCPBase.ActorSystemBase):  # type: ignore[misc]
    """`multiprocTCPBase` on the keyed transport. Made by `keyed_actor_system`."""

    transportType = KeyedTransport
