"""The recorded conversations, with our core in the place of one application after the other.

The core gets what the others sent and does what its application did, when it did it; what it sends is
compared with the recording field by field, the identity excepted. Random ids are drawn from the recording,
and so are the bytes of MLS, whose keys were not recorded. Where ours differs on purpose it is said below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from actors.app.effects import Invitation
from actors.app.invitations import Invitations
from actors.app.turn import AppTurn
from actors.messages.session import (
    AppSettings,
    BeginSession,
    Bind,
    Bound,
    CloseSession,
    CredentialGranted,
    CredentialWanted,
    Delivered,
    Invite,
    Outgoing,
    Publish,
    Received,
    RemoveMember,
    SessionConfig,
    Taken,
)
from actors.messages.wire import (
    ACKNOWLEDGES,
    LEAVING_SESSION,
    MARKS_ANSWERS,
    PUBLISH_TO,
    SINCE,
    Frame,
    GroupAdd,
    GroupClose,
    GroupRemove,
    GroupWelcome,
    JoinReply,
    JoinRequest,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.conversation import Setting
from actors.session.core import SessionCore, moderator, participant
from actors.session.crypto import Addition, Computing
from actors.session.peers import PeerGeneration
from actors.session.serial import DIRECT_FIRST
from actors.session.turn import Turn
from gateway.codec import InboundParser, WireCodec
from identity.errors import CryptoError
from tests.transcripts import FOLDER, V1, rows

K = MessageType
REQUESTS = {
    K.DISCOVERY_REQUEST, K.JOIN_REQUEST, K.LEAVE_REQUEST, K.GROUP_ADD, K.GROUP_REMOVE, K.GROUP_WELCOME,
    K.GROUP_CLOSE,
}  # fmt: skip
PRIVATE_MESSAGE = b"\x00\x01\x00\x02"


class Said(NamedTuple):
    """One recorded session message, on its way from or to an application."""

    app: str
    by_it: bool
    message: SessionMessage


def conversation(name: str) -> list[Said]:
    """What each application said and what reached it, in order, as the codec reads it."""
    parser, codec = InboundParser(1), WireCodec()
    said = []
    for row in rows(name):
        frame = parser.parse(row.data)
        if isinstance(frame, Frame) and (row.to_node or not row.dropped):
            said.append(Said(row.app, row.to_node, codec.decode(frame)))
    return said


def generation_of(name: str, app: str) -> str:
    """The version of one application in one recording, such as "1.4.1"."""
    clients = json.loads((FOLDER / f"{name}.jsonl").open().readline())["clients"]
    for part in clients.split(";"):
        if app in part:
            return re.findall(r"\d+\.\d+\.\d+", part)[0]
    return re.findall(r"\d+\.\d+\.\d+", clients)[0]


class Recorded:
    """MLS played from the recording: the bytes are the recorded ones, the opened message is what it was."""

    def __init__(self, said: list[Said], app: str, *, opens_clear: bool) -> None:
        mine = [s.message for s in said if s.app == app and s.by_it]
        self.key_packages = [m.content.key_package for m in mine if isinstance(m.content, JoinReply)]
        self.welcomes = _contents(mine, GroupWelcome)
        self.adds, self.removes = _contents(mine, GroupAdd), _contents(mine, GroupRemove)
        self.blobs = {m.message_id: m.content.blob for m in mine if isinstance(m.content, Payload)}
        self.opens_clear = opens_clear
        self.epoch, self.fingerprint = 0, ""

    def wants_credential(self) -> bool:
        return False

    def claims(self) -> dict[str, Any]:
        return {}

    def has_credential(self) -> bool:
        return True

    def credential(self, token: str) -> None: ...

    def create(self) -> None: ...

    def key_package(self) -> bytes:
        return next(iter(self.key_packages), None) or b""

    def add(self, name: Name, key_package: bytes, subject: str | None = None) -> Computing[Addition]:
        yield from ()
        # The first Add is applied locally only: its commit was never on the wire.
        self.epoch += 1
        return Addition(self.adds.pop(0) if self.epoch > 1 else b"", self.welcomes.pop(0))

    def remove(self, name: Name) -> Computing[bytes]:
        yield from ()
        return self.removes.pop(0) if self.removes else b""

    def join(self, welcome: bytes, moderator: Name, subject: str | None = None) -> Computing[None]:
        yield from ()

    def process(self, commit: bytes, added: Name | None = None) -> None: ...

    def encrypt(self, blob: bytes) -> bytes:
        return blob

    def decrypt(self, source: Name, blob: bytes, subject: str | None = None) -> bytes:
        if not self.opens_clear and not blob.startswith(PRIVATE_MESSAGE):
            raise CryptoError("not a PrivateMessage")
        return blob

    def wrote(self, source: Name, blob: bytes) -> bool:
        return True

    def close(self) -> None: ...


def _contents(messages: list[SessionMessage], kind: type) -> list[bytes]:
    found: dict[int, bytes] = {}
    for message in messages:
        if isinstance(message.content, kind) and message.content.mls is not None:  # type: ignore[attr-defined]
            found.setdefault(message.message_id, message.content.mls.content)  # type: ignore[attr-defined]
    return list(found.values())


class Replay:
    """Our core in the place of `app`."""

    def __init__(self, name: str, app: str) -> None:
        self.said = conversation(name)
        self.app = app
        self.expected = [s.message for s in self.said if s.app == app and s.by_it]
        self.old = generation_of(name, app).startswith("0.")
        self.local = next(m.source for m in self.expected)
        self.now = 0.0
        self.produced: list[SessionMessage] = []
        self.heard: list[SessionMessage] = []
        self.started: set[tuple[MessageType, int]] = set()
        self.ids = self._drawn_ids()
        self.core: SessionCore | None = None
        self.invitations = Invitations(self.local, self.draw, mls=True, backlog=9)
        self.delivered: list[SessionMessage] = []

    def _drawn_ids(self) -> Iterator[int]:
        seen: set[int] = set()
        for message in self.expected:
            direct = message.kind is K.MSG and PUBLISH_TO in (message.metadata or {})
            asks = message.kind is K.PING and self.initiates
            if message.message_id not in seen and (message.kind in REQUESTS or direct or asks):
                seen.add(message.message_id)
                yield message.message_id - (DIRECT_FIRST if direct else 0)

    @property
    def initiates(self) -> bool:
        return any(m.kind is K.DISCOVERY_REQUEST for m in self.expected)

    def draw(self, bound: int) -> int:
        return next(self.ids, 0)

    def run(self) -> None:
        for app, by_it, message in self.said:
            if app == self.app:
                (self._expect if by_it else self._hear)(message)

    def _hear(self, message: SessionMessage) -> None:
        core = self.core
        if core is not None and not core.ended and message.kind is not K.DISCOVERY_REQUEST:
            self._event(Received((message,)))
            return
        turn = AppTurn(self.now)
        self.invitations.handle(message, turn)
        decision = next(iter(turn.effects), None)
        if isinstance(decision, SessionMessage):
            self.produced.append(decision)
        elif isinstance(decision, Invitation):
            self.core = participant(self._setting(decision.config), decision.destination, message, self.now)
            self._event(Received((message,)))

    def _expect(self, message: SessionMessage) -> None:
        """The application's own doing, if it was; else what the timers bring."""
        self.heard.append(message)
        key = (message.kind, message.message_id)
        if key not in self.started:
            self.started.add(key)
            self._act(message)
        for _ in range(50):
            if self._count(self.produced, message) >= self._count(self.heard, message):
                return
            deadline = self.core.next_deadline() if self.core is not None else None
            if deadline is None:
                return
            self.now = deadline
            assert self.core is not None
            turn = Turn(self.now)
            self.core.expire(turn)
            self._perform(turn.effects)

    @staticmethod
    def _count(messages: list[SessionMessage], like: SessionMessage) -> int:
        return sum(_same(message, like) for message in messages)

    def _act(self, message: SessionMessage) -> None:
        kind, metadata, content = message.kind, message.metadata or {}, message.content
        if any(_same(produced, message) for produced in self.produced):
            return
        if kind is K.DISCOVERY_REQUEST:
            if self.core is None:
                self._create(message)
            if message.session_type is SessionKind.MULTICAST:
                self._event(Invite(1, message.destination))
        elif kind is K.MSG:
            assert isinstance(content, Payload)
            to = message.destination if PUBLISH_TO in metadata else None
            rest = {key: value for key, value in metadata.items() if key != PUBLISH_TO}
            item = Outgoing(content.blob, content.payload_type, rest or None, 1, to, 1 if to else None)
            self._event(Publish((item,)))
        elif kind is K.GROUP_REMOVE:
            assert isinstance(content, GroupRemove)
            self._event(RemoveMember(1, content.removed_participant))
        elif kind is K.GROUP_CLOSE or (kind is K.LEAVE_REQUEST and LEAVING_SESSION in metadata):
            self._event(CloseSession(1, 0.0))

    def _create(self, message: SessionMessage) -> None:
        joins = [m for m in self.expected if isinstance(m.content, JoinRequest)]
        interval: float | None = 1.0
        retries: int | None = len(self.expected) - 1
        mls, metadata, destination = False, None, message.destination
        if joins:
            join = joins[0].content
            assert isinstance(join, JoinRequest)
            timers, mls, metadata = join.timer_settings, join.mls, joins[0].metadata
            interval, retries = timers if timers is not None else (None, None)
            destination = join.channel or destination
        config = SessionConfig(message.session_type, interval, retries, mls, metadata)
        self.core = moderator(self._setting(config), destination, 0, self.now)
        self._event(BeginSession())

    def _setting(self, config: SessionConfig) -> Setting:
        crypto = Recorded(self.said, self.app, opens_clear=self.old) if config.mls else None
        session_id = self.said[0].message.session_id
        return Setting(
            self.local, session_id, config, AppSettings(), self.draw, lambda _: PeerGeneration.UNKNOWN, crypto
        )

    def _event(self, event: Any) -> None:
        if self.core is not None:
            turn = Turn(self.now)
            self.core.handle(event, turn)
            self._perform(turn.effects)

    def _perform(self, effects: Any) -> None:
        for effect in effects:
            match effect:
                case SessionMessage():
                    self.produced.append(effect)
                case Bind(subscribe=True):
                    self._event(Bound(effect.name))
                case Delivered():
                    self.delivered += [item for item in effect.items if isinstance(item, SessionMessage)]
                    self._event(Taken(len(effect.items)))
                case CredentialWanted():
                    self._event(CredentialGranted("token"))


