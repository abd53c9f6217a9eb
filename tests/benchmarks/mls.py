"""How fast the MLS library is, beside the least time its primitives take (`callboard bench mls`).

The bound of an operation is the sum of the cryptography it cannot do without, measured in the same run at
the same sizes: signatures, seals, HMACs, ciphers, hashes. Parsing, trees and bookkeeping come on top.
All figures are the best of several runs, so that other work on the machine disturbs them least.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import math
import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from identity.mls import BasicIdentity, Credential, Group, KeyPackageBundle, make_key_package, suite
from identity.mls.cipher_suite import CipherSuite

SIZES = (2, 10, 100, 1000)
PAYLOAD = 1024
NOW = 1_700_000_000.0

MESSAGE_TARGET = 1.5
"""How many times the bound encrypt and decrypt may take."""
HANDSHAKE_TARGET = 2.0
"""The same for commits and joins."""
MEMORY_TARGET = 5 * 1024 * 1024
"""Bytes that a group of 1,000 members may take."""

_IDENTITY_BYTES = 200
"""About the length of a shared secret token with a public key in it."""
_SCHEDULE_HMACS = 16
"""HMACs from an init secret to the secrets and tags of an epoch (RFC 9420, section 8)."""
_BATCH = 100
_MESSAGES = 20
"""Messages in one run: short runs are the ones that other work on the machine does not interrupt."""
_RUNS = 40
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One operation in a group of one size."""

    operation: str
    members: int
    measured: float
    """Seconds; bytes for memory."""
    bound: float
    """Seconds its primitives take; the allowed bytes for memory."""
    target: float | None
    """How many times the bound is allowed; `None` where nothing is promised."""

    @property
    def ratio(self) -> float:
        """How many times the bound it took."""
        return self.measured / self.bound

    @property
    def met(self) -> bool:
        """Whether the target is met; true where there is none."""
        return self.target is None or self.ratio <= self.target


def run(sizes: Iterable[int] = SIZES, *, suite_number: int = 1) -> list[Row]:
    """Measure every operation in groups of the given sizes (at least 2). Takes a few seconds."""
    use = suite(suite_number)
    return [row for members in sizes for row in _measure(use, members)]


def table(rows: Iterable[Row]) -> str:
    """The rows as text, a line each."""
    lines = [f"{'operation':<16}{'members':>8}{'measured':>12}{'bound':>12}{'ratio':>8}{'target':>8}"]
    for row in rows:
        show = _mebibytes if row.operation == "memory" else _duration
        target = "" if row.target is None else f"{row.target:.1f}"
        verdict = "" if row.met else "  missed"
        lines.append(
            f"{row.operation:<16}{row.members:>8}{show(row.measured):>12}{show(row.bound):>12}"
            f"{row.ratio:>8.2f}{target:>8}{verdict}"
        )
    return "\n".join(lines)


def _measure(use: CipherSuite, members: int) -> Iterator[Row]:
    """All rows of one group size."""
    costs = Primitives(use)
    founder, bundle, welcome = _found(use, members)
    join = partial(Group.join, welcome, bundle, identity=BasicIdentity(), now=NOW)
    joined: list[Group] = []
    join_time = _best(lambda: joined.append(join()), _REPEATS)
    memory = _memory(join)
    reader = joined[0]

    sent: list[bytes] = []
    payload = os.urandom(PAYLOAD)
    encrypt = (
        _best(lambda: sent.extend(founder.encrypt(payload) for _ in range(_MESSAGES)), _RUNS) / _MESSAGES
    )
    waiting = iter(sent)
    decrypt = _best(lambda: [reader.decrypt(next(waiting)) for _ in range(_MESSAGES)], _RUNS) / _MESSAGES
    yield Row("encrypt 1 KiB", members, encrypt, costs.encrypt(), MESSAGE_TARGET)
    yield Row("decrypt 1 KiB", members, decrypt, costs.decrypt(), MESSAGE_TARGET)

    newcomer = _key_package(use, members).message
    add = _best(partial(_commit, founder, add=[newcomer]), _REPEATS, before=founder.discard_pending)
    yield Row("commit Add", members, add, costs.commit_add(members), HANDSHAKE_TARGET)
    yield Row("process Add", members, _process(founder, joined), costs.process_add(members), HANDSHAKE_TARGET)
    yield Row("join", members, join_time, costs.join(members), HANDSHAKE_TARGET)

    gone = 1 if members > 2 else members  # of two, the newcomer: the other one has to follow
    remove = _best(
        partial(_commit, founder, remove=[gone]),
        2 if members > 100 else _REPEATS,
        before=founder.discard_pending,
    )
    yield Row("commit Remove", members, remove, costs.commit_remove(members), HANDSHAKE_TARGET)
    yield Row("process Remove", members, _process(founder, joined), costs.process_remove(members), None)
    yield Row("memory", members, memory, MEMORY_TARGET, 1.0 if members >= max(SIZES) else None)


