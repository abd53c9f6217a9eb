"""`callboard demo network`: the Procfile's network, and an application that is a node of it itself.

A channel is made by programs that call the controller, participants at both nodes and the embedded one are
added the same way, and all talk, encrypted from end to end.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import secrets
import sys
import tempfile
import textwrap
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import gateway
from gateway.api.session import Session
from gateway.api.slim import Slim
from gateway.cli.director import LIMIT, DemoFailed, Director, Process, Transcript
from gateway.cli.ports import free_ports
from identity.provider import IdentityProvider, IdentityVerifier

MODERATOR = "agncty/namespace/moderator"
"""Who leads the channels: the Procfile's moderator has this name."""
CHANNEL = "agncty/namespace/group_channel"
FIRST, SECOND, EMBEDDED = "participant_1", "participant_2", "participant_3"
STUBS = Path(gateway.__file__).parent / "stubs"

CREATE = f"""\
import grpc
from controlplane.v1 import controlplane_pb2, controlplane_pb2_grpc
with grpc.insecure_channel("localhost:50051") as channel:
    stub = controlplane_pb2_grpc.ControlPlaneServiceStub(channel)
    made = stub.CreateChannel(controlplane_pb2.CreateChannelRequest(moderators=["{MODERATOR}"]))
    print("Channel created with ID:", made.channel_id)
"""
ADD = f"""\
import grpc
from controlplane.v1 import controlplane_pb2, controlplane_pb2_grpc
wanted = {{"channel_id": "{CHANNEL}", "participant_id": "agncty/namespace/{FIRST}"}}
with grpc.insecure_channel("localhost:50051") as channel:
    stub = controlplane_pb2_grpc.ControlPlaneServiceStub(channel)
    try:
        ack = stub.AddParticipant(controlplane_pb2.AddParticipantRequest(**wanted))
        print(f"success={{ack.success}}")
    except grpc.RpcError as error:
        print("Request failed:", error)
"""
LINK = f"""\
import grpc
from controlplane.v1 import controlplane_pb2, controlplane_pb2_grpc
from grpc_api import grpc_api_pb2
endpoint = "http://127.0.0.1:46357"
name = dict(zip(("component_0", "component_1", "component_2"), "{CHANNEL}".split("/")))
with grpc.insecure_channel("localhost:50051") as channel:
    stub = controlplane_pb2_grpc.ControlPlaneServiceStub(channel)
    link = grpc_api_pb2.Connection(connection_id=endpoint, config_data='{{"endpoint": "%s"}}' % endpoint)
    made = stub.CreateConnection(controlplane_pb2.CreateConnectionRequest(connection=link, node_id="slim/0"))
    print("Connection created successfully with ID:", made.connection_id)
    route = grpc_api_pb2.Subscription(connection_id=made.connection_id, **name)
    made = stub.CreateSubscription(
        controlplane_pb2.CreateSubscriptionRequest(node_id="slim/0", subscription=route)
    )
    print("Subscription created successfully with ID:", made.subscription_id)
"""


@dataclass(frozen=True, slots=True)
class Programs:
    """What calls the controller, at localhost:50051: Python texts that print what came of it."""

    create: str = CREATE
    """Makes a channel of a name of the controller's choice."""
    add: str = ADD
    """Adds FIRST to CHANNEL."""
    link: str = LINK
    """Has node slim/0 dial 127.0.0.1:46357, and lead CHANNEL there."""