SIGNS = {ACKNOWLEDGES, MARKS_ANSWERS, SINCE}
"""What ours says to ours in metadata, which originals pass over."""


def _fixed(message: SessionMessage) -> SessionMessage:
    """Without what the specification leaves open: identity, connection, order of participants, our signs."""
    content: Any = message.content
    if isinstance(content, GroupWelcome | GroupAdd | GroupRemove | GroupClose):
        content = content._replace(participants=tuple(sorted(content.participants, key=str)))
    metadata = {key: value for key, value in (message.metadata or {}).items() if key not in SIGNS}
    return message._replace(
        content=content, identity="", connection=None, metadata=metadata or None, error=message.error
    )


def _same(one: SessionMessage, other: SessionMessage) -> bool:
    return (one.kind, one.message_id, one.destination) == (other.kind, other.message_id, other.destination)


def by_kind(messages: list[SessionMessage]) -> dict[str, list[SessionMessage]]:
    sorted_: dict[str, list[SessionMessage]] = {}
    for message in messages:
        sorted_.setdefault(message.kind.name, []).append(_fixed(message))
    return sorted_


def cases() -> list[tuple[str, str]]:
    return [
        (name, app) for name in V1 for app in sorted({said.app for said in conversation(name) if said.by_it})
    ]


def on_purpose(replay: Replay, name: str) -> str:
    """Why ours sends something else than the recorded application, if it should."""
    if replay.old and replay.initiates and "group" in name:
        return "a 0.7 moderator's GROUP_REMOVE and early messages are not copied (`session.md` 12)"
    heard = [s.message for s in replay.said if s.app == replay.app and not s.by_it]
    ids = [(m.source, m.message_id) for m in heard if m.kind is K.MSG]
    acks = {m.message_id for m in replay.expected if m.kind is K.MSG_ACK}
    if "mls" in name and any(ids.count(id) > 1 and id[1] in acks for id in ids):
        return "duplicates are acknowledged with MLS too (`session.md` 14, point 2)"
    if "besteffort-rejected" in name and not replay.initiates:
        return "a best-effort group can be joined (`session.md` 4.2)"
    return ""


@pytest.mark.vectors
@pytest.mark.parametrize(("name", "app"), cases())
def test_our_core_says_what_was_recorded(name: str, app: str, record_property: Any) -> None:
    replay = Replay(name, app)
    replay.run()
    ours, theirs = by_kind(replay.produced), by_kind(replay.expected)
    record_property("messages", len(replay.expected))
    why = on_purpose(replay, name)
    if not why:
        assert ours == theirs
    elif "duplicates" in why:
        extra = ours.pop("MSG_ACK")
        assert [m for m in extra if m in theirs["MSG_ACK"]] == extra
        assert len(extra) >= len(theirs.pop("MSG_ACK"))
        assert ours == theirs
    elif "joined" in why:
        assert ours.pop("JOIN_REPLY")
        assert ours == theirs
    else:
        for kind in ("DISCOVERY_REQUEST", "JOIN_REQUEST", "GROUP_WELCOME", "GROUP_ADD"):
            assert ours.get(kind) == theirs.get(kind)
