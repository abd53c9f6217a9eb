"""App and Session actors on the actor system, in strict mode, with the node's own route table."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest_asyncio

from actors.app.actor import AppActor
from actors.app.collaborators import Collaborators
from actors.errors import NotModerator, SessionClosed
from actors.messages import VOCABULARY
from actors.messages.routing import Attach, Congested, Drained, Forward, Status, StatusReport, Subscribing
from actors.messages.session import (
    Adopt,
    AppSettings,
    CloseApp,
    CloseSession,
    Completed,
    Delivered,
    Invite,
    Listen,
    MemberJoined,
    Membership,
    OpenSession,
    Outgoing,
    Publish,
    RemoveRoute,
    SessionAnnounced,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    SetRoute,
    SubscribeName,
    Taken,
    UnsubscribeName,
    Watch,
)
from actors.messages.wire import (
    DiscoveryRequest,
    Frame,
    GroupWelcome,
    JoinRequest,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    Subscription,
    TimerSettings,
)
from actors.names import Name
from actors.routing.control import RouteControl
from actors.routing.route_table import RouteTable
from actors.system import LoopSystem
from actors.system.tasks import Tasks
from gateway.codec import WireCodec
from identity.errors import ConfigError, InvalidToken
from identity.protocols import KeysMissing

P2P = SessionConfig(SessionKind.POINT_TO_POINT, 1.0, 5)
GROUP = SessionConfig(SessionKind.MULTICAST, 1.0, 5)
ROOM = Name("org", "default", "room")


class Identity:
    """Provider and verifier of a stage in which everybody is who he says, unless the test objects."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused: set[str] = set()
        self.keys: asyncio.Event | None = None
        """Set while keys must be fetched first."""

    async def initialize(self) -> None: ...

    async def close(self) -> None: ...

    def get_id(self) -> str:
        return self.name

    def get_token(self, now: float) -> str:
        return f"token:{self.name}"

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        raise ConfigError("no claims here")

    def try_verify(self, token: str, now: float) -> None:
        if self.keys is not None and not self.keys.is_set():
            raise KeysMissing
        self._check(token)

    def try_get_claims(self, token: str, now: float) -> dict[str, Any]:
        self.try_verify(token, now)
        return {"pubkey": "x"}

    async def verify(self, token: str, now: float) -> None:
        if self.keys is not None:
            await self.keys.wait()
        self._check(token)

    async def get_claims(self, token: str, now: float) -> dict[str, Any]:
        await self.verify(token, now)
        return {}

    def _check(self, token: str) -> None:
        if token.removeprefix("token:") in self.refused or not token.startswith("token:"):
            raise InvalidToken("refused by the test")


