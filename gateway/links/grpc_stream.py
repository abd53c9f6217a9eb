"""The gRPC library as a transport: the reference against which the fast framing is held."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakMethod

import grpc

from actors.errors import CannotConnect
from actors.routing.budget import ByteBudget
from gateway.codec import is_data
from gateway.config import ClientConfig, ServerConfig
from gateway.http2.messages import Message, SharedMessage
from gateway.links.health import Health
from gateway.links.health_service import grpc_handlers
from gateway.links.stream import METHOD_PATH, Stream, StreamHandler, StreamStatus, TellRefused
from gateway.security.auth import claimed
from identity.errors import AuthError
from identity.log import logger

_REFUSAL = 0.05
"""Seconds in which a refusal's status follows its headers."""
_SERVICE, _METHOD = METHOD_PATH.strip("/").split("/")

Headers = dict[str, str]
Accept = Callable[[Stream], None]
Authenticate = Callable[[Headers], Awaitable[str]]
"""Checks the request headers of a new stream; who it is. Raises AuthError."""


class GrpcStream:
    """One call of the library's, as a Stream. `read`, `write` and `finish` are the call's own coroutines.

    A side with `finish` calls it when all is written, and reads on until the other ends the call: a call
    whose reader is cancelled takes back what the other has not read yet.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Any]],
        write: Callable[[bytes], Awaitable[Any]],
        peer: str,
        finish: Callable[[], Awaitable[Any]] | None = None,
        *,
        budget: ByteBudget | None = None,
        certificate: bytes = b"",
        subject: str = "",
    ) -> None:
        self._certificate = certificate
        self.subject = subject
        self._budget = budget if budget is not None else ByteBudget()
        self._read, self._write, self._finish = read, write, finish
        self._peer = peer
        self._out: deque[Message] = deque()
        self._unsent = 0
        self._low = 0
        self._wake = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()
        self._handler: StreamHandler | None = None
        self._on_ended: Callable[[], None] | None = None
        self._on_going_away: Callable[[], None] | None = None
        self._going_away = False
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._lost: str | None = None
        self._told = False
        self._ended = False
        self.status = StreamStatus.OK
        self.message = ""
        self.ended = asyncio.Event()
        """Set when nothing more is to be written: the call may be ended."""

    @property
    def unsent(self) -> int:
        return self._unsent

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def certificate(self) -> bytes:
        return self._certificate

    def start(
        self, handler: StreamHandler, low_water: int, on_ended: Callable[[], None] | None = None
    ) -> None:
        self._handler, self._low, self._on_ended = handler, low_water, on_ended
        if self._lost is not None:
            self.lost(self._lost)
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._reading()), loop.create_task(self._writing())]

    def when_going_away(self, callback: Callable[[], None]) -> None:
        self._on_going_away = callback
        if self._going_away:
            self.going_away()

    def going_away(self) -> None:
        """The other side has said so."""
        self._going_away = True
        callback, self._on_going_away = self._on_going_away, None
        if callback is not None and not self._closing:
            callback()

    def send(self, messages: Sequence[Message]) -> None:
        if not self._closing:
            self._out.extend(messages)
            self._unsent += sum(map(len, messages))
            for message in messages:
                self._count(message, 1)
            self._budget.waits(self)
            if self._budget.over:
                self._budget.relieve()
            self._wake.set()

    def shed(self) -> int:
        """Drop the data that waits (`actors.routing.budget.Holder`)."""
        waiting = list(self._out)
        self._out.clear()
        for message in waiting:
            if type(message) is bytes and not is_data(message):
                self._out.append(message)
            else:
                self._unsent -= len(message)
                self._count(message, -1)
        return len(waiting) - len(self._out)

    def _count(self, message: Message, sign: int) -> None:
        """Put a message on the budget, or take it off."""
        if isinstance(message, SharedMessage):
            self._budget.add(sign * len(message.head))
            (self._budget.share if sign > 0 else self._budget.release)(message.body)
        else:
            self._budget.add(sign * len(message))

    def pause_reading(self) -> None:
        if not self._closing and not self._ended:
            self._gate.clear()

    def resume_reading(self) -> None:
        self._gate.set()

    def close(self, status: StreamStatus = StreamStatus.OK, message: str = "") -> None:
        if not self._closing:
            self._closing = True
            self.status, self.message = status, message
            self._wake.set()
            if not self._tasks:
                self.ended.set()

    def abort(self, message: str) -> None:
        self.lost(message)

    def last_read(self) -> None:
        """The other side has ended the call: read what is left of it, paused or not."""
        self._ended = True
        self._gate.set()

    def lost(self, cause: str) -> None:
        """The call is over, whoever ended it."""
        self._lost = cause
        self._closing = True
        for message in self._out:
            self._count(message, -1)
        self._out.clear()
        self._budget.settled(self)
        # The call knows this stream and this stream the call: neither may live for the other.
        self._read = self._write = _over
        self._finish = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self.ended.set()
        if not self._told and self._handler is not None:
            self._told = True
            self._handler.stream_closed(self.message or cause)

    async def _reading(self) -> None:
        assert self._handler is not None
        try:
            while (data := await self._read()) is not grpc.aio.EOF:
                self._handler.stream_messages((data,))
                if not self._gate.is_set():
                    await self._gate.wait()
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as exc:
            self.lost(_cause(exc))
        except asyncio.CancelledError:
            self.lost("the loop is ending")
            raise
        else:
            if self._on_ended is not None and not self._closing:
                self._on_ended()
            else:
                self.lost("the peer ended the stream")

    async def _writing(self) -> None:
        assert self._handler is not None
        try:
            while True:
                while self._out:
                    message = self._out.popleft()
                    # The library makes a copy of its own, and has it until the peer took it.
                    self._count(message, -1)
                    data = bytes(message)
                    del message
                    self._budget.add(len(data))
                    try:
                        await self._write(data)
                    finally:
                        self._budget.add(-len(data))
                    self._budget.progressed(self)
                    above = self._unsent > self._low
                    self._unsent -= len(data)
                    if above and self._unsent <= self._low:
                        self._handler.stream_drained()
                self._budget.settled(self)
                if self._closing:
                    break
                self._wake.clear()
                await self._wake.wait()
            if self._finish is not None:
                self._gate.set()
                await self._finish()
                return
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as exc:
            self.lost(_cause(exc))
        else:
            self.lost(self.message or "closed")


async def _over(*_: object) -> Any:
    """In place of a call's coroutines, once it is over."""
    return grpc.aio.EOF


