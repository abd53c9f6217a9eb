"""Order per session and connection, whichever way a message takes: by itself, or through its App."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from thespian.actors import ActorAddress

from actors.app.actor import AppActor
from actors.app.collaborators import Collaborators
from actors.messages import VOCABULARY
from actors.messages.routing import Attach, Congested, Detach, Drained, Forward, Subscribing
from actors.messages.session import Outgoing, Publish
from actors.messages.wire import (
    ALL,
    ONE,
    Frame,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    Subscription,
)
from actors.names import Name
from actors.routing.control import RouteControl
from actors.routing.route_table import RouteTable
from actors.session.actor import SessionActor
from actors.session.outbound import WayOut
from actors.session.turn import Turn
from actors.system import LoopSystem
from actors.system.tasks import Tasks
from gateway.codec import WireCodec
from identity.errors import AuthError
from tests.actors.app.test_actor import Identity

BOB, ROOM = Name("org", "default", "bob", 8), Name("org", "default", "room")
SESSIONS = 3
OPERATIONS = 200


class Rotating(Identity):
    """Its token is another one when the test says so, or there is none for a while."""

    generation = 0
    missing = False

    def get_token(self, now: float) -> str:
        if self.missing:
            raise AuthError("no token")
        return f"token:{self.name}-{self.generation}"


class Numbering:
    """A session's core that sends what it is told, numbered, to the peer or the channel."""

    ended = False

    def __init__(self, session_id: int, local: Name) -> None:
        self.session_id = session_id
        self.local = local
        self.sent = 0

    def handle(self, event: Any, turn: Turn) -> None:
        if isinstance(event, Publish):
            for item in event.items:
                turn.send(self._next(item.to or BOB))

    def _next(self, to: Name) -> SessionMessage:
        self.sent += 1
        fanout, kind = (ALL, SessionKind.MULTICAST) if to == ROOM else (ONE, SessionKind.POINT_TO_POINT)
        content = Payload("", b"")
        return SessionMessage(
            self.local, to, kind, MessageType.MSG, self.session_id, self.sent, content, fanout
        )

    def next_deadline(self) -> float | None:
        return None


class Far:
    """A connection, or an application beside ours: it keeps what it is given, in order."""

    def __init__(self, stage: Stage, index: int, *, local: bool) -> None:
        self.index = index
        self.heard: dict[int, list[int]] = {}
        """Message numbers by session."""
        self.tokens: set[str] = set()
        self._stage = stage
        self.inbox = stage.system.inbox(self._take)
        stage.tell_table(Attach(index, self.inbox, local))

    def _take(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, Forward):
            self._stage.reply_to = message.reply_to
            for item in message.frames:
                read = self._stage.codec.decode(item) if isinstance(item, Frame) else item
                self.heard.setdefault(read.session_id, []).append(read.message_id)
                self.tokens.add(read.identity)

    def subscribe(self, name: Name, *, wanted: bool = True) -> None:
        subscription = Subscription(wanted, name, name, subscription_id=0)
        self._stage.tell_table(Subscribing(self.index, subscription))


class Stage:
    """An App with sessions, the node's table, and connections that come and go."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.system = LoopSystem(vocabulary=VOCABULARY)
        self.codec = WireCodec()
        self.identity = Rotating("alice")
        self.tasks = Tasks()
        self.reply_to: Any = None
        control = RouteControl()
        self.table = self.system.spawn(RouteTable, control, time.monotonic)
        local = Name("org", "default", "alice", 7)
        collaborators = Collaborators(
            self.table,
            control.table.view,
            self.codec,
            self.identity,
            self.identity,
            time.monotonic,
            time.time,
            self.rng.randrange,
            self.tasks,
            self.system.telemetry,
        )
        self.app = self.system.spawn(AppActor, local, 1, collaborators, None)
        way = WayOut(1, control.table.view, self.codec, self.identity.get_token, time.time, "")
        self.cores = [Numbering(100 + number, local) for number in range(SESSIONS)]
        self.sessions = [
            self.system.spawn(SessionActor, core, self.app, time.monotonic, way) for core in self.cores
        ]
        self.all: list[Far] = []
        self.living: list[Far] = []

    def tell_table(self, message: Any) -> None:
        self.system.tell(self.table, message)

    def publish(self) -> None:
        to = self.rng.choice((BOB, BOB, ROOM, BOB.without_id()))
        items = tuple(Outgoing(b"", to=to) for _ in range(self.rng.randint(1, 4)))
        self.system.tell(self.rng.choice(self.sessions), Publish(items))

    def come(self) -> None:
        far = Far(self, 10 + len(self.all), local=self.rng.random() < 0.4)
        self.all.append(far)
        self.living.append(far)
        for name in self.rng.sample((BOB, ROOM), self.rng.randint(1, 2)):
            far.subscribe(name)

    def go(self) -> None:
        if self.living:
            far = self.living.pop(self.rng.randrange(len(self.living)))
            self.tell_table(Detach(far.index, "lost"))

    def change_routes(self) -> None:
        if self.living:
            far = self.rng.choice(self.living)
            far.subscribe(self.rng.choice((BOB, ROOM)), wanted=self.rng.random() < 0.5)

    def congest(self) -> None:
        if self.living and self.reply_to is not None:
            index = self.rng.choice(self.living).index
            self.system.tell(self.reply_to, self.rng.choice((Congested, Drained))(index))

    def rotate(self) -> None:
        self.identity.generation += 1

    def lose_token(self) -> None:
        self.identity.missing = not self.identity.missing

    async def run(self) -> None:
        rare = [self.come, self.go, self.change_routes, self.congest, self.rotate, self.lose_token]
        self.come()
        for _ in range(OPERATIONS):
            self.rng.choice((self.publish, self.publish, self.rng.choice(rare)))()
            if self.rng.random() < 0.3:
                await self.system.idle()
                self.identity.missing = False
        self.identity.missing = False
        await self.system.idle()


@pytest_asyncio.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    made = Stage(request.param)
    yield made
    made.tasks.cancel()
    await made.system.shutdown()
    assert made.system.failures == 0


@pytest.mark.parametrize("stage", range(20), indirect=True)
async def test_order_holds_through_changes_of_routes_tokens_congestion_and_loss(stage: Stage) -> None:
    await stage.run()
    heard = [numbers for far in stage.all for numbers in far.heard.values()]
    assert sum(map(len, heard)) > OPERATIONS // 4
    for numbers in heard:
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("stage", [1], indirect=True)
async def test_both_ways_are_taken_in_turns_and_neither_overtakes_the_other(stage: Stage) -> None:
    one, other = Far(stage, 10, local=False), Far(stage, 11, local=False)
    one.subscribe(BOB)
    await stage.system.idle()
    session = stage.sessions[0]
    for to in (BOB, BOB.without_id(), BOB, BOB.without_id(), BOB) * 10:
        # A name without id goes through the App, the full name by itself: unless something waits there.
        stage.system.tell(session, Publish((Outgoing(b"", to=to),)))
    await stage.system.idle()
    assert one.heard == {100: list(range(1, 51))}
    assert other.heard == {}
    # Its first message by itself has a token that is new to it, of which the App hears.
    stage.system.tell(session, Publish((Outgoing(b"", to=BOB),)))
    await stage.system.idle()
    app = stage.system.status(stage.app)
    assert app is not None
    before = app.handled
    stage.system.tell(session, Publish((Outgoing(b"", to=BOB),)))
    await stage.system.idle()
    app = stage.system.status(stage.app)
    assert app is not None
    assert app.handled == before
    assert one.heard == {100: list(range(1, 53))}
