"""The players of `stage` with real MLS, tokens of a shared secret, and a wall clock beside the stage's."""

from __future__ import annotations

import base64
import json
from typing import Any

from actors.messages.session import AppSettings, VerificationWanted
from actors.names import Name
from actors.session.crypto import Computing, Place
from actors.session.mls_session import MlsSession, mls_sessions
from identity.protocols import Claims, KeysMissing
from identity.shared_secret import SharedSecretVerifier, make_token
from tests.actors.session.stage import ROOM, Player, Stage, group, p2p

SECRET = "a secret of the stage that has 32 bytes"
EPOCH = 1_800_000_000.0
"""The wall clock when the stage's is zero."""


class MlsPlayer(Player):
    """`crypto` is an MlsSession; `spent` keeps those of earlier sessions."""

    def __init__(self, stage: Stage, name: str, id: int, **more: Any) -> None:
        super().__init__(stage, name, id, **more)
        self.verifier: Any = SharedSecretVerifier("app", SECRET)
        self.spent: list[MlsSession] = []
        self.tokens: list[dict[str, Any]] = []
        self.make_crypto = self._make
        self.token = self._token

    @property
    def mls(self) -> MlsSession:
        assert isinstance(self.crypto, MlsSession)
        return self.crypto

    @property
    def complained_of(self) -> set[Name]:
        """Whose clear text is no news any more."""
        assert self.core is not None
        encryption = self.core._conversation.encryption
        assert encryption is not None
        return encryption._clear_text

    def opens(self, blob: bytes, source: Name) -> bytes:
        return self.mls.decrypt(source, blob)

    def _make(self) -> Any:
        made = mls_sessions(
            self.verifier,
            wall=lambda: EPOCH + self.stage.now,
            random=lambda count: bytes(self.draw(256) for _ in range(count)),
        )()
        assert isinstance(made, MlsSession)
        self.spent.append(made)
        return made

    def _token(self, claims: dict[str, Any]) -> str:
        self.tokens.append(claims)
        subject = f"{'/'.join(self.name.strings)}_{self.name.id}"
        nonce = bytes(self.draw(256) for _ in range(12))
        return make_token(SECRET.encode(), subject, int(EPOCH + self.stage.now), nonce, claims)


class MlsStage(Stage):
    """A stage of MlsPlayers."""

    def player(self, name: str, id: int | None = None, **more: Any) -> MlsPlayer:
        id = 1000 + len(self.players) if id is None else id
        player = MlsPlayer(self, name, id, mls=True, settings=more.get("settings") or AppSettings())
        self.players.append(player)
        return player


class Forgetful:
    """A verifier that lacks an issuer's keys until it is given time to fetch them."""

    def __init__(self, inner: SharedSecretVerifier) -> None:
        self.inner = inner
        self.known: set[str] = set()
        self.asked = 0

    def learn(self, wanted: VerificationWanted) -> None:
        self.asked += 1
        self.known |= {token for token, _ in wanted.tokens}

    def try_verify(self, token: str, now: float) -> None:
        self.try_get_claims(token, now)

    def try_get_claims(self, token: str, now: float) -> Claims:
        if token not in self.known:
            raise KeysMissing
        return self.inner.try_get_claims(token, now)


def mls_pair(stage: MlsStage) -> tuple[MlsPlayer, MlsPlayer]:
    alice, bob = stage.player("alice"), stage.player("bob")
    alice.create(bob.name.without_id(), p2p(mls=True))
    stage.transfer()
    assert bob.joined == 1
    return alice, bob


def mls_group(stage: MlsStage, *names: str) -> list[MlsPlayer]:
    alice = stage.player("alice")
    alice.create(ROOM, group(mls=True))
    others = [stage.player(name) for name in names]
    for number, player in enumerate(others):
        alice.invite(player.name.without_id(), handle=10 + number)
        stage.transfer()
        assert 10 + number in alice.done
    return [alice, *others]


def run(steps: Computing[Any]) -> Any:
    """An operation to its end; what needs a thread runs here, too."""
    while True:
        try:
            assert isinstance(next(steps), Place)
        except StopIteration as end:
            return end.value


def pubkey(token: str) -> bytes:
    """The key in a token of the stage."""
    claims = token.split(":")[3]
    found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["pubkey"]
    return base64.b64decode(found)
