"""Which member speaks from which leaf of a session's MLS group (`session.md` 11.6).

A PrivateMessage proves the leaf that wrote it; the name it comes under stands outside and in clear. So:

    a leaf speaks in one name, and a name from one leaf, for as long as that leaf is in;
    where tokens tell subjects, that of the leaf's credential is that of the message's token.

A leaf is placed when it is known whose it is: the moderator's own, one that was added before our eyes. Of a
member that was in before us it is known when it first speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.names import Name
from identity.errors import CryptoError


class Speakers:
    """Names by leaf, and back: at most one for each leaf of the group."""

    __slots__ = ("_leaves", "_names")

    def __init__(self) -> None:
        self._leaves: dict[Name, int] = {}
        self._names: dict[int, Name] = {}

    def __len__(self) -> int:
        return len(self._leaves)

    def __iter__(self) -> Iterator[tuple[Name, int]]:
        """Who speaks from which leaf."""
        return iter(self._leaves.items())

    def leaf_of(self, name: Name) -> int | None:
        """Where somebody is, as far as it is known."""
        return self._leaves.get(name)

    def place(self, name: Name, leaf: int) -> None:
        """`name` is at `leaf`. What is known already stays: nobody is talked out of a place."""
        if name not in self._leaves and leaf not in self._names:
            self._leaves[name] = leaf
            self._names[leaf] = name

    def leave(self, leaves: Iterable[int]) -> None:
        """These leaves are out of the group."""
        for leaf in leaves:
            name = self._names.pop(leaf, None)
            if name is not None:
                del self._leaves[name]

    def clear(self) -> None:
        self._leaves.clear()
        self._names.clear()

    def check(self, source: Name, subject: str | None, leaf: int, identity: bytes) -> None:
        """Raise CryptoError unless what `leaf`, of `identity`, wrote may come from `source` with a token of
        `subject`. From then on `leaf` is where `source` is."""
        check_subject(source, subject, identity)
        if self._leaves.get(source, leaf) != leaf or self._names.get(leaf, source) != source:
            raise CryptoError(f"a message in the name of {source} that another member wrote")
        self.place(source, leaf)


def check_subject(name: Name, subject: str | None, identity: bytes) -> None:
    """Raise CryptoError if the leaf's credential is not that of whoever sent the token in the name `name`."""
    if subject is not None and subject.encode() != identity:
        raise CryptoError(f"the credential of a leaf is not that of {name}, in whose name it came")