class Inbox:
    """What came to a inbox, and a way to wait for something among it."""

    def __init__(self, system: LoopSystem) -> None:
        self.seen: list[Any] = []
        self._changed = asyncio.Event()
        self.address = system.inbox(self._take)

    def _take(self, message: Any, _: Any) -> None:
        self.seen.append(message)
        self._changed.set()

    async def until(self, test: Callable[[], Any], timeout: float = 5.0) -> Any:
        async with asyncio.timeout(timeout):
            while not (found := test()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def first(self, kind: type) -> Any:
        return await self.until(lambda: next((m for m in self.seen if isinstance(m, kind)), None))

    async def done(self, handle: int) -> None:
        await self.until(lambda: handle in self.completed)

    @property
    def completed(self) -> list[int]:
        return [handle for m in self.seen if isinstance(m, Completed) for handle in m.done]

    @property
    def failures(self) -> dict[int, Exception]:
        return {f.handle: f.error for m in self.seen if isinstance(m, Completed) for f in m.failed}

    @property
    def blobs(self) -> list[bytes]:
        return [
            item.content.blob
            for m in self.seen
            if isinstance(m, Delivered)
            for item in m.items
            if isinstance(item, SessionMessage) and isinstance(item.content, Payload)
        ]


class Player:
    """One App actor and its inboxes."""

    def __init__(self, stage: Stage, name: str, settings: AppSettings | None) -> None:
        self.system = stage.system
        self.identity = Identity(name)
        stage.connections += 1
        self.connection = stage.connections
        self.name = Name("org", "default", name, 100 + self.connection)
        collaborators = Collaborators(
            stage.routes,
            stage.view,
            WireCodec(),
            self.identity,
            self.identity,
            time.monotonic,
            time.time,
            random.Random(self.connection).randrange,
            stage.tasks,
            stage.system.telemetry,
        )
        self.app = stage.system.spawn(AppActor, self.name, self.connection, collaborators, settings)
        self.inbox = Inbox(stage.system)
        self.tell(Listen(self.inbox.address))

    def tell(self, message: Any, to: Any = None) -> None:
        self.system.tell(to or self.app, message, self.inbox.address)

    async def open(self, destination: Name, config: SessionConfig, handle: int = 1) -> SessionOpened:
        self.tell(OpenSession(handle, self.inbox.address, destination, config))
        opened: SessionOpened = await self.inbox.first(SessionOpened)
        return opened

    async def accept(self) -> SessionAnnounced:
        announced: SessionAnnounced = await self.inbox.first(SessionAnnounced)
        self.tell(Adopt(self.inbox.address), announced.address)
        return announced

    def publish(self, session: SessionOpened | SessionAnnounced, *blobs: bytes, handle: int | None) -> None:
        items = tuple(Outgoing(blob, handle=handle) for blob in blobs)
        self.tell(Publish(items), session.address)


class Stage:
    """A node without connections to others."""

    def __init__(self) -> None:
        self.system = LoopSystem(vocabulary=VOCABULARY)
        self.tasks = Tasks()
        control = RouteControl()
        self.view = control.table.view
        self.routes = self.system.spawn(RouteTable, control, time.monotonic)
        self.connections = 0

    def player(self, name: str, settings: AppSettings | None = None) -> Player:
        return Player(self, name, settings)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.tasks.cancel()
    await made.system.shutdown()
    assert made.system.failures == 0


async def connected(stage: Stage) -> tuple[Player, Player, SessionOpened, SessionAnnounced]:
    alice, bob = stage.player("alice"), stage.player("bob")
    opened = await alice.open(bob.name.without_id(), P2P)
    announced = await bob.accept()
    await alice.inbox.done(1)
    return alice, bob, opened, announced


async def test_two_applications_of_a_process_talk(stage: Stage) -> None:
    alice, bob, opened, announced = await connected(stage)
    assert opened.session_id == announced.session_id
    assert announced.destination == alice.name
    alice.publish(opened, b"1", b"2", handle=5)
    bob.publish(announced, b"3", handle=6)
    await alice.inbox.done(5)
    await bob.inbox.done(6)
    assert (bob.inbox.blobs, alice.inbox.blobs) == ([b"1", b"2"], [b"3"])
    item = next(m for m in bob.inbox.seen if isinstance(m, Delivered)).items[0]
    assert (item.identity, item.connection, item.source) == ("token:alice", alice.connection, alice.name)


async def test_what_arrives_before_adoption_is_kept(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    opened = await alice.open(bob.name.without_id(), P2P)
    alice.publish(opened, b"early", handle=5)
    await alice.inbox.done(5)
    assert bob.inbox.blobs == []
    await bob.accept()
    await bob.inbox.until(lambda: bob.inbox.blobs == [b"early"])


async def test_a_group_with_watchers(stage: Stage) -> None:
    alice, bob, carol = (stage.player(name) for name in ("alice", "bob", "carol"))
    opened = await alice.open(ROOM, GROUP)
    watcher = Inbox(stage.system)
    alice.tell(Watch(watcher.address), opened.address)
    membership = await watcher.first(Membership)
    assert membership.members == (alice.name,)
    for handle, player in ((10, bob), (11, carol)):
        alice.tell(Invite(handle, player.name.without_id()), opened.address)
        await player.accept()
        await alice.inbox.done(handle)
    joined = [m.member for m in watcher.seen if isinstance(m, MemberJoined)]
    assert joined == [bob.name, carol.name]
    alice.publish(opened, b"all", handle=5)
    await alice.inbox.done(5)
    await bob.inbox.until(lambda: bob.inbox.blobs == [b"all"])
    await carol.inbox.until(lambda: carol.inbox.blobs == [b"all"])
    announced = next(m for m in bob.inbox.seen if isinstance(m, SessionAnnounced))
    bob.tell(Invite(7, carol.name), announced.address)
    await bob.inbox.until(lambda: isinstance(bob.inbox.failures.get(7), NotModerator))
    alice.tell(CloseSession(9), opened.address)
    await alice.inbox.done(9)
    for player in (bob, carol):
        ended = await player.inbox.first(SessionEnded)
        assert isinstance(ended.cause, SessionClosed)


async def test_a_script_invites_with_an_answer_of_its_own(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    opened = await alice.open(ROOM, GROUP)
    script = Inbox(stage.system)
    alice.tell(Invite(77, bob.name.without_id(), script.address), opened.address)
    await bob.accept()
    await script.done(77)
    assert 77 not in alice.inbox.completed


async def test_operations_after_the_end_are_answered(stage: Stage) -> None:
    alice, _, opened, _ = await connected(stage)
    alice.tell(CloseSession(2), opened.address)
    await alice.inbox.first(SessionEnded)
    alice.publish(opened, b"late", handle=5)
    await alice.inbox.until(lambda: isinstance(alice.inbox.failures.get(5), SessionClosed))


async def test_a_session_that_ends_before_it_is_adopted_says_so_then(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    opened = await alice.open(bob.name.without_id(), P2P)
    await alice.inbox.done(1)
    alice.tell(CloseSession(2), opened.address)
    await alice.inbox.done(2)
    await bob.accept()
    await bob.inbox.first(SessionEnded)


async def test_sessions_that_others_open_are_bounded(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob", AppSettings(sessions=1))
    quick = P2P._replace(interval=0.01, max_retries=2)
    await alice.open(bob.name.without_id(), quick)
    await bob.accept()
    await alice.inbox.done(1)
    await alice.open(bob.name.without_id(), quick, handle=2)
    await alice.inbox.until(lambda: 2 in alice.inbox.failures)
    bob.tell(Status())
    report = await bob.inbox.first(StatusReport)
    assert report.figures["refused"] >= 1


async def test_the_backlog_is_bounded(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob", AppSettings(backlog=1))
    await alice.open(bob.name.without_id(), P2P)
    await alice.inbox.done(1)
    other = stage.player("carol")
    await other.open(bob.name.without_id(), P2P._replace(interval=0.05))
    await other.inbox.until(lambda: 1 in other.inbox.failures)
    await bob.accept()
    await other.open(bob.name.without_id(), P2P._replace(interval=0.05), handle=2)
    await other.inbox.done(2)


async def test_mls_without_an_implementation_is_refused(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.tell(OpenSession(1, alice.inbox.address, bob.name, P2P._replace(mls=True)))
    error = await alice.inbox.until(lambda: alice.inbox.failures.get(1))
    assert isinstance(error, ConfigError)


# Identity.


async def test_whoever_is_not_verified_is_not_heard(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    bob.identity.refused.add("alice")
    await alice.open(bob.name.without_id(), P2P._replace(interval=0.05, max_retries=2))
    await alice.inbox.until(lambda: 1 in alice.inbox.failures)
    bob.tell(Status())
    report = await bob.inbox.first(StatusReport)
    assert report.figures["unverified"] == 3


async def test_messages_wait_in_order_while_keys_are_fetched(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    bob.identity.keys = asyncio.Event()
    opened = await alice.open(bob.name.without_id(), P2P)
    alice.publish(opened, *(b"%d" % n for n in range(20)), handle=5)
    await stage.system.idle()
    bob.identity.keys.set()
    await bob.accept()
    await bob.inbox.until(lambda: bob.inbox.blobs == [b"%d" % n for n in range(20)])


# The outside.


class Outside(Inbox):
    """Plays a remote connection: what would be written there."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.system)
        stage.connections += 1
        self.index = stage.connections
        stage.system.tell(stage.routes, Attach(self.index, self.address, local=False), self.address)

    @property
    def frames(self) -> list[Frame]:
        return [f for m in self.seen if isinstance(m, Forward) for f in m.frames if isinstance(f, Frame)]


async def test_names_and_routes_are_subscriptions(stage: Stage) -> None:
    alice, outside = stage.player("alice"), Outside(stage)
    alias = Name("org", "default", "alias")
    alice.tell(SubscribeName(1, alias, outside.index))
    await alice.inbox.done(1)
    written = await outside.until(
        lambda: [r for m in outside.seen if hasattr(m, "records") for r in m.records]
    )
    assert written[0].destination == alias.with_id(alice.name.id)
    assert written[0].identity == "token:alice"
    bob = stage.player("bob")
    opened = await bob.open(alias, P2P)
    assert opened.credit == 512
    await bob.inbox.done(1)
    alice.tell(UnsubscribeName(2, alias, outside.index))
    await alice.inbox.done(2)
    alice.tell(UnsubscribeName(3, alias, outside.index))
    await alice.inbox.until(lambda: 3 in alice.inbox.failures)
    far = Name("org", "default", "far")
    alice.tell(SetRoute(4, far, outside.index))
    await alice.inbox.done(4)
    await alice.open(far, P2P, handle=5)
    frame = (await outside.until(lambda: outside.frames))[0]
    assert (frame.key, frame.control) == (far.key, True)
    assert WireCodec().decode(frame).identity == "token:alice"
    alice.tell(RemoveRoute(6, far, outside.index))
    await alice.inbox.done(6)


async def test_a_subscription_that_nobody_acknowledges_times_out(stage: Stage) -> None:
    alice = stage.player("alice", AppSettings(subscription_timeout=0.05))
    alice.tell(SubscribeName(1, Name("org", "default", "x"), 4711))
    error = await alice.inbox.until(lambda: alice.inbox.failures.get(1))
    assert error is not None


async def test_frames_from_outside_are_decoded_and_answered(stage: Stage) -> None:
    bob, outside = stage.player("bob"), Outside(stage)
    codec = WireCodec()
    far = Name("org", "default", "far", 9)
    stage.system.tell(stage.routes, Subscribing(outside.index, Subscription(True, far, far)), outside.address)
    await stage.system.idle()

    def forward(*messages: SessionMessage) -> None:
        frames = tuple(codec.encode(m, "token:far") for m in messages)
        stage.system.tell(bob.app, Forward(frames, outside.index, outside.address), outside.address)

    base = SessionMessage(
        far, bob.name.without_id(), P2P.session_type, MessageType.DISCOVERY_REQUEST, 5, 1, DiscoveryRequest()
    )
    forward(base)
    forward(
        base._replace(
            destination=bob.name,
            kind=MessageType.JOIN_REQUEST,
            message_id=2,
            content=JoinRequest(False, TimerSettings(1.0, 5), None),
        )
    )
    forward(
        base._replace(
            destination=bob.name,
            kind=MessageType.GROUP_WELCOME,
            message_id=3,
            content=GroupWelcome((far, bob.name)),
        )
    )
    announced = await bob.accept()
    bob.publish(announced, b"hello", handle=None)
    await outside.until(lambda: len(outside.frames) >= 4)
    kinds = [codec.decode(frame).kind.name for frame in outside.frames]
    assert kinds == ["DISCOVERY_REPLY", "JOIN_REPLY", "GROUP_ACK", "MSG"]
    junk = codec.encode(base, "token:far")._replace(inner=1, body=b"\xff")
    stage.system.tell(bob.app, Forward((junk,), outside.index, outside.address))
    bob.tell(Status())
    report = await bob.inbox.first(StatusReport)
    assert report.figures["undecodable"] == 1


async def test_congestion_withholds_room_until_it_is_over(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob")
    opened = await alice.open(bob.name.without_id(), P2P._replace(interval=None, max_retries=None))
    await alice.inbox.done(1)
    alice.tell(Congested(99))
    await stage.system.idle()
    alice.publish(opened, b"x", b"y", handle=5)
    await alice.inbox.done(5)

    def credit() -> int:
        return sum(m.credit for m in alice.inbox.seen if isinstance(m, Completed))

    assert credit() == 0
    alice.tell(Drained(99))
    await alice.inbox.until(lambda: credit() == 2)


async def test_a_slow_application_is_waited_for(stage: Stage) -> None:
    alice, bob = stage.player("alice"), stage.player("bob", AppSettings(inbox=2))
    opened = await alice.open(bob.name.without_id(), P2P)
    announced = await bob.accept()
    await alice.inbox.done(1)
    alice.publish(opened, b"1", b"2", b"3", handle=5)
    await bob.inbox.until(lambda: len(bob.inbox.blobs) == 2)
    await stage.system.idle()
    assert alice.inbox.completed.count(5) == 2
    bob.tell(Taken(2), announced.address)
    await alice.inbox.until(lambda: alice.inbox.completed.count(5) == 3)
    assert bob.inbox.blobs == [b"1", b"2", b"3"]


async def test_closing_the_application_closes_its_sessions(stage: Stage) -> None:
    alice, bob, _, _ = await connected(stage)
    alice.tell(CloseApp(9, grace=1.0))
    await alice.inbox.done(9)
    await alice.inbox.first(SessionEnded)
    await bob.inbox.first(SessionEnded)
    bob.tell(CloseApp(9, grace=1.0))
    await bob.inbox.done(9)
