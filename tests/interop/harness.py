"""Originals and nodes as asynchronous context managers.

    async with OriginalNode() as node, OriginalApp("alice", node.endpoint) as alice:
        ...

Each is a process of its own, driven with bounded waits. Leaving the block ends the process, whatever happened
inside; when that was an exception, what the process wrote to stderr is added to it as a note.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import itertools
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALLBOARD = Path(sys.executable).with_name("callboard")
READY = "listening on "
SECRET = "a-shared-secret-of-more-than-32-bytes"
GRACE = 15.0
"""Seconds beyond a command's own timeout after which the process itself is taken for stuck."""

requires_originals = pytest.mark.skipif(
    importlib.util.find_spec("slim_bindings") is None,
    reason="slim-bindings has no wheel for this platform (`make install` tries to install it)",
)


class PeerError(Exception):
    """A peer answered a command with an error."""

    def __init__(self, peer: str, verb: str, text: str, kind: str) -> None:
        super().__init__(f"{peer}: {verb}: {kind}: {text}")
        self.text = text
        self.kind = kind


# Values


class PeerName(NamedTuple):
    """A name as the original prints it."""

    components: tuple[str, ...]
    id: int


class Message(NamedTuple):
    """One received message; `ref` is what `publish_to` answers."""

    payload: bytes
    ref: int
    source: PeerName
    payload_type: str
    metadata: dict[str, str]
    identity: str


@dataclass(frozen=True, slots=True)
class Secret:
    """Both ends share one secret."""

    secret: str = field(default=SECRET, repr=False)

    def provider(self, name: str) -> dict[str, Any]:
        return {"type": "shared_secret", "identity": name, "secret": self.secret}

    verifier = provider


