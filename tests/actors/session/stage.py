"""Players on a stage: session cores back to back, a network that obeys the test, a clock that is a number."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from actors.app.effects import Alive, Invitation
from actors.app.invitations import Invitations
from actors.app.questions import Questions
from actors.app.turn import AppTurn
from actors.errors import NoRoute
from actors.messages.session import (
    AppSettings,
    AskPeer,
    BeginSession,
    Bind,
    Bound,
    CloseSession,
    Completed,
    Computed,
    CredentialGranted,
    CredentialWanted,
    Delivered,
    EpochChanged,
    Failure,
    Invite,
    MemberJoined,
    MemberLeft,
    Outgoing,
    PeerAlive,
    Publish,
    Received,
    RemoveMember,
    SessionConfig,
    SessionEnded,
    SessionGone,
    Taken,
    Unbind,
    Unroutable,
    Verification,
    VerificationWanted,
)
from actors.messages.wire import DiscoveryRequest, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from actors.session.conversation import Setting
from actors.session.core import SessionCore, controlled_moderator, moderator, participant
from actors.session.crypto import Addition, Computing, Crypto, Place
from actors.session.effects import Answer, Compute, Effect, Joined, Refused
from actors.session.peers import PeerGeneration
from actors.session.senders import Senders
from actors.session.turn import Turn
from identity.errors import CryptoError, SlimError

P2P, GROUP = SessionKind.POINT_TO_POINT, SessionKind.MULTICAST
ROOM = Name("org", "default", "room")


def p2p(interval: float | None = 1.0, max_retries: int | None = 5, **more: Any) -> SessionConfig:
    return SessionConfig(P2P, interval, max_retries, **more)


def group(interval: float | None = 1.0, max_retries: int | None = 5, **more: Any) -> SessionConfig:
    return SessionConfig(GROUP, interval, max_retries, **more)


class FakeCrypto:
    """Encryption that can be read: what matters is who may open what, and how often."""

    def __init__(self, name: Name) -> None:
        self.name = str(name)
        self.members: list[str] = []
        self.epochs: set[int] = set()
        self.current = 0
        self.opened: set[bytes] = set()
        self.sent = 0
        self.token = ""
        self.closed = False

    def wants_credential(self) -> bool:
        return not self.token

    def claims(self) -> dict[str, Any]:
        return {"pubkey": f"key of {self.name}"}

    def has_credential(self) -> bool:
        return bool(self.token)

    def credential(self, token: str) -> None:
        self.token = token

    def create(self) -> None:
        self.members, self.epochs = [self.name], {0}

    def key_package(self) -> bytes:
        return json.dumps(self.name).encode()

    def add(self, name: Name, key_package: bytes, subject: str | None = None) -> Computing[Addition]:
        yield from ()
        joiner = json.loads(key_package)
        self.members.append(joiner)
        self._advance()
        commit = json.dumps([self.current, "add", joiner]).encode()
        return Addition(commit, json.dumps([self.current, self.members]).encode())

    def remove(self, name: Name) -> Computing[bytes]:
        yield from ()
        self.members.remove(str(name))
        self._advance()
        return json.dumps([self.current, "remove", str(name)]).encode()

    def join(self, welcome: bytes, moderator: Name, subject: str | None = None) -> Computing[None]:
        yield from ()
        self.current, self.members = json.loads(welcome)
        self.epochs = {self.current}

    def process(self, commit: bytes, added: Name | None = None) -> None:
        epoch, what, who = json.loads(commit)
        if epoch != self.current + 1:
            raise CryptoError("a commit of another epoch")
        if what == "add":
            self.members.append(who)
        else:
            self.members.remove(who)
        if self.name in self.members:
            self._advance()

    def encrypt(self, blob: bytes) -> bytes:
        if not self.epochs:
            raise CryptoError("no group")
        self.sent += 1
        return json.dumps([self.current, self.name, self.sent, blob.hex()]).encode()

    def decrypt(self, source: Name, blob: bytes, subject: str | None = None) -> bytes:
        if blob in self.opened:
            raise CryptoError("the key of this message was used")
        try:
            epoch, _, _, text = json.loads(blob)
        except ValueError as error:
            raise CryptoError("not a PrivateMessage") from error
        if epoch not in self.epochs:
            raise CryptoError("not an epoch of ours")
        self.opened.add(blob)
        return bytes.fromhex(text)

    def wrote(self, source: Name, blob: bytes) -> bool:
        return bool(json.loads(blob)[1] == str(source))

    def _advance(self) -> None:
        self.current += 1
        self.epochs.add(self.current)

    @property
    def epoch(self) -> int | None:
        return self.current

    @property
    def fingerprint(self) -> str:
        return f"{self.current}:{sorted(self.members)}"

    def close(self) -> None:
        self.closed = True


class Player:
    """One application with one session at a time, and everything its core ever asked for."""

    def __init__(self, stage: Stage, name: str, id: int, *, mls: bool, settings: AppSettings) -> None:
        self.stage = stage
        self.name = Name("org", "default", name, id)
        self.settings = settings
        self.draw = random.Random(id).randrange
        self.invitations = Invitations(self.name, self.draw, mls=mls, backlog=settings.backlog)
        self.questions = Questions(self.name, lambda: self.draw(2**31), Senders(), settings.ping_interval)
        self.core: SessionCore | None = None
        self.crypto: FakeCrypto | None = None
        self.make_crypto: Callable[[], Crypto] = lambda: FakeCrypto(self.name)
        self.token: Callable[[dict[str, Any]], str] = lambda claims: f"token of {self.name}"
        self.verify: Callable[[VerificationWanted], None] = lambda wanted: None
        self.generation = PeerGeneration.CURRENT
        self.takes = True
        self.sent: list[SessionMessage] = []
        self.items: list[SessionMessage | SlimError] = []
        self.done: list[int] = []
        self.failed: list[Failure] = []
        self.credit = 0
        self.joined = 0
        self.ended: SessionEnded | None = None
        self.changes: list[MemberJoined | MemberLeft | EpochChanged] = []
        self.refused: list[str] = []
        self.answers: list[Answer] = []

    # What an application does.

    def create(
        self, destination: Name, config: SessionConfig, handle: int = 0, session_id: int = 7
    ) -> Player:
        self.core = moderator(self._setting(session_id, config), destination, handle, self.stage.now)
        self.event(BeginSession())
        return self

    def publish(self, *blobs: bytes, handle: int | None = None, **more: Any) -> None:
        self.event(Publish(tuple(Outgoing(blob, handle=handle, **more) for blob in blobs)))

    def invite(self, name: Name, handle: int = 1) -> None:
        self.event(Invite(handle, name))

    def remove(self, name: Name, handle: int = 2) -> None:
        self.event(RemoveMember(handle, name))

    def close(self, handle: int | None = 3, grace: float = 60.0) -> None:
        self.event(CloseSession(handle, grace))

    def event(self, event: Any) -> None:
        assert self.core is not None
        turn = Turn(self.stage.now)
        self.core.handle(event, turn)
        self._perform(turn.effects)

    # What a network does to it.

    def receive(self, message: SessionMessage) -> None:
        known = self.core is not None and not self.core.ended and self.core.session_id == message.session_id
        asks = isinstance(message.content, DiscoveryRequest) and message.content.destination is None
        if known and not asks:
            self.event(Received((message,)))
            return
        turn = AppTurn(self.stage.now)
        if message.kind is MessageType.DISCOVERY_REPLY:
            self.questions.answered(message, turn)
        else:
            self.invitations.handle(message, turn)
        decision = next(iter(turn.effects), None)
        if isinstance(decision, SessionMessage):
            self._perform([decision])
        elif isinstance(decision, Alive):
            self.event(PeerAlive(decision.peer))
        elif isinstance(decision, Refused):
            self.refused.append(decision.reason)
        elif isinstance(decision, Invitation):
            setting = self._setting(message.session_id, decision.config)
            if decision.leads:
                self.core = controlled_moderator(setting, decision.destination, message, self.stage.now)
                self.event(BeginSession())
            else:
                self.core = participant(setting, decision.destination, message, self.stage.now)
                self.event(Received((message,)))

    def expire(self) -> None:
        deadline = self.core.next_deadline() if self.core is not None else None
        if self.core is not None and deadline is not None and deadline <= self.stage.now:
            turn = Turn(self.stage.now)
            self.core.expire(turn)
            self._perform(turn.effects)

    # What it shows.

    @property
    def messages(self) -> list[SessionMessage]:
        return [item for item in self.items if isinstance(item, SessionMessage)]

    @property
    def blobs(self) -> list[bytes]:
        return [item.content.blob for item in self.messages if isinstance(item.content, Payload)]

    @property
    def errors(self) -> list[SlimError]:
        return [item for item in self.items if isinstance(item, SlimError)]

    @property
    def members(self) -> set[str]:
        assert self.core is not None
        return {str(name) for name in self.core.members}

    def kinds(self) -> list[str]:
        return [message.kind.name for message in self.sent]

    # Private

    def _setting(self, session_id: int, config: SessionConfig) -> Setting:
        self.crypto = self.make_crypto() if config.mls else None  # type: ignore[assignment]
        self.ended = None
        return Setting(
            self.name,
            session_id,
            config,
            self.settings,
            self.draw,
            lambda _: self.generation,
            self.crypto,
        )

    def _perform(self, effects: Iterable[Effect]) -> None:
        later: list[Any] = []
        for effect in effects:
            match effect:
                case SessionMessage():
                    self.sent.append(effect)
                    later += self.stage.put(self, effect)
                case Bind(subscribe=True):
                    self.stage.channels.setdefault(effect.name.key, {})[self] = None
                    later.append(Bound(effect.name))
                case Unbind():
                    self.stage.channels.get(effect.name.key, {}).pop(self, None)
                case Delivered():
                    self.items += effect.items
                    if self.takes:
                        later.append(Taken(len(effect.items)))
                case Completed():
                    self.done += effect.done
                    self.failed += effect.failed
                    self.credit += effect.credit
                case Joined():
                    self.joined += 1
                case SessionEnded():
                    self.ended = effect
                case SessionGone():
                    self.invitations.handle(effect, AppTurn(self.stage.now))
                    for members in self.stage.channels.values():
                        members.pop(self, None)
                case MemberJoined() | MemberLeft() | EpochChanged():
                    self.changes.append(effect)
                case CredentialWanted():
                    later.append(CredentialGranted(self.token(effect.claims)))
                case VerificationWanted():
                    self.verify(effect)
                    later.append(Verification())
                case Compute():
                    if effect.computation.place is Place.THREAD:
                        effect.computation.advance()
                    later.append(Computed())
                case Refused():
                    self.refused.append(effect.reason)
                case AskPeer():
                    asked = AppTurn(self.stage.now)
                    assert self.core is not None
                    self.questions.ask(effect.peer, self.core.session_id, asked)
                    for question in asked.effects:
                        if isinstance(question, SessionMessage):
                            self.sent.append(question)
                            self.stage.put(self, question)
                case Answer():
                    self.answers.append(effect)
        for event in later:
            if self.core is not None:
                self.event(event)


class Stage:
    """All players and the wire between them. Connection 1 leads to everybody."""

    def __init__(self) -> None:
        self.now = 100.0
        self.players: list[Player] = []
        self.channels: dict[Any, dict[Player, None]] = {}
        self.wire: list[tuple[Player, SessionMessage]] = []
        self.drop: Callable[[SessionMessage, Player], bool] = lambda message, to: False
        self.unroutable: set[MessageType] = set()

    def player(
        self, name: str, id: int | None = None, *, mls: bool = False, settings: AppSettings | None = None
    ) -> Player:
        id = 1000 + len(self.players) if id is None else id
        player = Player(self, name, id, mls=mls, settings=settings or AppSettings())
        self.players.append(player)
        return player

    def put(self, sender: Player, message: SessionMessage) -> list[Any]:
        """Take a message from its sender; what the node tells him at once is returned."""
        if message.kind in self.unroutable:
            return [Unroutable((message,), NoRoute(str(message.destination)))]
        message = message._replace(connection=1, identity=f"token of {sender.name}")
        to = message.destination
        targets: Iterable[Player]
        if to.key == ROOM.key:
            targets = list(self.channels.get(to.key, ()))
        elif to.has_id:
            targets = [player for player in self.players if player.name == to]
        else:
            targets = [player for player in self.players if player.name.key == to.key][:1]
        self.wire += [(target, message) for target in targets if target is not sender]
        return []

    def transfer(self, limit: int = 100_000) -> None:
        """Deliver what is on the wire, and what that causes, until it is quiet."""
        for _ in range(limit):
            if not self.wire:
                return
            target, message = self.wire.pop(0)
            if not self.drop(message, target):
                target.receive(message)
        raise AssertionError("the players never stop talking")

    def reorder(self, rng: random.Random) -> None:
        """Shuffle what is on the wire now."""
        rng.shuffle(self.wire)

    def lose(self, kind: MessageType, count: int = 1, **fields: Any) -> None:
        """Lose the next `count` messages of a kind (and with these fields)."""
        left = [count]

        def drop(message: SessionMessage, _: Player) -> bool:
            if left[0] and message.kind is kind and all(getattr(message, k) == v for k, v in fields.items()):
                left[0] -= 1
                return True
            return False

        self.drop = drop

    def advance(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline, and everything happen that it brings."""
        end = self.now + seconds
        for _ in range(100_000):
            deadlines = [
                deadline
                for player in self.players
                if player.core is not None and (deadline := player.core.next_deadline()) is not None
            ]
            due = min(deadlines, default=end)
            if due > end:
                break
            self.now = max(self.now, due)
            for player in self.players:
                player.expire()
            self.transfer()
            if not deadlines:
                break
        else:
            raise AssertionError("timers that never get anywhere")
        self.now = end


def make_pair(stage: Stage, **config: Any) -> tuple[Player, Player]:
    alice, bob = (
        stage.player("alice", mls=bool(config.get("mls"))),
        stage.player("bob", mls=bool(config.get("mls"))),
    )
    alice.create(bob.name.without_id(), p2p(**config))
    stage.transfer()
    assert bob.joined == 1
    return alice, bob


def make_group(stage: Stage, *names: str, **config: Any) -> tuple[Player, ...]:
    mls = bool(config.get("mls"))
    moderator = stage.player("alice", mls=mls).create(ROOM, group(**config))
    others = [stage.player(name, mls=mls) for name in names]
    for number, player in enumerate(others):
        moderator.invite(player.name.without_id(), handle=10 + number)
        stage.transfer()
        assert 10 + number in moderator.done
    return moderator, *others