def _call(method: WeakMethod[Any], argument: str) -> None:
    """Call a method if its object is still there."""
    if (found := method()) is not None:
        found(argument)


def _cause(exc: BaseException) -> str:
    if isinstance(exc, grpc.aio.AioRpcError):
        return f"{exc.code().name}: {exc.details()}"[:300]
    return str(exc) or type(exc).__name__


class GrpcServer:
    """Listens with the gRPC library and hands each new stream to `accept`."""

    def __init__(
        self,
        config: ServerConfig,
        accept: Accept,
        authenticate: Authenticate | None,
        credentials: grpc.ServerCredentials | None,
        check_peer: Callable[[bytes], None] | None = None,
        *,
        budget: ByteBudget,
        refused: TellRefused | None = None,
        health: Health | None = None,
    ) -> None:
        """`check_peer` refuses (AuthError) a certificate chain, in PEM, that TLS alone has let in.

        Of handshakes that fail nobody is told: the library keeps them to itself, and writes their reason to
        standard error.
        """
        self._refused = refused
        self._accept, self._authenticate = accept, authenticate
        self._check_peer = check_peer
        self._budget = budget
        keepalive = config.keepalive
        options = [
            ("grpc.max_receive_message_length", config.max_message_size),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", config.max_concurrent_streams),
            ("grpc.max_metadata_size", config.max_header_list_size),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", _ms(keepalive.ping)),
            ("grpc.keepalive_timeout_ms", _ms(keepalive.timeout)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5000),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.max_connection_age_ms", _ms(keepalive.max_connection_age)),
            ("grpc.max_connection_age_grace_ms", _ms(keepalive.max_connection_age_grace)),
            ("grpc.max_connection_idle_ms", _ms(keepalive.max_connection_idle)),
        ]
        self._server = grpc.aio.server(options=options)
        handler = grpc.stream_stream_rpc_method_handler(self._open)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),)
        )
        if health is not None:
            self._server.add_generic_rpc_handlers((grpc_handlers(health),))
        self._target = config.target()
        self._credentials = credentials

    async def start(self) -> str:
        """Listen. Returns the address with the port in use. Raises OSError."""
        target = self._target
        where = f"unix:{target}" if isinstance(target, str) else f"{_bracketed(target[0])}:{target[1]}"
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(where)
            else:
                port = self._server.add_secure_port(where, self._credentials)
                logger.warning(
                    "handshakes that fail are not told here, nor counted: the gRPC library writes their "
                    "reason to standard error; transport: fast tells them",
                    listener=where,
                )
        except RuntimeError as exc:
            raise OSError(f"cannot listen on {where}: address in use or not ours") from exc
        await self._server.start()
        return f"unix://{target}" if isinstance(target, str) else f"{_bracketed(target[0])}:{port}"

    async def stop(self, grace: float) -> None:
        """Accept nothing more; streams that are still open after `grace` seconds are cut."""
        await self._server.stop(grace)

    async def _open(self, _requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        subject, rule = "", "identity"
        try:
            if self._check_peer is not None:
                self._check_peer(_peer_chain(context))
            rule = "authentication"
            if self._authenticate is not None:
                subject = await self._authenticate(headers)
        except AuthError as exc:
            if self._refused is not None:
                self._refused(rule, _readable(context.peer()), str(exc), claimed(headers))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(exc))
        await context.send_initial_metadata(())
        leaf = b"".join(context.auth_context().get("x509_pem_cert", ()))
        stream = GrpcStream(
            context.read,
            context.write,
            context.peer(),
            budget=self._budget,
            certificate=leaf,
            subject=subject,
        )
        # The library keeps its context, and with it this callback, until its garbage is collected.
        lost = WeakMethod(stream.lost)
        context.add_done_callback(lambda _: _call(lost, "the peer is gone"))
        self._accept(stream)
        try:
            await stream.ended.wait()
        finally:
            stream.lost("the peer is gone")
        if stream.status is not StreamStatus.OK:
            await context.abort(_CODES[stream.status], stream.message)