@dataclass(frozen=True, slots=True)
class JwtKey:
    """A key as the original's configuration names it: its text or its file."""

    algorithm: str
    format: str = "PEM"
    data: str | None = field(default=None, repr=False)
    file: str | None = None

    def spec(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Jwt:
    """Signs with `private` or shows `token_file`; verifies with `public`, or by the issuer's keys (None)."""

    private: JwtKey | None = None
    token_file: str | None = None
    public: JwtKey | None = None
    issuer: str | None = None
    audience: Sequence[str] | None = None
    subject: str | None = None
    verify_audience: Sequence[str] | None = None
    verify_issuer: str | None = None
    verify_subject: str | None = None
    duration: float = 3600.0

    def provider(self, name: str) -> dict[str, Any]:
        if self.token_file is not None:
            return {"type": "static_jwt", "file": self.token_file, "duration": self.duration}
        assert self.private is not None
        return {
            "type": "jwt",
            "key": self.private.spec(),
            "audience": self.audience,
            "issuer": self.issuer,
            "subject": self.subject or name,
            "duration": self.duration,
        }

    def verifier(self, name: str) -> dict[str, Any]:
        return {
            "type": "jwt",
            "key": self.public and self.public.spec(),
            "audience": self.verify_audience,
            "issuer": self.verify_issuer,
            "subject": self.verify_subject,
            "duration": self.duration,
        }


Identity = Secret | Jwt


# Processes


class Process:
    """A child process: its stderr kept, its end certain."""

    def __init__(self, label: str, *command: str) -> None:
        self.label = label
        self._command = command
        self._stderr: deque[str] = deque(maxlen=200)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self.process.pid

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, f"{self.label} is not running"
        return self._process

    @property
    def stderr(self) -> str:
        """The last lines that it wrote to stderr."""
        return "".join(self._stderr)

    async def launch(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**28,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "RUST_BACKTRACE": "0"},
        )
        self._tasks.append(asyncio.create_task(self._keep_stderr()))

    async def end(self) -> None:
        """Close its stdin, wait a moment, then kill it."""
        if self._process is None:
            return
        for task in self._tasks:
            task.cancel()
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 1.0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def pause(self) -> None:
        """Stop the process as if its machine hung, until `resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process without a word to its peers."""
        self.process.kill()

    async def start(self) -> None:
        await self.launch()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException as error:
            await self.end()
            self._explain(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()
        if error is not None:
            self._explain(error)

    def _explain(self, error: BaseException) -> None:
        if self._stderr:
            error.add_note(f"--- stderr of {self.label} ---\n{self.stderr}")

    async def _keep_stderr(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self._stderr.append(line.decode(errors="replace"))


class Peer(Process):
    """The process of `tests.interop.peer`: commands out, replies in."""

    def __init__(self, label: str) -> None:
        super().__init__(label, sys.executable, "-m", "tests.interop.peer")
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def launch(self) -> None:
        await super().launch()
        self._tasks.append(asyncio.create_task(self._read_replies()))

    async def ask(self, verb: str, *, wait: float = 10.0, **arguments: Any) -> Any:
        """Send one command and wait for its reply.

        Raises PeerError when the reply is an error, TimeoutError when none came `GRACE` seconds after `wait`.
        """
        number = next(self._numbers)
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"id": number, "do": verb, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(wait + GRACE):
                await stdin.drain()
                line = await reply
        except (TimeoutError, ConnectionError) as error:
            error.add_note(f"{self.label}: no reply to {verb!r}")
            raise
        finally:
            del self._waiting[number]
        if "error" in line:
            raise PeerError(self.label, verb, line["error"], line["kind"])
        return line["result"]

    async def _read_replies(self) -> None:
        assert self.process.stdout is not None
        while raw := await self.process.stdout.readline():
            line = json.loads(raw)
            waiting = self._waiting.get(line["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(line)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError(f"{self.label} ended"))


# Nodes


class OriginalNode(Peer):
    """An original node that listens on the loopback interface."""

    def __init__(self, port: int = 0) -> None:
        super().__init__("original node")
        self.port = port or free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    async def start(self) -> None:
        await self.launch()
        await self.ask("serve", address=self.address)


class CallboardNode(Process):
    """A node of ours: `callboard start`, known by the ready line on its stdout.

    `options` are further flags; with `certificate` and `key` (files) it speaks TLS.
    """

    def __init__(
        self,
        port: int = 0,
        *options: str,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        listen = f"127.0.0.1:{port}"
        security = ["--insecure"]
        if certificate is not None:
            security = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        super().__init__("callboard node", str(CALLBOARD), "start", "--listen", listen, *security, *options)
        self.address = listen
        self._scheme = "http" if certificate is None else "https"

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://{self.address}"

    async def start(self) -> None:
        await self.launch()
        assert self.process.stdout is not None
        async with asyncio.timeout(GRACE):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith(READY):
                    self.address = line.removeprefix(READY).strip()
                    self._tasks.append(asyncio.create_task(self._drain_stdout()))
                    return
        raise ConnectionError(f"callboard start ended before it said {READY!r}")

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        await super().end()

    async def _drain_stdout(self) -> None:
        assert self.process.stdout is not None
        while await self.process.stdout.readline():
            pass


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Applications


class OriginalApp(Peer):
    """An original application, connected to the node at `endpoint` and subscribed there with its name.

    `name` is either the last component alone (the other two are `org` and `test`) or all three, with slashes.
    `authority` is the file of the certificate authority to trust, for an https endpoint.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        *,
        identity: Identity | None = None,
        direction: str = "BIDIRECTIONAL",
        authority: Path | None = None,
    ) -> None:
        super().__init__(name)
        self.name = full_name(name)
        self.id = 0
        self.connection = 0
        self._endpoint = endpoint
        self._identity = identity or Secret()
        self._direction = direction
        self._authority = authority and str(authority)

    async def start(self) -> None:
        await self.launch()
        made = await self.ask(
            "create",
            name=self.name.split("/"),
            provider=self._identity.provider(self.name),
            verifier=self._identity.verifier(self.name),
            direction=self._direction,
        )
        self.id = made["id"]
        await self.connect(self._endpoint)

    async def connect(self, endpoint: str) -> int:
        """Dial a further node (or the same one after `disconnect`) and subscribe there; the connection id."""
        self.connection = await self.ask("connect", endpoint=endpoint, authority=self._authority)
        return self.connection

    async def disconnect(self) -> None:
        """Hang up the last connection."""
        await self.ask("disconnect", connection=self.connection)

    async def set_route(self, name: str) -> None:
        """Send what is for `name` to the node."""
        await self.ask("set_route", name=full_name(name).split("/"), connection=self.connection)

    async def create_session(
        self,
        destination: str,
        *,
        group: bool = False,
        mls: bool = False,
        reliable: bool = True,
        max_retries: int = 10,
        interval: float = 1.0,
        metadata: dict[str, str] | None = None,
        timeout: float = 10.0,
    ) -> OriginalSession:
        """Open a session and wait until it is established. `interval` and `timeout` are seconds."""
        made = await self.ask(
            "create_session",
            wait=timeout,
            destination=full_name(destination).split("/"),
            group=group,
            mls=mls,
            max_retries=max_retries if reliable else None,
            interval=interval if reliable else None,
            metadata=metadata,
            timeout=timeout,
        )
        return OriginalSession(self, made)

    async def listen(self, timeout: float = 10.0) -> OriginalSession:
        """Wait for the next inbound session."""
        return OriginalSession(self, await self.ask("listen", wait=timeout, timeout=timeout))

    async def stats(self) -> dict[str, Any]:
        """Process id, library version, CPU seconds, open sessions."""
        result: dict[str, Any] = await self.ask("stats")
        return result


class OriginalSession:
    """One end of a session in the process of an original application."""

    def __init__(self, app: OriginalApp, made: dict[str, Any]) -> None:
        self._app = app
        self.id: int = made["session"]
        self.source = name_from(made["source"])
        self.destination = name_from(made["destination"])
        self.group: bool = made["group"]
        self.initiator: bool = made["initiator"]
        self.metadata: dict[str, str] = made["metadata"]

    async def publish(
        self,
        *payloads: bytes,
        acknowledged: bool = True,
        payload_type: str | None = None,
        metadata: dict[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        """Publish in order; `acknowledged` waits for the acknowledgement of each, up to `timeout` seconds."""
        await self._ask(
            "publish",
            wait=timeout,
            payloads=[encoded(payload) for payload in payloads],
            acknowledged=acknowledged,
            payload_type=payload_type,
            metadata=metadata,
            timeout=timeout,
        )

    async def publish_many(
        self, count: int, size: int = 64, *, prefix: str = "", window: int = 64, timeout: float = 30.0
    ) -> float:
        """Publish what `numbered(prefix, 0..count-1, size)` makes, all acknowledged; the seconds it took."""
        seconds: float = await self._ask(
            "publish_many",
            wait=timeout,
            count=count,
            size=size,
            prefix=prefix,
            window=window,
            timeout=timeout,
        )
        return seconds

    async def publish_to(self, message: Message, payload: bytes, *, timeout: float = 10.0) -> None:
        """Answer the sender of `message` alone, and wait for the acknowledgement."""
        await self._ask(
            "publish_to", wait=timeout, ref=message.ref, payload=encoded(payload), timeout=timeout
        )

    async def receive(self, n: int = 1, timeout: float = 10.0) -> list[Message]:
        """Exactly `n` messages. Raises PeerError when the session fails or time ends."""
        messages, error = await self.receive_some(n, timeout)
        if error is not None:
            raise PeerError(self._app.label, "receive", f"{error} (after {len(messages)} of {n})", "receive")
        return messages

    async def receive_some(self, n: int, timeout: float) -> tuple[list[Message], str | None]:
        """Up to `n` messages, and why there are not more."""
        result = await self._ask("receive", wait=timeout, n=n, timeout=timeout)
        return [message_from(message) for message in result["messages"]], result["error"]

    async def ended(self, timeout: float = 10.0) -> str:
        """Wait until receiving fails, drop what comes before, and return what the library said."""
        error = None
        while error is None:
            _, error = await self.receive_some(1, timeout)
        return error

    async def echo(self, *, privately: bool = False) -> None:
        """Answer every message from now on, to all or to its sender alone."""
        await self._ask("echo", privately=privately)

    async def stop_echo(self) -> int:
        """Stop echoing; how many messages were echoed."""
        echoed: int = await self._ask("stop_echo")
        return echoed

    async def invite(self, name: str, timeout: float = 10.0) -> None:
        """Set the route to `name`, add it, and wait until all members know."""
        await self._app.set_route(name)
        await self._ask("invite", wait=timeout, name=full_name(name).split("/"), timeout=timeout)

    async def remove(self, name: str, timeout: float = 10.0) -> None:
        """Take `name` out and wait until all members know."""
        await self._ask("remove", wait=timeout, name=full_name(name).split("/"), timeout=timeout)

    async def participants(self) -> set[str]:
        """The members' names without their ids."""
        return {"/".join(name["components"]) for name in await self._ask("participants")}

    async def delete(self, timeout: float = 10.0) -> None:
        """Close the session and wait until that is done."""
        await self._ask("delete_session", wait=timeout, timeout=timeout)

    async def _ask(self, verb: str, *, wait: float = 10.0, **arguments: Any) -> Any:
        return await self._app.ask(verb, wait=wait, session=self.id, **arguments)


def full_name(name: str) -> str:
    """Three components: one alone is completed with `org/test/`."""
    return name if "/" in name else f"org/test/{name}"


def numbered(prefix: str, number: int, size: int = 64) -> bytes:
    """The payload that `publish_many` gives message `number`."""
    return f"{prefix}:{number}:".encode().ljust(size, b".")


def encoded(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def name_from(made: dict[str, Any]) -> PeerName:
    return PeerName(tuple(made["components"]), made["id"])


def message_from(made: dict[str, Any]) -> Message:
    return Message(
        base64.b64decode(made["payload"]),
        made["ref"],
        name_from(made["source"]),
        made["payload_type"],
        made["metadata"],
        made["identity"],
    )
