"""Peers that mean no good, or know no better: the node stays up, its memory bounded, others unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from google.protobuf.message import DecodeError

from actors.routing.shares import PEER_BOUND
from gateway import http2
from gateway.links.stream import METHOD_PATH
from gateway.proto import dataplane_pb2 as pb
from tests.interop import scenarios
from tests.interop.harness import CallboardNode
from tests.interop.ours import CallboardApp
from tests.interop.raw import name_of, publication
from tests.transcripts import V1, rows

KIB, MIB = 1024, 1024 * 1024
SEED = 20_260_513
FLOOD = 70_000


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")


@asynccontextmanager
async def bystanders(endpoint: str) -> AsyncIterator[None]:
    """Two who talk all the time over connections of their own; at the end nothing of theirs was lost."""
    async with CallboardApp("bob", endpoint) as bob, CallboardApp("alice", endpoint) as alice:
        ends = await scenarios.pair(alice, bob)
        await ends[1].echo()
        done = asyncio.Event()

        async def talk() -> int:
            rounds = 0
            while not done.is_set():
                await ends[0].publish(b"%d" % rounds)
                [heard] = await ends[0].receive()
                assert heard.payload == b"%d" % rounds
                rounds += 1
                await asyncio.sleep(0.02)
            return rounds

        talking = asyncio.create_task(talk())
        try:
            yield
        finally:
            done.set()
            rounds = await asyncio.wait_for(talking, 15.0)
        assert rounds > 0
        await ends[1].stop_echo()
        await ends[0].delete()


# Random and mutated messages


def nonsense(count: int) -> list[bytes]:
    """Recorded messages, two in three with fields changed, the others with bytes changed."""
    random = Random(SEED)
    recorded = [row.data for name in V1 for row in rows(name) if row.to_node]
    mutations = (twisted, twisted, damaged)
    return [random.choice(mutations)(random, random.choice(recorded)) for _ in range(count)]


def damaged(random: Random, data: bytes) -> bytes:
    """Some bytes changed, cut, doubled, or all of them random."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(made) + 1)
        end = min(len(made), at + random.randint(1, 24))
        match random.randrange(5):
            case 0 | 1:
                made[at:end] = random.randbytes(end - at)
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = made[at:end]
            case 4:
                made = bytearray(random.randbytes(random.randint(0, 64)))
    return bytes(made)


def twisted(random: Random, data: bytes) -> bytes:
    """A well-formed message in which some fields are gone, repeated or have other values."""
    message = pb.Message.FromString(data)
    for _ in range(random.randint(1, 5)):
        within = message
        while True:
            inner = [
                value
                for field, value in within.ListFields()
                if is_one_message(field) and field.message_type.fields
            ]
            if not inner or random.random() < 0.25:
                break
            within = random.choice(inner)
        twist(random, within)
    made = message.SerializeToString()
    return made + b"\xf8\x07\x01" if random.random() < 0.1 else made  # a field of the future


def twist(random: Random, within) -> None:
    """Clear or set one field."""
    field = random.choice(list(within.DESCRIPTOR.fields))
    if random.random() < 0.3:
        within.ClearField(field.name)
    elif field.is_repeated:
        held = getattr(within, field.name)
        if hasattr(held, "add"):
            held.add()
        else:
            held[random.choice(["", "PUBLISH_TO", "LEAVING_SESSION", "x" * 300])] = "TRUE"
    elif field.message_type is not None:
        getattr(within, field.name).SetInParent()
    elif field.cpp_type in (field.CPPTYPE_UINT64, field.CPPTYPE_UINT32):
        most = 2**64 - 1 if field.cpp_type == field.CPPTYPE_UINT64 else 2**32 - 1
        setattr(within, field.name, random.choice([0, 1, 2, 256, most, random.randint(0, most)]))
    elif field.cpp_type == field.CPPTYPE_STRING:
        text = random.choice(["", "0.0.0", "not a version", "é\0\n" * 40, "x" * 5000])
        setattr(within, field.name, text if field.type == field.TYPE_STRING else text.encode())
    elif field.cpp_type == field.CPPTYPE_BOOL:
        setattr(within, field.name, random.random() < 0.5)
    else:
        setattr(within, field.name, random.choice([0, 1, 19, 255, 2**31 - 1]))


def is_one_message(field) -> bool:
    return field.message_type is not None and not field.is_repeated


def decodes(data: bytes) -> bool:
    try:
        pb.Message.FromString(data)
    except DecodeError:
        return False
    return True


