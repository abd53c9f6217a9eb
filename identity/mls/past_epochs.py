"""What a group keeps of epochs that are over: message keys for late messages, and resumption PSKs.

Bounded in number and in time. A member that a commit removes is not read any more in the epochs before it
either: there it would go on looking like a member, and once its leaf is given to another, like that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from identity.mls.errors import KeyUnavailable
from identity.mls.private_message import EpochKeys
from identity.mls.secret import Secret

PAST_EPOCHS = 3
"""For how many past epochs late application messages can still be read, if nothing else is asked for."""

PAST_LIFETIME = 600.0
"""For how many seconds after its end an epoch's late messages can be read, if nothing else is asked for."""


class PastEpochs:
    """The last epochs before the current one: at most `limit`, none over `lifetime` seconds ago."""

    __slots__ = ("ended", "keys", "lifetime", "limit", "resumption")

    def __init__(self, limit: int = PAST_EPOCHS, lifetime: float = PAST_LIFETIME) -> None:
        self.limit = limit
        self.lifetime = lifetime
        self.keys: dict[int, EpochKeys] = {}
        """Message keys by epoch, oldest first."""
        self.ended: dict[int, float] = {}
        """When an epoch of `keys` ended, in Unix seconds."""
        self.resumption: dict[int, Secret] = {}
        """Resumption PSKs by epoch, oldest first, with that of the current epoch."""

    def begin(self, epoch: int, resumption_psk: Secret) -> None:
        """An epoch begins."""
        self.resumption[epoch] = resumption_psk
        while len(self.resumption) > self.limit + 1:
            del self.resumption[next(iter(self.resumption))]

    def end(self, keys: EpochKeys, removed: Sequence[int], now: float) -> None:
        """An epoch is over, by a commit that removes the leaves `removed`: they are read in no epoch now."""
        self.keys[keys.epoch], self.ended[keys.epoch] = keys, now
        while len(self.keys) > self.limit:
            self._forget(next(iter(self.keys)))
        self.expire(now)
        if removed:
            for kept in self.keys.values():
                kept.secret_tree.forget(removed)

    def expire(self, now: float) -> None:
        """Forget what ended too long ago. A clock set back by more than the lifetime forgets as well."""
        if self.ended:
            for epoch in [epoch for epoch, ended in self.ended.items() if abs(now - ended) > self.lifetime]:
                self._forget(epoch)

    def find(self, epoch: int) -> EpochKeys:
        """The message keys of a past epoch. Raises KeyUnavailable."""
        keys = self.keys.get(epoch)
        if keys is None:
            kept = f"{self.limit} past ones are kept, for {self.lifetime:g} s"
            raise KeyUnavailable("epoch", f"nothing of epoch {epoch}; {kept}")
        return keys

    def _forget(self, epoch: int) -> None:
        del self.keys[epoch], self.ended[epoch]
