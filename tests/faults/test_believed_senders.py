"""A message is believed only if its leaf, its token's subject and its source name belong together."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from actors.messages.session import Received
from actors.messages.wire import (
    DELETE_GROUP,
    IS_MODERATOR,
    TRUE,
    DiscoveryRequest,
    JoinRequest,
    LeaveRequest,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
    TimerSettings,
)
from actors.names import Name, instance_id
from actors.session.mls_session import MlsSession
from actors.session.senders import Senders
from gateway import Slim
from identity.errors import CryptoError
from identity.jose.jws import payload_of
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.mls import public_key_claim
from identity.protocols import Claims
from identity.provider import IdentityProvider, IdentityVerifier
from identity.shared_secret import make_token
from tests.actors.session.mls_stage import run
from tests.actors.session.stage import ROOM, Stage, make_group
from tests.faults.forger import Forger
from tests.gateway.app_stage import AppStage, name

NOW = 1_800_000_000.0
KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def provider(subject: str) -> Any:
    key = Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(PRIVATE))
    return IdentityProvider.Jwt(key, timedelta(hours=1), subject=subject)


def verifier() -> Any:
    return IdentityVerifier.Jwt(Key(Algorithm.ES256, KeyFormat.Pem, KeyData.Content(PUBLIC)))


def full(app: str, subject: str) -> Name:
    return Name("org", "default", app, instance_id(subject))


def token(subject: str, claims: Mapping[str, Any] | None = None) -> str:
    made: str = provider(subject)._make(dict(claims or {}), NOW)
    return made


def message(source: Name, token: str) -> SessionMessage:
    return SessionMessage(
        source, source, SessionKind.MULTICAST, MessageType.MSG, 5, 1, Payload("", b"x"), identity=token
    )


# Token and name


def test_a_jwt_speaks_for_its_own_instance_only() -> None:
    senders = Senders()
    assert senders.believes(message(full("alice", "alice"), token("alice")))
    assert not senders.believes(message(full("alice", "alice"), token("mallory")))
    assert not senders.believes(message(full("alice", "alice").without_id(), token("alice")))
    assert senders.subject(token("alice")) == "alice"


def test_a_shared_secret_says_nothing_that_can_be_compared() -> None:
    made = make_token(b"s" * 32, "mallory_x", int(NOW), b"n" * 12, {})
    assert Senders().believes(message(full("alice", "alice"), made))
    assert Senders().subject(made) is None


# Leaf, token and name


class Believing:
    """A verifier that takes every JWT at its word."""

    def try_verify(self, token: str, now: float) -> None: ...

    def try_get_claims(self, token: str, now: float) -> Claims:
        return payload_of(token)


def member(subject: str) -> MlsSession:
    made = MlsSession(Believing(), wall=lambda: NOW, random=os.urandom)  # type: ignore[arg-type]
    made.credential(token(subject, made.claims()))
    return made


ALICE, BOB, CAROL, MALLORY = (full(who, who) for who in ("alice", "bob", "carol", "mallory"))


def group() -> list[MlsSession]:
    """Alice, who leads, Bob, Carol and Mallory; each but the last saw those behind come in."""
    alice = member("alice")
    alice.create()
    members = [alice]
    for who in (BOB, CAROL, MALLORY):
        guest = member(who.strings[2])
        addition = run(alice.add(who, guest.key_package(), who.strings[2]))
        for other in members[1:]:
            other.process(addition.commit, who)
        run(guest.join(addition.welcome, ALICE, "alice"))
        members.append(guest)
    return members


def test_a_member_cannot_speak_in_the_name_of_another() -> None:
    alice, bob, carol, mallory = group()
    for reader in (alice, bob, carol):
        blob = mallory.encrypt(b"I am Carol")
        for subject in ("mallory", "carol", None):
            with pytest.raises(CryptoError, match=r"in whose name|another member wrote"):
                reader.decrypt(CAROL if reader is not carol else BOB, blob, subject)
        # Refused, it is not used up: in the right name it is heard.
        assert reader.decrypt(MALLORY, blob, "mallory") == b"I am Carol"


def test_where_nothing_can_be_compared_a_leaf_still_has_one_name() -> None:
    _, bob, carol, mallory = group()
    # Mallory came in before the eyes of Bob: her leaf has her name.
    with pytest.raises(CryptoError, match="another member wrote"):
        bob.decrypt(CAROL, mallory.encrypt(b"x"))
    # Carol came in before Mallory did, whom she hears first in her own name.
    assert mallory.decrypt(CAROL, carol.encrypt(b"x")) == b"x"
    with pytest.raises(CryptoError, match="another member wrote"):
        mallory.decrypt(CAROL, bob.encrypt(b"x"))
    assert mallory.decrypt(BOB, bob.encrypt(b"y")) == b"y"


def test_a_copy_is_one_only_if_it_is_of_the_same_leaf() -> None:
    _, bob, carol, mallory = group()
    blob = carol.encrypt(b"x")
    bob.decrypt(CAROL, blob, "carol")
    assert bob.wrote(CAROL, blob)
    assert not bob.wrote(CAROL, mallory.encrypt(b"x"))
    assert not bob.wrote(MALLORY, blob)
    assert not bob.wrote(CAROL, b"clear text")


def test_a_removed_member_is_heard_no_more_and_its_leaf_can_be_given_away() -> None:
    alice, bob, carol, mallory = group()
    late = mallory.encrypt(b"late")
    removal = run(alice.remove(MALLORY))
    for other in (bob, carol):
        other.process(removal)
    for reader in (alice, bob, carol):
        with pytest.raises(CryptoError):
            reader.decrypt(MALLORY, late, "mallory")
    dave, guest = full("dave", "dave"), member("dave")
    addition = run(alice.add(dave, guest.key_package(), "dave"))
    for other in (bob, carol):
        other.process(addition.commit, dave)
    run(guest.join(addition.welcome, ALICE, "alice"))
    for reader in (alice, bob, carol):
        for pretended in (dave, MALLORY, CAROL if reader is not carol else BOB):
            with pytest.raises(CryptoError):
                reader.decrypt(pretended, late, pretended.strings[2])
        assert reader.decrypt(dave, guest.encrypt(b"new"), "dave") == b"new"


def test_a_key_package_must_be_of_whoever_sent_it() -> None:
    alice = member("alice")
    alice.create()
    stolen = member("mallory").key_package()
    with pytest.raises(CryptoError, match="is not that of org/default/bob"):
        run(alice.add(BOB, stolen, "bob"))
    assert alice.epoch == 0
    bob = member("bob")
    addition = run(alice.add(BOB, bob.key_package(), "bob"))
    with pytest.raises(CryptoError, match="is not that of org/default/carol"):
        run(bob.join(addition.welcome, CAROL, "carol"))


def test_the_key_of_a_header_token_is_not_compared() -> None:
    """It is the provider's and not the session's, in 1.3 and later."""
    alice, bob, *_ = group()
    other = token("alice", {"pubkey": public_key_claim(b"k" * 32)})
    assert bob.decrypt(ALICE, alice.encrypt(b"x"), Senders().subject(other)) == b"x"


# Sessions


def test_a_session_hears_nobody_in_anothers_name() -> None:
    stage = Stage()
    alice, bob = make_group(stage, "bob")
    close = next(m for m in alice.sent if m.kind is MessageType.GROUP_WELCOME)._replace(
        kind=MessageType.GROUP_CLOSE, connection=1, identity=token("mallory")
    )
    bob.event(Received((close,)))
    assert bob.ended is None
    assert "somebody else's" in bob.refused[-1]


def test_orders_are_judged_by_who_may_order() -> None:
    """A controller's name need not be one that an application of its subject has."""
    stage = Stage()
    alice, bob = stage.player("alice"), stage.player("bob")
    plane = Name("org", "control", "plane", 9)

    def order(subject: str, id: int, kind: MessageType, content: object, **metadata: str) -> None:
        made = SessionMessage(
            plane, alice.name, SessionKind.MULTICAST, kind, 7, id, content,  # type: ignore[arg-type]
            metadata=metadata or None, identity=token(subject), connection=1,
        )  # fmt: skip
        alice.receive(made)
        stage.transfer()

    join = JoinRequest(False, TimerSettings(1.0, 5), ROOM)
    order("plane", 1, MessageType.JOIN_REQUEST, join, **{IS_MODERATOR: TRUE})
    order("mallory", 2, MessageType.LEAVE_REQUEST, LeaveRequest(), **{DELETE_GROUP: TRUE})
    order("mallory", 3, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(bob.name.without_id()))
    assert (alice.ended, bob.core) == (None, None)
    order("plane", 4, MessageType.DISCOVERY_REQUEST, DiscoveryRequest(bob.name.without_id()))
    assert bob.joined == 1
    order("plane", 5, MessageType.LEAVE_REQUEST, LeaveRequest(), **{DELETE_GROUP: TRUE})
    assert alice.ended is not None


