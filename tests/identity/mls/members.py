"""Members of groups that talk to one another in one process, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from random import Random as Dice

from identity.mls import (
    BasicIdentity,
    CipherSuite,
    Credential,
    Group,
    KeyPackageBundle,
    PendingCommit,
    make_key_package,
    suite,
)

NOW = 1_800_000_000.0


def seeded(seed: int) -> Dice:
    return Dice(seed)


def package(name: str, algorithms: CipherSuite | None = None, *, now: float = NOW) -> KeyPackageBundle:
    """A key package of a member with that name."""
    use = algorithms or suite(1)
    signer = use.generate_signature_key(os.urandom)
    return make_key_package(use, signer, Credential.basic(name.encode()), random=os.urandom, now=now)


def found(name: str = "alice", algorithms: CipherSuite | None = None) -> Group:
    """A group with its founder."""
    use = algorithms or suite(1)
    signer = use.generate_signature_key(os.urandom)
    return Group.create(use, signer, Credential.basic(name.encode()), identity=BasicIdentity(), now=NOW)


def join(pending: PendingCommit, bundle: KeyPackageBundle) -> Group:
    """Join by the Welcome of a commit."""
    assert pending.welcome is not None
    return Group.join(pending.welcome, bundle, identity=BasicIdentity(), now=NOW)


def add(group: Group, others: Iterable[Group], name: str, *, path: bool = False) -> Group:
    """`group` adds a member; all others follow; returns the new member's group."""
    bundle = package(name, group.suite)
    pending = group.commit(add=[bundle.message], path=path, now=NOW)
    for other in others:
        other.process(pending.commit, now=NOW)
    group.apply_pending()
    return join(pending, bundle)


def grow(count: int, algorithms: CipherSuite | None = None) -> list[Group]:
    """A group of `count` members, the founder first."""
    members = [found("member0", algorithms)]
    for number in range(1, count):
        members.append(add(members[0], members[1:], f"member{number}"))
    return members


def agree(members: Iterable[Group]) -> None:
    """Assert that all hold the same epoch."""
    states = {(m.epoch, bytes(m.epoch_authenticator), tuple(m.members.items())) for m in members}
    assert len(states) == 1, f"{len(states)} different views"


def talk(members: list[Group]) -> None:
    """Assert that everybody reads everybody."""
    for number, sender in enumerate(members):
        text = f"from {number}".encode()
        message = sender.encrypt(text, b"data")
        for reader in members:
            if reader is not sender:
                opened = reader.decrypt(message)
                assert (opened.plaintext, opened.sender, opened.authenticated_data) == (
                    text,
                    sender.own_leaf,
                    b"data",
                )
