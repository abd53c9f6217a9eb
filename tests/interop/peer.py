"""One original SLIM application, or one original node, in a process of its own (`slim-bindings` 1.4).

Run as `python -m tests.interop.peer`. Each line on stdin is a command, each line on stdout a reply:

    {"id": 1, "do": "connect", "endpoint": "http://127.0.0.1:4711"}
    {"id": 1, "result": 3}              or  {"id": 1, "error": "...", "kind": "SlimError.SessionError"}

Commands run concurrently, each as its own task, and reply when they are done; `echo` goes on in the
background until `stop_echo`. Payloads travel as base64. The end of stdin ends the process. Whatever the
library itself writes to its standard output appears on stderr, so that stdout carries replies only.

The commands are the coroutine methods of `Peer`, their arguments are its parameters.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TextIO

import slim_bindings as slim

KEPT_CONTEXTS = 8192
"""Received messages that `publish_to` can still answer."""


class Peer:
    """What the process hosts: at most one application, any number of servers, connections and sessions."""

    def __init__(self) -> None:
        self.service = slim.get_global_service()
        self.app: slim.App | None = None
        self.sessions: dict[int, slim.Session] = {}
        self.contexts: dict[int, slim.MessageContext] = {}
        self.echoes: dict[int, asyncio.Task[None]] = {}
        self.echoed: dict[int, int] = {}
        self.next_ref = 0

    # Node

    async def serve(self, address: str) -> None:
        """Listen on `host:port` without TLS."""
        await self.service.run_server_async(slim.new_insecure_server_config(address))

    async def stop_server(self, address: str) -> None:
        """Close the listener on `host:port`."""
        await asyncio.to_thread(self.service.stop_server, address)

    # Application

    async def create(
        self,
        name: list[str],
        provider: dict[str, Any],
        verifier: dict[str, Any],
        direction: str = "BIDIRECTIONAL",
    ) -> dict[str, Any]:
        """Make the application; its name with the instance id is the answer."""
        # The asynchronous form needs a Tokio reactor that Python's thread does not have (1.4.1).
        self.app = self.service.create_app_with_direction(
            slim.Name(*name), provider_from(provider), verifier_from(verifier), slim.Direction[direction]
        )
        return name_to(self.app.name())

    async def connect(self, endpoint: str, subscribe: bool = True, authority: str | None = None) -> int:
        """Dial a node, with TLS when there is an `authority` file, and subscribe the application's name."""
        if authority is None:
            config = slim.new_insecure_client_config(endpoint)
        else:
            config = slim.new_secure_client_config(endpoint)
            config.tls.ca_source = slim.CaSource.FILE(authority)
        connection: int = await self.service.connect_async(config)
        if subscribe and self.app is not None:
            await self.app.subscribe_async(self.app.name(), connection)
        return connection

    async def disconnect(self, connection: int) -> None:
        """Hang up."""
        await asyncio.to_thread(self.service.disconnect, connection)

    async def subscribe(self, name: list[str], connection: int) -> None:
        """Receive for a further name."""
        await self.the_app().subscribe_async(slim.Name(*name), connection)

    async def set_route(self, name: list[str], connection: int) -> None:
        """Send what is for `name` out on `connection`."""
        await self.the_app().set_route_async(slim.Name(*name), connection)

    # Sessions

    async def create_session(
        self,
        destination: list[str],
        group: bool = False,
        mls: bool = False,
        max_retries: int | None = None,
        interval: float | None = None,
        metadata: dict[str, str] | None = None,
        timeout: float = 10.0,
    ) -> dict[str, Any]:
        """Open a session and wait until it is established."""
        config = slim.SessionConfig(
            session_type=slim.SessionType.GROUP if group else slim.SessionType.POINT_TO_POINT,
            enable_mls=mls,
            max_retries=max_retries,
            interval=None if interval is None else timedelta(seconds=interval),
            metadata=metadata or {},
        )
        made = await self.the_app().create_session_async(config, slim.Name(*destination))
        await made.completion.wait_for_async(timedelta(seconds=timeout))
        return self.announce(made.session)

    async def listen(self, timeout: float) -> dict[str, Any]:
        """Wait for the next inbound session."""
        return self.announce(await self.the_app().listen_for_session_async(timedelta(seconds=timeout)))

    async def delete_session(self, session: int, timeout: float = 10.0) -> None:
        """Close a session and wait until that is done."""
        handle = await self.the_app().delete_session_async(self.sessions.pop(session))
        await handle.wait_for_async(timedelta(seconds=timeout))

    async def invite(self, session: int, name: list[str], timeout: float = 10.0) -> None:
        """Add a member and wait until all members know."""
        handle = await self.sessions[session].invite_async(slim.Name(*name))
        await handle.wait_for_async(timedelta(seconds=timeout))

    async def remove(self, session: int, name: list[str], timeout: float = 10.0) -> None:
        """Take a member out and wait until all members know."""
        handle = await self.sessions[session].remove_async(slim.Name(*name))
        await handle.wait_for_async(timedelta(seconds=timeout))

    async def participants(self, session: int) -> list[dict[str, Any]]:
        """Who is in the session."""
        return [name_to(name) for name in await self.sessions[session].participants_list_async()]

    # Messages

    async def publish(
        self,
        session: int,
        payloads: list[str],
        acknowledged: bool = True,
        payload_type: str | None = None,
        metadata: dict[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        """Publish the payloads in order; `acknowledged` waits for every acknowledgement at the end."""
        target = self.sessions[session]
        handles = [
            await target.publish_async(base64.b64decode(payload), payload_type, metadata)
            for payload in payloads
        ]
        if acknowledged:
            async with asyncio.timeout(timeout):
                for handle in handles:
                    await handle.wait_async()

    async def publish_many(
        self, session: int, count: int, size: int, prefix: str = "", window: int = 64, timeout: float = 30.0
    ) -> float:
        """Publish `numbered` payloads, at most `window` of them unacknowledged; the seconds it took."""
        target, pending = self.sessions[session], deque[slim.CompletionHandle]()
        start = time.monotonic()
        async with asyncio.timeout(timeout):
            for number in range(count):
                if len(pending) == window:
                    await pending.popleft().wait_async()
                pending.append(await target.publish_async(numbered(prefix, number, size), None, None))
            for handle in pending:
                await handle.wait_async()
        return time.monotonic() - start

    async def publish_to(
        self,
        session: int,
        ref: int,
        payload: str,
        payload_type: str | None = None,
        metadata: dict[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Answer the sender of an earlier message alone, and wait for the acknowledgement."""
        handle = await self.sessions[session].publish_to_async(
            self.contexts[ref], base64.b64decode(payload), payload_type, metadata
        )
        await handle.wait_for_async(timedelta(seconds=timeout))

    async def receive(self, session: int, n: int, timeout: float) -> dict[str, Any]:
        """Collect `n` messages, or fewer and the reason when the time is over or the session fails."""
        source, messages, deadline = self.sessions[session], [], time.monotonic() + timeout
        while len(messages) < n:
            left = deadline - time.monotonic()
            if left <= 0:
                return {"messages": messages, "error": f"{len(messages)} of {n} messages in {timeout} s"}
            try:
                received = await source.get_message_async(timedelta(seconds=left))
            except slim.SlimError as error:
                return {"messages": messages, "error": text_of(error)}
            messages.append(self.message_to(received))
        return {"messages": messages, "error": None}

    async def echo(self, session: int, privately: bool = False) -> None:
        """Answer every message with its own payload, to all or (`privately`) to its sender alone."""
        self.echoed[session] = 0
        self.echoes[session] = asyncio.create_task(self.keep_echoing(session, privately))

    async def stop_echo(self, session: int) -> int:
        """Stop echoing; the answer is how many messages were echoed."""
        task = self.echoes.pop(session)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, slim.SlimError):
            await task
        return self.echoed.pop(session)

    async def stats(self) -> dict[str, Any]:
        """What the process has used and holds."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "pid": os.getpid(),
            "version": slim.get_version(),
            "cpu": used.ru_utime + used.ru_stime,
            "sessions": sorted(self.sessions),
            "echoed": self.echoed,
        }

    # Within

    def the_app(self) -> slim.App:
        if self.app is None:
            raise RuntimeError("no application yet: send 'create' first")
        return self.app

    def announce(self, session: slim.Session) -> dict[str, Any]:
        number: int = session.session_id()
        self.sessions[number] = session
        return {
            "session": number,
            "source": name_to(session.source()),
            "destination": name_to(session.destination()),
            "group": session.session_type() == slim.SessionType.GROUP,
            "initiator": session.is_initiator(),
            "metadata": session.metadata(),
        }

    def message_to(self, received: slim.ReceivedMessage) -> dict[str, Any]:
        self.next_ref += 1
        self.contexts[self.next_ref] = received.context
        self.contexts.pop(self.next_ref - KEPT_CONTEXTS, None)
        return {
            "payload": base64.b64encode(received.payload).decode(),
            "ref": self.next_ref,
            "source": name_to(received.context.source_name),
            "payload_type": received.context.payload_type,
            "metadata": received.context.metadata,
            "identity": received.context.identity,
        }

    async def keep_echoing(self, number: int, privately: bool) -> None:
        session = self.sessions[number]
        while True:
            try:
                received = await session.get_message_async(timedelta(seconds=60))
            except slim.SlimError as error:
                if "closed" in text_of(error):
                    return
                continue
            if privately:
                await session.publish_to_async(received.context, received.payload, None, None)
            else:
                await session.publish_async(received.payload, None, None)
            self.echoed[number] += 1


# Values of the library from and to JSON


def numbered(prefix: str, number: int, size: int) -> bytes:
    """A payload of `size` octets (more if its text needs them) that tells its sender and number."""
    return f"{prefix}:{number}:".encode().ljust(size, b".")


def name_to(name: slim.Name) -> dict[str, Any]:
    return {"components": name.components(), "id": name.id()}


def text_of(error: BaseException) -> str:
    """What the library says, without the repr that its errors put around it."""
    message = getattr(error, "message", None)
    return str(message if message is not None else error) or type(error).__name__


def key_from(spec: dict[str, Any]) -> slim.JwtKeyConfig:
    data = slim.JwtKeyData.FILE(spec["file"]) if "file" in spec else slim.JwtKeyData.DATA(spec["data"])
    return slim.JwtKeyConfig(
        algorithm=slim.JwtAlgorithm[spec["algorithm"]], format=slim.JwtKeyFormat[spec["format"]], key=data
    )


def provider_from(spec: dict[str, Any]) -> slim.IdentityProviderConfig:
    match spec["type"]:
        case "shared_secret":
            return slim.IdentityProviderConfig.SHARED_SECRET(id=spec["identity"], data=spec["secret"])
        case "static_jwt":
            return slim.IdentityProviderConfig.STATIC_JWT(
                config=slim.StaticJwtAuth(
                    token_file=spec["file"], duration=timedelta(seconds=spec["duration"])
                )
            )
        case "jwt":
            return slim.IdentityProviderConfig.JWT(
                config=slim.ClientJwtAuth(
                    key=slim.JwtKeyType.ENCODING(key=key_from(spec["key"])),
                    audience=spec["audience"],
                    issuer=spec["issuer"],
                    subject=spec["subject"],
                    duration=timedelta(seconds=spec["duration"]),
                )
            )
    raise ValueError(f"no such identity provider: {spec['type']}")


def verifier_from(spec: dict[str, Any]) -> slim.IdentityVerifierConfig:
    match spec["type"]:
        case "shared_secret":
            return slim.IdentityVerifierConfig.SHARED_SECRET(id=spec["identity"], data=spec["secret"])
        case "jwt":
            key = spec["key"]
            return slim.IdentityVerifierConfig.JWT(
                config=slim.JwtAuth(
                    key=slim.JwtKeyType.DECODING(key=key_from(key)) if key else slim.JwtKeyType.AUTORESOLVE(),
                    audience=spec["audience"],
                    issuer=spec["issuer"],
                    subject=spec["subject"],
                    duration=timedelta(seconds=spec["duration"]),
                )
            )
    raise ValueError(f"no such identity verifier: {spec['type']}")


# The process


def take_stdout() -> TextIO:
    """Keep stdout for replies and send what the library prints there to stderr."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return replies


async def lines_of_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**28)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    return reader


async def answer(peer: Peer, line: dict[str, Any], replies: TextIO) -> None:
    number, verb = line.pop("id"), line.pop("do")
    try:
        command: Callable[..., Awaitable[Any]] = getattr(peer, verb)
        reply = {"id": number, "result": await command(**line)}
    except Exception as error:  # whatever it is, the other side decides what it means
        reply = {"id": number, "error": text_of(error), "kind": type(error).__qualname__}
    replies.write(json.dumps(reply) + "\n")


async def main(replies: TextIO) -> None:
    """Obey the lines of stdin until it ends or says `quit`."""
    slim.initialize_with_configs(
        slim.new_runtime_config(),
        slim.new_tracing_config_with(os.environ.get("PEER_LOG", "warn"), False, False, []),
        [slim.new_service_config()],
    )
    peer, lines, running = Peer(), await lines_of_stdin(), set[asyncio.Task[None]]()
    while raw := await lines.readline():
        line = json.loads(raw)
        if line["do"] == "quit":
            break
        task = asyncio.create_task(answer(peer, line, replies))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    out = take_stdout()
    asyncio.run(main(out))
    # Native threads may still run; whoever started this process waits for its end, not for theirs.
    os._exit(0)
