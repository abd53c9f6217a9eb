"""The secret tree and its ratchets: one key per message, gone once used (RFC 9420, section 9).

    encryption_secret ── root
                        ├── ... ── leaf 0 ── handshake ratchet    generation 0, 1, 2, ...
                        │                └── application ratchet  generation 0, 1, 2, ...
                        └── ... ── leaf 1 ── ...

The tree is grown only towards leaves that speak; a node's secret is dropped as soon as its children's
exist. Looking a key up changes nothing that matters (both forms hold the same secrets): only `use` takes
it away, after the message has proved to be good. So a forged message can neither burn keys nor fill memory.

Bounds per ratchet: a message may be MAX_FORWARD generations ahead of the next expected one, and
MAX_SKIPPED keys of messages not seen yet are kept; beyond that the oldest are given up.
"""

from __future__ import annotations

from typing import NamedTuple

from identity.mls import tree_math
from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import KeyUnavailable
from identity.mls.secret import Secret

MAX_FORWARD = 1024
"""How far ahead a generation may be, as in the peer library; each step costs three HMACs."""

MAX_SKIPPED = 1024
"""How many keys of skipped generations a ratchet keeps."""

GENERATION_LIMIT = 1 << 32


class Advance(NamedTuple):
    """Where a ratchet stands after a message: its next secret, and the keys it passed by."""

    secret: Secret
    passed: dict[int, tuple[bytes, bytes]]

    def __repr__(self) -> str:
        return f"Advance(passed={len(self.passed)})"


class MessageKey(NamedTuple):
    """Key and nonce of one message. `advance` is `None` for a generation that was skipped before."""

    key: bytes
    nonce: bytes
    generation: int
    advance: Advance | None

    def __repr__(self) -> str:
        return f"MessageKey(generation={self.generation})"


class Ratchet:
    """One sender's keys for one kind of content."""

    __slots__ = ("generation", "secret", "skipped")

    def __init__(
        self, secret: Secret, generation: int = 0, skipped: dict[int, tuple[bytes, bytes]] | None = None
    ) -> None:
        self.secret = secret
        self.generation = generation
        self.skipped = skipped or {}

    def __repr__(self) -> str:
        return f"Ratchet(generation={self.generation}, skipped={len(self.skipped)})"

    def find(self, suite: CipherSuite, generation: int) -> MessageKey:
        """Compute the key of `generation` without taking it. Raises KeyUnavailable."""
        first = self.generation
        secret = self.secret
        passed: dict[int, tuple[bytes, bytes]] = {}
        if generation != first:
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
            for skipped in range(first, generation):
                passed[skipped] = suite.derive_generation(secret, skipped)
                secret = suite.next_generation(secret, skipped)
        elif generation >= GENERATION_LIMIT:
            raise KeyUnavailable(
                "message key", "all generations of this epoch are used; commit to a new epoch"
            )
        key, nonce = suite.derive_generation(secret, generation)
        return MessageKey(key, nonce, generation, Advance(suite.next_generation(secret, generation), passed))

    def use(self, found: MessageKey) -> None:
        """Take a key found before: it cannot be found again."""
        advance = found.advance
        if advance is None:
            del self.skipped[found.generation]
            return
        self.secret = advance.secret
        self.generation = found.generation + 1
        if advance.passed:
            self.skipped.update(advance.passed)
            while len(self.skipped) > MAX_SKIPPED:
                del self.skipped[next(iter(self.skipped))]


class LeafRatchets(NamedTuple):
    """The two ratchets of a member."""

    handshake: Ratchet
    application: Ratchet


class SecretTree:
    """All message keys of one epoch."""

    __slots__ = ("_suite", "leaves", "nodes", "ratchets")

    def __init__(
        self,
        suite: CipherSuite,
        leaves: int,
        nodes: dict[int, Secret],
        ratchets: dict[int, LeafRatchets] | None = None,
    ) -> None:
        self._suite = suite
        self.leaves = leaves
        self.nodes = nodes
        self.ratchets = ratchets or {}

    @classmethod
    def grow(cls, suite: CipherSuite, leaves: int, encryption_secret: Secret) -> SecretTree:
        """The tree of a new epoch with `leaves` leaves (a power of two)."""
        return cls(suite, leaves, {tree_math.root(leaves): encryption_secret})

    def __repr__(self) -> str:
        return f"SecretTree(leaves={self.leaves}, ratchets={len(self.ratchets)})"

    def leaf(self, index: int) -> LeafRatchets:
        """The ratchets of leaf `index`. Raises KeyUnavailable outside the tree."""
        found = self.ratchets.get(index)
        if found is None:
            if not 0 <= index < self.leaves:
                raise KeyUnavailable("ratchet", f"leaf {index} is outside a tree of {self.leaves}")
            secret = self._descend(2 * index)
            suite = self._suite
            size = suite.hash_length
            found = self.ratchets[index] = LeafRatchets(
                Ratchet(suite.expand_with_label(secret, b"handshake", b"", size)),
                Ratchet(suite.expand_with_label(secret, b"application", b"", size)),
            )
        return found

    def _descend(self, leaf_node: int) -> Secret:
        """Take the secret of a leaf, growing the tree towards it from the lowest ancestor that has one."""
        suite = self._suite
        nodes = self.nodes
        way = [leaf_node]
        while way[-1] not in nodes:
            way.append(tree_math.parent_of(way[-1]))
        above = way.pop()
        while way:
            secret = nodes.pop(above)
            for child, label in ((tree_math.left(above), b"left"), (tree_math.right(above), b"right")):
                assert child is not None
                nodes[child] = suite.expand_with_label(secret, b"tree", label, suite.hash_length)
            above = way.pop()
        return nodes.pop(leaf_node)
