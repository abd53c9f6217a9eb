"""Calls of `callboard ctl`: northbound to a controller, or on the control channel of one node."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.controller.northbound import SERVICE
from gateway.controller.southbound import PATH
from gateway.proto import controller_pb2 as pb
from identity.authorities import MAX_PEM_BYTES
from identity.encoding import Malformed
from identity.errors import ConfigError, SlimError
from identity.files import read_file

_TOKEN = re.compile(rb"[!-~]+")
_NOBODY = re.compile("failed to connect to all addresses|errors resolving")
_CAUSE = re.compile(r"(?:.*: )?([^:\]]+)\]?")
"""The library's own sentence names every address that a name has; its last part says why."""


class CallFailed(SlimError):
    """A controller or node refused a call, or could not be reached."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class CtlClient:
    """One channel; a context manager that closes it. `tls` holds PEM bytes by ca, cert, key; None: no TLS."""

    def __init__(
        self,
        server: str,
        timeout: float,
        metadata: tuple[tuple[str, str], ...],
        tls: dict[str, bytes | None] | None,
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._metadata = metadata
        if tls is None:
            self._channel = grpc.insecure_channel(server)
        else:
            credentials = grpc.ssl_channel_credentials(tls["ca"], tls["key"], tls["cert"])
            self._channel = grpc.secure_channel(server, credentials)

    def __enter__(self) -> CtlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: str, request: Message, reply: type[Message]) -> Any:
        """One northbound call. Raises CallFailed."""
        stub = self._channel.unary_unary(
            SERVICE + method,
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        try:
            return stub(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._failed(error) from error

    def ask_node(self, request: pb.ControlMessage) -> Iterator[pb.ControlMessage]:
        """One request on a node's control channel; every message that comes back. Raises CallFailed."""
        stub = self._channel.stream_stream(
            PATH,
            request_serializer=pb.ControlMessage.SerializeToString,
            response_deserializer=pb.ControlMessage.FromString,
        )
        try:
            yield from stub(iter((request,)), timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._failed(error) from error

    def _failed(self, error: grpc.RpcError) -> CallFailed:
        status, text = error.code().name, error.details() or "no reason given"
        if status == "UNAVAILABLE" and _NOBODY.match(text):
            cause = _CAUSE.fullmatch(text)
            text = (
                f"cannot connect to {self._server} ({cause[1] if cause else text}); is a controller "
                "listening there (callboard controller), or a node that serves it (--server HOST:PORT)?"
            )
        return CallFailed(status, text)


def credentials(basic: str, token_file: str) -> tuple[tuple[str, str], ...]:
    """The metadata that shows who we are. Raises ConfigError."""
    if basic and token_file:
        raise ConfigError("--basic-auth-creds and --token-file exclude each other", field="auth")
    if basic:
        if ":" not in basic:
            raise ConfigError("--basic-auth-creds wants USER:PASSWORD", field="auth")
        return (("authorization", "Basic " + base64.b64encode(basic.encode()).decode()),)
    if token_file:
        token = pem(token_file).strip()
        if not _TOKEN.fullmatch(token):
            raise ConfigError(f"{token_file}: not a token", field="auth")
        return (("authorization", f"Bearer {token.decode('ascii')}"),)
    return ()


def pem(path: str) -> bytes:
    """The bytes of a file. Raises ConfigError naming it."""
    try:
        return read_file(path, max_bytes=MAX_PEM_BYTES).data
    except Malformed as error:
        raise ConfigError(f"cannot read {path}: {error}", field="file") from None


message_ids = (f"ctl-{number}" for number in itertools.count(1))
"""Ids for what is asked of nodes."""
