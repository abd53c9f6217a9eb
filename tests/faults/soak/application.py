"""The honest processes of a soak: python -m tests.faults.soak.application ROLE NAME LEDGER ENDPOINT ..."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from gateway import CompletionHandle, IdentityProvider, IdentityVerifier, Request, Session, Slim
from identity.errors import SlimError
from tests.faults.soak.ledger import Ledger

SECRET = "a secret of the soak, of thirty-two bytes and more"
SINKS = ("sink-a", "sink-b")
PAUSE = 0.02
"""Seconds between two messages of a conversation."""
CHUNK = 8
"""Messages under way in a conversation."""
BACKGROUND = 3
"""Conversations that a sender has at a time."""
WRITTEN = re.compile(rb"([0-9a-f]{16}) (\d+) ")
"""What every honest message begins with: its conversation and number."""


def full(who: str) -> str:
    return f"org/soak/{who}"


@asynccontextmanager
async def application(who: str, endpoint: str, *peers: str) -> AsyncIterator[Slim]:
    """Connected to the node, with a data plane of its own."""
    name = full(who)
    app = Slim(
        name,
        IdentityProvider.SharedSecret(name, SECRET),
        IdentityVerifier.SharedSecret(name, SECRET),
        local_service=True,
    )
    async with app:
        backoff = {"base": 50, "factor": 1.5, "max_delay": "1s"}
        where = {"endpoint": endpoint, "tls": {"insecure": True}, "backoff": backoff}
        while True:
            try:
                await app.connect(where)
                break
            except SlimError:
                await asyncio.sleep(0.2)
        for peer in peers:
            await app.set_route(full(peer))
        yield app


# Those who receive


async def sink(who: str, ledger: Ledger, endpoint: str) -> None:
    """Takes every session and writes down what it brings."""
    tasks: set[asyncio.Task[None]] = set()

    async def take(session: Session) -> None:
        async for message in session:
            if honest := WRITTEN.match(message.payload):
                ledger.write("r", honest[1].decode(), honest[2].decode())

    async with application(who, endpoint) as app:
        ready()
        async for session in app.sessions():
            task = asyncio.create_task(take(session))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def server(who: str, ledger: Ledger, endpoint: str) -> None:
    """Answers requests, and writes each down before it does."""

    async def answer(request: Request[bytes]) -> bytes:
        key, number = request.payload.decode().split()
        ledger.write("r", key, number)
        return request.payload

    async with application(who, endpoint) as app:
        ready()
        await app.serve(answer)


# Those who send


async def client(who: str, ledger: Ledger, endpoint: str) -> None:
    """Asks the server, session after session."""
    async with application(who, endpoint, "server") as app:
        ready()
        while True:
            await attempt(ledger, lambda: requests(app, ledger))


async def requests(app: Slim, ledger: Ledger) -> None:
    key = secrets.token_hex(8)
    ledger.write("w", key, "server")
    async with app.session(full("server"), max_retries=4) as session:
        for number in range(200):
            await session.request(f"{key} {number}".encode(), timeout=8.0)
            ledger.write("a", key, number)
            await asyncio.sleep(PAUSE)


async def sender(who: str, ledger: Ledger, endpoint: str) -> None:
    """Conversations of every kind, several at a time, for as long as it is let live."""
    chance = Random()
    async with application(who, endpoint, *SINKS, "guest") as app:
        ready()

        async def converse(offset: int) -> None:
            number = offset
            while True:
                number += 1
                mls = chance.random() < 0.5
                if number % 2:
                    await attempt(ledger, lambda: point_to_point(app, ledger, chance, mls))  # noqa: B023
                else:
                    await attempt(ledger, lambda: group(app, ledger, chance, mls))  # noqa: B023

        await asyncio.gather(*(converse(number) for number in range(BACKGROUND)))


async def point_to_point(app: Slim, ledger: Ledger, chance: Random, mls: bool) -> None:
    who = chance.choice(SINKS)
    key = secrets.token_hex(8)
    ledger.write("w", key, who)
    async with app.session(full(who), mls=mls) as session:
        await publish(session, ledger, key, range(chance.randint(20, 300)), chance)


async def group(app: Slim, ledger: Ledger, chance: Random, mls: bool) -> None:
    """Both sinks are in from the first message to the last; the guest comes and goes."""
    key = secrets.token_hex(8)
    ledger.write("w", key, ",".join(SINKS))

    async with app.group(f"org/soak/channel-{key}", [full(one) for one in SINKS], mls=mls) as session:
        if any(session.invited.values()):
            raise SlimError("a sink does not come")
        await publish(session, ledger, key, range(40), chance)
        joined = await changed(session.invite, ledger)
        await publish(session, ledger, key, range(40, 80), chance)
        if joined:
            await changed(session.remove, ledger)
        await publish(session, ledger, key, range(80, 120), chance)


async def changed(change: Callable[[str], Awaitable[CompletionHandle]], ledger: Ledger) -> bool:
    """Have the guest in or out; it may have been killed."""
    try:
        await (await change(full("guest")))
    except SlimError as exc:
        ledger.write("f", f"{change.__name__}:", type(exc).__name__)
        return False
    return True


async def publish(session: Session, ledger: Ledger, key: str, numbers: range, chance: Random) -> None:
    """Publish and await; a failure is that of the message and not of the conversation."""
    waiting: list[tuple[int, CompletionHandle]] = []

    async def settle() -> None:
        for number, handle in waiting:
            try:
                await handle
                ledger.write("a", key, number)
            except SlimError as exc:
                ledger.write("f", "publish:", type(exc).__name__)
        waiting.clear()

    for number in numbers:
        filling = b"." * (20_000 if chance.random() < 0.02 else chance.randint(1, 300))
        waiting.append((number, await session.publish(f"{key} {number} ".encode() + filling)))
        if len(waiting) >= CHUNK:
            await settle()
        await asyncio.sleep(PAUSE * chance.random() * 2)
    await settle()


async def attempt(ledger: Ledger, call: Callable[[], Awaitable[None]]) -> None:
    """One conversation; that it fails when the other side was killed is as it should be."""
    try:
        await call()
    except SlimError as exc:
        ledger.write("f", "conversation:", type(exc).__name__)
        await asyncio.sleep(0.3)


# Those whom nothing should concern


async def bystanders(who: str, ledger: Ledger, endpoint: str) -> None:
    async def answer(request: Request[bytes]) -> bytes:
        return request.payload

    async with (
        application("bob", endpoint) as bob,
        application("alice", endpoint, "bob") as alice,
        bob.serve(answer),
        alice.session(full("bob")) as session,
    ):
        ready()
        while True:
            begun = time.perf_counter()
            await session.request(b"there?", timeout=30.0)
            ledger.write("t", round((time.perf_counter() - begun) * 1e6))
            await asyncio.sleep(PAUSE)


# All of them

ROLES: dict[str, Callable[[str, Ledger, str], Awaitable[None]]] = {
    "sink": sink,
    "server": server,
    "client": client,
    "sender": sender,
    "bystanders": bystanders,
}


def ready() -> None:
    print("ready", flush=True)


async def until_told(role: Awaitable[None]) -> None:
    """Play the role until standard input ends."""
    playing = asyncio.ensure_future(role)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    ended = asyncio.ensure_future(reader.read())
    await asyncio.wait({playing, ended}, return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
    playing.cancel()
    ended.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await playing


def main(role: str, who: str, ledger: str, endpoint: str) -> None:
    written = Ledger(Path(ledger))
    asyncio.run(until_told(ROLES[role](who, written, endpoint)))
    written.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