class ProcfileNetwork:
    """The processes of a Procfile on free ports, by `callboard up`."""

    def __init__(self, folder: Path) -> None:
        northbound, southbound, node_0, node_1 = (f"127.0.0.1:{port}" for port in free_ports(4))
        self.northbound = northbound
        self.nodes = (f"http://{node_0}", f"http://{node_1}")
        self.secret = secrets.token_urlsafe(32)
        self.code = 0
        """The exit code of `callboard up`, once it has ended."""
        self._environ = {
            "NORTHBOUND": northbound,
            "SOUTHBOUND": southbound,
            "NODE_0": node_0,
            "NODE_1": node_1,
            "DATABASE": str(folder / "controller.db"),
            "SLIM_SHARED_SECRET": self.secret,
        }
        self._company: Process | None = None
        self._said: list[str] = []
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def start(self, procfile: Path) -> None:
        """Run them until all are ready. Raises DemoFailed."""
        company = await Process.start("up", "gateway.cli", "up", "--file", str(procfile), **self._environ)
        self._company = company
        self._reading = asyncio.create_task(self._read(company))
        for name, says in (
            ("controller", "northbound on"),
            ("node-0", "listening on"),
            ("node-1", "listening on"),
            ("moderator", "leading"),
        ):
            await self.until(rf"{name} +\| {says}")
        # Nodes that began before their controller dial it again.
        deadline = time.monotonic() + LIMIT
        while (await self.ctl("node", "list")).count(" CONNECTED") < 2:
            if time.monotonic() > deadline:
                raise DemoFailed("the nodes did not register")
            await asyncio.sleep(0.1)

    async def until(self, pattern: str) -> None:
        """Wait until somebody said it. Raises DemoFailed."""
        try:
            async with asyncio.timeout(LIMIT):
                while not any(re.match(pattern, line) for line in self._said):
                    if self._reading is None or self._reading.done():
                        raise DemoFailed("\n".join(["the network ended too early:", *self._said[-20:]]))
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as exc:
            raise DemoFailed("\n".join([f"nobody said {pattern}:", *self._said[-20:]])) from exc

    async def ctl(self, *words: str) -> str:
        """`callboard ctl`: what it prints. Raises DemoFailed."""
        said, code = await _run("-m", "gateway.cli", "ctl", "-s", self.northbound, *words)
        if code:
            raise DemoFailed(f"callboard ctl {' '.join(words)}: {said}")
        return said

    async def program(self, code: str) -> str:
        """Run a program that calls the controller: what it prints."""
        code = code.replace("localhost:50051", self.northbound)
        if any(isinstance(node, ast.Return) for node in ast.walk(ast.parse(code))):
            # It was printed as the body of a function.
            code = "def program():\n" + textwrap.indent(code, "    ") + "\nprogram()"
        said, _ = await _run("-c", code, PYTHONPATH=str(STUBS))
        return said

    async def end(self) -> None:
        """Stop them all, in order."""
        if self._company is not None:
            self.code = await self._company.end()
        if self._reading is not None:
            await self._reading

    async def _read(self, company: Process) -> None:
        assert company.process.stdout is not None
        async for line in company.process.stdout:
            self._said.append(line.decode(errors="replace").rstrip())
            self._news.set()
        self._news.set()


async def play(procfile: Path, programs: Programs | None = None) -> int:
    """The whole demo. Raises DemoFailed at the first step that does not happen."""
    programs = programs or Programs()
    transcript = Transcript()
    director = Director(transcript)
    started = time.monotonic()
    async with AsyncExitStack() as held:
        network = ProcfileNetwork(Path(held.enter_context(tempfile.TemporaryDirectory())))
        held.push_async_callback(network.end)
        transcript.scene("The Procfile: a controller, two nodes, a moderator")
        await network.start(procfile)
        transcript.line("node", f"nodes listen on {' and '.join(network.nodes)}, and are registered")
        for who, endpoint in zip((FIRST, SECOND), network.nodes, strict=True):
            player = await Process.start(who, "gateway.cli.cast", f"agncty/namespace/{who}", endpoint)
            held.push_async_callback(player.end)
            director.cast[who] = player
            player.write_line(network.secret)
            await director.expect(who, "ready")
            transcript.line(who, f"is connected to {endpoint}")
        app = await held.enter_async_context(_embedded(network.secret))
        address = await app.run_server({"endpoint": "127.0.0.1:0", "tls": {"insecure": True}})
        await app.peer(list(network.nodes))
        transcript.line(EMBEDDED, f"is a node itself, on {address}, and a peer of both")
        session = await _scenes(director, transcript, network, app, programs)
        transcript.scene("The channel is deleted by the same API, and all are told")
        await network.ctl("channel", "delete", CHANNEL)
        for who in director.cast:
            await director.expect(who, "ended")
        async with asyncio.timeout(LIMIT):
            async for _ in session:
                raise DemoFailed(f"{EMBEDDED} heard something else")
    if network.code:
        raise DemoFailed(f"the network ended with exit code {network.code}")
    transcript.scene(
        f"{director.sent} messages sent, {director.delivered} delivered; "
        f"{time.monotonic() - started:.1f} s in all"
    )
    return 0


