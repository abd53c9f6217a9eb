"""Listening sockets, and what becomes of a connection until it is a `Wire`.

    socket ── accept ──► TLS handshake, if there is to be one ──► wire
                │                 └─ failed: refused "handshake"
                ├─ its address has as many as it may: closed unread
                ├─ as many on their way as a server may have connections: refused "max_connections"
                └─ no descriptor left: taken by the spare one and closed, refused "descriptors"

A loop's own server would write a traceback for each attempt to accept without a descriptor, and try again at
once. Here the peer is told by a closed connection, and people by a line every ten seconds.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl as tls
import stat
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress

from actors.alarm import Alarm
from gateway.http2.errors import PeerIdentityRefused
from gateway.http2.limits import Counters
from identity.log import logger

BACKLOG = 1024
PAUSE = 0.1
"""Seconds until the next try, when accepting fails and there is no spare descriptor either."""
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

Refused = Callable[[str, str, str], None]
"""Told of a connection that was not let in: by which rule, from which address, and why in words."""


class PerHost:
    """How many connections each host has, from their first moment to their last, at all listeners that share
    this. `most` says how many one may have now; None: no limit.
    """

    def __init__(self, most: Callable[[], int | None] = lambda: None) -> None:
        self._most = most
        self._hosts: Counter[object] = Counter()

    def take(self, host: object) -> bool:
        """One more of `host`, unless it has as many as it may."""
        most = self._most()
        if most is not None and self._hosts[host] >= most:
            return False
        self._hosts[host] += 1
        return True

    def leave(self, host: object) -> None:
        """One of them is over."""
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    def __len__(self) -> int:
        return len(self._hosts)


class Acceptor:
    """Accepts on `sockets`, which it owns, and makes each connection one of `make`'s protocols.

    `limit` is how many may be on their way at a time; `busy` says how many there are besides. `refused` is
    told of handshakes that failed; without it they are logged here, now and then. `per_host` counts those of
    each host; who owns them says by `left` when one is over that came up.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        make: Callable[[], asyncio.Protocol],
        ssl: tls.SSLContext | None,
        *,
        handshake_timeout: float,
        limit: int,
        busy: Callable[[], int],
        counters: Counters,
        refused: Refused | None = None,
        per_host: PerHost | None = None,
    ) -> None:
        self._per_host = PerHost() if per_host is None else per_host
        self._host_of: dict[asyncio.Protocol, object] = {}
        self.sockets = sockets
        self._refused = refused
        self._make = make
        self._ssl = ssl
        self._handshake_timeout = None if ssl is None else handshake_timeout
        self._limit, self._busy = limit, busy
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._spare = _spare()
        self._alarm, self._handshake_alarm = Alarm(), Alarm()
        self._coming: set[asyncio.Task[None]] = set()
        self._accepting = [self._loop.create_task(self._accept_on(one)) for one in sockets]

    async def close(self) -> None:
        """Accept no more, and give up those that are on their way. Idempotent."""
        sockets, self.sockets = self.sockets, []
        tasks = [*self._accepting, *self._coming]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in sockets:
            one.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    async def _accept_on(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(sock)
            except OSError as exc:
                if exc.errno == errno.ECONNABORTED:
                    continue
                if exc.errno in _NO_DESCRIPTOR and self._refuse_one(sock):
                    self._counters.refuse("descriptors")
                    self._warn("no descriptor is left: connections are refused", exc)
                    # Others have their turn, however many come.
                    await asyncio.sleep(0)
                else:
                    self._warn("connections cannot be accepted", exc)
                    await asyncio.sleep(PAUSE)
                continue
            if len(self._coming) + self._busy() > self._limit:
                self._counters.refuse("max_connections")
                if self._refused is not None:
                    self._refused("connections", shown(address), "too many connections: closed unread")
                connection.close()
                continue
            host = _host(address)
            if host is not None and not self._per_host.take(host):
                if self._refused is not None:
                    self._refused(
                        "connections_per_address", shown(address), f"{host} has too many: closed unread"
                    )
                connection.close()
                continue
            made = self._make()
            if host is not None:
                self._host_of[made] = host
            task = self._loop.create_task(self._bring(made, connection, address))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    def _refuse_one(self, sock: socket.socket) -> bool:
        """Take the connection that comes next, and close it. Returns whether there was a descriptor."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        try:
            connection, _ = sock.accept()
            connection.close()
        except OSError as exc:
            return exc.errno not in _NO_DESCRIPTOR
        finally:
            self._spare = _spare()
        return True

    async def _bring(self, made: asyncio.Protocol, connection: socket.socket, address: object) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: made, connection, ssl=self._ssl, ssl_handshake_timeout=self._handshake_timeout
            )
        except asyncio.CancelledError:
            self.left(made)
            raise
        except OSError as exc:
            # Of TLS, or of a peer that is gone again. The cause is text of the library, not of the peer.
            connection.close()
            self.left(made)
            if self._ssl is not None:
                self._counters.refuse("handshake")
                self._handshake_failed(address, exc)

    def left(self, made: asyncio.Protocol) -> None:
        """A connection is over. Idempotent."""
        host = self._host_of.pop(made, None)
        if host is not None:
            self._per_host.leave(host)

    def _handshake_failed(self, address: object, exc: OSError) -> None:
        cause = _cause(exc)
        if self._refused is not None:
            if not isinstance(exc, ConnectionResetError):
                # Who hangs up, as who only asks whether the port is open, was not refused.
                rule = "identity" if isinstance(exc, PeerIdentityRefused) else "handshake"
                self._refused(rule, shown(address), cause)
        elif self._handshake_alarm.is_due(self._loop.time()):
            count = self._counters.refusals["handshake"]
            logger.warning("TLS handshake refused", peer=shown(address), cause=cause, count=count)

    def _warn(self, text: str, exc: OSError) -> None:
        if self._alarm.is_due(self._loop.time()):
            count = self._counters.refusals.get("descriptors", 0)
            logger.warning(text, cause=exc.strerror or str(exc), count=count)


def _host(address: object) -> object:
    """What connections are counted by; None for a unix socket."""
    return address[0] if isinstance(address, tuple) else None


def shown(address: object) -> str:
    """An address of a socket, for people: as it stands in an endpoint."""
    if not isinstance(address, tuple):
        return "unix socket"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cause(exc: OSError) -> str:
    """Why a handshake failed, in the library's words."""
    # Only errors that OpenSSL made have these.
    certificate, reason = getattr(exc, "verify_message", ""), getattr(exc, "reason", "")
    if certificate:
        return f"the certificate is refused: {certificate}"
    if reason:
        return _WORDS.get(reason, reason.replace("_", " ").lower())
    return str(exc) or type(exc).__name__


_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate was shown",
    "HTTP_REQUEST": "the peer speaks no TLS",
    "WRONG_VERSION_NUMBER": "the peer speaks no TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not take our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not take our certificate",
}
"""Reasons of the library that say too little as they are."""


def _spare() -> int | None:
    """A descriptor to give up when there is no other; None when there is none already."""
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


async def tcp_sockets(host: str | None, port: int) -> list[socket.socket]:
    """Listening sockets for all addresses of `host` (None: all interfaces). Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as held:
        made = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = held.enter_context(socket.socket(family, kind, protocol))
            except OSError:
                # An address of a family that this machine does not have.
                continue
            if sys.platform != "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                one.bind(address)
            except OSError as exc:
                text = f"error while attempting to bind on address {address!r}: {exc.strerror}"
                raise OSError(exc.errno, text) from exc
            made.append(_listening(one))
        if not made:
            raise OSError(errno.EADDRNOTAVAIL, f"{host or 'this machine'} has no address to listen on")
        held.pop_all()
        return made


def unix_socket(path: str) -> socket.socket:
    """A listening socket at `path`, in place of one that somebody left there. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    with ExitStack() as held:
        one = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            one.bind(path)
        except OSError as exc:
            raise OSError(exc.errno, f"{path!r} cannot be listened on: {exc.strerror}") from exc
        held.pop_all()
        return _listening(one)


def _listening(one: socket.socket) -> socket.socket:
    one.setblocking(False)
    one.listen(BACKLOG)
    return one
