"""The secret tree and its ratchets: one key per message, gone once used (RFC 9420, section 9).

    encryption_secret ── root
                        ├── ... ── leaf 0 ── handshake ratchet    generation 0, 1, 2, ...
                        │                └── application ratchet  generation 0, 1, 2, ...
                        └── ... ── leaf 1 ── ...

The tree is grown only towards leaves that speak; a node's secret is dropped as soon as its children's
exist. Looking a key up changes nothing that matters (both forms hold the same secrets): only `use` takes
it away, after the message has proved to be good. So a forged message can neither burn keys nor fill memory.

Bounds per ratchet: a message may be MAX_FORWARD generations ahead of the next expected one, and
MAX_SKIPPED keys of messages not seen yet are kept; beyond that the oldest are given up. The way to a
generation ahead costs one HMAC a step, and every STRIDE steps it is remembered: the next look ahead
goes on from there, so that many broken messages cost about as much as many good ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from identity.mls import tree_math
from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import KeyUnavailable
from identity.mls.secret import Secret
from identity.record import record

MAX_FORWARD = 1024
"""How far ahead a generation may be, as in the peer library."""

STRIDE = 64
"""How many generations apart a look ahead leaves marks: at most this many HMACs for the next one."""

MAX_SKIPPED = 1024
"""How many keys of skipped generations a ratchet keeps."""

GENERATION_LIMIT = 1 << 32


@record
class MessageKey(NamedTuple):
    """Key and nonce of one message. `secret` is the ratchet's at this generation, `None` if that is past."""

    key: bytes
    nonce: bytes
    generation: int
    secret: Secret | None

    def __repr__(self) -> str:
        return f"MessageKey(generation={self.generation})"


class Ratchet:
    """One sender's keys for one kind of content."""

    __slots__ = ("_ahead", "generation", "secret", "skipped")

    def __init__(
        self, secret: Secret, generation: int = 0, skipped: dict[int, tuple[bytes, bytes]] | None = None
    ) -> None:
        self.secret = secret
        self.generation = generation
        self.skipped = skipped or {}
        self._ahead: dict[int, Secret] = {}
        """Secrets of generations to come, every STRIDE steps, as far as somebody has looked."""

    def __repr__(self) -> str:
        return f"Ratchet(generation={self.generation}, skipped={len(self.skipped)})"

    def find(self, suite: CipherSuite, generation: int) -> MessageKey:
        """Compute the key of `generation` without taking it. Raises KeyUnavailable."""
        first = self.generation
        if generation < first:
            try:
                key, nonce = self.skipped[generation]
            except KeyError:
                reason = f"generation {generation} was used before or is too old (next is {first})"
                raise KeyUnavailable("message key", reason) from None
            return MessageKey(key, nonce, generation, None)
        if generation - first > MAX_FORWARD:
            reason = f"generation {generation} is more than {MAX_FORWARD} ahead of {first}"
            raise KeyUnavailable("message key", reason)
        if generation >= GENERATION_LIMIT:
            raise KeyUnavailable(
                "message key", "all generations of this epoch are used; commit to a new epoch"
            )
        secret = self.secret if generation == first else self._look_ahead(suite, generation)
        key, nonce = suite.derive_generation(secret, generation)
        return MessageKey(key, nonce, generation, secret)

    def _look_ahead(self, suite: CipherSuite, generation: int) -> Secret:
        """The secret of a generation to come, from the nearest mark before it."""
        ahead = self._ahead
        mark = generation - generation % STRIDE
        while mark > self.generation and mark not in ahead:
            mark -= STRIDE
        at, secret = (mark, ahead[mark]) if mark > self.generation else (self.generation, self.secret)
        while at < generation:
            secret = suite.next_generation(secret, at)
            at += 1
            if at % STRIDE == 0:
                ahead[at] = secret
        return secret

    def use(self, suite: CipherSuite, found: MessageKey) -> None:
        """Take a key found before: it cannot be found again. Those of the generations passed by are kept."""
        generation, secret = found.generation, found.secret
        if secret is None:
            del self.skipped[generation]
            return
        if generation != self.generation:
            self._pass_by(suite, generation)
        self.secret = suite.next_generation(secret, generation)
        self.generation = generation + 1
        if self._ahead:
            self._ahead = {at: mark for at, mark in self._ahead.items() if at > generation}

    def _pass_by(self, suite: CipherSuite, generation: int) -> None:
        """Keep the keys of all generations before this one."""
        secret = self.secret
        for skipped in range(self.generation, generation):
            self.skipped[skipped] = suite.derive_generation(secret, skipped)
            secret = suite.next_generation(secret, skipped)
        while len(self.skipped) > MAX_SKIPPED:
            del self.skipped[next(iter(self.skipped))]