async def test_on_the_wire_a_jwt_speaks_for_its_own_instance_only() -> None:
    stage = AppStage("server")
    await stage.start()
    bob = Slim(name("bob"), provider("bob"), verifier(), data_plane=stage._plane())
    stage._apps.append(bob)
    await bob.connect(stage.client_config)
    mallorys, alices = provider("mallory"), provider("alice")
    try:
        honest = Forger(stage.endpoint, full("alice", "alice"), lambda: alices.get_token(time.time()))
        async with honest as alice:
            await alice.join(bob.local_name, JoinRequest(False, TimerSettings(1.0, 5)))
            session = await bob.listen_for_session(10.0)
            forged = alice.says(bob.local_name, MessageType.MSG, Payload("msg", b"forged"), message_id=1)
            stolen = mallorys.get_token(time.time())
            await alice.say(forged, token=stolen)
            await alice.say(
                alice.says(bob.local_name, MessageType.JOIN_REQUEST, JoinRequest(False), session_id=9),
                token=stolen,
            )
            # The real one with that id is no copy of it.
            await alice.say(forged._replace(content=Payload("msg", b"real")))
            heard = await session.get_message(10.0)
            assert heard.payload == b"real"
            with pytest.raises(TimeoutError):
                await session.get_message(0.2)
            assert (await bob.status())["application"]["refused"] == 1
    finally:
        await stage.close()
