"""What a group keeps of epochs that are over: message keys for late messages, and resumption PSKs."""

from __future__ import annotations

from identity.mls.errors import KeyUnavailable
from identity.mls.private_message import EpochKeys
from identity.mls.secret import Secret

PAST_EPOCHS = 3
"""For how many past epochs late application messages can still be read, if nothing else is asked for."""


class PastEpochs:
    """The last epochs before the current one, at most `limit`; of the current one the resumption PSK."""

    __slots__ = ("keys", "limit", "resumption")

    def __init__(self, limit: int = PAST_EPOCHS) -> None:
        self.limit = limit
        self.keys: dict[int, EpochKeys] = {}
        """Message keys by epoch, oldest first."""
        self.resumption: dict[int, Secret] = {}
        """Resumption PSKs by epoch, oldest first, with that of the current epoch."""

    def add(self, ended: EpochKeys) -> None:
        """An epoch is over; what goes beyond the limit is forgotten."""
        self.keys[ended.epoch] = ended
        while len(self.keys) > self.limit:
            oldest = next(iter(self.keys))
            del self.keys[oldest], self.resumption[oldest]

    def find(self, epoch: int) -> EpochKeys:
        """The message keys of a past epoch. Raises KeyUnavailable."""
        keys = self.keys.get(epoch)
        if keys is None:
            raise KeyUnavailable(
                "epoch", f"nothing of epoch {epoch}; {self.limit} past ones are kept"
            )
        return keys
