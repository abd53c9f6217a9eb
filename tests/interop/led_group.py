"""A group that `led.py` leads: its moderator's process, two originals, and one member of ours that looks on.

What the member of ours sees on the wire is written down: under which ids the moderator said what, and with
which generation of which epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from actors.messages.wire import Frame, MessageType, SessionMessage
from gateway import IdentityProvider, IdentityVerifier, Slim, SlimError
from gateway.node.data_plane import DataPlane
from identity.mls.framing import PrivateMessage
from identity.mls.private_message import EpochKeys
from tests.interop.harness import CALLBOARD, ROOT, SECRET, CallboardNode, OriginalApp, PeerError, Process

SCRIPT = ROOT / "tests/interop/led.py"


class Seen:
    """What the moderator was seen to say."""

    def __init__(self) -> None:
        self.payloads: dict[tuple[str, int, MessageType, int], set[str]] = defaultdict(set)
        """By channel, session, kind and message id."""
        self.ciphertexts: dict[tuple[bytes, int, int, int], set[str]] = defaultdict(set)
        """By group, epoch, leaf and generation."""

    def violations(self) -> list[Any]:
        """What was used twice for different things."""
        twice = [key for key, seen in (*self.payloads.items(), *self.ciphertexts.items()) if len(seen) > 1]
        return list(twice)

    def message(self, message: SessionMessage) -> None:
        if message.source.strings[2] == "mod" and message.kind not in (
            MessageType.MSG_ACK,
            MessageType.RTX_REPLY,
        ):
            digest = hashlib.sha256(repr(message.content).encode()).hexdigest()
            key = ("", message.session_id, message.kind, message.message_id)
            self.payloads[key].add(digest)


class _Tap:
    """A codec that shows what it reads."""

    def __init__(self, codec: Any, seen: Seen) -> None:
        self._codec, self._seen = codec, seen

    def encode(self, message: SessionMessage, identity: str) -> Frame:
        return self._codec.encode(message, identity)

    def decode(self, frame: Frame, *, verified: bool = True) -> SessionMessage:
        message: SessionMessage = self._codec.decode(frame, verified=verified)
        self._seen.message(message)
        return message


class TappedPlane(DataPlane):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen

    def spawn_app(self, name: Any, provider: Any, verifier: Any, codec: Any, settings: Any) -> Any:
        return super().spawn_app(name, provider, verifier, _Tap(codec, self._seen), settings)


@contextlib.contextmanager
def generations(seen: Seen):
    """Write down epoch, leaf and generation of each ciphertext that a group of this process looks at."""
    original = EpochKeys._sender_data

    def looked_at(self: EpochKeys, message: PrivateMessage) -> Any:
        found = original(self, message)
        leaf, _, data = found
        if leaf == 0:
            key = (message.group_id, message.epoch, leaf, int.from_bytes(data[4:8], "big"))
            seen.ciphertexts[key].add(hashlib.sha256(message.ciphertext).hexdigest())
        return found

    EpochKeys._sender_data = looked_at  # type: ignore[method-assign]
    try:
        yield
    finally:
        EpochKeys._sender_data = original  # type: ignore[method-assign]


class Member:
    """Accepts one session after the other and collects what is said."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.heard: list[str] = []
        self.news = asyncio.Condition()
        self.session: Any = None
        self._task = asyncio.create_task(self._listen())

    async def wait_for(self, text: str, timeout: float, *, since: int = 0) -> None:
        """Until `text` was heard."""

        async def wait() -> None:
            async with self.news:
                await self.news.wait_for(lambda: text in self.heard[since:])

        try:
            await asyncio.wait_for(wait(), timeout)
        except TimeoutError:
            raise AssertionError(f"{self._app.name} never heard {text!r}; last: {self.heard[-8:]}") from None

    async def wait_ended(self, timeout: float) -> None:
        async def wait() -> None:
            async with self.news:
                await self.news.wait_for(lambda: self.session is None)

        await asyncio.wait_for(wait(), timeout)

    async def say(self, text: str, timeout: float = 27.0) -> None:
        """In the present session, or the next one if it is about to end."""
        while True:
            async with self.news:
                await asyncio.wait_for(self.news.wait_for(lambda: self.session is not None), timeout)
                session = self.session
            try:
                await session.publish(text.encode(), timeout=timeout)
            except (PeerError, SlimError) as error:
                if "closed" not in str(error):
                    raise
                async with self.news:
                    changed = self.news.wait_for(lambda left=session: self.session is not left)
                    await asyncio.wait_for(changed, timeout)
            else:
                return

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                session = await self._app.listen(600.0)
            except (PeerError, SlimError):
                return
            await self._changed(session)
            await self._read(session)
            await self._changed(None)

    async def _read(self, session: Any) -> None:
        while True:
            messages, error = await session.receive_some(1, 5.0)
            async with self.news:
                self.heard += [message.payload.decode() for message in messages]
                self.news.notify_all()
            if error is not None and "closed" in error:
                return

    async def _changed(self, session: Any) -> None:
        async with self.news:
            self.session = session
            self.news.notify_all()


