"""What must hold for every history of a group, and for every damaged message."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.mls import BasicIdentity, Group, KeyUnavailable, MlsError, Removed, ValidationError, suite
from identity.mls.framing import (
    AuthenticatedContent,
    FramedContent,
    PublicMessage,
    Sender,
    SenderType,
    WireFormat,
    decode_message,
    encode_message,
)
from identity.mls.leaf_node import LeafNode, LeafNodeSource, leaf_position
from identity.mls.messages import Commit, HpkeCiphertext, UpdatePath, UpdatePathNode
from identity.mls.proposal import Add, Remove, Update
from tests.identity.mls.members import NOW, agree, found, grow, join, package, seeded, talk

step = st.tuples(
    st.sampled_from(["add", "add with path", "remove", "update", "renew", "chat"]),
    st.integers(0, 1000),
    st.integers(0, 1000),
)


class History:
    """A group that lives through a list of actions, with those who were removed and what was sent."""

    def __init__(self) -> None:
        self.members = [found("m0")]
        self.gone: list[Group] = []
        self.named = 0

    def commit(self, committer: Group, **what: object) -> None:
        pending = committer.commit(now=NOW, **what)  # type: ignore[arg-type]
        for member in list(self.members):
            if member is not committer and isinstance(member.process(pending.commit, now=NOW), Removed):
                self.members.remove(member)
                self.gone.append(member)
        committer.apply_pending()
        if pending.welcome is not None:
            self.members.append(join(pending, self.newcomer))

    def act(self, action: str, first: int, second: int) -> None:
        committer = self.members[first % len(self.members)]
        others = [member for member in self.members if member is not committer]
        match action:
            case "add" | "add with path":
                self.named += 1
                self.newcomer = package(f"m{self.named}")
                self.commit(committer, add=[self.newcomer.message], path=action != "add")
            case "remove" if others:
                self.commit(committer, remove=[others[second % len(others)].own_leaf])
            case "update" if others:
                updating = others[second % len(others)]
                message = updating.propose_update()
                for member in self.members:
                    if member is not updating:
                        member.process(message, now=NOW)
                self.commit(committer)
            case "renew":
                self.commit(committer, path=True)
            case "chat":
                self.chat(committer, others, second)

    def chat(self, sender: Group, readers: list[Group], seed: int) -> None:
        """Some messages, of which each reader gets a part, out of order and some of them twice."""
        dice = seeded(seed)
        texts = [bytes([number]) * number for number in range(6)]
        sent = [sender.encrypt(text) for text in texts]
        for reader in readers:
            order = [dice.randrange(6) for _ in range(8)]
            read = set()
            for number in order:
                if number in read:
                    with pytest.raises(KeyUnavailable):
                        reader.decrypt(sent[number])
                else:
                    assert reader.decrypt(sent[number]).plaintext == texts[number]
                    read.add(number)
        for former in self.gone:
            with pytest.raises(MlsError):
                former.decrypt(sent[0])


@given(st.lists(step, max_size=14))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_leaves_all_with_equal_secrets(steps: list[tuple[str, int, int]]) -> None:
    run(steps)


@pytest.mark.long
@given(st.lists(step, max_size=60))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_long_history_leaves_all_with_equal_secrets(steps: list[tuple[str, int, int]]) -> None:
    run(steps)


def run(steps: list[tuple[str, int, int]]) -> None:
    history = History()
    for step in steps:
        history.act(*step)
        agree(history.members)
    talk(history.members)
    message = history.members[0].encrypt(b"not for those who left")
    for former in history.gone:
        assert former.epoch_authenticator != history.members[0].epoch_authenticator
        with pytest.raises(MlsError):
            former.decrypt(message)


@given(st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_commits_out_of_order_are_refused_until_their_turn(order: list[int]) -> None:
    alice, bob = grow(2)
    commits = []
    for _ in order:
        commits.append(alice.commit(path=True, now=NOW).commit)
        alice.apply_pending()
    waiting = list(order)
    while waiting:
        for number in list(waiting):
            if number == bob.epoch - 1:
                bob.process(commits[number], now=NOW)
                waiting.remove(number)
            else:
                with pytest.raises(ValidationError, match="handshake message of epoch"):
                    bob.process(commits[number], now=NOW)
    agree([alice, bob])


# Damage on the way


def damaged(data: bytes, seed: int) -> bytes:
    """The message with some bits turned, bytes lost, added or moved, or its lengths changed."""
    dice = seeded(seed)
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        at = dice.randrange(len(changed))
        match dice.randrange(6):
            case 0 | 1:
                changed[at] ^= 1 << dice.randrange(8)
            case 2:
                changed[at] = dice.choice((0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xFF))
            case 3:
                del changed[at : at + dice.choice((1, 2, 32))]
                changed = changed or bytearray(1)
            case 4:
                changed[at:at] = dice.randbytes(dice.choice((1, 2, 32)))
            case 5:
                other = dice.randrange(len(changed))
                changed[at], changed[other] = changed[other], changed[at]
    return bytes(changed)


def targets() -> list[tuple[bytes, Callable[[bytes], object], Callable[[], bytes]]]:
    """Good messages of every kind: (message, what takes it, the state that must not change)."""
    members = grow(5)
    members[1].commit(path=True, now=NOW)
    for other in members[:1] + members[2:]:
        assert members[1].pending is not None
        other.process(members[1].pending.commit, now=NOW)
    members[1].apply_pending()
    talk(members)
    alice, bob = members[0], members[4]
    proposal = alice.propose_update()
    bundle = package("new")
    alice_add = Group.load(alice.snapshot(), identity=BasicIdentity()).commit(add=[bundle.message], now=NOW)
    alice_remove = Group.load(alice.snapshot(), identity=BasicIdentity()).commit(remove=[2], now=NOW)
    assert alice_add.welcome is not None
    private = private_form(alice, proposal)

    def process(data: bytes) -> object:
        return bob.process(data, now=NOW)

    def join_by(data: bytes) -> object:
        return Group.join(data, bundle, identity=BasicIdentity(), now=NOW)

    found_it: list[tuple[bytes, Callable[[bytes], object], Callable[[], bytes]]] = [
        (message, process, bob.snapshot)
        for message in (
            alice.encrypt(b"hello", b"authenticated"),
            alice.encrypt(bytes(2000)),
            proposal,
            private,
            alice_add.commit,
            alice_remove.commit,
            alice.group_info(),
        )
    ]
    found_it.append((alice_add.welcome, join_by, lambda: b""))
    found_it.append((bundle.message, lambda data: add_only(bob, data), bob.snapshot))
    return found_it


def add_only(group: Group, data: bytes) -> object:
    try:
        return group.commit(add=[data], now=NOW)
    finally:
        group.discard_pending()


def private_form(group: Group, message: bytes) -> bytes:
    """The same proposal as a PrivateMessage."""
    public = decode_message(message)
    assert isinstance(public, PublicMessage)
    state = group._state
    content = AuthenticatedContent.sign(
        state.suite,
        state.signer,
        WireFormat.PRIVATE_MESSAGE,
        public.content.content,
        state.context.encoded,
    )
    return state.keys.protect(content, os.urandom(4))


def refuse_damaged(count: int) -> None:
    kinds = targets()
    refused = 0
    for seed in range(count):
        message, take, state = kinds[seed % len(kinds)]
        data = damaged(message, seed)
        if data == message:
            continue
        before = state()
        with pytest.raises(MlsError):
            take(data)
        assert state() == before, f"seed {seed}"
        refused += 1
    for message, take, _ in kinds[:6]:
        with suppress(ValidationError):  # the second commit of an epoch comes too late
            take(message)
    print(f"damaged messages: {refused} refused")


def test_damaged_messages_are_refused_without_a_change() -> None:
    refuse_damaged(2_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_damaged_messages_are_refused_without_a_change() -> None:
    refuse_damaged(100_000)


# A member who cheats: every field of a commit changed in turn, signed and tagged properly


class Cheat:
    """A member of a group of five who makes commits by hand."""

    def __init__(self) -> None:
        self.alice, self.bob, _, self.dora, _ = grow(5)
        pending = self.alice.commit(remove=[2], path=True, now=NOW)
        self.honest = pending.commit
        message = decode_message(pending.commit)
        assert isinstance(message, PublicMessage)
        self.content = message.content
        body = self.content.content.body
        assert isinstance(body, Commit)
        assert body.path is not None
        self.commit: Commit = body
        self.path: UpdatePath = body.path

    def send(self, commit: Commit | None = None, *, tag: bytes | None = None, **place: object) -> bytes:
        """The commit under the cheat's own signature and the group's membership tag."""
        state = self.alice._state
        framed = self.content.content
        fields: dict[str, object] = {
            "group_id": framed.group_id,
            "epoch": framed.epoch,
            "sender": framed.sender,
            "body": commit or self.commit,
            "authenticated_data": b"",
        }
        content = FramedContent.build(**{**fields, **place})  # type: ignore[arg-type]
        signed = AuthenticatedContent.sign(
            state.suite, state.signer, WireFormat.PUBLIC_MESSAGE, content, state.context.encoded
        )
        tagged = replace(signed, confirmation_tag=self.content.confirmation_tag if tag is None else tag)
        return encode_message(
            PublicMessage.protect(state.suite, tagged, state.secrets.membership, state.context.encoded)
        )

    def leaf(self, **changes: object) -> Commit:
        """The commit with another leaf in its path, signed."""
        before = self.path.leaf_node
        fields: dict[str, object] = {
            "encryption_key": before.encryption_key,
            "credential": before.credential,
            "capabilities": before.capabilities,
            "source": LeafNodeSource.COMMIT,
            "parent_hash": before.parent_hash,
            "position": leaf_position(self.alice.group_id, 0),
        }
        leaf = LeafNode.sign(suite(1), self.alice._state.signer, **{**fields, **changes})  # type: ignore[arg-type]
        return replace(self.commit, path=replace(self.path, leaf_node=leaf))

    def nodes(self, *nodes: UpdatePathNode) -> Commit:
        return replace(self.commit, path=replace(self.path, nodes=nodes))

    def attempts(self) -> Iterator[tuple[str, bytes]]:
        first, *rest = self.path.nodes
        sealed = first.encrypted_path_secret
        dora = self.dora._state.tree.leaf(3)
        assert dora is not None
        old = self.alice._state.tree.leaf(0)
        assert old is not None
        yield "another epoch", self.send(epoch=self.alice.epoch + 1)
        yield "another group", self.send(group_id=b"other")
        yield "another sender", self.send(sender=Sender.member(1))
        yield "blank sender", self.send(sender=Sender.member(9))
        yield "external sender", self.send(sender=Sender(SenderType.EXTERNAL, 0))
        yield "new member", self.send(sender=Sender(SenderType.NEW_MEMBER_COMMIT))
        yield "authenticated data", self.send(authenticated_data=b"x")
        yield "confirmation tag", self.send(tag=bytes(32))
        yield "empty confirmation tag", self.send(tag=b"")
        yield "no path", self.send(replace(self.commit, path=None))
        yield "no proposals", self.send(replace(self.commit, proposals=()))
        yield "another proposal", self.send(replace(self.commit, proposals=(Remove(4),)))
        yield "own removal", self.send(replace(self.commit, proposals=(Remove(0),)))
        yield "own update", self.send(replace(self.commit, proposals=(Update(self.path.leaf_node),)))
        yield "added member", self.send(replace(self.commit, proposals=(Add(package("x").key_package),)))
        yield "shorter path", self.send(self.nodes(*rest))
        yield "longer path", self.send(self.nodes(first, *rest, first))
        yield "node key", self.send(self.nodes(replace(first, encryption_key=os.urandom(32)), *rest))
        yield "short node key", self.send(self.nodes(replace(first, encryption_key=b"key"), *rest))
        yield (
            "node key of a member",
            self.send(self.nodes(replace(first, encryption_key=dora.encryption_key), *rest)),
        )
        yield "no ciphertext", self.send(self.nodes(replace(first, encrypted_path_secret=()), *rest))
        yield (
            "second ciphertext",
            self.send(self.nodes(replace(first, encrypted_path_secret=(*sealed, *sealed)), *rest)),
        )
        bad = (HpkeCiphertext(sealed[0].kem_output, bytes(48)),)
        yield "bad ciphertext", self.send(self.nodes(replace(first, encrypted_path_secret=bad), *rest))
        bad = (HpkeCiphertext(b"", sealed[0].ciphertext),)
        yield "bad encapsulated key", self.send(self.nodes(replace(first, encrypted_path_secret=bad), *rest))
        yield "parent hash", self.send(self.leaf(parent_hash=bytes(32)))
        yield "no parent hash", self.send(self.leaf(parent_hash=b""))
        yield "old leaf key", self.send(self.leaf(encryption_key=old.encryption_key))
        yield "leaf key of a member", self.send(self.leaf(encryption_key=dora.encryption_key))
        yield "leaf of an update", self.send(self.leaf(source=LeafNodeSource.UPDATE))
        yield "leaf for another place", self.send(self.leaf(position=leaf_position(self.alice.group_id, 1)))
        yield "identity of a member", self.send(self.leaf(credential=dora.credential))
        yield (
            "fewer capabilities",
            self.send(self.leaf(capabilities=replace(old.capabilities, credentials=()))),
        )


def test_commit_tampered_by_its_committer_is_refused_and_the_right_one_taken_after() -> None:
    cheat = Cheat()
    for reader in (cheat.bob, cheat.dora):
        talked = reader.snapshot()
        tried = 0
        for name, message in cheat.attempts():
            with pytest.raises(MlsError):
                raise AssertionError(f"{name}: {reader.process(message, now=NOW)}")
            assert reader.snapshot() == talked, name
            tried += 1
        assert tried > 30
        reader.process(cheat.honest, now=NOW)
    cheat.alice.apply_pending()
    agree([cheat.alice, cheat.bob, cheat.dora])


def test_commit_without_a_valid_membership_tag_or_signature_is_refused() -> None:
    cheat = Cheat()
    message = decode_message(cheat.honest)
    assert isinstance(message, PublicMessage)
    for changed in (
        replace(message, membership_tag=bytes(32)),
        replace(message, membership_tag=b""),
        replace(message, content=replace(message.content, signature=b"")),
        replace(message, content=replace(message.content, signature=bytes(64))),
    ):
        before = cheat.bob.snapshot()
        with pytest.raises(MlsError):
            cheat.bob.process(encode_message(changed), now=NOW)
        assert cheat.bob.snapshot() == before