class Primitives:
    """The primitives of a suite, timed once each, and what the operations need of them."""

    def __init__(self, use: CipherSuite) -> None:
        self._suite = use
        # In the encoded tree: the leaf, two bytes before it, and one for the blank node beside it.
        self._leaf = len(_key_package(use, 0).key_package.leaf_node.encoded) + 3
        self._key = use.generate_signature_key(os.urandom)
        self._pair = use.generate_key_pair(os.urandom)
        self._verify = use.scheme.load_public(self._key.public)
        key, data = os.urandom(32), os.urandom(60)
        self._hmac = _time(lambda: hmac.digest(key, data, use.hash_name))
        self._generate = _time(lambda: use.generate_key_pair(os.urandom))
        sealed = use.hpke.seal(self._pair.public, data, key)
        self._open = _time(lambda: use.hpke.open(self._pair, sealed[0], data, sealed[1]))

    def encrypt(self) -> float:
        """A signature, five HMACs, two AEADs."""
        sign = _time(partial(self._key.sign, bytes(PAYLOAD + 150)))
        return sign + 5 * self._hmac + self._aead(PAYLOAD + 128) + self._aead(12)

    def decrypt(self) -> float:
        """A verification, five HMACs, two AEADs."""
        return self._verification(PAYLOAD + 150) + 5 * self._hmac + self._aead(PAYLOAD + 128) + self._aead(12)

    def commit_add(self, members: int) -> float:
        """The newcomer's two signatures checked, two made, one of them over the tree; a seal bound to it."""
        tree = self._leaf * members
        sign = _time(partial(self._key.sign, bytes(500))) + _time(partial(self._key.sign, bytes(tree)))
        seal = _time(lambda: self._suite.hpke.seal(self._pair.public, bytes(tree), bytes(70)))
        return 2 * self._verification(self._leaf) + sign + seal + self._aead(tree) + self._epoch(members)

    def process_add(self, members: int) -> float:
        """The commit's signature and the newcomer's two."""
        return 3 * self._verification(self._leaf) + self._epoch(members)

    def join(self, members: int) -> float:
        """The secrets opened, every leaf and the GroupInfo verified, the tree decrypted and hashed."""
        tree = self._leaf * members
        verify = members * self._verification(self._leaf) + self._verification(tree)
        hashes = members * (self._hash(self._leaf) + self._hash(70))
        opened = self._open + self._hash(tree) + self._aead(tree)
        return opened + verify + hashes + _SCHEDULE_HMACS * self._hmac

    def commit_remove(self, members: int) -> float:
        """A seal for every other member that stays, two signatures, a key pair per level."""
        seal = _time(lambda: self._suite.hpke.seal(self._pair.public, bytes(200), bytes(32)))
        sign = _time(partial(self._key.sign, bytes(500))) + _time(
            partial(self._key.sign, bytes(150 * members))
        )
        levels = 1 + math.ceil(math.log2(members))
        return members * seal + sign + levels * self._generate + self._epoch(members)

    def process_remove(self, members: int) -> float:
        """Two verifications, one of them over all ciphertexts, one opened, a key pair per level."""
        verify = self._verification(self._leaf) + self._verification(100 * members)
        levels = math.ceil(math.log2(members))
        return verify + self._open + levels * self._generate + self._epoch(members)

    def _epoch(self, members: int) -> float:
        """The key schedule, and the hashes from a leaf to the root."""
        levels = 1 + math.ceil(math.log2(members))
        return _SCHEDULE_HMACS * self._hmac + levels * self._hash(self._leaf)

    def _verification(self, size: int) -> float:
        content = bytes(size)
        signature = self._key.sign(content)
        return _time(lambda: self._verify(signature, content))

    def _hash(self, size: int) -> float:
        new: Callable[[bytes], Any] = getattr(hashlib, self._suite.hash_name)
        return _time(partial(new, bytes(size)))

    def _aead(self, size: int) -> float:
        key, nonce, data = bytes(self._suite.key_length), bytes(12), bytes(size)
        return _time(lambda: self._suite.seal(key, nonce, data, b""))


def _found(use: CipherSuite, members: int) -> tuple[Group, KeyPackageBundle, bytes]:
    """A group of that size seen by its founder, and its last member's way in."""
    signer = use.generate_signature_key(os.urandom)
    founder = Group.create(use, signer, _credential(0), identity=BasicIdentity(), now=NOW)
    if others := [_key_package(use, number).message for number in range(1, members - 1)]:
        _commit(founder, add=others)
        founder.apply_pending()
    last = _key_package(use, members - 1)
    _commit(founder, add=[last.message])
    assert founder.pending is not None
    welcome = founder.pending.welcome
    founder.apply_pending()
    assert welcome is not None
    return founder, last, welcome


def _commit(group: Group, *, add: list[bytes] | None = None, remove: list[int] | None = None) -> None:
    group.commit(add=add or [], remove=remove or [], now=NOW)


def _process(founder: Group, joined: list[Group]) -> float:
    """The best time in which a member follows the founder's pending commit; all of them do."""
    assert founder.pending is not None
    commit = founder.pending.commit
    members = iter(joined)
    best = _best(lambda: next(members).process(commit, now=NOW), len(joined))
    founder.apply_pending()
    return best


def _memory(join: Callable[[], Group]) -> float:
    """The bytes one member's group takes."""
    gc.collect()
    tracemalloc.start()
    try:
        group = join()
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        assert group.epoch
        return used
    finally:
        tracemalloc.stop()


def _credential(number: int) -> Credential:
    return Credential.basic(b"%0*d" % (_IDENTITY_BYTES, number))


def _key_package(use: CipherSuite, number: int) -> KeyPackageBundle:
    signer = use.generate_signature_key(os.urandom)
    return make_key_package(use, signer, _credential(number), random=os.urandom, now=NOW)


def _best(
    action: Callable[[], object], repeats: int, *, before: Callable[[], object] = lambda: None
) -> float:
    """The shortest of several runs, in seconds; `before` runs before each and is not counted."""
    best = math.inf
    gc.disable()
    try:
        for _ in range(repeats):
            before()
            start = perf_counter()
            action()
            best = min(best, perf_counter() - start)
    finally:
        gc.enable()
    return best


def _time(action: Callable[[], object]) -> float:
    """What one call takes at best, in seconds."""
    once = _best(action, 3)
    batch = max(1, min(_BATCH, int(0.002 / once)))

    def many() -> None:
        for _ in range(batch):
            action()

    return _best(many, _REPEATS) / batch


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:.2f} MiB"