class OurMember:
    """An application of ours behind what `Member` expects of one."""

    def __init__(self, endpoint: str, seen: Seen) -> None:
        self.name = "org/test/carl"
        self._endpoint, self._seen = endpoint, seen

    async def __aenter__(self) -> OurMember:
        pair = (kind.SharedSecret(self.name, SECRET) for kind in (IdentityProvider, IdentityVerifier))
        self.slim = Slim(self.name, *pair, data_plane=TappedPlane(self._seen))
        await self.slim.connect({"endpoint": self._endpoint, "tls": {"insecure": True}})
        return self

    async def __aexit__(self, *_: object) -> None:
        plane = self.slim.data_plane
        await self.slim.close(0.5)
        await plane.close(0.5)

    async def listen(self, timeout: float) -> _OurSession:
        return _OurSession(await self.slim.listen_for_session(timeout))


class _OurSession:
    def __init__(self, session: Any) -> None:
        self.session = session

    async def publish(self, payload: bytes, timeout: float) -> None:
        await (await self.session.publish(payload)).wait_for(timeout)

    async def receive_some(self, n: int, timeout: float) -> tuple[list[Any], str | None]:
        from tests.interop.ours import CallboardSession

        return await CallboardSession(None, self.session).receive_some(n, timeout)  # type: ignore[arg-type]


class LedGroup:
    """The moderator's process, and the three members."""

    def __init__(self, folder: Path, endpoint: str, members: dict[str, Member], seen: Seen) -> None:
        self._folder, self._endpoint = folder, endpoint
        self.members = members
        self.seen = seen
        self.process: Process | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self.said: list[str] = []
        """What the moderator's processes wrote to stderr."""
        (folder / "key").write_bytes(os.urandom(32))

    def journal(self, number: object) -> Path:
        return self._folder / f"journal-{number}"

    async def start(self, number: object, *, script: Path = SCRIPT, **environment: str) -> Process:
        """Start a moderator of the channel and journal `number`."""
        for name in ("CALLBOARD_TEST_KILL", "CALLBOARD_TEST_FOREVER"):
            os.environ.pop(name, None)
        os.environ.update(environment)
        command = [str(CALLBOARD), "moderator", str(script), "--name", "org/test/mod"]
        command += ["--channel", f"org/test/room{number}", "--connect", self._endpoint]
        command += ["--shared-secret", SECRET, "--journal", str(self.journal(number))]
        command += ["--journal-key", str(self._folder / "key")]
        self.process = Process("moderator", *command)
        try:
            await self.process.launch()
        finally:
            for name in environment:
                os.environ.pop(name, None)
        return self.process

    async def leading(self) -> None:
        """Wait until the present moderator leads the group."""
        assert self.process is not None
        assert self.process.process.stdout is not None
        line = await asyncio.wait_for(self.process.process.stdout.readline(), 60.0)
        assert line.startswith(b"leading"), self.process.stderr

    async def ended(self, timeout: float = 40.0) -> int:
        """Wait for the end of the present moderator. Returns its exit code."""
        assert self.process is not None
        code = await asyncio.wait_for(self.process.process.wait(), timeout)
        await self.process.end()
        self.said.append(self.process.stderr)
        return code

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.ended()

    async def end(self) -> None:
        """Ask for the end. Whether the question is acknowledged before the end concerns nobody."""
        session = self.members["ann"].session
        task = asyncio.create_task(session.publish(b"end", timeout=30.0))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._asking.add(task)

    async def check(self, word: str, timeout: float = 40.0) -> None:
        """Everybody reads the moderator and everybody else, and is read: all are in one epoch."""
        await asyncio.gather(*(member.say(f"say {word}", timeout) for member in self.members.values()))
        for member in self.members.values():
            for name in self.members:
                await member.wait_for(f"heard {name} {word}", timeout)


@asynccontextmanager
async def led_group(folder: Path) -> AsyncIterator[LedGroup]:
    seen = Seen()
    async with AsyncExitStack() as stack:
        stack.enter_context(generations(seen))
        node = await stack.enter_async_context(CallboardNode())
        apps: list[Any] = [
            await stack.enter_async_context(OriginalApp(name, node.endpoint)) for name in ("ann", "ben")
        ]
        apps.append(await stack.enter_async_context(OurMember(node.endpoint, seen)))
        members = {name: Member(app) for name, app in zip(("ann", "ben", "carl"), apps, strict=True)}
        group = LedGroup(folder, node.endpoint, members, seen)
        try:
            yield group
        finally:
            for member in members.values():
                await member.stop()
            if group.process is not None:
                await group.process.end()