def _embedded(secret: str) -> Slim:
    name = f"agncty/namespace/{EMBEDDED}"
    provider = IdentityProvider.SharedSecret(name, secret)
    app = Slim(name, provider, IdentityVerifier.SharedSecret(name, secret), local_service=True)
    app.require(mls=True)
    return app


async def _scenes(
    director: Director, transcript: Transcript, network: ProcfileNetwork, app: Slim, programs: Programs
) -> Session:
    """What is played, up to the end of the talk. Returns the embedded application's session."""
    transcript.scene("A program makes a channel; another adds to one that was not made")
    _expected(
        transcript, await network.program(programs.create), "Channel created with ID: agncty/namespace/"
    )
    refusal = await network.program(programs.add)
    _expected(transcript, refusal, "NOT_FOUND", CHANNEL, "make it first")

    transcript.scene("It is made by hand, and everybody is added")
    await network.ctl("channel", "create", CHANNEL, f"moderators={MODERATOR}")
    for who in (FIRST, SECOND, EMBEDDED):
        said = await network.program(programs.add.replace(FIRST, who))
        _expected(transcript, said, "success=True")
        if who != EMBEDDED:
            await director.expect(who, "joined")
    session = await app.listen_for_session(LIMIT)
    listed = await network.ctl("participant", "list", "-c", CHANNEL)
    _expected(transcript, listed, FIRST, SECOND, EMBEDDED)

    transcript.scene("A third program connects the nodes once more, and leads the channel over the link")
    second = network.nodes[1].removeprefix("http://")
    said = await network.program(programs.link.replace("127.0.0.1:46357", second))
    _expected(
        transcript,
        said,
        f"Connection created successfully with ID: {network.nodes[1]}",
        f"Subscription created successfully with ID: {CHANNEL}@{network.nodes[1]}",
    )

    transcript.scene(f"Everybody hears everybody, encrypted; {EMBEDDED} is in epoch {session.epoch}")
    for who, other in ((FIRST, SECOND), (SECOND, FIRST)):
        await director.say(who, f"good evening from {who}", (other,))
        await _hears(director, transcript, session, who)
    text = f"good evening from {EMBEDDED}"
    transcript.line(EMBEDDED, f"says: {text}")
    await (await session.publish(text.encode()))
    director.sent += 1
    for who in (FIRST, SECOND):
        report = await director.expect(who, "heard")
        if (report["source"], report["text"]) != (EMBEDDED, text):
            raise DemoFailed(f"{who} heard something else: {report['text']}")
    return session


async def _hears(director: Director, transcript: Transcript, session: Session, source: str) -> None:
    """The embedded application hears what `source` said."""
    async with asyncio.timeout(LIMIT):
        message = await anext(session)
    text, name = message.payload.decode(), message.source
    if (name.strings[2], text) != (source, f"good evening from {source}"):
        raise DemoFailed(f"{EMBEDDED} heard something else: {text}")
    director.delivered += 1
    transcript.line(EMBEDDED, f"hears {source}: {text}")


def _expected(transcript: Transcript, said: str, *parts: str) -> None:
    """Print what a program said. Raises DemoFailed where it should have said something else."""
    detail = re.search(r'details = "(.*)"', said)
    shown = f"NOT_FOUND: {detail.group(1)}" if detail and "NOT_FOUND" in said else " ".join(said.split())
    transcript.line("api", shown)
    if missing := [part for part in parts if part not in said]:
        raise DemoFailed(f"not said: {', '.join(missing)}")


async def _run(*arguments: str, **environ: str) -> tuple[str, int]:
    """A Python process: what it prints on either stream, and its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "GRPC_VERBOSITY": "NONE", **environ},
    )
    try:
        async with asyncio.timeout(LIMIT):
            out, _ = await process.communicate()
    except TimeoutError as exc:
        process.kill()
        await process.wait()
        raise DemoFailed(f"a program did not end within {LIMIT:.0f} seconds") from exc
    return out.decode(errors="replace"), await process.wait()