def _readable(peer: str) -> str:
    """The library's address of a peer as other transports write it."""
    if peer.startswith("unix:"):
        return "unix socket"
    return peer.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")


def _peer_chain(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The peer's certificates, leaf first, as PEM. The library's chain may be without the leaf."""
    found = context.auth_context()
    leaf = b"".join(found.get("x509_pem_cert", ()))
    chain = b"".join(found.get("x509_pem_cert_chain", ()))
    return leaf + chain.replace(leaf, b"") if leaf else chain


_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcDialler:
    """Opens streams to one endpoint with the gRPC library."""

    def __init__(
        self,
        config: ClientConfig,
        headers: Callable[[], Awaitable[list[tuple[str, str]]]],
        credentials: Callable[[], grpc.ChannelCredentials] | None,
        method: str = METHOD_PATH,
        *,
        budget: ByteBudget,
    ) -> None:
        self._budget = budget
        self._config = config
        self._method = method
        self._headers = headers
        self._credentials = credentials
        self._closers: set[asyncio.Task[None]] = set()

    async def dial(self) -> Stream:
        """A new stream. Raises CannotConnect saying why there is none."""
        config = self._config
        target = config.target()
        where = f"unix:{target}" if isinstance(target, str) else f"{_bracketed(target[0])}:{target[1]}"
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", config.max_message_size),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 1 if config.proxy else 0),
        ]
        if config.proxy is not None:
            options.append(("grpc.http_proxy", config.proxy.url()))
        if config.origin:
            options.append(("grpc.default_authority", config.origin))
        if config.server_name:
            options.append(("grpc.ssl_target_name_override", config.server_name))
        options += [
            ("grpc.keepalive_time_ms", _ms(config.keepalive.ping)),
            ("grpc.keepalive_timeout_ms", _ms(config.keepalive.timeout)),
            ("grpc.keepalive_permit_without_calls", int(config.keepalive.while_idle)),
        ]
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(where, options)
        else:
            channel = grpc.aio.secure_channel(where, self._credentials(), options)
        metadata = [(key.lower(), value) for key, value in await self._headers()]
        call = channel.stream_stream(self._method)(metadata=metadata, wait_for_ready=False)
        try:
            async with asyncio.timeout(config.dial_timeout):
                await call.initial_metadata()
                if await _refused(call):
                    raise CannotConnect(config.endpoint, await _why(call))
        except TimeoutError as exc:
            await channel.close()
            raise CannotConnect(config.endpoint, "no answer in time") from exc
        except grpc.RpcError as exc:
            cause = await _why(call)
            await channel.close()
            raise CannotConnect(config.endpoint, cause) from exc
        except BaseException:
            await channel.close()
            raise
        stream = GrpcStream(call.read, call.write, where, call.done_writing, budget=self._budget)
        call.add_done_callback(lambda _: stream.last_read())
        closer = asyncio.get_running_loop().create_task(self._end(stream, channel))
        self._closers.add(closer)
        closer.add_done_callback(self._closers.discard)
        return stream

    @staticmethod
    async def _end(stream: GrpcStream, channel: Any) -> None:
        """Close the channel with its stream; one that takes no new calls has been told GOAWAY."""
        ready, ended = grpc.ChannelConnectivity.READY, asyncio.ensure_future(stream.ended.wait())
        leaving = asyncio.ensure_future(channel.wait_for_state_change(ready))
        try:
            await asyncio.wait((ended, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                stream.going_away()
            await ended
        finally:
            leaving.cancel()
            await channel.close()


async def _refused(call: Any) -> bool:
    """Whether the headers were those of a refusal: then its status follows them at once."""
    status = asyncio.ensure_future(call.code())
    try:
        done, _ = await asyncio.wait({status}, timeout=_REFUSAL)
    finally:
        status.cancel()
    return bool(done)


async def _why(call: Any) -> str:
    try:
        return f"{(await call.code()).name}: {await call.details()}"[:300]
    except (grpc.RpcError, asyncio.CancelledError):
        return "cancelled"


def _ms(seconds: float) -> int:
    return int(seconds * 1000) if seconds else 2**31 - 1


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
