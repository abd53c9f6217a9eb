"""The hostile process of a soak: python -m tests.faults.soak.hostile NAME LEDGER ENDPOINT

It plays the scripts of the faults one after the other, for ever. Each is short and leaves nothing open, so
that what stays behind in the node is seen there; what the node does to it does not matter here.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from grpc import aio

from actors.messages.wire import JoinRequest, MessageType, Payload, SessionKind, TimerSettings
from actors.names import Name
from gateway import http2
from gateway.http2 import frames
from gateway.http2.errors import Cause
from gateway.links.stream import METHOD_PATH
from identity.shared_secret import SharedSecretProvider
from tests.faults.forger import Forger
from tests.faults.soak.application import SECRET, full
from tests.faults.soak.ledger import Ledger
from tests.faults.test_hash_flooding import colliding
from tests.faults.test_http2_charges import windows
from tests.gateway.http2.peers import data_frame, frame, request
from tests.interop.raw import name_of, publication
from tests.interop.test_hostile import nonsense, subscription

PAUSE = 0.5
"""Seconds between two scripts."""
PATIENCE = 20.0
"""Seconds for one of them."""
NONSENSE = nonsense(3000)
CUT_SHORT = (OSError, aio.AioRpcError, asyncio.InvalidStateError, http2.Http2Error)
"""How a script ends to which a node does something."""
VICTIMS = ("sink-a", "sink-b", "server", "bob")


class Call:
    """One stream of ours to the node; its end is no matter."""

    def __init__(self, stream: http2.ClientStream) -> None:
        self.stream = stream
        self.over = asyncio.Event()
        stream.start(on_messages=lambda batch: None, on_closed=self._closed)

    def _closed(self, cause: Cause) -> None:
        self.over.set()

    async def say(self, messages: list[bytes]) -> None:
        """Send by the batch, no faster than the node takes it."""
        for at in range(0, len(messages), 500):
            if self.over.is_set():
                return
            self.stream.send(messages[at : at + 500])
            await asyncio.sleep(0.01)


async def call(endpoint: str) -> Call:
    return Call(await http2.connect(endpoint, METHOD_PATH, {}))


async def speak(endpoint: str, data: bytes, times: int = 1, wait: float = 1.0) -> None:
    """Write bytes to a socket, and read until the node has closed it or `wait` seconds are over."""
    host, port = endpoint.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(wait):
                for _ in range(times):
                    writer.write(data)
                    await writer.drain()
                while await reader.read(2**16):
                    pass
    finally:
        writer.transport.abort()


OPENED = frames.PREFACE + frames.settings([]) + frames.SETTINGS_ACK


async def settings(endpoint: str) -> None:
    """Settings that move the windows of a hundred streams, as often as the node lets them."""
    calls = b"".join(request(1 + 2 * number) for number in range(100))
    await speak(endpoint, OPENED + calls + windows() * 400)


async def pings_and_resets(endpoint: str) -> None:
    opened = b"".join(request(number) + frames.rst_stream(number, 8) for number in range(1, 4000, 2))
    await speak(endpoint, OPENED + opened)
    await speak(endpoint, OPENED + frame(frames.PING, payload=bytes(8)) * 30_000)


async def subscriptions(endpoint: str) -> None:
    """As many names as one peer may have and more, chosen to have one hash value."""
    one = await call(endpoint)
    names = []
    for number, hashes in enumerate(colliding(20_000)):
        name = name_of("x", number)
        name.name.component_0, name.name.component_1, name.name.component_2 = hashes
        names.append(subscription(name, number + 1))
    await one.say(names)
    one.stream.cancel()


async def long_names(endpoint: str) -> None:
    one = await call(endpoint)
    text = secrets.token_hex(1000)
    await one.say([subscription(name_of(f"{text}{number}", number), number + 1) for number in range(2000)])
    one.stream.cancel()


async def deaf(endpoint: str) -> None:
    """A message to very many streams that do not read, again and again."""
    channel = name_of(f"deaf-{secrets.token_hex(4)}")
    connection = await http2.dial(endpoint, limits=http2.CLIENT)
    try:
        calls = [Call(await connection.open(METHOD_PATH)) for _ in range(60)]
        for number, one in enumerate(calls):
            await one.say([subscription(channel, number + 1)])
            one.stream.pause_reading()
        sender = await call(endpoint)
        for number in range(30):
            message = publication(name_of("a", 1), channel, bytes(512 * 1024), number=number, fanout=256)
            await sender.say([message.SerializeToString()])
            await asyncio.sleep(0.05)
        sender.stream.cancel()
    finally:
        await connection.close()


async def messages_of_nothing(endpoint: str) -> None:
    await speak(endpoint, OPENED + request(1) + frame(frames.DATA, 0, 1, bytes(5) * 3000), wait=0.5)
    await speak(endpoint, frame(frames.DATA, 0, 1, bytes(5) * 3000) * 20, wait=0.2)


async def many_publications(endpoint: str) -> None:
    """To nobody, and to names that somebody has, in names and with tokens that mean nothing."""
    one = await call(endpoint)
    said = [
        publication(name_of("a", 1), name_of(f"n{number}", number), b"x" * 50, number=number)
        for number in range(10_000)
    ]
    await one.say([message.SerializeToString() for message in said])
    one.stream.cancel()


async def garbage(endpoint: str) -> None:
    """Nonsense in frames, in messages, and in place of HTTP/2."""
    chance = random.Random()
    for prefix in (b"", frames.PREFACE, OPENED + request(1)):
        await speak(endpoint, prefix + chance.randbytes(20_000), wait=0.3)
    one = await call(endpoint)
    for at in range(0, len(NONSENSE), 100):
        if one.over.is_set():
            one = await call(endpoint)
        await one.say(NONSENSE[at : at + 100])
    one.stream.cancel()
    await speak(endpoint, OPENED + request(1) + data_frame(1, *NONSENSE[:3])[:-1], wait=0.3)


async def comings_and_goings(endpoint: str) -> None:
    """Connections that say nothing, half of something, or go at once."""
    for prefix in (b"", frames.PREFACE[:7], OPENED, OPENED + request(1)):
        await asyncio.gather(*(speak(endpoint, prefix, wait=0.2) for _ in range(25)))


async def invitations(endpoint: str) -> None:
    """Forged and unfinished invitations, of a holder of a token, to whoever is there."""
    address = endpoint.removeprefix("http://")
    own = SharedSecretProvider("mallory", SECRET)
    name = Name("org", "soak", "mallory", random.getrandbits(60))
    async with Forger(address, name, lambda: own.get_token(time.time())) as mallory:
        timers = (TimerSettings(0.0, 0), TimerSettings(0.001, 2**32 - 1), TimerSettings(1.0, 3), None)
        for number, (who, timer) in enumerate(itertools.product(VICTIMS, timers * 10)):
            to = Name(*full(who).split("/"))
            invited = mallory.says(
                to,
                MessageType.JOIN_REQUEST,
                JoinRequest(False, timer),
                session_id=random.getrandbits(31),
                message_id=number + 1,
            )
            await mallory.say(invited, invited._replace(session_type=SessionKind.MULTICAST))
            await mallory.say(invited._replace(source=Name(*full("sender-a").split("/"), 7)), token="none")
            await mallory.say(
                mallory.says(to, MessageType.MSG, Payload("msg", b"forged"), session_id=number, message_id=1)
            )
        await mallory.settled()


SCRIPTS: tuple[Callable[[str], Awaitable[None]], ...] = (
    settings,
    pings_and_resets,
    subscriptions,
    long_names,
    deaf,
    messages_of_nothing,
    many_publications,
    garbage,
    comings_and_goings,
    invitations,
)


async def play_once(name: str, endpoint: str) -> None:
    """Play the script of that name; what the node does to it does not matter."""
    (script,) = (one for one in SCRIPTS if one.__name__ == name)
    with suppress(*CUT_SHORT):
        async with asyncio.timeout(PATIENCE):
            await script(endpoint)


async def play(ledger: Ledger, endpoint: str) -> None:
    while True:
        for script in SCRIPTS:
            try:
                async with asyncio.timeout(PATIENCE):
                    await script(endpoint)
                ledger.write("h", script.__name__)
            except CUT_SHORT as exc:
                ledger.write("h", f"{script.__name__}, cut short by {type(exc).__name__}")
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    print("ready", flush=True)
    asyncio.run(play(Ledger(Path(sys.argv[2])), sys.argv[3]))