class Babbler:
    """Sends messages by the batch over our own client; opens another stream when the node has ended the last.

    `ended` counts those streams, `refused` the subscriptions that were acknowledged as failed.
    """

    MARK = 2**64 - 5

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._stream: http2.ClientStream | None = None
        self._dealt_with = asyncio.Event()
        self.ended = self.refused = 0

    async def say(self, messages: list[bytes]) -> None:
        """Send them, and wait until the node has dealt with them or ended the stream."""
        if self._stream is None:
            self._stream = await http2.connect(self._endpoint, METHOD_PATH, {})
            self._stream.start(on_messages=self._heard, on_closed=self._closed)
        self._dealt_with.clear()
        header = pb.SLIMHeader(source=name_of("raw", 1), destination=name_of("mark", 1))
        mark = pb.Message(unsubscribe=pb.Unsubscribe(header=header, subscription_id=self.MARK))
        self._stream.send([*messages, mark.SerializeToString()])
        async with asyncio.timeout(30.0):
            await self._dealt_with.wait()

    async def say_each(self, messages: list[bytes]) -> None:
        """Send them one by one."""
        for data in messages:
            await self.say([data])

    async def hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _heard(self, batch: list[bytes]) -> None:
        for data in batch:
            ack = pb.Message.FromString(data).subscription_ack
            if ack.subscription_id == self.MARK:
                self._dealt_with.set()
            elif ack.subscription_id and not ack.success:
                self.refused += 1

    def _closed(self, cause: object) -> None:
        self._stream = None
        self.ended += 1
        self._dealt_with.set()


@needs_proc
@pytest.mark.parametrize("transport", ["fast", pytest.param("grpc", marks=pytest.mark.long)])
async def test_ten_thousand_messages_of_nonsense(transport: str) -> None:
    messages = nonsense(10_000)
    harmless = [data for data in messages if decodes(data)]
    fatal = [data for data in messages if not decodes(data)]
    assert len(harmless) > 1000
    assert len(fatal) > 1000
    async with CallboardNode(0, "--transport", transport) as node, bystanders(node.endpoint):
        babbler = Babbler(node.endpoint)
        await babbler.say(harmless[:500])
        before = resident(node.pid)
        for at in range(0, len(harmless), 500):
            await babbler.say(harmless[at : at + 500])
        assert babbler.ended == 0
        # What is no protobuf costs its sender the stream.
        babblers = [Babbler(node.endpoint) for _ in range(40)]
        await asyncio.gather(*(one.say_each(fatal[at::40]) for at, one in enumerate(babblers)))
        assert sum(one.ended for one in babblers) == len(fatal)
        assert resident(node.pid) - before < 48 * MIB


# Floods

FLOODS = {
    "many names": lambda n: (name_of(f"{n:x}", n), n + 1),
    "many instances of one name": lambda n: (name_of("app", n), n + 1),
    "one name under many ids": lambda n: (name_of("app"), n + 1),
}


@needs_proc
@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(FLOODS["many names"], marks=pytest.mark.long),
        pytest.param(FLOODS["many instances of one name"], marks=pytest.mark.long),
        FLOODS["one name under many ids"],
    ],
    ids=FLOODS,
)
async def test_a_flood_of_subscriptions(flood) -> None:
    async with CallboardNode() as node, bystanders(node.endpoint):
        before, babbler = resident(node.pid), Babbler(node.endpoint)
        for at in range(0, FLOOD, 1000):
            await babbler.say([subscription(*flood(number)) for number in range(at, at + 1000)])
        assert babbler.refused == FLOOD - PEER_BOUND
        assert resident(node.pid) - before < PEER_BOUND * KIB
        await babbler.hang_up()


def subscription(name: pb.Name, id: int) -> bytes:
    header = pb.SLIMHeader(source=name, destination=name, fanout=1)
    return pb.Message(subscribe=pb.Subscribe(header=header, subscription_id=id)).SerializeToString()


@needs_proc
async def test_large_headers_and_names_are_not_remembered() -> None:
    text = "x" * 500_000
    async with CallboardNode() as node, bystanders(node.endpoint):
        babbler = Babbler(node.endpoint)
        await babbler.say([])
        before = resident(node.pid)
        for number in range(100):
            message = publication(name_of("a", 1), name_of("b"))
            message.publish.header.identity = f"{number}{text}"
            other = name_of("c", number)
            other.str_name.str_component_2 = f"{number}{text}"
            await babbler.say([message.SerializeToString(), subscription(other, number + 1)])
        assert babbler.refused == 100
        assert resident(node.pid) - before < 48 * MIB
        await babbler.hang_up()