@record
class LeafRatchets(NamedTuple):
    """The two ratchets of a member."""

    handshake: Ratchet
    application: Ratchet


class SecretTree:
    """All message keys of one epoch."""

    __slots__ = ("_suite", "gone", "leaves", "nodes", "ratchets")

    def __init__(
        self,
        suite: CipherSuite,
        leaves: int,
        nodes: dict[int, Secret],
        ratchets: dict[int, LeafRatchets] | None = None,
        gone: set[int] | None = None,
    ) -> None:
        self._suite = suite
        self.leaves = leaves
        self.nodes = nodes
        self.ratchets = ratchets or {}
        self.gone = gone or set()
        """Leaves whose messages are read no more."""

    @classmethod
    def grow(cls, suite: CipherSuite, leaves: int, encryption_secret: Secret) -> SecretTree:
        """The tree of a new epoch with `leaves` leaves (a power of two)."""
        return cls(suite, leaves, {tree_math.root(leaves): encryption_secret})

    def __repr__(self) -> str:
        return f"SecretTree(leaves={self.leaves}, ratchets={len(self.ratchets)})"

    def leaf(self, index: int) -> LeafRatchets:
        """The ratchets of leaf `index`. Raises KeyUnavailable outside the tree, and for one that is gone."""
        found = self.ratchets.get(index)
        if found is None:
            if not 0 <= index < self.leaves:
                raise KeyUnavailable("ratchet", f"leaf {index} is outside a tree of {self.leaves}")
            if index in self.gone:
                raise KeyUnavailable("ratchet", f"the member at leaf {index} has been removed")
            secret = self._descend(2 * index)
            suite = self._suite
            size = suite.hash_length
            found = self.ratchets[index] = LeafRatchets(
                Ratchet(suite.expand_with_label(secret, b"handshake", b"", size)),
                Ratchet(suite.expand_with_label(secret, b"application", b"", size)),
            )
        return found

    def forget(self, leaves: Iterable[int]) -> None:
        """Give up the ratchets of leaves for good.

        If one has not spoken yet, its secret stays inside its neighbours' until one of them speaks: growing
        the tree for each removed leaf in each past epoch would cost more than the commit that removes it.
        """
        for index in leaves:
            self.ratchets.pop(index, None)
            self.nodes.pop(2 * index, None)
            self.gone.add(index)

    def _descend(self, leaf_node: int) -> Secret:
        """Take the secret of a leaf, growing the tree towards it from the lowest ancestor that has one.

        Raises KeyUnavailable when none has.
        """
        suite = self._suite
        nodes = self.nodes
        way = [leaf_node]
        while way[-1] not in nodes:
            if way[-1] == tree_math.root(self.leaves):
                raise KeyUnavailable("ratchet", f"the secret of leaf {leaf_node // 2} is gone")
            way.append(tree_math.parent_of(way[-1]))
        above = way.pop()
        while way:
            secret = nodes.pop(above)
            for child, label in ((tree_math.left(above), b"left"), (tree_math.right(above), b"right")):
                assert child is not None
                if child & 1 or child // 2 not in self.gone:
                    nodes[child] = suite.expand_with_label(secret, b"tree", label, suite.hash_length)
            above = way.pop()
        return nodes.pop(leaf_node)
